/* fill: fills an object in a /dev/shm of 1 MiB, sized by ftruncate or by posix_fallocate. Twin: fill.py. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fault.h"
#include "private_shm.h"
#include "step.h"

#define ROOM (1 << 20)

int main(int argc, char *argv[])
{
	if (argc != 4) {
		fprintf(stderr, "usage: %s /name size ftruncate|posix_fallocate\n", argv[0]);
		return 2;
	}
	size_t size = strtoul(argv[2], NULL, 10);
	size_t page = sysconf(_SC_PAGE_SIZE);

	private_shm(ROOM);
	step("a /dev/shm of 1 MiB");

	int fd = shm_open(argv[1], O_CREAT | O_EXCL | O_RDWR, 0600);
	if (fd == -1)
		die("shm_open");
	if (strcmp(argv[3], "ftruncate") == 0) {
		if (ftruncate(fd, size) == -1)
			die("ftruncate");
	} else {
		errno = posix_fallocate(fd, 0, size);	/* it returns the error, and leaves errno alone */
		if (errno != 0)
			die("posix_fallocate");
	}
	step(argv[3]);

	volatile char *m = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (m == MAP_FAILED)
		die("mmap");
	close(fd);
	report_faults(m);
	step("mmap");

	for (size_t at = 0; at < size; at += page) {
		m[at] = 1;
		show("at", "%zu", at);
		step("store");
	}
	return 0;
}
