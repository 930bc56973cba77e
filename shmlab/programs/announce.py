"""Creates an object, and nobody else's: sizes it, fills it, and says so last of all. Twin: announce.c."""

import os
from collections.abc import Iterator

from shmlab import posix


def announce(name: str, text: str) -> Iterator[str]:
    fd = posix.shm_open(name, posix.O_CREAT | posix.O_EXCL | posix.O_RDWR, 0o600)
    yield "shm_open"
    posix.ftruncate(fd, 4096)
    yield "ftruncate"
    m = posix.mmap(None, 4096, posix.PROT_READ | posix.PROT_WRITE, posix.MAP_SHARED, fd)
    os.close(fd)
    data = text.encode()
    m.buf[1 : 1 + len(data)] = data
    yield "store"
    m.buf[0] = len(data)  # the announcement: until now this byte was 0
    yield "announce"
    posix.munmap(m)
