"""The only producer of a buffer: nobody else stores the tail. No semaphore. Twin: lone_producer.c.

Right on a processor that shows stores in the order in which they are made, as x86-64 does; elsewhere only the
twin is, which asks for that order.
"""

from collections.abc import Iterator

from shmlab.programs.producer import FIRST, HEAD, SLOTS, TAIL


def lone_producer(buffer: memoryview, who: int, times: int) -> Iterator[str]:
    for number in range(1, times + 1):
        tail = buffer[TAIL]
        while tail - buffer[HEAD] == buffer[SLOTS]:
            yield "full: look again"
        buffer[FIRST + tail % buffer[SLOTS]] = who * 10**9 + number
        yield "store item"
        buffer[TAIL] = tail + 1  # last: who sees this tail may take the item
        yield "store tail"
