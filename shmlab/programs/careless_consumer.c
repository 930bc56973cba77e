/* careless_consumer: takes items without looking whether there is one. Twin: careless_consumer.py. */
#include <stdio.h>
#include <stdlib.h>

#include "buffer.h"

int main(int argc, char *argv[])
{
	if (argc != 3) {
		fprintf(stderr, "usage: %s /buffer times\n", argv[0]);
		return 2;
	}
	volatile struct buffer *buffer = buffer_open(argv[1]);
	char said[40];

	for (long times = strtol(argv[2], NULL, 10); times > 0; times--) {
		uint64_t head = buffer->head;
		unsigned long long item = buffer->slot[head % buffer->slots];
		show("item", "%llu", item);
		snprintf(said, sizeof said, "took %llu", item);
		step(said);
		buffer->head = head + 1;
		show("item", "%llu", item);
		step("store head");
	}
	return 0;
}
