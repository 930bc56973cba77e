/* increment_sysv_semaphore: adds one to a shared counter, as increment does, in a critical section that a System V
 * semaphore guards. Twin: increment_sysv_semaphore.py. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/sem.h>
#include <unistd.h>

#include "step.h"

static void add(int semid, short number, short flags)
{
	struct sembuf operation = { .sem_num = 0, .sem_op = number, .sem_flg = flags };

	while (semop(semid, &operation, 1) == -1)
		if (errno != EINTR)
			die("semop");
}

int main(int argc, char *argv[])
{
	if (argc != 4 && argc != 5) {
		fprintf(stderr, "usage: %s /counter key times [flags]\n", argv[0]);
		return 2;
	}
	short flags = argc == 5 ? (short)strtol(argv[4], NULL, 0) : 0;	/* 0, or SEM_UNDO */

	int fd = shm_open(argv[1], O_RDWR, 0600);
	if (fd == -1)
		die("shm_open");
	volatile unsigned long *counter = mmap(NULL, sizeof *counter, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (counter == MAP_FAILED)
		die("mmap");
	close(fd);
	int semid = semget((key_t)strtol(argv[2], NULL, 0), 1, 0);
	if (semid == -1)
		die("semget");

	for (long times = strtol(argv[3], NULL, 10); times > 0; times--) {
		add(semid, -1, flags);
		step("semop -1");
		unsigned long value = *counter;
		show("value", "%lu", value);
		step("load");
		*counter = value + 1;
		show("value", "%lu", value);
		step("store");
		add(semid, 1, flags);
		step("semop +1");
	}
	return 0;
}
