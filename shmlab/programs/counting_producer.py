"""A producer with two counting semaphores and no mutex: it knows *that* a slot is empty, not which.

Twin: counting_producer.c. The right one is producer.
"""

from collections.abc import Iterator

from shmlab import posix
from shmlab.programs.producer import FIRST, SLOTS, TAIL


def counting_producer(buffer: memoryview, who: int, times: int, *gates: str) -> Iterator[str]:
    empty, full, _ = (posix.sem_open(gate, 0) for gate in gates)
    for number in range(1, times + 1):
        posix.sem_wait(empty)
        yield "sem_wait(empty)"
        tail = buffer[TAIL]
        buffer[FIRST + tail % buffer[SLOTS]] = who * 10**9 + number
        yield "store item"
        buffer[TAIL] = tail + 1
        yield "store tail"
        posix.sem_post(full)
        yield "sem_post(full)"
