"""Segments: shmget and shmctl. Attaching them is `shmlab.sysv.attachments`.

libc makes the calls, for sysv_ipc attaches what it gets, fills it with spaces (FACTS P09) and knows no
IPC_STAT as a whole; only removal is sysv_ipc's.
"""

from __future__ import annotations

import errno

import sysv_ipc

from shmlab.failures import INT_MAX, INT_MIN, check_range, failure
from shmlab.sysv.failures import of_id, of_key, signed_key, translated
from shmlab.sysv.keys import IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT
from shmlab.sysv.later import libc

TYPE_CHECKING = False  # typing's own costs a worker milliseconds
if TYPE_CHECKING:
    from typing import Any

    from shmlab.sysv.records import shmid_ds

_remove = sysv_ipc.remove_shared_memory

SHM_HUGETLB: int = sysv_ipc.SHM_HUGETLB
SHM_NORESERVE: int = sysv_ipc.SHM_NORESERVE
# What sysv_ipc doesn't name: linux/shm.h and asm-generic/shmparam.h, the same everywhere.
SHM_R, SHM_W = 0o400, 0o200
SHM_DEST, SHM_LOCKED = 0o1000, 0o2000
SHM_LOCK, SHM_UNLOCK = 11, 12
SHM_STAT, SHM_INFO, SHM_STAT_ANY = 13, 14, 15


def shmget(key: int, size: int, shmflg: int) -> int:
    """Create a segment, or find one. ``int shmget(key_t key, size_t size, int shmflg)``

    *key* is IPC_PRIVATE (always a new segment) or a number that its users agree on, such as `ftok` makes:
    -2**31 … 2**31 - 1 as in C, or the same 32 bits unsigned, as ipcs prints them. *size* is in bytes; for a
    segment that exists 0 or anything up to its size will do. *shmflg* is the mode (0o600: no umask is
    applied; nothing at all is mode 0) with IPC_CREAT, IPC_EXCL, SHM_HUGETLB, SHM_NORESERVE.

    Returns the id, which may be 0. Nothing is attached. A new segment is filled with zeros.

    Raises FileExistsError (EEXIST: IPC_CREAT | IPC_EXCL and it exists), FileNotFoundError (ENOENT),
    PermissionError (EACCES: *shmflg* asks for more than the mode grants), OSError with EINVAL (size 0 for a
    new one, larger than an existing one, above SHMMAX), ENOSPC, ENOMEM …, each with the key; OverflowError
    for what the C type can't hold, keys of more than 32 bits included (FACTS P13).

    Source: shmget(2), POSIX.1-2017; FACTS D31-D45, F37, F38, F49, P09, P13, P14.
    """
    if not 0 <= key <= INT_MAX:
        key = signed_key(key)
    try:
        return libc.shmget(key, size, shmflg)
    except OSError as error:
        raise failure(error.errno or 0, of_key(key)) from None


def shmctl(shmid: int, cmd: int, buf: shmid_ds | None = None) -> Any:
    """Ask about a segment, change it, or remove it. ``int shmctl(int shmid, int cmd, struct shmid_ds *buf)``

    | *cmd* | what happens | returned |
    |---|---|---|
    | IPC_STAT | asks; needs permission to read | `shmid_ds` |
    | IPC_SET | sets uid, gid and the 9 mode bits of *buf*, a `shmid_ds`; owner, creator or root | None |
    | IPC_RMID | removes, once nobody is attached (SHM_DEST until then); owner, creator or root | None |
    | SHM_LOCK, SHM_UNLOCK | keeps in memory, or no longer; see RLIMIT_MEMLOCK | None |
    | SHM_STAT, SHM_STAT_ANY | as IPC_STAT, by an index of the kernel's; ANY: anybody may | id, `shmid_ds` |
    | IPC_INFO | asks for the limits | highest index in use, `shminfo` |
    | SHM_INFO | asks for what is in use | highest index in use, `shm_info` |

    C fills *buf* in where this returns a value. Removing disconnects nobody (FACTS D28).

    Raises OSError with the kernel's errno and the id: EINVAL (no such id, removed, unknown *cmd*),
    PermissionError (EACCES for IPC_STAT, EPERM), ENOMEM (SHM_LOCK), EIDRM; TypeError when IPC_SET gets no
    `shmid_ds` or another *cmd* gets one; OverflowError for what the C type can't hold.

    Source: shmctl(2), POSIX.1-2017; FACTS D57-D64, F43-F46, F48.
    """
    if not 0 <= shmid <= INT_MAX:
        check_range(shmid, INT_MIN, INT_MAX, "shmid")
    if buf is not None and cmd != IPC_SET:
        raise TypeError("buf is for IPC_SET only; what the kernel tells is returned")
    if cmd == IPC_RMID:
        try:
            _remove(shmid)
        except (sysv_ipc.Error, OSError) as error:
            raise translated(error, of_id(shmid), errno.EPERM) from None
        return None

    try:
        if cmd in (SHM_LOCK, SHM_UNLOCK):
            libc.shmctl(shmid, cmd)
            return None
        return _with_structure(shmid, cmd, buf)
    except OSError as error:
        by_index = cmd in (SHM_STAT, SHM_STAT_ANY)
        raise failure(error.errno or 0, f"index {shmid}" if by_index else of_id(shmid)) from None


def _with_structure(shmid: int, cmd: int, buf: shmid_ds | None) -> Any:
    from ctypes import byref

    from shmlab.sysv import layouts, records

    if cmd == IPC_SET:
        if not isinstance(buf, records.shmid_ds):
            raise TypeError(f"IPC_SET needs a shmid_ds, as IPC_STAT gives, not {type(buf).__name__}")
        libc.shmctl(shmid, cmd, byref(records.for_set(buf, layouts.ShmidDs)))
        return None
    kind, raw = {
        IPC_INFO: (records.shminfo, layouts.ShmInfo()),
        SHM_INFO: (records.shm_info, layouts.ShmUsage()),
    }.get(cmd, (records.shmid_ds, layouts.ShmidDs()))
    answer = libc.shmctl(shmid, cmd, byref(raw))
    found = records.told(kind, raw)
    return found if cmd == IPC_STAT else (answer, found)
