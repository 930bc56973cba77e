"""The only consumer of a buffer: nobody else stores the head. No semaphore. Twin: lone_consumer.c.

Prints the sum of the numbers of the items. What lone_producer says of processors holds here too.
"""

from collections.abc import Iterator

from shmlab.programs.producer import FIRST, HEAD, SLOTS, TAIL


def lone_consumer(buffer: memoryview, times: int) -> Iterator[str]:
    total = 0
    for _ in range(times):
        head = buffer[HEAD]
        while buffer[TAIL] == head:
            yield "empty: look again"
        item = buffer[FIRST + head % buffer[SLOTS]]
        yield f"took {item}"
        buffer[HEAD] = head + 1  # last: who sees this head may store into the slot
        total += item % 10**9
        yield "store head"
    print(total)
