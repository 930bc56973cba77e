"""Stores one version after the other of a record: so many words, all of which hold the version's number.
Twin: record_writer.c."""

from collections.abc import Iterator


def record_writer(record: memoryview, words: int, versions: int) -> Iterator[str]:
    for version in range(1, versions + 1):
        for i in range(words):
            record[i] = version
            yield "store"
