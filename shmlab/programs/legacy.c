/* legacy: the child leaves a number; the parent reads it before it waits, or after. Twin: legacy.py. */
#include <fcntl.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "step.h"

static void harvest(pid_t child)
{
	if (waitpid(child, NULL, 0) == -1)
		die("waitpid");
	step("waitpid");
}

int main(int argc, char *argv[])
{
	if (argc != 5) {
		fprintf(stderr, "usage: %s /name /go /done wait|read\n", argv[0]);
		return 2;
	}

	int fd = shm_open(argv[1], O_RDWR, 0600);
	if (fd == -1)
		die("shm_open");
	volatile uint64_t *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		die("mmap");
	sem_t *go_on = sem_open(argv[2], 0), *stored = sem_open(argv[3], 0);
	if (go_on == SEM_FAILED || stored == SEM_FAILED)
		die("sem_open");

	pid_t child = fork();
	if (child == -1)
		die("fork");
	if (child == 0) {
		if (sem_wait(go_on) == -1)
			die("sem_wait");
		memory[0] = 42;
		if (sem_post(stored) == -1)
			die("sem_post");
		if (sem_wait(go_on) == -1)
			die("sem_wait");
		_exit(0);
	}
	show("child", "%d", (int)child);
	step("fork");

	if (strcmp(argv[4], "wait") == 0)
		harvest(child);
	memory[1] = memory[0];
	char said[32];
	snprintf(said, sizeof said, "reads %llu", (unsigned long long)memory[1]);
	step(said);
	if (strcmp(argv[4], "read") == 0)
		harvest(child);
	return 0;
}
