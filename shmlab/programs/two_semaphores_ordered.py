"""Needs two semaphores at once and takes them in the order of their names, however it was told: no two of
these deadlock. Twin: two_semaphores_ordered.c."""

from collections.abc import Iterator

from shmlab import posix


def two_semaphores_ordered(first: str, second: str) -> Iterator[str]:
    first, second = sorted([first, second])  # the whole difference
    one, other = posix.sem_open(first, 0), posix.sem_open(second, 0)
    posix.sem_wait(one)
    yield "sem_wait first"
    posix.sem_wait(other)
    yield "sem_wait second"
    posix.sem_post(other)
    yield "sem_post second"
    posix.sem_post(one)
    yield "sem_post first"
