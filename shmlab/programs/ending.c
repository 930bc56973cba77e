/* ending: the child ends, or stops, as it's told to; the parent notes the status. Twin: ending.py. */
#include <fcntl.h>
#include <signal.h>
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
		fprintf(stderr, "usage: %s /name exit|signal number\n", argv[0]);
		return 2;
	}
	int number = atoi(argv[3]), status;

	int fd = shm_open(argv[1], O_RDWR, 0600);
	if (fd == -1)
		die("shm_open");
	volatile uint64_t *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		die("mmap");

	pid_t child = fork();
	if (child == -1)
		die("fork");
	if (child == 0) {
		if (strcmp(argv[2], "signal") == 0 && kill(getpid(), number) == -1)
			die("kill");
		_exit(number);
	}
	if (waitpid(child, &status, WUNTRACED) == -1)
		die("waitpid");
	memory[0] = (unsigned)status;
	show("status", "%#06x", (unsigned)status);
	step("waitpid");

	if (WIFSTOPPED(status) && (kill(child, SIGCONT) == -1 || waitpid(child, NULL, 0) == -1))
		die("kill or waitpid");
	return 0;
}
