/* robust_mutex: two stores that belong together, guarded by a process-shared mutex. The first process makes the mutex,
 * robust or plain, and holds it between the two; the next one wants it, and says what it was told. In C alone: Python
 * has no such mutex. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "step.h"

struct account {
	pthread_mutex_t mutex;
	long paid, received;	/* the same, whenever nobody holds the mutex */
};

static int give_up_after(pthread_mutex_t *mutex, long milliseconds)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += milliseconds * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	return pthread_mutex_timedlock(mutex, &until);
}

int main(int argc, char *argv[])
{
	if (argc != 4) {
		fprintf(stderr, "usage: %s /name robust|plain first|next\n", argv[0]);
		return 2;
	}
	int fd = shm_open(argv[1], O_RDWR, 0600);
	if (fd == -1)
		die("shm_open");
	struct account *account = mmap(NULL, sizeof *account, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (account == MAP_FAILED)
		die("mmap");
	close(fd);

	if (strcmp(argv[3], "first") == 0) {
		pthread_mutexattr_t kind;
		pthread_mutexattr_init(&kind);
		pthread_mutexattr_setpshared(&kind, PTHREAD_PROCESS_SHARED);
		if (strcmp(argv[2], "robust") == 0)
			pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
		pthread_mutex_init(&account->mutex, &kind);
		account->paid = account->received = 0;
	}
	int answer = give_up_after(&account->mutex, 300);
	printf("%s\n", answer == 0 ? "it's mine" : answer == EOWNERDEAD ? "EOWNERDEAD" : answer == ETIMEDOUT ? "ETIMEDOUT" : strerror(answer));
	if (answer != 0 && answer != EOWNERDEAD)
		return 1;
	if (answer == EOWNERDEAD) {	/* it's ours nevertheless, and what it guards is as its holder left it */
		printf("found paid %ld, received %ld\n", account->paid, account->received);
		account->received = account->paid;
		pthread_mutex_consistent(&account->mutex);
		step("repaired");
	}
	account->paid += 1;
	step("paid");
	account->received += 1;
	step("received");
	pthread_mutex_unlock(&account->mutex);
	printf("left paid %ld, received %ld\n", account->paid, account->received);
	return 0;
}
