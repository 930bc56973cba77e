"""Puts items into the bounded buffer without looking whether a slot is empty. Twin: careless_producer.c."""

from collections.abc import Iterator

from shmlab.programs.producer import FIRST, SLOTS, TAIL


def careless_producer(buffer: memoryview, who: int, times: int) -> Iterator[str]:
    for number in range(1, times + 1):
        tail = buffer[TAIL]
        buffer[FIRST + tail % buffer[SLOTS]] = who * 10**9 + number
        yield "store item"
        buffer[TAIL] = tail + 1
        yield "store tail"
