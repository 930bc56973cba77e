"""Maps a page of an object, then reads, writes or executes its first byte. Twin: protect.c."""

import ctypes
import mmap
import os
from collections.abc import Iterator

from shmlab import posix

PAGE = posix.PAGE_SIZE


def protect(name: str, letters: str, deed: str) -> Iterator[str]:
    bits = {"r": mmap.PROT_READ, "w": mmap.PROT_WRITE, "x": mmap.PROT_EXEC}
    prot = sum(bits[letter] for letter in letters if letter in bits)  # "---" is PROT_NONE
    fd = posix.shm_open(name, os.O_RDWR)
    m = posix.mmap(None, PAGE, prot, mmap.MAP_SHARED, fd)
    os.close(fd)
    yield "mmap"
    if deed == "read":
        ctypes.string_at(m.address, 1)  # Python's own checks are not asked
    if deed == "write":
        ctypes.memset(m.address, 65, 1)
    if deed == "execute":
        ctypes.CFUNCTYPE(None)(m.address)()  # jumps there
    yield deed
