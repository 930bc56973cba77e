/* hasty_writer: doesn't ask who was first: O_CREAT without O_EXCL. For hasty_reader. Twin: hasty_writer.py. */
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

	memcpy(m, argv[2], strlen(argv[2]));
	step("store");

	if (munmap(m, 4096) == -1)
		die("munmap");
	step("munmap");
	return 0;
}
