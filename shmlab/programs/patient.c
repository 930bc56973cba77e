/* patient: waits, a bounded number of tries, for an object that announce creates, and reads it. Twin: patient.py. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "step.h"

int main(int argc, char *argv[])
{
	if (argc != 3) {
		fprintf(stderr, "usage: %s /name tries\n", argv[0]);
		return 2;
	}
	long tries = strtol(argv[2], NULL, 10);

	for (long i = 0; i < tries; i++) {
		int fd = shm_open(argv[1], O_RDONLY, 0);	/* no O_CREAT: who reads creates nothing */
		if (fd == -1 && errno != ENOENT)
			die("shm_open");
		if (fd == -1) {
			step("no such name");
			continue;
		}

		struct stat status;
		if (fstat(fd, &status) == -1)
			die("fstat");
		if (status.st_size < 4096) {
			close(fd);
			step("no size yet");
			continue;
		}

		char *m = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
		if (m == MAP_FAILED)
			die("mmap");
		close(fd);
		/* Acquired: the text is read after its length, as announce stored it before. */
		int length = (unsigned char)__atomic_load_n(&m[0], __ATOMIC_ACQUIRE);
		if (length > 0)
			printf("'%.*s'\n", length, m + 1);
		if (munmap(m, 4096) == -1)
			die("munmap");
		if (length > 0) {
			step("print");
			return 0;
		}
		step("no text yet");
	}
	fprintf(stderr, "%ld tries, and nobody announced %s\n", tries, argv[1]);
	return 1;
}
