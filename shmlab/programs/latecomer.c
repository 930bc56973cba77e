/* latecomer: forks, then the child maps an object, and the parent follows its pointer. Twin: latecomer.py. */
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
	char **note = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (note == MAP_FAILED)
		die("mmap");

	pid_t child = fork();
	if (child == -1)
		die("fork");
	if (child == 0) {
		char *late = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (late == MAP_FAILED)
			die("mmap");
		memcpy(late, "hello", 5);
		*note = late;
		raise(SIGSTOP);
		_exit(0);
	}
	if (waitpid(child, NULL, WUNTRACED) == -1)
		die("waitpid");
	char *address = *note;
	show("child", "%d", child);
	show("address", "%lu", (unsigned long)address);
	step("the child mapped");

	printf("the parent finds %.5s\n", address);
	step("the parent looked");
	return 0;
}
