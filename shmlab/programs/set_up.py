"""Times making memory, storing a byte and removing it again, in four ways, by turns. Python alone, for one of
the ways is Python's."""

from collections.abc import Iterator
from time import perf_counter_ns

from shmlab import posix, sysv

WAYS = ("POSIX", "System V", "multiprocessing", "anonymous mmap")
READ_WRITE = posix.PROT_READ | posix.PROT_WRITE


def set_up(result: memoryview, rounds: int, times: int, size: int, name: str) -> Iterator[str]:
    """Store in *result* the nanoseconds of one life of *size* bytes: by round, within that by way."""
    calls = by_posix, by_system_v, by_multiprocessing, by_anonymous_mmap
    for life in calls:  # modules are loaded, and multiprocessing's tracker is started
        life(size, name)
    for turn in range(rounds):
        for number in range(len(calls)):
            way = (number + turn) % len(calls)
            begin = perf_counter_ns()
            for _ in range(times):
                calls[way](size, name)
            result[turn * len(calls) + way] = (perf_counter_ns() - begin) // times
    yield "measured"


def by_posix(size: int, name: str) -> None:
    fd = posix.shm_open(name, posix.O_CREAT | posix.O_EXCL | posix.O_RDWR, 0o600)
    posix.ftruncate(fd, size)
    m = posix.mmap(None, size, READ_WRITE, posix.MAP_SHARED, fd)
    posix.close(fd)
    m.buf[0] = 1
    posix.munmap(m)
    posix.shm_unlink(name)


def by_system_v(size: int, name: str) -> None:
    shmid = sysv.shmget(sysv.IPC_PRIVATE, size, 0o600)
    m = sysv.shmat(shmid)
    m.buf[0] = 1
    sysv.shmdt(m)
    sysv.shmctl(shmid, sysv.IPC_RMID)


def by_multiprocessing(size: int, name: str) -> None:
    from multiprocessing.shared_memory import SharedMemory

    m = SharedMemory(name[1:], create=True, size=size)
    assert m.buf is not None
    m.buf[0] = 1
    m.close()
    m.unlink()


def by_anonymous_mmap(size: int, name: str) -> None:
    m = posix.mmap(None, size, READ_WRITE, posix.MAP_SHARED | posix.MAP_ANONYMOUS, -1)
    m.buf[0] = 1
    posix.munmap(m)
