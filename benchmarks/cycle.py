"""What do the lab's POSIX calls cost beside the libraries below them? One object, made and removed.

The peers: posix_ipc and the standard library's mmap, called directly, and ``multiprocessing.shared_memory``.
"""

import fcntl
import mmap
import os
import termios
import time
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing import resource_tracker
from statistics import median
from typing import Any

from benchmarks.measure import certainty, cpu_clock, ratio, seconds, take_turns
from benchmarks.rows import Goal, Row
from shmlab import own_name, posix

SIZE = 1 << 20


def ours(name: str) -> None:
    """The cycle as a lesson writes it."""
    fd = posix.shm_open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    posix.ftruncate(fd, SIZE)
    mapping = posix.mmap(None, SIZE, posix.PROT_READ | posix.PROT_WRITE, posix.MAP_SHARED, fd)
    posix.close(fd)
    posix.munmap(mapping)
    posix.shm_unlink(name)


def raw(name: str) -> None:
    """The same with posix_ipc, which sizes as it creates, and mmap."""
    import posix_ipc

    shared = posix_ipc.SharedMemory(name, posix_ipc.O_CREX, mode=0o600, size=SIZE)
    mapping = mmap.mmap(shared.fd, SIZE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    shared.close_fd()
    mapping.close()
    posix_ipc.unlink_shared_memory(name)


def standard(name: str) -> None:
    """The same with the standard library's class."""
    from multiprocessing.shared_memory import SharedMemory

    shared = SharedMemory(name.lstrip("/"), create=True, size=SIZE)
    shared.close()
    shared.unlink()


def measure(quick: bool) -> Iterator[Row]:
    """Take turns in batches; the goals are ≤ 1.15 and ≤ 0.4 times the peers."""
    rounds, times = (3, 20) if quick else (60, 200)
    name = own_name("cycle")
    ways = {"ours": ours, "posix_ipc": raw, "multiprocessing": standard}
    for way in ways.values():
        for _ in range(20):
            way(name)
    tracker: Any = resource_tracker._resource_tracker
    try:
        clock = cpu_clock(tracker._pid)
        before = time.clock_gettime(clock)
        found = take_turns(
            {each: partial(_batch, partial(way, name), times) for each, way in ways.items()}, rounds
        )
        tracking = (time.clock_gettime(clock) - before) / (rounds * times)
    finally:
        tracker._stop()
    note = f"{SIZE >> 20} MiB, {rounds} rounds of {times} cycles each."
    below = ratio(found["posix_ipc"], found["multiprocessing"])
    for peer, label, bound, more in (
        ("posix_ipc", "posix_ipc + mmap", 1.15, ""),
        (
            *("multiprocessing", "multiprocessing.shared_memory", 0.4),
            f" posix_ipc + mmap: {below:.3f} times this peer, whose tracker, a process that it starts, takes "
            f"{tracking * 1e6:.0f} µs of another core for each cycle, not counted here.",
        ),
    ):
        yield Row(
            question="create, map, unmap, unlink",
            goal=Goal("ratio", "≤", bound),
            ours=median(found["ours"]) * 1e6,
            unit="µs",
            peer=median(found[peer]) * 1e6,
            peer_name=label,
            ratio=ratio(found["ours"], found[peer]),
            note=f"{note} {certainty(found['ours'], found[peer])}{more}",
        )


def _batch(way: Callable[[], None], times: int) -> float:
    """Return the seconds one cycle takes; whoever is next finds the peer's tracker at rest.

    ``multiprocessing.shared_memory`` tells that process of every object, and it is still reading when the
    batch is over: on a machine with two cores, that would be charged to whoever comes next.
    """
    took = seconds(way, times)
    descriptor = resource_tracker.getfd()
    assert descriptor is not None
    unread = bytearray(4)
    end = time.monotonic() + 10
    while fcntl.ioctl(descriptor, termios.FIONREAD, unread) == 0 and any(unread):
        if time.monotonic() > end:
            raise TimeoutError("multiprocessing's resource tracker doesn't read what it's told")
        time.sleep(0.001)
    return took
