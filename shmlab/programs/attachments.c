/* attachments: attaches a segment of 8192 bytes in every way, detaches it in wrong ways, too. Twin: attachments.py. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

#include "step.h"

static void said(const char *what, int failed)
{
	printf("%s: %s\n", what, !failed ? "yes" : errno == EINVAL ? "EINVAL" : strerror(errno));
}

static int fails(const void *address)
{
	return address == (void *)-1;	/* not NULL, and not an int */
}

static char *attached(int shmid, const void *shmaddr, int shmflg)
{
	char *m = shmat(shmid, shmaddr, shmflg);

	if (fails(m))
		die("shmat");
	return m;
}

int main(int argc, char *argv[])
{
	if (argc != 2) {
		fprintf(stderr, "usage: %s id\n", argv[0]);
		return 2;
	}
	int shmid = (int)strtol(argv[1], NULL, 10);
	long page = sysconf(_SC_PAGE_SIZE);

	char *first = attached(shmid, NULL, 0), *second = attached(shmid, NULL, 0);
	memcpy(first, "hello", 5);
	printf("NULL, twice: %s, %.5s\n", first == second ? "one address" : "two addresses", second);
	step("NULL");

	char *at = first;
	said("an address in use", fails(shmat(shmid, at, 0)));
	if (shmdt(first) == -1)
		die("shmdt");
	char *again = attached(shmid, at, 0);
	printf("an address that's free: %s\n", again == at ? "there" : "elsewhere");
	if (shmdt(again) == -1)
		die("shmdt");
	said("within a page", fails(shmat(shmid, at + 100, 0)));
	char *rounded = attached(shmid, at + 100, SHM_RND);
	printf("within a page, SHM_RND: %s\n", rounded == at ? "the page's first byte" : "elsewhere");
	step("addresses");

	char *taken = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (taken == MAP_FAILED)
		die("mmap");
	said("over a mapping", fails(shmat(shmid, taken, 0)));
	char *over = attached(shmid, taken, SHM_REMAP);
	printf("over a mapping, SHM_REMAP: %.5s\n", over);
	if (shmdt(over) == -1)
		die("shmdt");
	said("NULL, SHM_REMAP", fails(shmat(shmid, NULL, SHM_REMAP)));
	said("no such id", fails(shmat(-1, NULL, 0)));
	step("SHM_REMAP");

	said("shmdt one byte further", shmdt(second + 1) == -1);
	said("shmdt one page further", shmdt(second + page) == -1);
	said("shmdt NULL", shmdt(NULL) == -1);
	if (shmdt(second) == -1)
		die("shmdt");
	said("shmdt, a second time", shmdt(second) == -1);
	step("shmdt");
	return 0;
}
