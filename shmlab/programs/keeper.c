/* keeper: makes a segment with a key, attaches it twice, detaches once, and never removes it. Twin: keeper.py. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/shm.h>

#include "step.h"

int main(int argc, char *argv[])
{
	if (argc != 2) {
		fprintf(stderr, "usage: %s key\n", argv[0]);
		return 2;
	}

	int shmid = shmget((key_t)strtol(argv[1], NULL, 10), 10000, IPC_CREAT | IPC_EXCL | 0600);
	if (shmid == -1)
		die("shmget");
	show("shmid", "%d", shmid);
	step("shmget");

	char *first = shmat(shmid, NULL, 0);
	if (first == (void *)-1)
		die("shmat");
	show("first", "%p", (void *)first);
	step("shmat");

	char *second = shmat(shmid, NULL, 0);
	if (second == (void *)-1)
		die("shmat");
	show("second", "%p", (void *)second);
	step("shmat again");

	memcpy(first, "first ", 6);
	memcpy(second + 6, "second", 6);
	step("store");

	if (shmdt(second) == -1)
		die("shmdt");
	step("shmdt");
	return 0;
}
