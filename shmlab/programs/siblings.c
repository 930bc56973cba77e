/* siblings: two children add one to one counter; the parent waits for both. Twin: siblings.py. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "step.h"

int main(int argc, char *argv[])
{
	if (argc != 3) {
		fprintf(stderr, "usage: %s /name times\n", argv[0]);
		return 2;
	}
	long times = strtol(argv[2], NULL, 10);

	int fd = shm_open(argv[1], O_RDWR, 0600);
	if (fd == -1)
		die("shm_open");
	volatile uint64_t *counter = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (counter == MAP_FAILED)
		die("mmap");
	counter[0] = 0;
	int loaded[2], go[2];
	if (pipe(loaded) == -1 || pipe(go) == -1)
		die("pipe");

	for (int i = 0; i < 2; i++) {
		pid_t child = fork();
		if (child == -1)
			die("fork");
		if (child > 0)
			continue;
		for (long turn = 0; turn < times; turn++) {
			uint64_t value = counter[0];
			char byte = '.';
			if (turn == 0)	/* neither stores before both have loaded */
				if (write(loaded[1], &byte, 1) != 1 || read(go[0], &byte, 1) != 1)
					die("write or read");
			counter[0] = value + 1;
		}
		_exit(0);
	}
	for (int i = 0; i < 2; i++) {
		char byte;
		if (read(loaded[0], &byte, 1) != 1)
			die("read");
	}
	step("both loaded");

	if (write(go[1], "..", 2) != 2)
		die("write");
	if (wait(NULL) == -1 || wait(NULL) == -1)
		die("wait");
	step("both ended");
	return 0;
}
