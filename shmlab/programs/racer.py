"""Adds one to a shared counter, again and again, and notes in a word of its own how often it has: the words
together say what the counter should be. Word CURE says by what the next increment is guarded. Twin:
racer.c."""

import fcntl
from collections.abc import Callable, Iterator

from shmlab import posix, sysv

COUNT, CURE, OWN = 0, 1, 8
"""Words of the race: the counter, the cure in force (an index of CURES), and process *who*'s own at OWN *
who, each in a cache line of its own."""

MOST = 8
"""The highest *who*: the lab's races have two to four."""

CURES = ("none", "POSIX semaphore", "System V semaphore", "flock", "atomic")


def racer(name: str, who: int, times: int, semaphore: str, key: int) -> Iterator[str]:
    fd = posix.shm_open(name, posix.O_RDWR)
    prot = posix.PROT_READ | posix.PROT_WRITE
    race = posix.mmap(None, 4096, prot, posix.MAP_SHARED, fd).buf.cast("Q")
    guards = guards_of(fd, semaphore, key)
    for _ in range(times):
        enter, leave = guards[race[CURE]]
        enter()
        value = race[COUNT]
        yield "load"
        race[COUNT] = value + 1
        yield "store"
        leave()
        race[OWN * who] += 1


def guards_of(
    fd: int, semaphore: str, key: int
) -> tuple[tuple[Callable[[], object], Callable[[], object]], ...]:
    sem, semid = posix.sem_open(semaphore, 0), sysv.semget(key, 1, 0)
    down, up = [sysv.sembuf(0, -1, sysv.SEM_UNDO)], [sysv.sembuf(0, 1, sysv.SEM_UNDO)]
    return (
        (nothing, nothing),
        (lambda: posix.sem_wait(sem), lambda: posix.sem_post(sem)),
        (lambda: sysv.semop(semid, down), lambda: sysv.semop(semid, up)),
        (lambda: fcntl.flock(fd, fcntl.LOCK_EX), lambda: fcntl.flock(fd, fcntl.LOCK_UN)),
        (no_atomic, no_atomic),
    )


def nothing() -> None:
    pass


def no_atomic() -> None:
    raise ValueError("Python can't add to shared memory atomically: that takes C")
