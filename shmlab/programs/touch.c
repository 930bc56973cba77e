/* touch: maps an object, sized or not, and reads some of its bytes, one a step. Twin: touch.py. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fault.h"
#include "step.h"

int main(int argc, char *argv[])
{
	if (argc != 5) {
		fprintf(stderr, "usage: %s /name length offset count\n", argv[0]);
		return 2;
	}
	size_t length = strtoul(argv[2], NULL, 10);
	size_t offset = strtoul(argv[3], NULL, 10);
	size_t count = strtoul(argv[4], NULL, 10);

	int fd = shm_open(argv[1], O_RDWR, 0);
	if (fd == -1)
		die("shm_open");
	show("fd", "%d", fd);
	step("shm_open");

	volatile unsigned char *m = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (m == MAP_FAILED)
		die("mmap");
	close(fd);
	report_faults(m);
	step("mmap");

	for (size_t at = offset; at < offset + count; at++) {
		unsigned char value = m[at];
		char label[20];
		snprintf(label, sizeof label, "read %d", value);
		show("at", "%zu", at);
		step(label);
	}
	return 0;
}
