/* pairs: times pairs of taking and giving back, by turns, of what nobody else wants: a POSIX semaphore, a System V
 * semaphore, a record lock, a spin lock. Twin: pairs.py, which can't spin. */
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sem.h>

#include "step.h"

enum { WAYS = 4 };

int main(int argc, char *argv[])
{
	if (argc != 6) {
		fprintf(stderr, "usage: %s /result /semaphore key rounds times\n", argv[0]);
		return 2;
	}
	int fd = shm_open(argv[1], O_RDWR, 0600);
	if (fd == -1)
		die("shm_open");
	volatile int64_t *result = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (result == MAP_FAILED)
		die("mmap");
	sem_t *sem = sem_open(argv[2], 0);
	if (sem == SEM_FAILED)
		die("sem_open");
	int semid = semget((key_t)strtol(argv[3], NULL, 0), 1, 0);
	if (semid == -1)
		die("semget");
	struct sembuf down = { .sem_num = 0, .sem_op = -1 }, up = { .sem_num = 0, .sem_op = 1 };
	struct flock record = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	long rounds = strtol(argv[4], NULL, 10), times = strtol(argv[5], NULL, 10);
	char spin = 0;

	for (long turn = 0; turn < rounds; turn++) {
		int64_t clock[WAYS + 1];

		clock[0] = step_now();
		for (long i = 0; i < times; i++)
			if (sem_wait(sem) == -1 || sem_post(sem) == -1)
				die("sem_wait, sem_post");
		clock[1] = step_now();
		for (long i = 0; i < times; i++)
			if (semop(semid, &down, 1) == -1 || semop(semid, &up, 1) == -1)
				die("semop");
		clock[2] = step_now();
		for (long i = 0; i < times; i++) {
			record.l_type = F_WRLCK;
			if (fcntl(fd, F_SETLKW, &record) == -1)
				die("fcntl F_WRLCK");
			record.l_type = F_UNLCK;
			if (fcntl(fd, F_SETLKW, &record) == -1)
				die("fcntl F_UNLCK");
		}
		clock[3] = step_now();
		for (long i = 0; i < times; i++) {
			while (__atomic_test_and_set(&spin, __ATOMIC_ACQUIRE))
				;
			__atomic_clear(&spin, __ATOMIC_RELEASE);
		}
		clock[4] = step_now();
		for (int way = 0; way < WAYS; way++)
			result[turn * WAYS + way] = clock[way + 1] - clock[way];
		step("round");
	}
	return 0;
}
