/* increment: adds one to a shared counter, in the two steps that "plus one" really is. Twin: increment.py. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "step.h"

int main(int argc, char *argv[])
{
	if (argc != 3) {
		fprintf(stderr, "usage: %s /name times\n", argv[0]);
		return 2;
	}

	int fd = shm_open(argv[1], O_RDWR, 0600);
	if (fd == -1)
		die("shm_open");
	volatile unsigned long *counter = mmap(NULL, sizeof *counter, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (counter == MAP_FAILED)
		die("mmap");
	close(fd);

	for (long times = strtol(argv[2], NULL, 10); times > 0; times--) {
		unsigned long value = *counter;
		show("value", "%lu", value);
		step("load");
		*counter = value + 1;
		show("value", "%lu", value);
		step("store");
	}
	return 0;
}
