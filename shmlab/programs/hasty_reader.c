/* hasty_reader: creates what it came to read, and unlinks it afterwards. Twin: hasty_reader.py. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "step.h"

int main(int argc, char *argv[])
{
	if (argc != 2) {
		fprintf(stderr, "usage: %s /name\n", argv[0]);
		return 2;
	}

	int fd = shm_open(argv[1], O_RDWR | O_CREAT, 0600);
	if (fd == -1)
		die("shm_open");
	if (ftruncate(fd, 4096) == -1)
		die("ftruncate");
	step("shm_open");

	char *m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (m == MAP_FAILED)
		die("mmap");
	close(fd);
	step("mmap");

	printf("'%.*s'\n", (int)strnlen(m, 4096), m);
	step("print");

	if (munmap(m, 4096) == -1)
		die("munmap");
	if (shm_unlink(argv[1]) == -1)
		die("shm_unlink");
	step("shm_unlink");
	return 0;
}
