/* zombie: attaches a segment and forks; the child ends, and is waited for later. Twin: zombie.py. */
#include <fcntl.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

#include "step.h"

int main(int argc, char *argv[])
{
	if (argc != 3) {
		fprintf(stderr, "usage: %s /name /go\n", argv[0]);
		return 2;
	}

	int fd = shm_open(argv[1], O_RDWR, 0600);
	if (fd == -1)
		die("shm_open");
	volatile uint64_t *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		die("mmap");
	sem_t *go_on = sem_open(argv[2], 0);
	if (go_on == SEM_FAILED)
		die("sem_open");
	int id = shmget(IPC_PRIVATE, 4096, IPC_CREAT | IPC_EXCL | 0600);
	if (id == -1)
		die("shmget");
	void *segment = shmat(id, NULL, 0);
	if (shmctl(id, IPC_RMID, NULL) == -1)	/* it goes with the last who is attached */
		die("shmctl");
	if (segment == (void *)-1)
		die("shmat");

	pid_t child = fork();
	if (child == -1)
		die("fork");
	if (child == 0) {
		if (sem_wait(go_on) == -1)
			die("sem_wait");
		_exit(7);
	}
	memory[0] = (uint64_t)child;
	memory[1] = (uint64_t)id;
	step("fork");

	siginfo_t info;
	if (waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT) == -1)	/* leaves it as it is */
		die("waitid");
	step("waitid");

	int status;
	if (waitpid(child, &status, 0) == -1)
		die("waitpid");
	memory[2] = (uint64_t)status;
	step("waitpid");
	return 0;
}
