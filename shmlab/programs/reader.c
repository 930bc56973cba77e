/* reader: opens an object that somebody else created, for reading only, and prints the text in it. Twin: reader.py. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "step.h"

int main(int argc, char *argv[])
{
	if (argc != 2) {
		fprintf(stderr, "usage: %s /name\n", argv[0]);
		return 2;
	}

	int fd = shm_open(argv[1], O_RDONLY, 0);
	if (fd == -1)
		die("shm_open");
	struct stat status;
	if (fstat(fd, &status) == -1)
		die("fstat");
	size_t size = (size_t)status.st_size;
	show("size", "%zu", size);
	step("shm_open");

	char *m = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	if (m == MAP_FAILED)
		die("mmap");
	close(fd);
	step("mmap");

	printf("%.*s\n", (int)strnlen(m, size), m);
	step("print");

	if (munmap(m, size) == -1)
		die("munmap");
	step("munmap");
	return 0;
}
