/* stranger: becomes the user it is told to be, and tries what may be done to an object. Twin: stranger.py. */
#define _GNU_SOURCE	/* for setresuid and setresgid */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
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
		fprintf(stderr, "usage: %s /name uid\n", argv[0]);
		return 2;
	}
	const char *name = argv[1];
	uid_t uid = (uid_t)strtoul(argv[2], NULL, 10);

	if (uid != geteuid()) {		/* only root may, and there is no way back */
		if (setgroups(0, NULL) == -1)
			die("setgroups");
		if (setresgid(uid, uid, uid) == -1)
			die("setresgid");
		if (setresuid(uid, uid, uid) == -1)
			die("setresuid");
	}
	step("user");

	said("O_RDONLY", shm_open(name, O_RDONLY, 0) == -1);
	said("O_RDWR", shm_open(name, O_RDWR, 0) == -1);
	said("O_RDWR | O_CREAT", shm_open(name, O_RDWR | O_CREAT, 0644) == -1);
	step("open");

	int fd = shm_open(name, O_RDONLY, 0);
	if (fd == -1)
		die("shm_open");
	said("mmap PROT_READ", mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED);
	said("mmap PROT_WRITE", mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
	said("fchmod 0666", fchmod(fd, 0666) == -1);
	step("use");

	said("O_RDONLY | O_TRUNC", shm_open(name, O_RDONLY | O_TRUNC, 0) == -1);
	said("shm_unlink", shm_unlink(name) == -1);
	step("remove");
	return 0;
}
