"""The programs of the writers whose objects the live views show: every byte in sight changes at 120 Hz.

They never yield: a benchmark starts them, stops and continues them by signal, and kills them.
:mod:`benchmarks.views` runs them as processes of the lab; what they use travels with them.
"""

import math
import random
import time
from collections.abc import Iterator

RATE = 120
"""Times a second; twice what a browser paints, so that no frame lacks something new."""

ROOM = 4096
"""How many times of writing the stamps hold."""


def ticks() -> Iterator[int]:
    """Count 0, 1, 2, …, RATE times a second, without catching up on what was missed."""
    due = time.monotonic()
    n = 0
    while True:
        yield n
        n += 1
        due = max(due + 1 / RATE, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))


def picture(memory: memoryview, stamps: "memoryview[float]") -> Iterator[str]:
    """Change 64 KiB at every tick, but the first byte at moments of its own, 25 to 60 ms apart.

    That byte holds the number of its write, modulo 256; ``stamps[1 + n % ROOM]`` is when write n was made
    (the monotonic clock, seconds), ``stamps[0]`` the last n.
    """
    pages = [
        bytes((at * 7 + at // 256 * 3 + 40 * shade) % 256 for at in range(1, 65536)) for shade in range(64)
    ]
    tick = mark = time.monotonic()
    n = turn = 0
    while True:
        now = time.monotonic()
        if now >= mark:
            n += 1
            stamps[1 + n % ROOM] = time.monotonic()
            memory[0] = n % 256
            stamps[0] = n
            mark = now + random.uniform(0.025, 0.060)
        if now >= tick:
            turn += 1
            memory[1:65536] = pages[turn % 64]
            tick = max(tick + 1 / RATE, now)
        time.sleep(max(0.0, min(tick, mark) - time.monotonic()))
    yield "never"


def waves(memory: memoryview) -> Iterator[str]:
    """Move a wave with some noise through 64 KiB, as bytes."""
    pages = [
        bytes(
            int(127 + 90 * math.sin((at + 1024 * shift) / 5215) + 30 * math.sin(at * 1.7 + shift))
            for at in range(65536)
        )
        for shift in range(32)
    ]
    for n in ticks():
        memory[0:65536] = pages[n % 32]
    yield "never"


def patches(memory: memoryview) -> Iterator[str]:
    """Change the 256 runs of 256 bytes that a grid shows of a large object."""
    apart = len(memory) // 256
    pages = [bytes((at * 7 + 40 * shade) % 256 for at in range(256)) for shade in range(64)]
    for n in ticks():
        for place in range(256):
            memory[place * apart : place * apart + 256] = pages[(n + place) % 64]
    yield "never"
