"""Makes the four System V calls of a segment's whole life, from shmget to IPC_RMID. Twin: four_calls.c."""

from collections.abc import Iterator

from shmlab import sysv


def four_calls(key: int, text: str) -> Iterator[str]:
    shmid = sysv.shmget(key, 10_000, sysv.IPC_CREAT | sysv.IPC_EXCL | 0o600)
    yield "shmget"
    m = sysv.shmat(shmid, None, 0)
    yield "shmat"
    m.buf[: len(text)] = text.encode("ascii")
    yield "store"
    nattch = sysv.shmctl(shmid, sysv.IPC_STAT).shm_nattch
    assert nattch == 1
    yield "shmctl IPC_STAT"
    sysv.shmdt(m)
    yield "shmdt"
    sysv.shmctl(shmid, sysv.IPC_RMID)
    yield "shmctl IPC_RMID"
