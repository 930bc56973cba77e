/* record_reader: reads a record again and again, all of its words in one go, and counts how often they were of more
 * than one version. Twin: record_reader.py. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "step.h"

enum { READS = 32, TORN = 33, MOST_WORDS = 16 };

int main(int argc, char *argv[])
{
	uint64_t seen[MOST_WORDS];

	if (argc != 4) {
		fprintf(stderr, "usage: %s /name words times\n", argv[0]);
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
	if (words < 1 || words > MOST_WORDS) {
		fprintf(stderr, "a record has 1 to %d words\n", MOST_WORDS);
		return 2;
	}

	for (long times = strtol(argv[3], NULL, 10); times > 0; times--) {
		int torn = 0;
		for (long i = 0; i < words; i++)
			seen[i] = record[i];
		for (long i = 1; i < words; i++)
			torn |= seen[i] != seen[0];
		record[READS] += 1;
		record[TORN] += (uint64_t)torn;
		show("first", "%lu", (unsigned long)seen[0]);
		show("last", "%lu", (unsigned long)seen[words - 1]);
		step(torn ? "torn" : "whole");
	}
	return 0;
}
