"""Attaches the segment of a key, marks it for removal while it is attached, and detaches. Twin: remover.c."""

from collections.abc import Iterator

from shmlab import sysv


def remover(key: int) -> Iterator[str]:
    shmid = sysv.shmget(key, 0, 0)
    m = sysv.shmat(shmid)
    yield "shmat"
    sysv.shmctl(shmid, sysv.IPC_RMID)
    yield "IPC_RMID"
    sysv.shmdt(m)
    yield "shmdt"
