"""Kills the process that made the segment of a key, as ``kill -9`` does. Twin: killer.c."""

import os
import signal
from collections.abc import Iterator

from shmlab import sysv


def killer(key: int) -> Iterator[str]:
    shmid = sysv.shmget(key, 0, 0)
    ds = sysv.shmctl(shmid, sysv.IPC_STAT)
    creator = ds.shm_cpid
    yield f"its creator is {creator}"
    os.kill(creator, signal.SIGKILL)
    yield f"kill -9 {creator}"
