"""What does scheduling real processes cost: every schedule of two increments, a thousand scripted steps, one
step until the panel has sent what there is to be painted?

The peer of a run is launching two bare interpreters and waiting for their ends; that of a step is a byte
through a pipe to another Python process and one back.
"""

import subprocess
import sys
from collections.abc import Iterator
from math import factorial
from statistics import median
from time import perf_counter

from benchmarks.measure import quantile, ratio
from benchmarks.rows import Goal, Row
from benchmarks.step import ECHO
from shmlab import Process, Shared, every_schedule, own_name, posix
from shmlab.panels import Scheduler
from shmlab.processes import Interleaving
from shmlab.programs.increment import increment

SCHEDULES = factorial(4) // (factorial(2) * factorial(2))
"""Orders of two times two steps."""


def counting(memory: memoryview) -> Iterator[str]:
    """The program: one store a step."""
    while True:
        memory[0] = (memory[0] + 1) % (1 << 32)
        yield "store"


def measure(quick: bool) -> Iterator[Row]:
    """Yield the rows; the goals: every schedule ≤ 3 s, 1,000 steps ≤ 1 s, a step in the panel ≤ 5 ms."""
    name = own_name("sched")
    with posix.create(name, 4096):
        yield _every(name, 1 if quick else 7)
        with _Echo() as echo:
            yield _steps(name, echo, 2 if quick else 10, 10 if quick else 100)
            yield _panel(name, echo, 2 if quick else 10, 5 if quick else 20)


def _every(name: str, rounds: int) -> Row:
    ours, peers = [], []
    for _ in range(rounds):
        begin = perf_counter()
        table = every_schedule([Process(increment, Shared(name), 1) for _ in "AB"]).all()
        ours.append(perf_counter() - begin)
        if len(table) != SCHEDULES or table.counts != {"sched = 1": 4, "sched = 2": 2}:
            raise RuntimeError(f"of two increments there are {SCHEDULES} schedules, not these:\n{table}")
        begin = perf_counter()
        for _ in range(SCHEDULES):
            both = [subprocess.Popen([sys.executable, "-I", "-S", "-c", ""]) for _ in "AB"]
            for each in both:
                each.wait(10)
        peers.append(perf_counter() - begin)
    return Row(
        question="every schedule of two increments",
        goal=Goal("ours", "≤", 3000, "ms"),
        ours=median(ours) * 1e3,
        unit="ms",
        peer=median(peers) * 1e3,
        peer_name="12 bare interpreters, two at a time",
        ratio=ratio(ours, peers),
        note=f"{SCHEDULES} schedules, fresh processes each; the slowest took {max(ours) * 1e3:.0f} ms.",
    )


def _steps(name: str, echo: "_Echo", rounds: int, times: int) -> Row:
    ours, peers = [], []
    with Interleaving([Process(counting, Shared(name)) for _ in "AB"]) as stage:
        stage.start()
        for _ in range(rounds):
            begin = perf_counter()
            for number in range(times):
                stage.step("AB"[number % 2])
            ours.append(perf_counter() - begin)
            peers.append(echo.trips(times))
        if len(stage.turns) != rounds * times:
            raise RuntimeError(f"{rounds * times} steps were asked for, {len(stage.turns)} taken")
    projected = "" if rounds * times == 1000 else f" Projected from {rounds * times} steps."
    return Row(
        question="1,000 scripted steps of two processes",
        goal=Goal("ours", "≤", 1000, "ms"),
        ours=sum(ours) / (rounds * times) * 1e6,
        unit="ms",
        peer=sum(peers) / (rounds * times) * 1e6,
        peer_name="a byte there and back, by pipe",
        ratio=ratio(ours, peers),
        note=f"Each with its locals, the memory and the semaphores.{projected}",
    )


def _panel(name: str, echo: "_Echo", rounds: int, times: int) -> Row:
    steps: list[list[float]] = []
    peers = []
    panel = Scheduler([Process(counting, Shared(name)) for _ in "AB"])
    try:
        sent: list[object] = []
        panel.send = lambda content, buffers=None: sent.append(content)
        panel.loop.start()
        panel.step("A")
        for _ in range(rounds):
            steps.append([])
            for number in range(times):
                before = len(sent)
                begin = perf_counter()
                panel.step("AB"[number % 2])
                steps[-1].append(perf_counter() - begin)
                if len(sent) == before:
                    raise RuntimeError("a step was taken, and the panel sent nothing")
            peers.append(echo.trips(times))
    finally:
        panel.close()
    every = [each for batch in steps for each in batch]
    return Row(
        question="a step by hand, to what the panel sends",
        goal=Goal("ours", "≤", 5, "ms"),
        ours=median(every) * 1e3,
        unit="ms",
        peer=sum(peers) / len(every) * 1e3,
        peer_name="a byte there and back, by pipe",
        ratio=ratio([sum(batch) for batch in steps], peers),
        note=f"{len(every)} steps; 99 in 100 within {quantile(every, 0.99) * 1e3:.2f} ms.",
    )


class _Echo:
    """Another Python process, which gives every byte back."""

    def __enter__(self) -> "_Echo":
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", ECHO],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        self.trips(1)
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.wait(10)

    def trips(self, times: int) -> float:
        """Return the seconds that so many bytes take there and back, one after the other."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        begin = perf_counter()
        for _ in range(times):
            self.process.stdin.write(b".")
            self.process.stdout.read(1)
        return perf_counter() - begin
