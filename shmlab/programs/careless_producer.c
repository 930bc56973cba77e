/* careless_producer: puts items without looking whether a slot is empty. Twin: careless_producer.py. */
#include <stdio.h>
#include <stdlib.h>

#include "buffer.h"

int main(int argc, char *argv[])
{
	if (argc != 4) {
		fprintf(stderr, "usage: %s /buffer who times\n", argv[0]);
		return 2;
	}
	volatile struct buffer *buffer = buffer_open(argv[1]);
	long who = strtol(argv[2], NULL, 10), times = strtol(argv[3], NULL, 10);

	for (long number = 1; number <= times; number++) {
		uint64_t tail = buffer->tail;
		buffer->slot[tail % buffer->slots] = ITEM(who, number);
		show("number", "%ld", number);
		step("store item");
		buffer->tail = tail + 1;
		show("number", "%ld", number);
		step("store tail");
	}
	return 0;
}
