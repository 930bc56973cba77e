"""A reader that creates what it came to read, and unlinks it afterwards. Twin: hasty_reader.c."""

import os
from collections.abc import Iterator

from shmlab import posix


def hasty_reader(name: str) -> Iterator[str]:
    fd = posix.shm_open(name, posix.O_RDWR | posix.O_CREAT, 0o600)
    posix.ftruncate(fd, 4096)
    yield "shm_open"
    m = posix.mmap(None, 4096, posix.PROT_READ | posix.PROT_WRITE, posix.MAP_SHARED, fd)
    os.close(fd)
    yield "mmap"
    text = bytes(m.buf).partition(b"\0")[0].decode()
    print(f"'{text}'")
    yield "print"
    posix.munmap(m)
    posix.shm_unlink(name)
    yield "shm_unlink"
