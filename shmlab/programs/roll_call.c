/* roll_call: asks for a slow child and a quick one in every way that there is. Twin: roll_call.py. */
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "step.h"

int main(int argc, char *argv[])
{
	if (argc != 2) {
		fprintf(stderr, "usage: %s /go\n", argv[0]);
		return 2;
	}
	char said[64];
	int status;

	sem_t *go_on = sem_open(argv[1], 0);
	if (go_on == SEM_FAILED)
		die("sem_open");
	pid_t slow = fork();
	if (slow == -1)
		die("fork");
	if (slow == 0) {
		if (sem_wait(go_on) == -1)
			die("sem_wait");
		_exit(1);
	}
	pid_t quick = fork();
	if (quick == -1)
		die("fork");
	if (quick == 0)
		_exit(2);

	pid_t child = wait(&status);
	if (child == -1)
		die("wait");
	snprintf(said, sizeof said, "wait: %s, %d", child == slow ? "slow" : "quick", WEXITSTATUS(status));
	step(said);

	status = 0;	/* waitpid writes no status when it returns 0 */
	child = waitpid(slow, &status, WNOHANG);
	if (child == -1)
		die("waitpid");
	snprintf(said, sizeof said, "WNOHANG: %d, %d", (int)child, status);
	step(said);

	child = waitpid(slow, &status, 0);
	if (child == -1)
		die("waitpid");
	snprintf(said, sizeof said, "waitpid: %s, %d", child == slow ? "slow" : "quick", WEXITSTATUS(status));
	step(said);

	if (wait(NULL) == -1) {
		snprintf(said, sizeof said, "wait: %s", strerror(errno));
		step(said);
	}
	return 0;
}
