/* trespass: stores a byte where the mapping does not let it. Twin: trespass.py. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fault.h"
#include "step.h"

/* Far from everything: right behind a mapping there's often another, and then nothing is noticed. */
#define LONELY ((void *)0x1000000000)

int main(int argc, char *argv[])
{
	if (argc != 3) {
		fprintf(stderr, "usage: %s /name 'past the mapping'|unmapped|read-only\n", argv[0]);
		return 2;
	}
	const char *way = argv[2];
	size_t page = sysconf(_SC_PAGE_SIZE);

	int fd = shm_open(argv[1], O_RDWR, 0);
	if (fd == -1)
		die("shm_open");
	int prot = strcmp(way, "read-only") == 0 ? PROT_READ : PROT_READ | PROT_WRITE;
	char *m = mmap(LONELY, page, prot, MAP_SHARED, fd, 0);
	if (m == MAP_FAILED)
		die("mmap");
	close(fd);
	report_faults(m);
	step("mmap");

	volatile char *at = m;
	if (strcmp(way, "past the mapping") == 0)
		at = m + page;
	if (strcmp(way, "unmapped") == 0 && munmap(m, page) == -1)
		die("munmap");
	step(way);

	*at = 65;
	step("store");
	return 0;
}
