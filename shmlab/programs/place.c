/* place: maps an object at an address where something stands already, politely or by force. Twin: place.py. */
#define _GNU_SOURCE	/* MAP_FIXED_NOREPLACE is Linux's own */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "step.h"

int main(int argc, char *argv[])
{
	if (argc != 3) {
		fprintf(stderr, "usage: %s /name hint|MAP_FIXED|MAP_FIXED_NOREPLACE\n", argv[0]);
		return 2;
	}
	size_t page = sysconf(_SC_PAGE_SIZE);
	int flags = MAP_SHARED;
	if (strcmp(argv[2], "MAP_FIXED") == 0)
		flags |= MAP_FIXED;
	if (strcmp(argv[2], "MAP_FIXED_NOREPLACE") == 0)
		flags |= MAP_FIXED_NOREPLACE;

	char *mine = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mine == MAP_FAILED)
		die("mmap");
	memcpy(mine, "precious", 8);
	step("precious");

	int fd = shm_open(argv[1], O_RDWR, 0);
	if (fd == -1)
		die("shm_open");
	char *m = mmap(mine, page, PROT_READ | PROT_WRITE, flags, fd, 0);
	if (m == MAP_FAILED)
		die("mmap");
	close(fd);

	char label[70];
	snprintf(label, sizeof label, "mapped %s; at the address stands %.8s",
		 m == mine ? "there" : "elsewhere", mine);
	step(label);
	return 0;
}
