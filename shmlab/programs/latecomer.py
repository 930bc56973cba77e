"""Forks, then the child maps an object, and the parent follows the child's pointer. Twin: latecomer.c."""

import ctypes
import os
import signal
from collections.abc import Iterator

from shmlab import posix

READ_WRITE = posix.PROT_READ | posix.PROT_WRITE


def latecomer(name: str) -> Iterator[str]:
    fd = posix.shm_open(name, posix.O_RDWR)
    note = posix.mmap(None, 4096, READ_WRITE, posix.MAP_SHARED | posix.MAP_ANONYMOUS, -1).buf.cast("Q")
    child = os.fork()
    if child == 0:
        late = posix.mmap(None, 4096, READ_WRITE, posix.MAP_SHARED, fd)
        late.buf[:5] = b"hello"
        note[0] = late.address
        signal.raise_signal(signal.SIGSTOP)
        os._exit(0)
    os.waitpid(child, os.WUNTRACED)
    address = note[0]
    yield "the child mapped"
    print("the parent finds", ctypes.string_at(address, 5))
    yield "the parent looked"
