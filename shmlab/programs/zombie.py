"""Attaches a System V segment and forks; the child ends, and is waited for only later. Twin: zombie.c."""

import os
from collections.abc import Iterator

from shmlab import posix, sysv


def zombie(name: str, go: str) -> Iterator[str]:
    fd = posix.shm_open(name, posix.O_RDWR)
    prot = posix.PROT_READ | posix.PROT_WRITE
    memory = posix.mmap(None, 4096, prot, posix.MAP_SHARED, fd).buf.cast("Q")
    go_on = posix.sem_open(go, 0)
    shmid = sysv.shmget(sysv.IPC_PRIVATE, 4096, sysv.IPC_CREAT | sysv.IPC_EXCL | 0o600)
    segment = sysv.shmat(shmid)
    sysv.shmctl(shmid, sysv.IPC_RMID)  # it goes with the last who is attached
    child = os.fork()
    if child == 0:
        posix.sem_wait(go_on)
        os._exit(7)
    memory[0], memory[1] = child, segment.shmid
    yield "fork"
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)  # until it has ended, and leave it as it is
    yield "waitid"
    _, status = os.waitpid(child, 0)
    memory[2] = status
    yield "waitpid"
