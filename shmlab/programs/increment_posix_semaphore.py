"""Adds one to a shared counter, as increment does, in a critical section that a named semaphore guards.
Twin: increment_posix_semaphore.c."""

from collections.abc import Iterator

from shmlab import posix


def increment_posix_semaphore(counter: memoryview, name: str, times: int) -> Iterator[str]:
    sem = posix.sem_open(name, 0)
    for _ in range(times):
        posix.sem_wait(sem)
        yield "sem_wait"
        value = counter[0]
        yield "load"
        counter[0] = value + 1
        yield "store"
        posix.sem_post(sem)
        yield "sem_post"
