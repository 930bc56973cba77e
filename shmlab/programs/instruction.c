/* instruction: adds one to a shared counter with a single machine instruction, with the lock prefix or without. In C
 * alone, and without a step in its loop: only the instruction counts. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "step.h"

#if defined(__x86_64__)
#define INCREMENT(counter) __asm__ volatile("incq %0" : "+m"(*(counter)) : : "cc")
#define LOCKED_INCREMENT(counter) __asm__ volatile("lock incq %0" : "+m"(*(counter)) : : "cc", "memory")
#else	/* no such instruction: a load, an addition and a store */
#define INCREMENT(counter) (*(counter) += 1)
#define LOCKED_INCREMENT(counter) __atomic_fetch_add((counter), 1, __ATOMIC_SEQ_CST)
#endif

int main(int argc, char *argv[])
{
	if (argc != 4) {
		fprintf(stderr, "usage: %s /name times plain|lock\n", argv[0]);
		return 2;
	}
	int fd = shm_open(argv[1], O_RDWR, 0600);
	if (fd == -1)
		die("shm_open");
	volatile uint64_t *counter = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (counter == MAP_FAILED)
		die("mmap");
	close(fd);
	long times = strtol(argv[2], NULL, 10);

	if (strcmp(argv[3], "lock") == 0)
		for (; times > 0; times--)
			LOCKED_INCREMENT(counter);
	else
		for (; times > 0; times--)
			INCREMENT(counter);
	step("increments");
	return 0;
}
