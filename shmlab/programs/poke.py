"""Attaches a segment and stores one byte at an offset, past everything that Python checks. Twin: poke.c."""

import ctypes
from collections.abc import Iterator

from shmlab import sysv


def poke(shmid: int, shmflg: int, offset: int) -> Iterator[str]:
    m = sysv.shmat(shmid, LONELY, shmflg)
    yield "shmat"
    ctypes.memset(m.address + offset, 65, 1)  # stores one byte; Python doesn't look where
    yield "store"


LONELY = 0x10_0000_0000
"""Far from everything: right behind an attachment there's often a mapping, and then nothing is noticed."""
