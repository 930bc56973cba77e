"""Becomes the user it is told to be, and tries what may be done to a segment. Twin: guest.c."""

import os
from collections.abc import Iterator

from shmlab import sysv
from shmlab.programs.stranger import said


def guest(key: int, uid: int) -> Iterator[str]:
    shmid = sysv.shmget(key, 0, 0)
    stat = sysv.shmctl(shmid, sysv.IPC_STAT)  # while we still may
    if uid != os.geteuid():  # only root may, and there is no way back
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    yield "user"
    print("shmget 0400:", said(sysv.shmget, key, 0, 0o400))
    print("shmget 0600:", said(sysv.shmget, key, 0, 0o600))
    print("shmat SHM_RDONLY:", said(sysv.shmat, shmid, None, sysv.SHM_RDONLY))
    print("shmat 0:", said(sysv.shmat, shmid, None, 0))
    print("shmctl IPC_STAT:", said(sysv.shmctl, shmid, sysv.IPC_STAT))
    yield "read"
    print("shmctl IPC_SET:", said(sysv.shmctl, shmid, sysv.IPC_SET, stat))
    print("shmctl IPC_RMID:", said(sysv.shmctl, shmid, sysv.IPC_RMID))
    yield "change"
