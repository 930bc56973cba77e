/* record_writer: stores one version after the other of a record, so many words, all of which hold the version's
 * number. Twin: record_writer.py. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "step.h"

int main(int argc, char *argv[])
{
	if (argc != 4) {
		fprintf(stderr, "usage: %s /name words versions\n", argv[0]);
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

	for (long version = 1; version <= versions; version++)
		for (long i = 0; i < words; i++) {
			record[i] = (uint64_t)version;
			step("store");
		}
	return 0;
}
