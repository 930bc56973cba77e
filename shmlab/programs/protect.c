/* protect: maps a page of an object, then reads, writes or executes its first byte. Twin: protect.py. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fault.h"
#include "step.h"

int main(int argc, char *argv[])
{
	if (argc != 4) {
		fprintf(stderr, "usage: %s /name rwx|---|... read|write|execute\n", argv[0]);
		return 2;
	}
	const char *letters = argv[2], *deed = argv[3];
	int prot = PROT_NONE;
	if (strchr(letters, 'r'))
		prot |= PROT_READ;
	if (strchr(letters, 'w'))
		prot |= PROT_WRITE;
	if (strchr(letters, 'x'))
		prot |= PROT_EXEC;

	int fd = shm_open(argv[1], O_RDWR, 0);
	if (fd == -1)
		die("shm_open");
	volatile char *m = mmap(NULL, sysconf(_SC_PAGE_SIZE), prot, MAP_SHARED, fd, 0);
	if (m == MAP_FAILED)
		die("mmap");
	close(fd);
	report_faults(m);
	step("mmap");

	if (strcmp(deed, "read") == 0)
		(void)*m;
	if (strcmp(deed, "write") == 0)
		*m = 65;
	if (strcmp(deed, "execute") == 0)
		((void (*)(void))m)();
	step(deed);
	return 0;
}
