/* four_calls: makes the four System V calls of a segment's life, from shmget to IPC_RMID. Twin: four_calls.py. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/shm.h>

#include "step.h"

int main(int argc, char *argv[])
{
	if (argc != 3 || strlen(argv[2]) > 10000) {
		fprintf(stderr, "usage: %s key text\n", argv[0]);
		return 2;
	}
	key_t key = (key_t)strtol(argv[1], NULL, 0);

	int shmid = shmget(key, 10000, IPC_CREAT | IPC_EXCL | 0600);
	if (shmid == -1)
		die("shmget");
	show("shmid", "%d", shmid);
	step("shmget");

	char *m = shmat(shmid, NULL, 0);
	if (m == (void *)-1)
		die("shmat");
	show("m", "%p", (void *)m);
	step("shmat");

	memcpy(m, argv[2], strlen(argv[2]));
	show("m[0]", "'%c'", m[0]);
	step("store");

	struct shmid_ds stat;
	if (shmctl(shmid, IPC_STAT, &stat) == -1)
		die("shmctl IPC_STAT");
	show("nattch", "%lu", (unsigned long)stat.shm_nattch);
	step("shmctl IPC_STAT");

	if (shmdt(m) == -1)
		die("shmdt");
	step("shmdt");

	if (shmctl(shmid, IPC_RMID, NULL) == -1)
		die("shmctl IPC_RMID");
	step("shmctl IPC_RMID");
	return 0;
}
