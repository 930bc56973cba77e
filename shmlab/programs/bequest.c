/* bequest: attaches a segment and forks; the child inherits the attachment, until exec. Twin: bequest.py. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

#include "step.h"

int main(int argc, char *argv[])
{
	if (argc != 2) {
		fprintf(stderr, "usage: %s id\n", argv[0]);
		return 2;
	}

	char *m = shmat((int)strtol(argv[1], NULL, 10), NULL, 0);
	if (m == (void *)-1)
		die("shmat");
	step("shmat");

	pid_t child = fork();
	if (child == -1)
		die("fork");
	if (child == 0) {
		memcpy(m, "child", 5);
		raise(SIGSTOP);
		execl("/bin/sh", "sh", "-c", "kill -STOP $$", (char *)NULL);
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
