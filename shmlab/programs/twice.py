"""Maps one object at two addresses, and leaves in it a pointer and an offset to a word. Twin: twice.c."""

import ctypes
import mmap
import os
import struct
from collections.abc import Iterator

from shmlab import posix

PAGE = posix.PAGE_SIZE

LONELY = 0x10_0000_0000
"""Far from everything: an address that is wrong elsewhere is then sure to be noticed."""


def twice(name: str, by: str) -> Iterator[str]:
    fd = posix.shm_open(name, os.O_RDWR)
    prot = mmap.PROT_READ | mmap.PROT_WRITE
    one = posix.mmap(LONELY, PAGE, prot, mmap.MAP_SHARED, fd)
    two = posix.mmap(None, PAGE, prot, mmap.MAP_SHARED, fd)
    os.close(fd)
    yield "mapped twice"
    one.buf[64:69] = b"hello"
    yield f"the other sees {bytes(two.buf[64:69]).decode()}"
    struct.pack_into("QQ", one.buf, 0, one.address + 64, 64)
    yield "pointer and offset stored"
    posix.munmap(one)
    yield "one mapping removed"
    pointer, offset = struct.unpack_from("QQ", two.buf)
    word = ctypes.string_at(pointer if by == "pointer" else two.address + offset, 5)
    yield f"found {word.decode()}"
