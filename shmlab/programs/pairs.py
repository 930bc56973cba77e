"""Times pairs of taking and giving back, by turns, of what nobody else wants: a POSIX semaphore, a System V
semaphore, a record lock. Twin: pairs.c, which has a spin lock too."""

import fcntl
from collections.abc import Iterator
from time import perf_counter_ns

from shmlab import posix, sysv

WAYS = ("POSIX semaphore", "System V semaphore", "fcntl record lock", "spinning")
"""What is timed, in the order of the results. Spinning takes an atomic exchange, which Python hasn't got."""


def pairs(result: memoryview, name: str, semaphore: str, key: int, rounds: int, times: int) -> Iterator[str]:
    """Store in *result* the nanoseconds that *times* pairs took: by round, within that by way."""
    fd = posix.shm_open(name, posix.O_RDWR)
    sem, semid = posix.sem_open(semaphore, 0), sysv.semget(key, 1, 0)
    down, up = [sysv.sembuf(0, -1, 0)], [sysv.sembuf(0, 1, 0)]
    for turn in range(rounds):
        begin = perf_counter_ns()
        for _ in range(times):
            posix.sem_wait(sem)
            posix.sem_post(sem)
        after_posix = perf_counter_ns()
        for _ in range(times):
            sysv.semop(semid, down)
            sysv.semop(semid, up)
        after_system_v = perf_counter_ns()
        for _ in range(times):
            fcntl.lockf(fd, fcntl.LOCK_EX)
            fcntl.lockf(fd, fcntl.LOCK_UN)
        end = perf_counter_ns()
        result[turn * len(WAYS)] = after_posix - begin
        result[turn * len(WAYS) + 1] = after_system_v - after_posix
        result[turn * len(WAYS) + 2] = end - after_system_v
        yield "round"
