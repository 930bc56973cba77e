/* writer: opens an object by its name and writes a text into it, one byte a step. Twin: writer.py. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "step.h"

int main(int argc, char *argv[])
{
	if (argc != 3) {
		fprintf(stderr, "usage: %s /name text\n", argv[0]);
		return 2;
	}

	int fd = shm_open(argv[1], O_RDWR, 0600);
	if (fd == -1)
		die("shm_open");
	show("fd", "%d", fd);
	step("shm_open");

	char *m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (m == MAP_FAILED)
		die("mmap");
	close(fd);
	step("mmap");

	for (size_t i = 0; i < strlen(argv[2]); i++) {
		m[i] = argv[2][i];
		show("i", "%zu", i);
		step("store");
	}

	if (munmap(m, 4096) == -1)
		die("munmap");
	step("munmap");
	return 0;
}
