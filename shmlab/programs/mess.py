"""Makes some segments, visits somebody else's, and dies without a word: what it made stays. Twin: mess.c."""

import os
import random
import signal
from collections.abc import Iterator

from shmlab import sysv


def mess(key: int) -> Iterator[str]:
    for _ in range(random.randint(3, 6)):
        shmid = sysv.shmget(sysv.IPC_PRIVATE, random.randint(1, 20_000), 0o600)
        sysv.shmat(shmid).buf[0] = 1
        yield "made one"
    sysv.shmdt(sysv.shmat(sysv.shmget(key, 0, 0)))
    yield "visited another's"
    os.kill(os.getpid(), signal.SIGKILL)
