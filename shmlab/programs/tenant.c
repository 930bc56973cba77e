/* tenant: attaches the segment of an id that it is given, stores a text and detaches. Twin: tenant.py. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/shm.h>

#include "step.h"

int main(int argc, char *argv[])
{
	if (argc != 3) {
		fprintf(stderr, "usage: %s id text\n", argv[0]);
		return 2;
	}

	char *m = shmat((int)strtol(argv[1], NULL, 10), NULL, 0);
	if (m == (void *)-1)
		die("shmat");
	show("m", "%p", (void *)m);
	step("shmat");

	memcpy(m, argv[2], strlen(argv[2]));
	step("store");

	if (shmdt(m) == -1)
		die("shmdt");
	step("shmdt");
	return 0;
}
