"""How figures are taken: rounds in which the candidates take turns, medians, ratios of the same round.

Knows no benchmark and no clock but the monotonic one; the benchmarks import it.
"""

import gc
from collections.abc import Callable, Mapping
from statistics import median
from time import perf_counter
from typing import TypeVar

Figure = TypeVar("Figure")


def seconds(work: Callable[[], object], times: int) -> float:
    """Return the seconds one of *times* calls of *work* takes, the collector held off as timeit does."""
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        begin = perf_counter()
        for _ in range(times):
            work()
        return (perf_counter() - begin) / times
    finally:
        if collecting:
            gc.enable()


def take_turns(candidates: Mapping[str, Callable[[], Figure]], rounds: int) -> dict[str, list[Figure]]:
    """Measure every candidate once a round, each round beginning with the next one: A B C, B C A, C A B, …

    What else the machine does then meets all of them, and none always comes after the same other.
    """
    names = list(candidates)
    figures: dict[str, list[Figure]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            figures[name].append(candidates[name]())
    return figures


def ratio(ours: list[float], peer: list[float]) -> float:
    """Return the median of the ratios of the same round."""
    return median(one / other for one, other in zip(ours, peer, strict=True))


def quantile(values: list[float], share: float) -> float:
    """Return the value that *share* of them don't exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def spread(values: list[float]) -> tuple[float, float, float]:
    """Return the median and a 95 % interval for it (by the ranks: nothing is assumed about the noise)."""
    ordered = sorted(values)
    reach = 0.98 * len(ordered) ** 0.5
    cut = max(0, int(len(ordered) / 2 - reach) - 1)
    return median(ordered), ordered[cut], ordered[-1 - cut]


def certainty(ours: list[float], peer: list[float]) -> str:
    """Return in words how sure the median of the ratios of the same round is."""
    _, low, high = spread([one / other for one, other in zip(ours, peer, strict=True)])
    return f"95 % interval of the ratio {low:.3f} to {high:.3f}."


def cpu_clock(pid: int) -> int:
    """Return the clock of a process's CPU time, for time.clock_gettime (clock_getcpuclockid(3), Linux)."""
    return (~pid << 3) | 2
