/* lone_producer: the only producer of a buffer, without a semaphore. Twin: lone_producer.py. */
#include <stdio.h>
#include <stdlib.h>

#include "buffer.h"

int main(int argc, char *argv[])
{
	if (argc != 4) {
		fprintf(stderr, "usage: %s /buffer who times\n", argv[0]);
		return 2;
	}
	struct buffer *buffer = buffer_open(argv[1]);
	long who = strtol(argv[2], NULL, 10), times = strtol(argv[3], NULL, 10);

	for (long number = 1; number <= times; number++) {
		uint64_t tail = buffer->tail;	/* nobody else stores it */
		while (tail - __atomic_load_n(&buffer->head, __ATOMIC_ACQUIRE) == buffer->slots)
			step("full: look again");
		buffer->slot[tail % buffer->slots] = ITEM(who, number);
		show("number", "%ld", number);
		step("store item");
		/* Release: who acquires this tail sees the item. */
		__atomic_store_n(&buffer->tail, tail + 1, __ATOMIC_RELEASE);
		show("number", "%ld", number);
		step("store tail");
	}
	return 0;
}
