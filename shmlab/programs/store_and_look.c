/* store_and_look: maps an object shared or private, stores a letter in some pages, looks. Twin: store_and_look.py. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "step.h"

int main(int argc, char *argv[])
{
	if (argc < 4) {
		fprintf(stderr, "usage: %s /name MAP_SHARED|MAP_PRIVATE letter [page ...]\n", argv[0]);
		return 2;
	}
	size_t size = sysconf(_SC_PAGE_SIZE);
	int flags = strcmp(argv[2], "MAP_PRIVATE") == 0 ? MAP_PRIVATE : MAP_SHARED;
	char letter = argv[3][0], label[40];

	int fd = shm_open(argv[1], O_RDWR, 0);
	if (fd == -1)
		die("shm_open");
	volatile char *m = mmap(NULL, 4 * size, PROT_READ | PROT_WRITE, flags, fd, 0);
	if (m == MAP_FAILED)
		die("mmap");
	close(fd);
	step("mmap");

	for (int i = 4; i < argc; i++) {
		int page = atoi(argv[i]);
		m[page * size + (letter == 'B')] = letter;	/* B's place is right beside A's */
		snprintf(label, sizeof label, "stored %c in page %d", letter, page);
		step(label);
	}
	for (int i = 0; i < 3; i++) {
		volatile char *one = m, *two = m + size, *three = m + 2 * size;
		snprintf(label, sizeof label, "sees %c%c %c%c %c%c",
			 one[0], one[1], two[0], two[1], three[0], three[1]);
		step(label);
	}
	return 0;
}
