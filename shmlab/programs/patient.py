"""Waits, a bounded number of tries, for an object that announce creates, and reads it. Twin: patient.c."""

import os
from collections.abc import Iterator

from shmlab import posix


def patient(name: str, tries: int) -> Iterator[str]:
    for _ in range(tries):
        try:
            fd = posix.shm_open(name, posix.O_RDONLY)  # no O_CREAT: who reads creates nothing
        except FileNotFoundError:
            yield "no such name"
            continue
        if os.fstat(fd).st_size < 4096:
            os.close(fd)
            yield "no size yet"
            continue
        m = posix.mmap(None, 4096, posix.PROT_READ, posix.MAP_SHARED, fd)
        os.close(fd)
        text = bytes(m.buf[1 : 1 + m.buf[0]]).decode()
        posix.munmap(m)
        if text:
            print(f"'{text}'")
            yield "print"
            return
        yield "no text yet"
    raise TimeoutError(f"{tries} tries, and nobody announced {name}")
