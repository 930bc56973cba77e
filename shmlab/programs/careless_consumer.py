"""Takes items from the bounded buffer without looking whether there is one. Twin: careless_consumer.c."""

from collections.abc import Iterator

from shmlab.programs.producer import FIRST, HEAD, SLOTS


def careless_consumer(buffer: memoryview, times: int) -> Iterator[str]:
    for _ in range(times):
        head = buffer[HEAD]
        item = buffer[FIRST + head % buffer[SLOTS]]
        yield f"took {item}"
        buffer[HEAD] = head + 1
        yield "store head"
