"""Puts items into a bounded buffer, two counting semaphores and a mutex around it. Twin: producer.c.

The buffer is an object of 64-bit words: how many items were taken so far (the head), how many were put (the
tail), how many slots there are, and from word 8 the slots. Item 3 of producer 2 is the number 2000000003.
"""

from collections.abc import Iterator

from shmlab import posix

HEAD, TAIL, SLOTS, FIRST = 0, 1, 2, 8  # numbers of words; buffer.h has the same as a struct


def producer(buffer: memoryview, who: int, times: int, *gates: str) -> Iterator[str]:
    empty, full, mutex = (posix.sem_open(gate, 0) for gate in gates)
    for number in range(1, times + 1):
        posix.sem_wait(empty)
        yield "sem_wait(empty)"
        posix.sem_wait(mutex)
        yield "sem_wait(mutex)"
        tail = buffer[TAIL]
        buffer[FIRST + tail % buffer[SLOTS]] = who * 10**9 + number
        yield "store item"
        buffer[TAIL] = tail + 1
        yield "store tail"
        posix.sem_post(mutex)
        yield "sem_post(mutex)"
        posix.sem_post(full)
        yield "sem_post(full)"
