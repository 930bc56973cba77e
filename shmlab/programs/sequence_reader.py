"""Reads a record that sequence_writer stores, and accepts what it read only if nothing was stored meanwhile:
if the word beside it was even, and is the same afterwards. Twin: sequence_reader.c."""

from collections.abc import Iterator

from shmlab.programs.record_reader import READS, TORN
from shmlab.programs.sequence_writer import SEQUENCE

REFUSED = 35
"""The word in which the reader counts what it didn't accept; READS and TORN are of what it did."""


def sequence_reader(record: memoryview, words: int, times: int) -> Iterator[str]:
    for _ in range(times):
        before = record[SEQUENCE]
        yield f"sequence {before}"
        seen = record[:words].tolist()
        yield f"read {seen}"
        if before % 2 == 0 and record[SEQUENCE] == before:
            record[READS] += 1
            record[TORN] += len(set(seen)) > 1
            yield f"accepted {seen}"
        else:
            record[REFUSED] += 1
            yield "refused"
