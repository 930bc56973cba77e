"""Says "I am here", then looks whether the other has said so: one store, one load. Twin:
store_then_load.c."""

from collections.abc import Iterator


def store_then_load(memory: memoryview, who: int) -> Iterator[str]:
    memory[who] = 1
    yield "store"
    memory[2 + who] = memory[1 - who]
    yield "load"
