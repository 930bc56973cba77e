"""Adds one to a shared counter, as increment does, in a critical section that a System V semaphore guards.
Twin: increment_sysv_semaphore.c."""

from collections.abc import Iterator

from shmlab import sysv


def increment_sysv_semaphore(counter: memoryview, key: int, times: int, flags: int = 0) -> Iterator[str]:
    semid = sysv.semget(key, 1, 0)
    for _ in range(times):
        sysv.semop(semid, [sysv.sembuf(0, -1, flags)])  # flags: 0, or SEM_UNDO
        yield "semop -1"
        value = counter[0]
        yield "load"
        counter[0] = value + 1
        yield "store"
        sysv.semop(semid, [sysv.sembuf(0, 1, flags)])
        yield "semop +1"
