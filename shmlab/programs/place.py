"""Maps an object at an address where something stands already, politely or by force. Twin: place.c."""

import mmap
import os
from collections.abc import Iterator

from shmlab import posix

PAGE = posix.PAGE_SIZE
FLAGS = {"hint": 0, "MAP_FIXED": posix.MAP_FIXED, "MAP_FIXED_NOREPLACE": posix.MAP_FIXED_NOREPLACE}


def place(name: str, how: str) -> Iterator[str]:
    prot = mmap.PROT_READ | mmap.PROT_WRITE
    mine = posix.mmap(None, PAGE, prot, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1)
    mine.buf[:8] = b"precious"
    yield "precious"
    fd = posix.shm_open(name, os.O_RDWR)
    m = posix.mmap(mine.address, PAGE, prot, mmap.MAP_SHARED | FLAGS[how], fd)
    os.close(fd)
    where = "there" if m.address == mine.address else "elsewhere"
    yield f"mapped {where}; at the address stands {bytes(mine.buf[:8]).decode()}"
