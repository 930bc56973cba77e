"""Maps an object and some memory of its own, and forks: the child stores into both. Twin: heir.c."""

import os
import signal
from collections.abc import Iterator

from shmlab import posix

READ_WRITE = posix.PROT_READ | posix.PROT_WRITE


def heir(name: str) -> Iterator[str]:
    fd = posix.shm_open(name, posix.O_RDWR)
    shared = posix.mmap(None, 4096, READ_WRITE, posix.MAP_SHARED, fd)
    private = posix.mmap(None, 4096, READ_WRITE, posix.MAP_PRIVATE | posix.MAP_ANONYMOUS, -1)
    shared.buf[:6] = private.buf[:6] = b"parent"
    _addresses = shared.address, private.address  # for the notebook, which looks at our variables
    yield "mmap"
    child = os.fork()
    if child == 0:
        print("the child finds", bytes(shared.buf[:6]), bytes(private.buf[:6]), flush=True)
        signal.raise_signal(signal.SIGSTOP)
        shared.buf[:6] = private.buf[:6] = b"child!"
        signal.raise_signal(signal.SIGSTOP)
        os._exit(0)
    os.waitpid(child, os.WUNTRACED)
    yield "fork"
    os.kill(child, signal.SIGCONT)
    os.waitpid(child, os.WUNTRACED)
    print("the parent finds", bytes(shared.buf[:6]), bytes(private.buf[:6]))
    yield "the child stored"
    os.kill(child, signal.SIGCONT)
    os.waitpid(child, 0)
    yield "the child ended"
