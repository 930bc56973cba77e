/* mess: makes some segments, visits somebody else's, and dies without a word: what it made stays. Twin: mess.py. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/shm.h>
#include <time.h>
#include <unistd.h>

#include "step.h"

int main(int argc, char *argv[])
{
	if (argc != 2) {
		fprintf(stderr, "usage: %s key\n", argv[0]);
		return 2;
	}

	srandom((unsigned)time(NULL) ^ (unsigned)getpid());
	for (long left = 3 + random() % 4; left > 0; left--) {
		int shmid = shmget(IPC_PRIVATE, 1 + (size_t)(random() % 20000), 0600);
		if (shmid == -1)
			die("shmget");
		char *m = shmat(shmid, NULL, 0);
		if (m == (void *)-1)
			die("shmat");
		m[0] = 1;
		step("made one");
	}

	int shmid = shmget((key_t)strtol(argv[1], NULL, 10), 0, 0);
	if (shmid == -1)
		die("shmget");
	void *m = shmat(shmid, NULL, 0);
	if (m == (void *)-1)
		die("shmat");
	if (shmdt(m) == -1)
		die("shmdt");
	step("visited another's");
	kill(getpid(), SIGKILL);
	return 0;
}
