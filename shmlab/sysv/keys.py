"""Keys, and what segments and semaphore sets have in common: ftok and the IPC_… constants.

Segments are `shmlab.sysv.segments`, semaphore sets `shmlab.sysv.semaphores`.
"""

import os

import sysv_ipc

from shmlab.failures import INT_MAX, INT_MIN, check_range, failure

IPC_PRIVATE: int = sysv_ipc.IPC_PRIVATE
IPC_CREAT: int = sysv_ipc.IPC_CREAT
IPC_EXCL: int = sysv_ipc.IPC_EXCL
# What sysv_ipc doesn't name: linux/ipc.h, the same everywhere.
IPC_NOWAIT = 0o4000
IPC_RMID, IPC_SET, IPC_STAT, IPC_INFO = 0, 1, 2, 3


def ftok(pathname: str, proj_id: int) -> int:
    """Make a key of a file and a number. ``key_t ftok(const char *pathname, int proj_id)``

    *pathname* must exist; of *proj_id* the low 8 bits count, and Linux accepts 0. The key holds 8 bits of
    the device's number and 16 of the inode's: a file that was deleted and made again gives another key, and
    two files may give the same (FACTS F39, F40).

    Returns a signed key, which may be negative. Raises FileNotFoundError (ENOENT), PermissionError (EACCES),
    whatever else stat(2) does, with the path; ValueError for a NUL in it, TypeError, OverflowError.

    Source: ftok(3), POSIX.1-2017; FACTS F39, F40.
    """
    check_range(proj_id, INT_MIN, INT_MAX, "proj_id")
    path = os.fspath(pathname)
    try:
        key: int = sysv_ipc.ftok(path, proj_id, silence_warning=True)
    except OSError as error:
        raise failure(error.errno or 0, path) from None
    return key
