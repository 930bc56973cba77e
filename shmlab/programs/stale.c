/* stale: counts in how many rounds a parent reads before its child has stored. Twin: stale.py. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "step.h"

int main(int argc, char *argv[])
{
	if (argc != 4) {
		fprintf(stderr, "usage: %s /name rounds waitpid|nothing|'a pause'\n", argv[0]);
		return 2;
	}
	long rounds = strtol(argv[2], NULL, 10);
	int waits = strcmp(argv[3], "waitpid") == 0, pauses = strcmp(argv[3], "a pause") == 0;

	int fd = shm_open(argv[1], O_RDWR, 0600);
	if (fd == -1)
		die("shm_open");
	volatile int64_t *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		die("mmap");
	memory[0] = memory[1] = 0;

	for (long number = 1; number <= rounds; number++) {
		pid_t child = fork();
		if (child == -1)
			die("fork");
		if (child == 0) {
			memory[0] = number;
			_exit(0);
		}
		if (waits && waitpid(child, NULL, 0) == -1)
			die("waitpid");
		if (pauses)
			usleep(500);	/* a guess at how long the child takes */
		if (memory[0] != number)
			memory[1]++;
		if (!waits && waitpid(child, NULL, 0) == -1)
			die("waitpid");
		step("round");
	}
	return 0;
}
