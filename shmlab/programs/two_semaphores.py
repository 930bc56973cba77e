"""Needs two semaphores at once and takes them in the order it was told: two of these, told differently, can
deadlock. Twin: two_semaphores.c."""

from collections.abc import Iterator

from shmlab import posix


def two_semaphores(first: str, second: str) -> Iterator[str]:
    one, other = posix.sem_open(first, 0), posix.sem_open(second, 0)
    posix.sem_wait(one)
    yield "sem_wait first"
    posix.sem_wait(other)
    yield "sem_wait second"
    posix.sem_post(other)
    yield "sem_post second"
    posix.sem_post(one)
    yield "sem_post first"
