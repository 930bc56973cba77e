"""Forks; parent and child store into every kind of memory, each says what it finds. Twin: family.c."""

import os
import signal
from collections.abc import Iterator

from shmlab import posix, sysv

READ_WRITE = posix.PROT_READ | posix.PROT_WRITE
ANONYMOUS = posix.MAP_ANONYMOUS


def family(name: str) -> Iterator[str]:
    fd = posix.shm_open(name, posix.O_RDWR)
    shmid = sysv.shmget(sysv.IPC_PRIVATE, 4096, sysv.IPC_CREAT | sysv.IPC_EXCL | 0o600)
    segment = sysv.shmat(shmid)
    sysv.shmctl(shmid, sysv.IPC_RMID)  # it goes with the last who is attached
    places = [
        posix.mmap(None, 4096, READ_WRITE, posix.MAP_SHARED, fd).buf,
        posix.mmap(None, 4096, READ_WRITE, posix.MAP_SHARED | ANONYMOUS, -1).buf,
        segment.buf,
        posix.mmap(None, 4096, READ_WRITE, posix.MAP_PRIVATE | ANONYMOUS, -1).buf,
        memoryview(bytearray(2)),  # a variable, on the heap
    ]
    for place in places:
        place[:2] = b".."
    yield "before the fork"
    child = os.fork()
    if child == 0:
        for place in places:
            place[1:2] = b"C"
        os.lseek(fd, 77, os.SEEK_SET)
        signal.raise_signal(signal.SIGSTOP)
        print(*(bytes(place[:2]).decode() for place in places), os.lseek(fd, 0, os.SEEK_CUR), flush=True)
        os._exit(0)
    os.waitpid(child, os.WUNTRACED)
    yield "the child stored"
    for place in places:
        place[:1] = b"P"
    yield "the parent stored"
    os.kill(child, signal.SIGCONT)
    os.waitpid(child, 0)
    print(*(bytes(place[:2]).decode() for place in places), os.lseek(fd, 0, os.SEEK_CUR))
    yield "both looked"
