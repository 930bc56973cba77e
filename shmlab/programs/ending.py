"""Forks; the child ends, or stops, as it's told to; the parent notes the status. Twin: ending.c."""

import os
import signal
from collections.abc import Iterator

from shmlab import posix


def ending(name: str, how: str, number: int) -> Iterator[str]:
    fd = posix.shm_open(name, posix.O_RDWR)
    prot = posix.PROT_READ | posix.PROT_WRITE
    memory = posix.mmap(None, 4096, prot, posix.MAP_SHARED, fd).buf.cast("Q")
    child = os.fork()
    if child == 0:
        if how == "signal":
            os.kill(os.getpid(), number)
        os._exit(number)
    _, status = os.waitpid(child, os.WUNTRACED)
    memory[0] = status
    yield "waitpid"
    if os.WIFSTOPPED(status):
        os.kill(child, signal.SIGCONT)
        os.waitpid(child, 0)
