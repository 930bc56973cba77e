"""Maps an object shared or private, stores a letter in some pages, looks. Twin: store_and_look.c."""

import mmap
import os
from collections.abc import Iterator

from shmlab import posix

PAGE = posix.PAGE_SIZE
RW = mmap.PROT_READ | mmap.PROT_WRITE
FLAGS = {"MAP_SHARED": mmap.MAP_SHARED, "MAP_PRIVATE": mmap.MAP_PRIVATE}

PLACE = {"A": 0, "B": 1}
"""Which byte of a page is a letter's: side by side, so that the first two bytes say who stored there."""


def store_and_look(name: str, how: str, letter: str, *pages: int) -> Iterator[str]:
    fd = posix.shm_open(name, os.O_RDWR)
    m = posix.mmap(None, 4 * PAGE, RW, FLAGS[how], fd)
    os.close(fd)
    yield "mmap"
    for page in pages:
        at = page * PAGE + PLACE[letter]
        m.buf[at] = ord(letter)
        yield f"stored {letter} in page {page}"
    for _ in range(3):
        starts = (0, PAGE, 2 * PAGE)
        seen = b" ".join(m.buf[at : at + 2] for at in starts)
        yield f"sees {seen.decode()}"
