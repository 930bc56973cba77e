/* family: forks; parent and child store into every kind of memory, each says what it finds. Twin: family.py. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

#include "step.h"

enum { PLACES = 5 };

static void *map(int flags, int fd)
{
	void *m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, flags, fd, 0);
	if (m == MAP_FAILED)
		die("mmap");
	return m;
}

static void tell(char *places[], int fd)
{
	for (int i = 0; i < PLACES; i++)
		printf("%.2s ", places[i]);
	printf("%ld\n", (long)lseek(fd, 0, SEEK_CUR));
	fflush(stdout);
}

int main(int argc, char *argv[])
{
	if (argc != 2) {
		fprintf(stderr, "usage: %s /name\n", argv[0]);
		return 2;
	}

	int fd = shm_open(argv[1], O_RDWR, 0600);
	if (fd == -1)
		die("shm_open");
	int id = shmget(IPC_PRIVATE, 4096, IPC_CREAT | IPC_EXCL | 0600);
	if (id == -1)
		die("shmget");
	void *segment = shmat(id, NULL, 0);
	if (shmctl(id, IPC_RMID, NULL) == -1)	/* it goes with the last who is attached */
		die("shmctl");
	if (segment == (void *)-1)
		die("shmat");
	char *places[PLACES] = {
		map(MAP_SHARED, fd),
		map(MAP_SHARED | MAP_ANONYMOUS, -1),
		segment,
		map(MAP_PRIVATE | MAP_ANONYMOUS, -1),
		malloc(2),	/* a variable, on the heap */
	};
	if (places[4] == NULL)
		die("malloc");
	for (int i = 0; i < PLACES; i++)
		memcpy(places[i], "..", 2);
	step("before the fork");

	pid_t child = fork();
	if (child == -1)
		die("fork");
	if (child == 0) {
		for (int i = 0; i < PLACES; i++)
			places[i][1] = 'C';
		lseek(fd, 77, SEEK_SET);
		raise(SIGSTOP);
		tell(places, fd);
		_exit(0);
	}
	if (waitpid(child, NULL, WUNTRACED) == -1)
		die("waitpid");
	step("the child stored");

	for (int i = 0; i < PLACES; i++)
		places[i][0] = 'P';
	step("the parent stored");

	if (kill(child, SIGCONT) == -1 || waitpid(child, NULL, 0) == -1)
		die("kill or waitpid");
	tell(places, fd);
	step("both looked");
	return 0;
}
