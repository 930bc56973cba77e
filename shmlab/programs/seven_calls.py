"""Makes the seven calls of an object's whole life, from shm_open to shm_unlink. Twin: seven_calls.c."""

from collections.abc import Iterator

from shmlab import posix


def seven_calls(name: str, text: str) -> Iterator[str]:
    fd = posix.shm_open(name, posix.O_CREAT | posix.O_EXCL | posix.O_RDWR, 0o600)
    yield "shm_open"
    posix.ftruncate(fd, 10_000)
    yield "ftruncate"
    m = posix.mmap(None, 10_000, posix.PROT_READ | posix.PROT_WRITE, posix.MAP_SHARED, fd)
    yield "mmap"
    m.buf[: len(text)] = text.encode("ascii")
    yield "store"
    posix.msync(m)
    yield "msync"
    posix.munmap(m)
    yield "munmap"
    posix.close(fd)
    yield "close"
    posix.shm_unlink(name)
    yield "shm_unlink"
