/* first_id: moves to an IPC namespace of its own, where permitted, and makes its first segments. Twin: first_id.py. */
#define _GNU_SOURCE	/* for unshare */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/shm.h>

#include "step.h"

static const char *attaching(int shmid)
{
	if (shmat(shmid, NULL, 0) != (void *)-1)
		return "yes";
	return errno == EINVAL ? "EINVAL" : strerror(errno);
}

int main(int argc, char *argv[])
{
	if (argc != 2) {
		fprintf(stderr, "usage: %s id\n", argv[0]);
		return 2;
	}

	/* A user namespace may permit the other (unshare(2)). */
	if (unshare(CLONE_NEWIPC) == -1 && unshare(CLONE_NEWIPC | CLONE_NEWUSER) == -1) {
		printf("not permitted: %s\n", strerror(errno));
		return 0;
	}
	printf("the id from outside: %s\n", attaching((int)strtol(argv[1], NULL, 10)));
	step("unshare");

	int ids[2];
	for (int i = 0; i < 2; i++) {
		ids[i] = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
		if (ids[i] == -1)		/* not "if (!id)": 0 is one */
			die("shmget");
	}
	printf("ids: %d %d\n", ids[0], ids[1]);
	printf("shmat(%d): %s\n", ids[0], attaching(ids[0]));
	step("shmget");
	return 0;
}
