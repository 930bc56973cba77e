/* guest: becomes the user it is told to be, and tries what may be done to a segment. Twin: guest.py. */
#define _GNU_SOURCE	/* for setresuid and setresgid */
#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/shm.h>
#include <unistd.h>

#include "step.h"

static void said(const char *what, int failed)
{
	const char *why = !failed ? "yes" : errno == EACCES ? "EACCES" : errno == EPERM ? "EPERM" : strerror(errno);

	printf("%s: %s\n", what, why);
}

int main(int argc, char *argv[])
{
	if (argc != 3) {
		fprintf(stderr, "usage: %s key uid\n", argv[0]);
		return 2;
	}
	key_t key = (key_t)strtol(argv[1], NULL, 0);
	uid_t uid = (uid_t)strtoul(argv[2], NULL, 10);

	int shmid = shmget(key, 0, 0);
	struct shmid_ds stat, asked;
	if (shmid == -1)
		die("shmget");
	if (shmctl(shmid, IPC_STAT, &stat) == -1)	/* while we still may */
		die("shmctl");
	if (uid != geteuid()) {		/* only root may, and there is no way back */
		if (setgroups(0, NULL) == -1)
			die("setgroups");
		if (setresgid(uid, uid, uid) == -1)
			die("setresgid");
		if (setresuid(uid, uid, uid) == -1)
			die("setresuid");
	}
	step("user");

	said("shmget 0400", shmget(key, 0, 0400) == -1);
	said("shmget 0600", shmget(key, 0, 0600) == -1);
	said("shmat SHM_RDONLY", shmat(shmid, NULL, SHM_RDONLY) == (void *)-1);
	said("shmat 0", shmat(shmid, NULL, 0) == (void *)-1);
	said("shmctl IPC_STAT", shmctl(shmid, IPC_STAT, &asked) == -1);
	step("read");

	said("shmctl IPC_SET", shmctl(shmid, IPC_SET, &stat) == -1);
	said("shmctl IPC_RMID", shmctl(shmid, IPC_RMID, NULL) == -1);
	step("change");
	return 0;
}
