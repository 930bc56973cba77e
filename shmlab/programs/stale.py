"""Counts in how many rounds a parent reads before its child has stored. Twin: stale.c."""

import os
import time
from collections.abc import Iterator

from shmlab import posix


def stale(name: str, rounds: int, between: str) -> Iterator[str]:
    fd = posix.shm_open(name, posix.O_RDWR)
    prot = posix.PROT_READ | posix.PROT_WRITE
    memory = posix.mmap(None, 4096, prot, posix.MAP_SHARED, fd).buf.cast("Q")
    memory[0] = memory[1] = 0
    for number in range(1, rounds + 1):
        child = os.fork()
        if child == 0:
            memory[0] = number
            os._exit(0)
        if between == "waitpid":
            os.waitpid(child, 0)
        if between == "a pause":
            time.sleep(0.0005)  # a guess at how long the child takes: what this program shows to be wrong
        if memory[0] != number:
            memory[1] += 1
        if between != "waitpid":
            os.waitpid(child, 0)
        yield "round"
