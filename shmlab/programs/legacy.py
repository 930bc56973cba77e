"""Forks; the child leaves a number; the parent reads it before it waits, or after. Twin: legacy.c."""

import os
from collections.abc import Iterator

from shmlab import posix


def legacy(name: str, go: str, done: str, first: str) -> Iterator[str]:
    fd = posix.shm_open(name, posix.O_RDWR)
    prot = posix.PROT_READ | posix.PROT_WRITE
    memory = posix.mmap(None, 4096, prot, posix.MAP_SHARED, fd).buf.cast("Q")
    go_on, stored = posix.sem_open(go, 0), posix.sem_open(done, 0)
    child = os.fork()
    if child == 0:
        posix.sem_wait(go_on)
        memory[0] = 42
        posix.sem_post(stored)
        posix.sem_wait(go_on)
        os._exit(0)
    yield "fork"
    if first == "wait":
        os.waitpid(child, 0)
        yield "waitpid"
    memory[1] = memory[0]
    yield f"reads {memory[1]}"
    if first == "read":
        os.waitpid(child, 0)
        yield "waitpid"
