"""Fills an object in a /dev/shm of 1 MiB, sized by ftruncate or by posix_fallocate. Twin: fill.c."""

import mmap
import os
from collections.abc import Iterator

from shmlab import posix
from shmlab.programs.private_shm import private_shm

PAGE = posix.PAGE_SIZE
ROOM = 1 << 20


def fill(name: str, size: int, how: str) -> Iterator[str]:
    private_shm(ROOM)
    yield "a /dev/shm of 1 MiB"
    fd = posix.shm_open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    if how == "ftruncate":
        posix.ftruncate(fd, size)
    else:
        posix.posix_fallocate(fd, 0, size)
    yield how
    m = posix.mmap(None, size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, fd)
    os.close(fd)
    yield "mmap"
    for at in range(0, size, PAGE):
        m.buf[at] = 1
        yield "store"
