/* announce: creates an object, and nobody else's: sizes it, fills it, and says so last of all. Twin: announce.py. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "step.h"

int main(int argc, char *argv[])
{
	if (argc != 3 || strlen(argv[2]) > 255) {
		fprintf(stderr, "usage: %s /name text\n", argv[0]);
		return 2;
	}

	int fd = shm_open(argv[1], O_CREAT | O_EXCL | O_RDWR, 0600);
	if (fd == -1)
		die("shm_open");
	step("shm_open");

	if (ftruncate(fd, 4096) == -1)
		die("ftruncate");
	step("ftruncate");

	char *m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (m == MAP_FAILED)
		die("mmap");
	close(fd);
	memcpy(m + 1, argv[2], strlen(argv[2]));
	step("store");

	/* Released: neither compiler nor processor may move the stores of the text behind this one. */
	__atomic_store_n(&m[0], (char)strlen(argv[2]), __ATOMIC_RELEASE);
	step("announce");

	if (munmap(m, 4096) == -1)
		die("munmap");
	return 0;
}
