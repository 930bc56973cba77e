"""Does a look at a large object cost more than at a small one? One sampled frame, 1 GiB against 16 MiB.

Both objects have all their memory when /dev/shm has room for it (a hole reads faster than a page), else
neither has.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from statistics import median

from benchmarks.measure import certainty, ratio, seconds, take_turns
from benchmarks.rows import Goal, Row
from shmlab import observe, own_name, posix

SMALL, LARGE = 16 << 20, 1 << 30
FRAMES = {"a plot's, 2,000 bytes": (2000, 1), "a grid's, 256 runs of 256": (256, 256)}


def measure(quick: bool) -> Iterator[Row]:
    """Take turns; the goal is ≤ 1.2 times."""
    rounds, times = (2, 3) if quick else (60, 20)
    with ExitStack() as stack:
        space = os.statvfs("/dev/shm")
        whole = not quick and space.f_bavail * space.f_frsize > 2 * LARGE
        samplers = {}
        for word, size in (("small", SMALL), ("large", LARGE)):
            name = own_name(word)
            fd = posix.shm_open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            stack.callback(posix.shm_unlink, name)
            stack.callback(posix.close, fd)
            posix.ftruncate(fd, size)
            if whole:
                posix.posix_fallocate(fd, 0, size)
            samplers[word] = stack.enter_context(observe.Sampler(name))
        for words, shape in FRAMES.items():
            ways = {
                word: partial(seconds, partial(sampler.sample, *shape), times)
                for word, sampler in samplers.items()
            }
            take_turns(ways, 2)
            found = take_turns(ways, rounds)
            yield Row(
                question=f"one sampled frame ({words}) of 1 GiB",
                goal=Goal("ratio", "≤", 1.2),
                ours=median(found["large"]) * 1e6,
                unit="µs",
                peer=median(found["small"]) * 1e6,
                peer_name="of 16 MiB",
                ratio=ratio(found["large"], found["small"]),
                note=f"{rounds} rounds of {times} frames; the objects "
                + ("have all their memory. " if whole else "are holes: no room for 1 GiB, or --quick. ")
                + certainty(found["large"], found["small"]),
            )
