/* sequence_reader: reads a record that sequence_writer stores, and accepts what it read only if nothing was stored
 * meanwhile: if the word beside it was even, and is the same afterwards. Twin: sequence_reader.py. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "step.h"

enum { SEQUENCE = 24, READS = 32, TORN = 33, REFUSED = 35, MOST_WORDS = 16 };

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
		uint64_t before = record[SEQUENCE];
		__atomic_thread_fence(__ATOMIC_ACQUIRE);	/* the sequence before the record */
		show("before", "%lu", (unsigned long)before);
		step("sequence");
		for (long i = 0; i < words; i++)
			seen[i] = record[i];
		show("first", "%lu", (unsigned long)seen[0]);
		show("last", "%lu", (unsigned long)seen[words - 1]);
		step("read");
		__atomic_thread_fence(__ATOMIC_ACQUIRE);	/* the record before the sequence again */
		if (before % 2 == 0 && record[SEQUENCE] == before) {
			for (long i = 1; i < words; i++)
				torn |= seen[i] != seen[0];
			record[READS] += 1;
			record[TORN] += (uint64_t)torn;
			step("accepted");
		} else {
			record[REFUSED] += 1;
			step("refused");
		}
	}
	return 0;
}
