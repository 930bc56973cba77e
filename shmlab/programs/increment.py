"""Adds one to a shared counter, in the two steps that "plus one" really is. Twin: increment.c."""

from collections.abc import Iterator


def increment(counter: memoryview, times: int) -> Iterator[str]:
    for _ in range(times):
        value = counter[0]
        yield "load"
        counter[0] = value + 1
        yield "store"
