"""Times every way of sending messages to a child, by turns, for several sizes. Python alone: see channel."""

import os
from collections.abc import Iterator

from shmlab.programs.channel import message_time

WAYS = ("ring", "segment", "pipe", "socket pair", "connection", "queue")
"""Rings in an object and in a segment, pipe(2), socketpair(2), multiprocessing's Pipe and Queue."""

BYTES, FEWEST, MOST, WARM_UP = 16 << 20, 32, 5000, 64
"""So many bytes are sent by each way each time, in so many messages at least and at most; and before that,
some that aren't counted."""


def transports(
    result: memoryview, sizes: tuple[int, ...], rounds: int, ring_name: str, ways: tuple[str, ...] = WAYS
) -> Iterator[str]:
    """Store in *result* the nanoseconds of a message: by size, within that by round, within that by way.

    Each round begins with the next way, so that none always comes after the same other one.
    """
    processors = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, processors[:1])
    for place, size in enumerate(sizes):
        times = max(FEWEST, min(MOST, BYTES // size))
        for turn in range(rounds):
            for number in range(len(ways)):
                way = (number + turn) % len(ways)
                taken = message_time(ways[way], times, size, ring_name, processors[-1:], min(WARM_UP, times))
                result[(place * rounds + turn) * len(ways) + way] = round(taken)
        yield f"{size} bytes"
