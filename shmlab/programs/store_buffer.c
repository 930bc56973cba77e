/* store_buffer: store_then_load, round after round at full speed, two processes side by side. Each round begins and ends
 * with a meeting, so that it's the two instructions in between that race. Counts the rounds in which neither saw the
 * other. In C alone: between a store and a load of Python's there are hundreds of instructions. */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "step.h"

enum { LINE = 8 };		/* words of a cache line */
enum { HERE = 0, SEEN = 2, TURN = 4, ROUNDS = 6, NEITHER = 7 };	/* lines; the first three are two: one each */
enum { PATIENCE = 20000000 };	/* looks at somebody who doesn't come */

static volatile uint64_t *word;
static int who;
static uint64_t turn;

static void meet(void)
{
	__atomic_store_n(&word[(TURN + who) * LINE], ++turn, __ATOMIC_SEQ_CST);
	for (long looks = 1; __atomic_load_n(&word[(TURN + 1 - who) * LINE], __ATOMIC_ACQUIRE) < turn; looks++) {
		if (looks % 200 == 0)
			sched_yield();	/* the other may need this very processor */
		if (looks == PATIENCE) {
			fprintf(stderr, "the other process doesn't come\n");
			exit(1);
		}
	}
}

int main(int argc, char *argv[])
{
	if (argc != 5) {
		fprintf(stderr, "usage: %s /name who rounds fence|none\n", argv[0]);
		return 2;
	}
	int fd = shm_open(argv[1], O_RDWR, 0600);
	if (fd == -1)
		die("shm_open");
	word = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (word == MAP_FAILED)
		die("mmap");
	close(fd);
	who = argv[2][0] == '1';
	long rounds = strtol(argv[3], NULL, 10);
	int fence = strcmp(argv[4], "fence") == 0;
	volatile uint64_t *mine = &word[(HERE + who) * LINE], *others = &word[(HERE + 1 - who) * LINE];
	volatile uint64_t *seen = &word[(SEEN + who) * LINE];

	for (long round = 0; round < rounds; round++) {
		meet();
		/* One of the two always leaves the meeting first: a different delay each round lets them overlap. */
		for (volatile long delay = (round * (who ? 7 : 13)) % 64; delay > 0; delay--)
			;
		*mine = 1;
		if (fence)
			__atomic_thread_fence(__ATOMIC_SEQ_CST);
		*seen = *others;
		meet();
		if (who == 0) {
			word[NEITHER * LINE] += word[SEEN * LINE] == 0 && word[(SEEN + 1) * LINE] == 0;
			word[ROUNDS * LINE] += 1;
			word[HERE * LINE] = word[(HERE + 1) * LINE] = 0;
		}
		meet();
	}
	step("rounds");
	return 0;
}
