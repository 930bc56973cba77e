/* diary: parent and child work for a while, and note when they did what. Twin: diary.py. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "step.h"

static int64_t now(void)
{
	struct timespec time;

	if (clock_gettime(CLOCK_MONOTONIC, &time) == -1)
		die("clock_gettime");
	return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void work(long milliseconds)
{
	int64_t end = now() + milliseconds * 1000000;

	while (now() < end)
		;
}

int main(int argc, char *argv[])
{
	if (argc != 4) {
		fprintf(stderr, "usage: %s /name child-ms parent-ms\n", argv[0]);
		return 2;
	}

	int fd = shm_open(argv[1], O_RDWR, 0600);
	if (fd == -1)
		die("shm_open");
	volatile int64_t *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		die("mmap");
	memory[0] = 0;

	memory[3] = now();	/* about to fork */
	pid_t child = fork();
	if (child == -1)
		die("fork");
	if (child == 0) {
		memory[4] = now();	/* the child's first line */
		work(strtol(argv[2], NULL, 10));
		memory[0] = 42;
		memory[5] = now();	/* stored, about to end */
		_exit(0);
	}
	work(strtol(argv[3], NULL, 10));
	memory[1] = memory[0];
	memory[6] = now();	/* read, about to wait */
	if (waitpid(child, NULL, 0) == -1)
		die("waitpid");
	memory[7] = now();	/* waited */
	memory[2] = memory[0];
	work(5);
	memory[8] = now();
	step("written");
	return 0;
}
