/* slow_reader: reads a record once, a word a step, and keeps what it read in words of its own. Twin: slow_reader.py. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "step.h"

enum { SEEN = 16 };

int main(int argc, char *argv[])
{
	char label[40];

	if (argc != 3) {
		fprintf(stderr, "usage: %s /name words\n", argv[0]);
		return 2;
	}
	int fd = shm_open(argv[1], O_RDWR, 0600);
	if (fd == -1)
		die("shm_open");
	volatile uint64_t *record = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (record == MAP_FAILED)
		die("mmap");
	close(fd);
	long words = strtol(argv[2], NULL, 10);

	for (long i = 0; i < words; i++) {
		record[SEEN + i] = record[i];
		snprintf(label, sizeof label, "load %ld", i);
		step(label);
	}
	return 0;
}
