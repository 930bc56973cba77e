"""Reads a record again and again, all of its words in one go, and counts how often they were of more than one
version. Twin: record_reader.c."""

from collections.abc import Iterator

READS, TORN = 32, 33
"""Words, far from the record's own, in which the reader counts."""


def record_reader(record: memoryview, words: int, times: int) -> Iterator[str]:
    for _ in range(times):
        seen = record[:words].tolist()
        record[READS] += 1
        record[TORN] += len(set(seen)) > 1
        yield f"read {seen}"
