"""Stores a byte where the mapping does not let it, past everything Python checks. Twin: trespass.c."""

import ctypes
import mmap
import os
from collections.abc import Iterator

from shmlab import posix

PAGE = posix.PAGE_SIZE

LONELY = 0x10_0000_0000
"""Far from everything: right behind a mapping there's often another, and then nothing is noticed."""


def trespass(name: str, way: str) -> Iterator[str]:
    fd = posix.shm_open(name, os.O_RDWR)
    prot = mmap.PROT_READ if way == "read-only" else mmap.PROT_READ | mmap.PROT_WRITE
    m = posix.mmap(LONELY, PAGE, prot, mmap.MAP_SHARED, fd)
    os.close(fd)
    yield "mmap"
    at = m.address
    if way == "past the mapping":
        at += PAGE
    if way == "unmapped":
        posix.munmap(m)
    yield way
    ctypes.memset(at, 65, 1)  # stores one byte; Python does not look where
    yield "store"
