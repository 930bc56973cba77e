"""Takes items from a bounded buffer and prints the sum of their numbers. Twin: consumer.c.

The other end of producer, with the same semaphores.
"""

from collections.abc import Iterator

from shmlab import posix
from shmlab.programs.producer import FIRST, HEAD, SLOTS


def consumer(buffer: memoryview, times: int, *gates: str) -> Iterator[str]:
    empty, full, mutex = (posix.sem_open(gate, 0) for gate in gates)
    total = 0
    for _ in range(times):
        posix.sem_wait(full)
        yield "sem_wait(full)"
        posix.sem_wait(mutex)
        yield "sem_wait(mutex)"
        head = buffer[HEAD]
        item = buffer[FIRST + head % buffer[SLOTS]]
        yield f"took {item}"
        buffer[HEAD] = head + 1
        yield "store head"
        posix.sem_post(mutex)
        yield "sem_post(mutex)"
        posix.sem_post(empty)
        total += item % 10**9
        yield "sem_post(empty)"
    print(total)
