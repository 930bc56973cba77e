/* consumer: takes items from a bounded buffer and prints the sum of their numbers. Twin: consumer.py. */
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

#include "buffer.h"

int main(int argc, char *argv[])
{
	if (argc != 6) {
		fprintf(stderr, "usage: %s /buffer times /empty /full /mutex\n", argv[0]);
		return 2;
	}
	struct buffer *buffer = buffer_open(argv[1]);
	sem_t *empty = sem_open(argv[3], 0), *full = sem_open(argv[4], 0), *mutex = sem_open(argv[5], 0);
	if (empty == SEM_FAILED || full == SEM_FAILED || mutex == SEM_FAILED)
		die("sem_open");
	unsigned long long total = 0;
	char said[40];

	for (long times = strtol(argv[2], NULL, 10); times > 0; times--) {
		if (sem_wait(full) == -1)
			die("sem_wait");
		step("sem_wait(full)");
		if (sem_wait(mutex) == -1)
			die("sem_wait");
		step("sem_wait(mutex)");
		uint64_t head = buffer->head;
		unsigned long long item = buffer->slot[head % buffer->slots];
		snprintf(said, sizeof said, "took %llu", item);
		show("item", "%llu", item);
		step(said);
		buffer->head = head + 1;
		step("store head");
		if (sem_post(mutex) == -1)
			die("sem_post");
		step("sem_post(mutex)");
		if (sem_post(empty) == -1)
			die("sem_post");
		total += item % 1000000000;
		step("sem_post(empty)");
	}
	printf("%llu\n", total);
	return 0;
}
