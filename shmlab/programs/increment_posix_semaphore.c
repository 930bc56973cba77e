/* increment_posix_semaphore: adds one to a shared counter, as increment does, in a critical section that a named
 * semaphore guards. Twin: increment_posix_semaphore.py. */
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "step.h"

int main(int argc, char *argv[])
{
	if (argc != 4) {
		fprintf(stderr, "usage: %s /counter /semaphore times\n", argv[0]);
		return 2;
	}

	int fd = shm_open(argv[1], O_RDWR, 0600);
	if (fd == -1)
		die("shm_open");
	volatile unsigned long *counter = mmap(NULL, sizeof *counter, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (counter == MAP_FAILED)
		die("mmap");
	close(fd);
	sem_t *sem = sem_open(argv[2], 0);
	if (sem == SEM_FAILED)
		die("sem_open");

	for (long times = strtol(argv[3], NULL, 10); times > 0; times--) {
		if (sem_wait(sem) == -1)
			die("sem_wait");
		step("sem_wait");
		unsigned long value = *counter;
		show("value", "%lu", value);
		step("load");
		*counter = value + 1;
		show("value", "%lu", value);
		step("store");
		if (sem_post(sem) == -1)
			die("sem_post");
		step("sem_post");
	}
	return 0;
}
