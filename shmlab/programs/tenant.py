"""Attaches the segment of an id that it is given, stores a text and detaches. Twin: tenant.c."""

from collections.abc import Iterator

from shmlab import sysv


def tenant(shmid: int, text: str) -> Iterator[str]:
    m = sysv.shmat(shmid)
    yield "shmat"
    m.buf[: len(text)] = text.encode("ascii")
    yield "store"
    sysv.shmdt(m)
    yield "shmdt"
