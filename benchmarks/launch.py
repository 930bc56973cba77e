"""How long until eight Python processes have each stored their first byte in one object?

Ours: ``start(*eight)``, which pauses each before its first line, then ``run()``. The peers: eight times
``python -m`` of a program that makes the same calls, bare and with numpy imported. The clock runs from the
first launch until the parent sees the last of the eight bytes. The session's supervisor is there already, as
it is after a notebook's first ``own_name``; each way was run once before, so that every module is compiled.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter, sleep

from benchmarks.measure import certainty, ratio, take_turns
from benchmarks.rows import Goal, Row
from shmlab import Process, own_name, posix
from shmlab.processes import start

ROOT = Path(__file__).resolve().parents[1]
WORKERS = 8
SIZE = 4096
APART = 64
LOOK = 0.0002
TIMEOUT = 30.0


def first_byte(name: str, at: int) -> Iterator[str]:
    """The program: what ``benchmarks/first_byte.py`` does, as a lesson writes it."""
    fd = posix.shm_open(name, os.O_RDWR)
    yield "shm_open"
    m = posix.mmap(None, 4096, posix.PROT_READ | posix.PROT_WRITE, posix.MAP_SHARED, fd)
    os.close(fd)
    yield "mmap"
    m.buf[at] = 1
    yield "store"


def _await_bytes(memory: memoryview) -> float:
    """Return the time at which the last of the eight bytes was seen."""
    places = range(0, WORKERS * APART, APART)
    end = perf_counter() + TIMEOUT
    while not all(memory[at] for at in places):
        if perf_counter() > end:
            raise TimeoutError(
                f"{sum(memory[at] for at in places)} of {WORKERS} bytes came within {TIMEOUT:g} s"
            )
        # Looking all the time would take one of the cores that the eight need.
        sleep(LOOK)
    now = perf_counter()
    memory[:] = bytes(SIZE)
    return now


def ours(name: str, memory: memoryview) -> float:
    """Launch eight workers of the lab; return seconds to the last first byte."""
    begin = perf_counter()
    workers = [Process(first_byte, name, number * APART) for number in range(WORKERS)]
    try:
        start(*workers)
        for worker in workers:
            worker.run()
        took = _await_bytes(memory) - begin
        for worker in workers:
            worker.wait()
    finally:
        for worker in workers:
            worker.stop()
    return took


def with_module(name: str, memory: memoryview, *more: str) -> float:
    """Launch eight times ``python -m``; return seconds to the last first byte."""
    begin = perf_counter()
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.first_byte", name, str(number * APART), *more], cwd=ROOT
        )
        for number in range(WORKERS)
    ]
    try:
        took = _await_bytes(memory) - begin
    finally:
        for worker in workers:
            try:
                worker.wait(TIMEOUT)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
    return took


def measure(quick: bool) -> Iterator[Row]:
    """Take turns; the goals are ≤ 0.6 and ≤ 0.15 times the peers."""
    rounds = 1 if quick else 12
    name = own_name("first")
    with posix.create(name, SIZE) as mapping:
        memory = mapping.buf
        ways = {
            "ours": partial(ours, name, memory),
            "module": partial(with_module, name, memory),
            "numpy": partial(with_module, name, memory, "numpy"),
        }
        take_turns(ways, 1)
        found = take_turns(ways, rounds)
    for peer, label, bound in (("module", "python -m", 0.6), ("numpy", "python -m, numpy imported", 0.15)):
        yield Row(
            question=f"launch of {WORKERS} workers to first byte",
            goal=Goal("ratio", "≤", bound),
            ours=median(found["ours"]) * 1e3,
            unit="ms",
            peer=median(found[peer]) * 1e3,
            peer_name=label,
            ratio=ratio(found["ours"], found[peer]),
            note=f"{rounds} rounds; from the first launch until the last of the {WORKERS} bytes is seen. "
            f"{certainty(found['ours'], found[peer])}",
        )
