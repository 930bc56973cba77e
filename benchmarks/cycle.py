"""What do the lab's POSIX calls cost more than the libraries below them? One object: create, size, map,
unmap, unlink.

The peers: posix_ipc and the standard library's mmap, called directly, and ``multiprocessing.shared_memory``.
"""

import mmap
import os
from collections.abc import Iterator
from functools import partial
from statistics import median

from benchmarks.measure import ratio, seconds, take_turns
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
    try:
        found = take_turns(
            {each: partial(seconds, partial(way, name), times) for each, way in ways.items()}, rounds
        )
    finally:
        _end_tracker()
    note = f"{SIZE >> 20} MiB, {rounds} rounds of {times} cycles each."
    for peer, label, bound in (
        ("posix_ipc", "posix_ipc + mmap", 1.15),
        ("multiprocessing", "multiprocessing.shared_memory", 0.4),
    ):
        yield Row(
            question="create, map, unmap, unlink",
            goal=Goal("ratio", "≤", bound),
            ours=median(found["ours"]) * 1e6,
            unit="µs",
            peer=median(found[peer]) * 1e6,
            peer_name=label,
            ratio=ratio(found["ours"], found[peer]),
            note=note,
        )


def _end_tracker() -> None:
    """End the process that ``multiprocessing.shared_memory`` started and would leave until Python ends."""
    from multiprocessing import resource_tracker

    resource_tracker._resource_tracker._stop()  # type: ignore[attr-defined]
