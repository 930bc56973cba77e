/* killer: kills the process that made the segment of a key, as kill -9 does. Twin: killer.py. */
#include <signal.h>
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

	struct shmid_ds ds;
	int shmid = shmget((key_t)strtol(argv[1], NULL, 10), 0, 0);
	char label[64];

	if (shmid == -1)
		die("shmget");
	if (shmctl(shmid, IPC_STAT, &ds) == -1)
		die("shmctl IPC_STAT");
	snprintf(label, sizeof label, "its creator is %d", (int)ds.shm_cpid);
	step(label);

	if (kill(ds.shm_cpid, SIGKILL) == -1)
		die("kill");
	snprintf(label, sizeof label, "kill -9 %d", (int)ds.shm_cpid);
	step(label);
	return 0;
}
