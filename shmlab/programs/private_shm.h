/*
 * private_shm.h: a /dev/shm of one process alone, so that it may be filled and nobody else finds it full.
 * What it does, and where it is permitted, stands in its twin, private_shm.py.
 */
#ifndef SHMLAB_PRIVATE_SHM_H
#define SHMLAB_PRIVATE_SHM_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <unistd.h>

/* What sched.h declares for _GNU_SOURCE alone. */
int unshare(int flags);
enum { NEW_MOUNTS = 0x20000, NEW_USER = 0x10000000 };

static void private_shm_put(const char *file, const char *format, unsigned id)
{
	FILE *opened = fopen(file, "w");

	if (opened == NULL || fprintf(opened, format, id, id) < 0 || fclose(opened) != 0) {
		perror(file);
		exit(1);
	}
}

static void private_shm(size_t size)
{
	unsigned uid = geteuid(), gid = getegid();
	char option[40];

	if (unshare(uid == 0 ? NEW_MOUNTS : NEW_MOUNTS | NEW_USER) == -1) {
		perror("unshare");
		exit(1);
	}
	if (uid != 0) {
		private_shm_put("/proc/self/setgroups", "deny", 0);
		private_shm_put("/proc/self/uid_map", "%u %u 1", uid);
		private_shm_put("/proc/self/gid_map", "%u %u 1", gid);
	}
	/* First of all this: otherwise the mount below might spread to everybody's /dev/shm. */
	snprintf(option, sizeof option, "size=%zu", size);
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == -1
	    || mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, option) == -1) {
		perror("mount");
		exit(1);
	}
}

#endif
