"""What do the lab's System V calls cost beside sysv_ipc? One segment, made, used and removed.

The peer is sysv_ipc called directly where it does the same work: it attaches what it creates, its view asks
for the segment's size, as ours does, and one byte is stored. Created with IPC_CREX it fills the segment with
spaces (FACTS P09), which the lab never does: that is the last row.
"""

from collections.abc import Callable, Iterator
from functools import partial
from statistics import median

import sysv_ipc

from benchmarks.measure import certainty, ratio, seconds, take_turns
from benchmarks.rows import Goal, Row
from shmlab import sysv

SIZES = {"4 KiB": 1 << 12, "1 MiB": 1 << 20, "64 MiB": 1 << 26}


def ours(size: int) -> None:
    """The cycle as a lesson writes it."""
    shmid = sysv.shmget(sysv.IPC_PRIVATE, size, sysv.IPC_CREAT | 0o600)
    attached = sysv.shmat(shmid)
    attached.buf[0] = 1
    sysv.shmdt(attached)
    sysv.shmctl(shmid, sysv.IPC_RMID)


def raw(size: int, flags: int = sysv_ipc.IPC_CREAT) -> None:
    """The same with sysv_ipc, which attaches as it creates."""
    segment = sysv_ipc.SharedMemory(sysv_ipc.IPC_PRIVATE, flags, mode=0o600, size=size)
    memoryview(segment)[0] = 1
    segment.detach()
    segment.remove()


def measure(quick: bool) -> Iterator[Row]:
    """Take turns in batches. Goals: ≤ 1.3 times the peer, and nothing for bytes that nobody touches."""
    rounds, times = (3, 20) if quick else (60, 200)
    ways: dict[tuple[str, str], Callable[[], None]] = {}
    for label, size in SIZES.items():
        ways["ours", label] = partial(ours, size)
        ways["sysv_ipc", label] = partial(raw, size)
    for way in ways.values():
        for _ in range(20):
            way()
    found = take_turns({" ".join(each): partial(seconds, way, times) for each, way in ways.items()}, rounds)
    note = f"{rounds} rounds of {times} cycles each."
    for label in SIZES:
        yield Row(
            question=f"shmget, shmat, store, shmdt, remove: {label}",
            goal=Goal("ratio", "≤", 1.3),
            ours=median(found[f"ours {label}"]) * 1e6,
            unit="µs",
            peer=median(found[f"sysv_ipc {label}"]) * 1e6,
            peer_name="sysv_ipc",
            ratio=ratio(found[f"ours {label}"], found[f"sysv_ipc {label}"]),
            note=f"{note} {certainty(found[f'ours {label}'], found[f'sysv_ipc {label}'])}",
        )
    small, large = found["ours 4 KiB"], found["ours 64 MiB"]
    below = ratio(found["sysv_ipc 64 MiB"], found["sysv_ipc 4 KiB"])
    yield Row(
        question="does a larger segment take longer?",
        goal=Goal("ratio", "≤", 1.25),
        ours=median(large) * 1e6,
        unit="µs",
        peer=median(small) * 1e6,
        peer_name="ours at 4 KiB",
        ratio=ratio(large, small),
        note=f"64 MiB, of which one page is touched; {note} {certainty(large, small)} sysv_ipc: {below:.3f}.",
    )
    few = 3 if quick else 12
    filled = take_turns(
        {
            "ours": partial(seconds, ways["ours", "64 MiB"], 5),
            "filling": partial(seconds, partial(raw, SIZES["64 MiB"], sysv_ipc.IPC_CREX), 5),
        },
        few,
    )
    yield Row(
        question="create 64 MiB that are zero, not spaces",
        goal=Goal("ratio", "≤", 0.1),
        ours=median(filled["ours"]) * 1e6,
        unit="µs",
        peer=median(filled["filling"]) * 1e6,
        peer_name="sysv_ipc's IPC_CREX",
        ratio=ratio(filled["ours"], filled["filling"]),
        note=f"{few} rounds of 5 cycles each. {certainty(filled['ours'], filled['filling'])}",
    )
