/* seven_calls: makes the seven calls of an object's life, from shm_open to shm_unlink. Twin: seven_calls.py. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "step.h"

int main(int argc, char *argv[])
{
	if (argc != 3 || strlen(argv[2]) > 10000) {
		fprintf(stderr, "usage: %s /name text\n", argv[0]);
		return 2;
	}

	int fd = shm_open(argv[1], O_CREAT | O_EXCL | O_RDWR, 0600);
	if (fd == -1)
		die("shm_open");
	show("fd", "%d", fd);
	step("shm_open");

	if (ftruncate(fd, 10000) == -1)
		die("ftruncate");
	step("ftruncate");

	char *m = mmap(NULL, 10000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (m == MAP_FAILED)
		die("mmap");
	show("m", "%p", (void *)m);
	step("mmap");

	memcpy(m, argv[2], strlen(argv[2]));
	show("m[0]", "'%c'", m[0]);
	step("store");

	if (msync(m, 10000, MS_SYNC) == -1)
		die("msync");
	step("msync");

	if (munmap(m, 10000) == -1)
		die("munmap");
	step("munmap");

	if (close(fd) == -1)
		die("close");
	step("close");

	if (shm_unlink(argv[1]) == -1)
		die("shm_unlink");
	step("shm_unlink");
	return 0;
}
