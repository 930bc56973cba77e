/* racer: adds one to a shared counter, again and again, and notes in a word of its own how often it has. The word
 * CURE says by what the next increment is guarded. No show(): it would cost more than the increment. Twin: racer.py. */
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sem.h>

#include "step.h"

enum { COUNT = 0, CURE = 1, OWN = 8 };
enum { NONE, POSIX_SEMAPHORE, SYSV_SEMAPHORE, FLOCK, ATOMIC };

static sem_t *sem;
static int fd, semid;

static void enter(uint64_t cure)
{
	struct sembuf down = { .sem_num = 0, .sem_op = -1, .sem_flg = SEM_UNDO };

	if (cure == POSIX_SEMAPHORE && sem_wait(sem) == -1)
		die("sem_wait");
	if (cure == SYSV_SEMAPHORE && semop(semid, &down, 1) == -1)
		die("semop");
	if (cure == FLOCK && flock(fd, LOCK_EX) == -1)
		die("flock");
}

static void leave(uint64_t cure)
{
	struct sembuf up = { .sem_num = 0, .sem_op = 1, .sem_flg = SEM_UNDO };

	if (cure == POSIX_SEMAPHORE && sem_post(sem) == -1)
		die("sem_post");
	if (cure == SYSV_SEMAPHORE && semop(semid, &up, 1) == -1)
		die("semop");
	if (cure == FLOCK && flock(fd, LOCK_UN) == -1)
		die("flock");
}

int main(int argc, char *argv[])
{
	if (argc != 6) {
		fprintf(stderr, "usage: %s /race who times /semaphore key\n", argv[0]);
		return 2;
	}
	fd = shm_open(argv[1], O_RDWR, 0600);
	if (fd == -1)
		die("shm_open");
	volatile uint64_t *race = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (race == MAP_FAILED)
		die("mmap");
	sem = sem_open(argv[4], 0);
	if (sem == SEM_FAILED)
		die("sem_open");
	semid = semget((key_t)strtol(argv[5], NULL, 0), 1, 0);
	if (semid == -1)
		die("semget");
	volatile uint64_t *own = race + OWN * strtol(argv[2], NULL, 10);

	for (long times = strtol(argv[3], NULL, 10); times > 0; times--) {
		uint64_t cure = race[CURE];
		if (cure == ATOMIC) {
			__atomic_fetch_add(&race[COUNT], 1, __ATOMIC_SEQ_CST);
			step("add");
		} else {
			enter(cure);
			uint64_t value = race[COUNT];
			step("load");
			race[COUNT] = value + 1;
			step("store");
			leave(cure);
		}
		*own += 1;
	}
	return 0;
}
