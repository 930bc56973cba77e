"""A writer that doesn't ask who was first: O_CREAT without O_EXCL. For hasty_reader. Twin: hasty_writer.c."""

import os
from collections.abc import Iterator

from shmlab import posix


def hasty_writer(name: str, text: str) -> Iterator[str]:
    fd = posix.shm_open(name, posix.O_RDWR | posix.O_CREAT, 0o600)
    posix.ftruncate(fd, 4096)
    yield "shm_open"
    m = posix.mmap(None, 4096, posix.PROT_READ | posix.PROT_WRITE, posix.MAP_SHARED, fd)
    os.close(fd)
    yield "mmap"
    data = text.encode()
    m.buf[: len(data)] = data
    yield "store"
    posix.munmap(m)
    yield "munmap"
