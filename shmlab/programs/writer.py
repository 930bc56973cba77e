"""Opens an object by its name and writes a text into it, one byte a step. Twin: writer.c."""

import os
from collections.abc import Iterator

from shmlab import posix


def writer(name: str, text: str) -> Iterator[str]:
    fd = posix.shm_open(name, posix.O_RDWR)
    yield "shm_open"
    prot = posix.PROT_READ | posix.PROT_WRITE
    m = posix.mmap(None, 4096, prot, posix.MAP_SHARED, fd)
    os.close(fd)
    yield "mmap"
    for i, byte in enumerate(text.encode()):
        m.buf[i] = byte
        yield "store"
    posix.munmap(m)
    yield "munmap"
