"""Two children add one to one counter, again and again; the parent waits for both. Twin: siblings.c."""

import os
from collections.abc import Iterator

from shmlab import posix


def siblings(name: str, times: int) -> Iterator[str]:
    fd = posix.shm_open(name, posix.O_RDWR)
    prot = posix.PROT_READ | posix.PROT_WRITE
    counter = posix.mmap(None, 4096, prot, posix.MAP_SHARED, fd).buf.cast("Q")
    counter[0] = 0
    (loaded, has_loaded), (may_go, go) = os.pipe(), os.pipe()
    for _ in range(2):
        if os.fork() == 0:
            for turn in range(times):
                value = counter[0]
                if turn == 0:  # neither stores before both have loaded
                    os.write(has_loaded, b".")
                    os.read(may_go, 1)
                counter[0] = value + 1
            os._exit(0)
    for _ in range(2):
        os.read(loaded, 1)
    yield "both loaded"
    os.write(go, b"..")
    os.wait()
    os.wait()
    yield "both ended"
