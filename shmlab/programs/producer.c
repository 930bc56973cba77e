/* producer: puts items into a bounded buffer, two counting semaphores and a mutex around it. Twin: producer.py. */
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

#include "buffer.h"

int main(int argc, char *argv[])
{
	if (argc != 7) {
		fprintf(stderr, "usage: %s /buffer who times /empty /full /mutex\n", argv[0]);
		return 2;
	}
	struct buffer *buffer = buffer_open(argv[1]);
	long who = strtol(argv[2], NULL, 10), times = strtol(argv[3], NULL, 10);
	sem_t *empty = sem_open(argv[4], 0), *full = sem_open(argv[5], 0), *mutex = sem_open(argv[6], 0);
	if (empty == SEM_FAILED || full == SEM_FAILED || mutex == SEM_FAILED)
		die("sem_open");

	for (long number = 1; number <= times; number++) {
		show("number", "%ld", number);
		if (sem_wait(empty) == -1)
			die("sem_wait");
		step("sem_wait(empty)");
		if (sem_wait(mutex) == -1)
			die("sem_wait");
		step("sem_wait(mutex)");
		uint64_t tail = buffer->tail;
		buffer->slot[tail % buffer->slots] = ITEM(who, number);
		step("store item");
		buffer->tail = tail + 1;
		step("store tail");
		if (sem_post(mutex) == -1)
			die("sem_post");
		step("sem_post(mutex)");
		if (sem_post(full) == -1)
			die("sem_post");
		step("sem_post(full)");
	}
	return 0;
}
