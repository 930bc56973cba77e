/* lone_consumer: the only consumer of a buffer, without a semaphore. Twin: lone_consumer.py. */
#include <stdio.h>
#include <stdlib.h>

#include "buffer.h"

int main(int argc, char *argv[])
{
	if (argc != 3) {
		fprintf(stderr, "usage: %s /buffer times\n", argv[0]);
		return 2;
	}
	struct buffer *buffer = buffer_open(argv[1]);
	unsigned long long total = 0;
	char said[40];

	for (long times = strtol(argv[2], NULL, 10); times > 0; times--) {
		uint64_t head = buffer->head;	/* nobody else stores it */
		while (__atomic_load_n(&buffer->tail, __ATOMIC_ACQUIRE) == head)
			step("empty: look again");
		unsigned long long item = buffer->slot[head % buffer->slots];
		show("item", "%llu", item);
		snprintf(said, sizeof said, "took %llu", item);
		step(said);
		/* Release: the item was loaded before the slot is given back. */
		__atomic_store_n(&buffer->head, head + 1, __ATOMIC_RELEASE);
		total += item % 1000000000;
		show("item", "%llu", item);
		step("store head");
	}
	printf("%llu\n", total);
	return 0;
}
