"""Parent and child work for a while, and note in shared memory when they did what. Twin: diary.c."""

import os
from collections.abc import Iterator
from time import monotonic_ns as now

from shmlab import posix


def diary(name: str, child_ms: int, parent_ms: int) -> Iterator[str]:
    fd = posix.shm_open(name, posix.O_RDWR)
    prot = posix.PROT_READ | posix.PROT_WRITE
    memory = posix.mmap(None, 4096, prot, posix.MAP_SHARED, fd).buf.cast("Q")
    memory[0] = 0
    memory[3] = now()  # about to fork
    child = os.fork()
    if child == 0:
        memory[4] = now()  # the child's first line
        work(child_ms)
        memory[0] = 42
        memory[5] = now()  # stored, about to end
        os._exit(0)
    work(parent_ms)
    memory[1] = memory[0]
    memory[6] = now()  # read, about to wait
    os.waitpid(child, 0)
    memory[7] = now()  # waited
    memory[2] = memory[0]
    work(5)
    memory[8] = now()
    yield "written"


def work(milliseconds: int) -> None:
    end = now() + milliseconds * 1_000_000
    while now() < end:
        pass
