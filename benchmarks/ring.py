"""How fast is the ring (``shmlab.ring``), against the ways that a kernel offers, and against mere copying?

Messages of 64 KiB stream from a process to its child, which gets each as bytes of its own and looks at both
its ends. The first 64 messages of each way aren't counted: in them the ring's pages are touched for the first
time. A hand-off is a small message there and one back, the two processes on two processors: the peer, a pair
of posix_ipc's semaphores, hands over the turn and no message.
"""

import os
from collections.abc import Iterator
from time import perf_counter_ns

import posix_ipc

from benchmarks.measure import certainty, ratio, spread, take_turns
from benchmarks.rows import Goal, Row
from shmlab import Process, Shared, own_name, posix
from shmlab.programs.channel import RING_SLOTS, channel
from shmlab.ring import Ring

SIZE = 65536
APART = ("ring", "copy", "pipe", "socket pair", "queue")
TOGETHER = ("ring", "pipe")
PEERS = {
    ("pipe", 2): ("os.pipe", Goal("ratio", "≤", 0.15)),
    ("copy", 2): ("the copying alone, one process", Goal("ratio", "≤", 5)),
    ("socket pair", 2): ("socket.socketpair", Goal("ratio", "≤", 1)),
    ("queue", 2): ("multiprocessing.Queue", Goal("ratio", "≤", 1)),
    ("pipe", 1): ("os.pipe", Goal("ratio", "≤", 1)),
}
PATIENCE = 60.0


def by_ring(times: int, there: str, back: str) -> int:
    """Hand a message over and back; return the nanoseconds a round trip takes."""
    with Ring.create(there, 8, 8) as out, Ring.create(back, 8, 8) as home:
        child = os.fork()
        if child == 0:
            os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
            for _ in range(times):
                home.put(out.take())
            os._exit(0)
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        begin = perf_counter_ns()
        for _ in range(times):
            out.put(b"8 bytes.")
            home.take()
        taken = (perf_counter_ns() - begin) // times
        os.waitpid(child, 0)
        return taken


def by_semaphores(times: int, there: str, back: str) -> int:
    """Hand the turn over and back, by posix_ipc alone."""
    out, home = (posix_ipc.Semaphore(each, posix_ipc.O_CREX) for each in (there, back))
    child = os.fork()
    if child == 0:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        for _ in range(times):
            out.acquire()
            home.release()
        os._exit(0)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    begin = perf_counter_ns()
    for _ in range(times):
        out.release()
        home.acquire()
    taken = (perf_counter_ns() - begin) // times
    os.waitpid(child, 0)
    out.unlink()
    home.unlink()
    return taken


def hand_off(result: memoryview, way: str, times: int, there: str, back: str) -> Iterator[str]:
    """The program: store in ``result[0]`` the nanoseconds of a round trip."""
    result[0] = (by_ring if way == "ring" else by_semaphores)(times, there, back)
    yield way


def measure(quick: bool) -> Iterator[Row]:
    """Take turns; the goals are ≤ 0.15x os.pipe, ≤ 5x copying, and for the hand-off ≤ 0.3x posix_ipc."""
    rounds, times = (2, 50) if quick else (12, 3000)
    name = own_name("result")
    with posix.create(name, 4096) as memory:
        result = memory.buf.cast("Q")

        def timed(*arguments: object, program: object = channel) -> float:
            with Process(program, Shared(name), *arguments) as process:  # type: ignore[arg-type]
                if not (outcome := process.run().wait(PATIENCE)).ok:
                    raise RuntimeError(f"{arguments[0]}: it {outcome}\n{outcome.traceback}")
            return result[0] / 1e3

        ways = [(way, 2) for way in APART] + [(way, 1) for way in TOGETHER]
        streams = take_turns(
            {
                f"{way} {cores}": (
                    lambda way=way, cores=cores: timed(way, times, SIZE, own_name("ring"), cores)
                )
                for way, cores in ways
            },
            rounds,
        )
        hands = take_turns(
            {
                way: (lambda way=way: timed(way, times, own_name("a"), own_name("b"), program=hand_off))
                for way in ("ring", "semaphores")
            },
            rounds,
        )
        result.release()
    for (way, cores), (peer, goal) in PEERS.items():
        ours, theirs = streams[f"ring {cores}"], streams[f"{way} {cores}"]
        yield Row(
            question=f"a message of 64 KiB, {'across cores' if cores > 1 else 'on one core'}",
            goal=goal,
            ours=spread(ours)[0],
            unit="µs",
            peer=spread(theirs)[0],
            peer_name=peer,
            ratio=ratio(ours, theirs),
            note=f"{RING_SLOTS} slots, {rounds} rounds of {times:,}. {certainty(ours, theirs)}",
        )
    processors = len(os.sched_getaffinity(0))
    alone = "" if processors > 1 else "There is one processor: nothing is handed across. "
    yield Row(
        question="a hand-off across cores, there and back",
        goal=Goal("ratio", "≤", 0.3),
        ours=spread(hands["ring"])[0],
        unit="µs",
        peer=spread(hands["semaphores"])[0],
        peer_name="posix_ipc.Semaphore",
        ratio=ratio(hands["ring"], hands["semaphores"]),
        note=f"{alone}{rounds} rounds of {times:,}. {certainty(hands['ring'], hands['semaphores'])}",
    )
