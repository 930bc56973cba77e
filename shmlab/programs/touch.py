"""Maps an object, sized or not, and reads some of its bytes, one a step. Twin: touch.c."""

import mmap
import os
from collections.abc import Iterator

from shmlab import posix


def touch(name: str, length: int, offset: int, count: int) -> Iterator[str]:
    fd = posix.shm_open(name, os.O_RDWR)
    yield "shm_open"
    m = posix.mmap(None, length, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, fd)
    os.close(fd)
    yield "mmap"
    for at in range(offset, offset + count):
        value = m.buf[at]
        yield f"read {value}"
