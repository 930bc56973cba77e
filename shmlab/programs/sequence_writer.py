"""Stores one version after the other of a record, as record_writer does, and counts in a word beside it: odd
while a version is being stored, even when it's whole. Twin: sequence_writer.c."""

from collections.abc import Iterator

SEQUENCE = 24
"""The word that counts, far from the record's own."""


def sequence_writer(record: memoryview, words: int, versions: int, rest: int = 0) -> Iterator[str]:
    for version in range(1, versions + 1):
        record[SEQUENCE] += 1
        yield "odd"
        for i in range(words):
            record[i] = version
            yield "store"
        record[SEQUENCE] += 1
        yield "even"
        for _ in range(rest):
            yield "rest"
