"""Moves to an IPC namespace of its own, where permitted, and makes its first segments. Twin: first_id.c."""

import ctypes
import os
from collections.abc import Iterator

from shmlab import sysv
from shmlab.programs.stranger import said

CLONE_NEWIPC, CLONE_NEWUSER = 0x08000000, 0x10000000  # unshare(2); a user namespace may permit the other


def first_id(known: int) -> Iterator[str]:
    unshare = ctypes.CDLL(None, use_errno=True).unshare
    if unshare(CLONE_NEWIPC) == -1 and unshare(CLONE_NEWIPC | CLONE_NEWUSER) == -1:
        print("not permitted:", os.strerror(ctypes.get_errno()))
        return
    print("the id from outside:", said(sysv.shmat, known))
    yield "unshare"
    ids = [sysv.shmget(sysv.IPC_PRIVATE, 4096, sysv.IPC_CREAT | 0o600) for _ in range(2)]
    print("ids:", *ids)
    print(f"shmat({ids[0]}):", said(sysv.shmat, ids[0]))
    yield "shmget"
