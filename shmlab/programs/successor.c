/* successor: holds an object and a segment and forks; the child becomes another program. Twin: successor.py. */
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

int main(int argc, char *argv[])
{
	if (argc != 3) {
		fprintf(stderr, "usage: %s /name keep\n", argv[0]);
		return 2;
	}

	int fd = shm_open(argv[1], O_RDWR, 0600);
	if (fd == -1)
		die("shm_open");
	if (atoi(argv[2]) && fcntl(fd, F_SETFD, 0) == -1)	/* without FD_CLOEXEC */
		die("fcntl");
	char *m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (m == MAP_FAILED)
		die("mmap");
	memcpy(m, "inherited\n", 10);
	int id = shmget(IPC_PRIVATE, 4096, IPC_CREAT | IPC_EXCL | 0600);
	if (id == -1)
		die("shmget");
	void *segment = shmat(id, NULL, 0);
	if (shmctl(id, IPC_RMID, NULL) == -1)	/* it goes with the last who is attached */
		die("shmctl");
	if (segment == (void *)-1)
		die("shmat");
	memcpy(segment, "segment\n", 8);
	step("before the fork");

	pid_t child = fork();
	if (child == -1)
		die("fork");
	if (child == 0) {
		char command[60];

		snprintf(command, sizeof command, "kill -STOP $$; head -c 10 <&%d", fd);
		raise(SIGSTOP);
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		perror("execl");
		_exit(127);
	}
	if (waitpid(child, NULL, WUNTRACED) == -1)
		die("waitpid");
	show("child", "%d", child);
	step("fork");

	if (kill(child, SIGCONT) == -1 || waitpid(child, NULL, WUNTRACED) == -1)
		die("kill or waitpid");
	show("child", "%d", child);
	step("exec");

	if (kill(child, SIGCONT) == -1 || waitpid(child, NULL, 0) == -1)
		die("kill or waitpid");
	step("the child ended");
	return 0;
}
