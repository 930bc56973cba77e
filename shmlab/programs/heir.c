/* heir: maps an object and some memory of its own, and forks: the child stores into both. Twin: heir.py. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "step.h"

int main(int argc, char *argv[])
{
	if (argc != 2) {
		fprintf(stderr, "usage: %s /name\n", argv[0]);
		return 2;
	}

	int fd = shm_open(argv[1], O_RDWR, 0600);
	if (fd == -1)
		die("shm_open");
	char *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	char *private = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED || private == MAP_FAILED)
		die("mmap");
	memcpy(shared, "parent", 6);
	memcpy(private, "parent", 6);
	show("_addresses", "(%lu, %lu)", (unsigned long)shared, (unsigned long)private);
	step("mmap");

	pid_t child = fork();
	if (child == -1)
		die("fork");
	if (child == 0) {
		printf("the child finds b'%.6s' b'%.6s'\n", shared, private);
		fflush(stdout);
		raise(SIGSTOP);
		memcpy(shared, "child!", 6);
		memcpy(private, "child!", 6);
		raise(SIGSTOP);
		_exit(0);
	}
	if (waitpid(child, NULL, WUNTRACED) == -1)
		die("waitpid");
	show("child", "%d", child);
	step("fork");

	if (kill(child, SIGCONT) == -1 || waitpid(child, NULL, WUNTRACED) == -1)
		die("kill or waitpid");
	printf("the parent finds b'%.6s' b'%.6s'\n", shared, private);
	step("the child stored");

	if (kill(child, SIGCONT) == -1 || waitpid(child, NULL, 0) == -1)
		die("kill or waitpid");
	step("the child ended");
	return 0;
}
