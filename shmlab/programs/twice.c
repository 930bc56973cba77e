/* twice: maps one object at two addresses, leaves in it a pointer and an offset to a word. Twin: twice.py. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fault.h"
#include "step.h"

/* Far from everything: an address that is wrong elsewhere is then sure to be noticed. */
#define LONELY ((void *)0x1000000000)

struct head {
	char *pointer;	/* an address: it means something only where it was taken */
	size_t offset;	/* counted from the start of the object: it means the same everywhere */
};

static char *map(void *hint, size_t page, int fd)
{
	char *m = mmap(hint, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (m == MAP_FAILED)
		die("mmap");
	return m;
}

int main(int argc, char *argv[])
{
	if (argc != 3) {
		fprintf(stderr, "usage: %s /name pointer|offset\n", argv[0]);
		return 2;
	}
	size_t page = sysconf(_SC_PAGE_SIZE);
	char label[40];

	int fd = shm_open(argv[1], O_RDWR, 0);
	if (fd == -1)
		die("shm_open");
	char *one = map(LONELY, page, fd), *two = map(NULL, page, fd);
	close(fd);
	report_faults(one);
	step("mapped twice");

	memcpy(one + 64, "hello", 5);
	snprintf(label, sizeof label, "the other sees %.5s", two + 64);
	step(label);

	*(struct head *)one = (struct head){ .pointer = one + 64, .offset = 64 };
	step("pointer and offset stored");

	if (munmap(one, page) == -1)
		die("munmap");
	step("one mapping removed");

	struct head *head = (struct head *)two;
	const char *word = strcmp(argv[2], "pointer") == 0 ? head->pointer : two + head->offset;
	snprintf(label, sizeof label, "found %.5s", word);
	step(label);
	return 0;
}
