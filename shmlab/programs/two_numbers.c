/* two_numbers: is told a descriptor's number and a segment's id by another process, and uses both. Twin:
   two_numbers.py. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>

#include "step.h"

static void said(const char *what, int failed)
{
	const char *why = !failed ? "yes" : errno == EBADF ? "EBADF" : errno == EINVAL ? "EINVAL" : strerror(errno);

	printf("%s: %s\n", what, why);
}

int main(int argc, char *argv[])
{
	if (argc != 3) {
		fprintf(stderr, "usage: %s fd shmid\n", argv[0]);
		return 2;
	}
	int fd = atoi(argv[1]), shmid = atoi(argv[2]);

	said("mmap", mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED);
	step("mmap");
	said("shmat", shmat(shmid, NULL, SHM_RDONLY) == (void *)-1);
	step("shmat");
	return 0;
}
