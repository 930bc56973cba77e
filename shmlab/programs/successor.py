"""Holds an object in three ways and forks; the child becomes another program by exec. Twin: successor.c."""

import fcntl
import os
import signal
from collections.abc import Iterator

from shmlab import posix, sysv

READ_WRITE = posix.PROT_READ | posix.PROT_WRITE


def successor(name: str, keep: int) -> Iterator[str]:
    fd = posix.shm_open(name, posix.O_RDWR)
    if keep:
        fcntl.fcntl(fd, fcntl.F_SETFD, 0)  # without FD_CLOEXEC
    m = posix.mmap(None, 4096, READ_WRITE, posix.MAP_SHARED, fd)
    m.buf[:10] = b"inherited\n"
    shmid = sysv.shmget(sysv.IPC_PRIVATE, 4096, sysv.IPC_CREAT | sysv.IPC_EXCL | 0o600)
    segment = sysv.shmat(shmid)
    segment.buf[:8] = b"segment\n"
    sysv.shmctl(shmid, sysv.IPC_RMID)  # it goes with the last who is attached
    yield "before the fork"
    child = os.fork()
    if child == 0:
        signal.raise_signal(signal.SIGSTOP)
        os.execv("/bin/sh", ["sh", "-c", f"kill -STOP $$; head -c 10 <&{fd}"])
    os.waitpid(child, os.WUNTRACED)
    yield "fork"
    os.kill(child, signal.SIGCONT)
    os.waitpid(child, os.WUNTRACED)
    yield "exec"
    os.kill(child, signal.SIGCONT)
    os.waitpid(child, 0)
    yield "the child ended"
