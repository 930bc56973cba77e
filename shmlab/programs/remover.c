/* remover: attaches the segment of a key, marks it for removal while it is attached, and detaches. Twin: remover.py. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/shm.h>

#include "step.h"

int main(int argc, char *argv[])
{
	if (argc != 2) {
		fprintf(stderr, "usage: %s key\n", argv[0]);
		return 2;
	}

	int shmid = shmget((key_t)strtol(argv[1], NULL, 10), 0, 0);
	if (shmid == -1)
		die("shmget");
	char *m = shmat(shmid, NULL, 0);
	if (m == (void *)-1)
		die("shmat");
	show("shmid", "%d", shmid);
	show("m", "%p", (void *)m);
	step("shmat");

	if (shmctl(shmid, IPC_RMID, NULL) == -1)
		die("shmctl IPC_RMID");
	step("IPC_RMID");

	if (shmdt(m) == -1)
		die("shmdt");
	step("shmdt");
	return 0;
}
