"""Makes a segment with a key, attaches it twice, detaches once, and never removes it. Twin: keeper.c."""

from collections.abc import Iterator

from shmlab import sysv


def keeper(key: int) -> Iterator[str]:
    shmid = sysv.shmget(key, 10_000, sysv.IPC_CREAT | sysv.IPC_EXCL | 0o600)
    yield "shmget"
    first = sysv.shmat(shmid)
    yield "shmat"
    second = sysv.shmat(shmid)
    yield "shmat again"
    first.buf[:6], second.buf[6:12] = b"first ", b"second"
    yield "store"
    sysv.shmdt(second)
    yield "shmdt"
