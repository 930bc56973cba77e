"""Reads a record once, a word a step, and keeps what it read in words of its own. Twin: slow_reader.c."""

from collections.abc import Iterator

SEEN = 16
"""Word *i* of the record is kept in word SEEN + *i*."""


def slow_reader(record: memoryview, words: int) -> Iterator[str]:
    for i in range(words):
        record[SEEN + i] = record[i]
        yield f"load {i}"
