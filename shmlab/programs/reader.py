"""Opens an object that somebody else created, for reading only, and prints the text in it. Twin: reader.c."""

import os
from collections.abc import Iterator

from shmlab import posix


def reader(name: str) -> Iterator[str]:
    fd = posix.shm_open(name, posix.O_RDONLY)
    size = os.fstat(fd).st_size
    yield "shm_open"
    m = posix.mmap(None, size, posix.PROT_READ, posix.MAP_SHARED, fd)
    os.close(fd)
    yield "mmap"
    text = bytes(m.buf).partition(b"\0")[0]
    print(text.decode())
    yield "print"
    posix.munmap(m)
    yield "munmap"
