"""What does one step by hand cost, from the call to the state that it returns?

The peer is the least that any such thing can cost: a byte through a pipe to another Python process and one
back.
"""

import subprocess
import sys
from collections.abc import Iterator
from statistics import median
from time import perf_counter

from benchmarks.measure import quantile, ratio
from benchmarks.rows import Goal, Row
from shmlab import Process, Shared, own_name, posix

ECHO = "import os\nwhile os.read(0, 1):\n    os.write(1, b'.')"


def counting(memory: memoryview) -> Iterator[str]:
    """The program: one store a step."""
    value = 0
    while True:
        value = (value + 1) % 256
        memory[0] = value
        yield "store"


def measure(quick: bool) -> Iterator[Row]:
    """Take turns, a batch of steps and a batch of round trips; the goal is ≤ 1 ms a step."""
    rounds, times = (2, 10) if quick else (20, 50)
    name = own_name("step")
    steps: list[list[float]] = []
    trips: list[list[float]] = []
    echo = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", ECHO], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    )
    assert echo.stdin is not None
    assert echo.stdout is not None
    try:
        with posix.create(name, 4096) as mapping, Process(counting, Shared(name, "B")) as process:
            process.step()
            for _ in range(rounds):
                before = process.state.step
                steps.append([])
                for _ in range(times):
                    begin = perf_counter()
                    process.step()
                    steps[-1].append(perf_counter() - begin)
                trips.append([])
                for _ in range(times):
                    begin = perf_counter()
                    echo.stdin.write(b".")
                    echo.stdout.read(1)
                    trips[-1].append(perf_counter() - begin)
                taken = process.state.step - before
                if taken != times or mapping.buf[0] != process.state.step % 256:
                    raise RuntimeError(f"{times} steps were asked for, {taken} taken: {process.state}")
    finally:
        echo.stdin.close()
        echo.stdout.close()
        echo.wait(10)
    every = [each for batch in steps for each in batch]
    note = (
        f"{len(every):,} steps in {rounds} batches; 99 in 100 within {quantile(every, 0.99) * 1e3:.2f} ms, "
        f"the slowest {max(every) * 1e3:.2f} ms."
    )
    middle = [median(batch) for batch in steps], [median(batch) for batch in trips]
    yield Row(
        question="one step by hand",
        goal=Goal("ours", "≤", 1, "ms"),
        ours=median(every) * 1e3,
        unit="ms",
        peer=median(each for batch in trips for each in batch) * 1e3,
        peer_name="a byte there and back, by pipe",
        ratio=ratio(*middle),
        note=note,
    )
    yield Row(
        question="1,000 steps by hand",
        goal=Goal("ours", "≤", 1000, "ms"),
        ours=sum(every) / len(every) * 1e6,
        unit="ms",
        peer=sum(map(sum, trips)) / len(every) * 1e6,
        peer_name="a byte there and back, by pipe",
        ratio=ratio([sum(batch) for batch in steps], [sum(batch) for batch in trips]),
        note=note if len(every) == 1000 else f"Projected from {len(every)} steps.",
    )
