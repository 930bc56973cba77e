/* store_then_load: says "I am here", then looks whether the other has said so. Twin: store_then_load.py. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "step.h"

int main(int argc, char *argv[])
{
	if (argc != 3) {
		fprintf(stderr, "usage: %s /name who\n", argv[0]);
		return 2;
	}
	int fd = shm_open(argv[1], O_RDWR, 0600);
	if (fd == -1)
		die("shm_open");
	volatile uint64_t *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		die("mmap");
	close(fd);
	int who = argv[2][0] == '1';

	memory[who] = 1;
	step("store");
	memory[2 + who] = memory[1 - who];
	step("load");
	return 0;
}
