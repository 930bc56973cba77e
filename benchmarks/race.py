"""Does what lesson 10 says show itself, and soon? Of a hundred runs at full speed, how many lose an update,
or read a torn record; and how long does the slowest take, from launching its two processes to the end?

The peer of a race is the same race with a POSIX semaphore around each increment, and a tenth of the
increments; that of a torn read is a record of one number, which a processor stores whole.
"""

from collections.abc import Callable, Iterator
from time import perf_counter

from benchmarks.measure import quantile
from benchmarks.rows import Goal, Row
from shmlab import Process, Shared, own_name, posix
from shmlab.processes import start
from shmlab.programs.increment import increment
from shmlab.programs.increment_posix_semaphore import increment_posix_semaphore
from shmlab.programs.record_reader import TORN, record_reader
from shmlab.programs.record_writer import record_writer

INCREMENTS, READS, NUMBERS = 100_000, 100_000, 8
FOR_EVER = 10**9


def measure(quick: bool) -> Iterator[Row]:
    """Yield the rows; the goals: 99 of 100 runs show it, and 99 of 100 are over within a second."""
    runs = 2 if quick else 100
    with posix.create(own_name("race"), 4096) as memory:
        words = memory.buf.cast("Q")
        shared = Shared(own_name("race"))

        def raced(*processes: Process) -> None:
            words[0] = 0
            start(*processes)
            for process in processes:
                process.run()
            if bad := [process.state for process in processes if not process.wait(30).ok]:
                raise RuntimeError(f"a process of the race {bad[0]}")

        def unguarded() -> bool:
            with Process(increment, shared, INCREMENTS) as a, Process(increment, shared, INCREMENTS) as b:
                raced(a, b)
            return words[0] < 2 * INCREMENTS

        def guarded() -> bool:
            times = INCREMENTS // 10
            mutex = own_name("mutex")
            posix.sem_close(posix.sem_open(mutex, posix.O_CREAT | posix.O_EXCL, value=1))
            try:
                pair = [Process(increment_posix_semaphore, shared, mutex, times) for _ in "AB"]
                with pair[0] as a, pair[1] as b:
                    raced(a, b)
            finally:
                posix.sem_unlink(mutex)
            return words[0] < 2 * times

        def torn(numbers: int) -> bool:
            words[TORN] = 0
            for place in range(NUMBERS):
                words[place] = 1
            writer = Process(record_writer, shared, numbers, FOR_EVER)
            with writer, Process(record_reader, shared, numbers, READS) as reader:
                start(writer, reader)
                writer.run()
                reader.run()
                if not reader.wait(30).ok:
                    raise RuntimeError(f"the reader {reader.state}")
            return words[TORN] > 0

        try:
            race = f"two processes, {INCREMENTS:,} increments each"
            yield from _rows("runs that lose an update", race, unguarded, guarded, "a semaphore", runs)
            reads = f"a record of {NUMBERS} numbers, {READS:,} reads"
            whole, one = (lambda: torn(NUMBERS)), (lambda: torn(1))
            yield from _rows("runs with a torn read", reads, whole, one, "one number", runs)
        finally:
            words.release()


def _rows(
    what: str, note: str, ours: Callable[[], bool], peer: Callable[[], bool], peer_name: str, runs: int
) -> Iterator[Row]:
    shown, others, seconds = 0, 0, []
    for _ in range(runs):
        begin = perf_counter()
        shown += ours()
        seconds.append(perf_counter() - begin)
        others += peer()
    share = 100 / runs
    note = (
        f"{runs} runs by turns: {note}. Median {quantile(seconds, 0.5):.2f} s, slowest {max(seconds):.2f} s."
    )
    goal = Goal("ours", "≥", 99, "%")
    yield Row(what, goal, shown * share, "%", others * share, peer_name, note=note)
    within = Goal("ours", "≤", 1000, "ms")
    yield Row(f"{what}: 99 in 100 are over by", within, quantile(seconds, 0.99) * 1e3, "ms", note=note)
