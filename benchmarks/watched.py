"""How much is a process slowed by being watched? A writer at full speed, watched 60 times a second or not.

Short windows alternate: nobody looks, a grid's sample is taken, nobody looks, the whole object is copied (the
peer: what an observer does that doesn't sample). The slowdown is the median over pairs of neighbours. By the
clock it holds what the machine's other work costs too; a second row counts the writer's work by its own CPU
time, which that doesn't touch.
"""

import time
from collections.abc import Callable, Iterator
from statistics import median

from benchmarks.measure import cpu_clock, spread
from benchmarks.rows import Goal, Row
from shmlab import Process, Shared, observe, own_name, posix

SIZE = 16 << 20
RATE = 60
FRAME = (256, 256)


def flat_out(memory: memoryview, count: memoryview) -> Iterator[str]:
    """The program: overwrite 64 KiB after 64 KiB, round and round, and count."""
    pages = [bytes([value]) * 65536 for value in (0x55, 0xAA)]
    size = len(memory)
    n = 0
    while True:
        page = pages[n // (size // 65536) % 2]
        at = n * 65536 % size
        memory[at : at + 65536] = page
        n += 1
        count[0] = n
    yield "never"


class Windows:
    """Windows of one writer's time."""

    def __init__(self, count: memoryview, writer: Process, seconds: float) -> None:
        assert writer.pid is not None
        self.count, self.writer, self.seconds = count, writer, seconds
        self.clock = cpu_clock(writer.pid)

    def take(self, look: Callable[[], object] | None, more: int = 5) -> tuple[float, float]:
        """Look RATE times a second for one window, or one of *more* if nothing was written in it; return
        writes a second, and a CPU second."""
        begin, cpu, n = time.perf_counter(), time.clock_gettime_ns(self.clock), self.count[0]
        due, end = begin, begin + self.seconds
        while due < end:
            if look is not None:
                look()
            due = max(due + 1 / RATE, time.perf_counter())
            # The one that doesn't look wakes up as often: that alone is no watching.
            time.sleep(max(0.0, min(due, end) - time.perf_counter()))
        written = self.count[0] - n
        used = time.clock_gettime_ns(self.clock) - cpu
        if not written or not used:
            if more == 0 or self.writer.outcome is not None:
                raise RuntimeError(f"the writer wrote nothing for {self.seconds:g} s: {self.writer.state}")
            return self.take(look, more - 1)  # others had the processor for a whole window
        return written / (time.perf_counter() - begin), written / (used / 1e9)


def measure(quick: bool) -> Iterator[Row]:
    """Alternate the windows; the goal is ≤ 2 %."""
    pairs, window = (2, 0.1) if quick else (150, 0.15)
    name, counter = own_name("watched"), own_name("count")
    slower: dict[str, tuple[list[float], list[float]]] = {"sample": ([], []), "copy": ([], [])}
    with (
        posix.create(name, SIZE),
        posix.create(counter, 4096) as counted,
        observe.Sampler(name) as sampler,
        Process(flat_out, Shared(name, "B"), Shared(counter, "Q")) as writer,
    ):
        looks: dict[str, Callable[[], object]] = {
            "sample": lambda: sampler.sample(*FRAME),
            "copy": sampler.read,
        }
        count = counted.buf.cast("Q")
        try:
            writer.run()
            end = time.monotonic() + 10
            while count[0] < 10_000:
                if time.monotonic() > end:
                    raise TimeoutError(f"the writer doesn't write: {writer.state}")
                time.sleep(0.01)
            windows = Windows(count, writer, window)
            for number in range(pairs):
                for kind, look in looks.items():
                    # Watched first, then second: a machine that grows slower or faster favours neither.
                    if number % 2:
                        watched, alone = windows.take(look), windows.take(None)
                    else:
                        alone, watched = windows.take(None), windows.take(look)
                    for of, bare, seen in zip(slower[kind], alone, watched, strict=True):
                        of.append(100 * (1 - seen / bare))
        finally:
            count.release()
    for at, clock in enumerate(("by the clock", "by its CPU time")):
        middle, low, high = spread(slower["sample"][at])
        peer = median(slower["copy"][at])
        yield Row(
            question=f"writer slowed by being watched at {RATE} Hz, {clock}",
            goal=Goal("ours", "≤", 2, "%"),
            ours=middle,
            unit="%",
            peer=peer,
            peer_name="16 MiB copied each time",
            note=f"{clock}: 95 % interval of the median {low:.1f} to {high:.1f} %; "
            f"{pairs} pairs of windows of {window:g} s; below 0 is noise.",
        )
