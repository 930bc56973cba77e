"""Is told a descriptor's number and a segment's id by another process, and uses both. Twin: two_numbers.c."""

from collections.abc import Iterator

from shmlab import posix, sysv
from shmlab.programs.stranger import said


def two_numbers(fd: int, shmid: int) -> Iterator[str]:
    print("mmap:", said(posix.mmap, None, 4096, posix.PROT_READ, posix.MAP_SHARED, fd))
    yield "mmap"
    print("shmat:", said(sysv.shmat, shmid, None, sysv.SHM_RDONLY))
    yield "shmat"
