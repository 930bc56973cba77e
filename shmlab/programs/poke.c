/* poke: attaches a segment and stores one byte at an offset. Twin: poke.py. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/shm.h>

#include "fault.h"
#include "step.h"

/* Far from everything: right behind an attachment there's often a mapping, and then nothing is noticed. */
#define LONELY ((void *)0x1000000000)

int main(int argc, char *argv[])
{
	if (argc != 4) {
		fprintf(stderr, "usage: %s id shmflg offset\n", argv[0]);
		return 2;
	}
	int shmid = (int)strtol(argv[1], NULL, 10), shmflg = (int)strtol(argv[2], NULL, 0);

	volatile char *m = shmat(shmid, LONELY, shmflg);
	if (m == (void *)-1)
		die("shmat");
	report_faults((const volatile unsigned char *)m);
	step("shmat");

	m[strtoul(argv[3], NULL, 0)] = 'A';
	step("store");
	return 0;
}
