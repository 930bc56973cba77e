/* sequence_writer: stores one version after the other of a record, as record_writer does, and counts in a word beside
 * it: odd while a version is being stored, even when it's whole. Twin: sequence_writer.py. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "step.h"

enum { SEQUENCE = 24 };

int main(int argc, char *argv[])
{
	if (argc != 4 && argc != 5) {
		fprintf(stderr, "usage: %s /name words versions [rest]\n", argv[0]);
		return 2;
	}
	int fd = shm_open(argv[1], O_RDWR, 0600);
	if (fd == -1)
		die("shm_open");
	volatile uint64_t *record = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (record == MAP_FAILED)
		die("mmap");
	close(fd);
	long words = strtol(argv[2], NULL, 10), versions = strtol(argv[3], NULL, 10);
	long rest = argc > 4 ? strtol(argv[4], NULL, 10) : 0;

	for (long version = 1; version <= versions; version++) {
		record[SEQUENCE] += 1;
		__atomic_thread_fence(__ATOMIC_RELEASE);	/* odd before the first store of the version */
		step("odd");
		for (long i = 0; i < words; i++) {
			record[i] = (uint64_t)version;
			step("store");
		}
		__atomic_thread_fence(__ATOMIC_RELEASE);	/* the last store of the version before even */
		record[SEQUENCE] += 1;
		step("even");
		for (long i = 0; i < rest; i++)
			step("rest");
	}
	return 0;
}
