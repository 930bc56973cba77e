/*
 * buffer.h: the bounded buffer of lesson 12 as C sees it: how many items were taken and put so far, how many slots
 * there are, and the slots, which begin on a cache line of their own. Item 3 of producer 2 is the number 2000000003.
 *
 * The Python programs know it by the numbers of its 64-bit words (HEAD, TAIL, SLOTS, FIRST in producer.py).
 */
#ifndef SHMLAB_BUFFER_H
#define SHMLAB_BUFFER_H

#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "step.h"

struct buffer {
	uint64_t head;		/* items taken so far: the next is in slot[head % slots] */
	uint64_t tail;		/* items put so far: the next goes into slot[tail % slots] */
	uint64_t slots;
	uint64_t unused[5];
	uint64_t slot[];
};

#define ITEM(who, number) ((uint64_t)(who) * 1000000000 + (uint64_t)(number))

static inline struct buffer *buffer_open(const char *name)
{
	int fd = shm_open(name, O_RDWR, 0600);
	if (fd == -1)
		die("shm_open");
	struct buffer *buffer = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (buffer == MAP_FAILED)
		die("mmap");
	close(fd);
	return buffer;
}

#endif
