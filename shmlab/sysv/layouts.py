"""The kernel's structures as ctypes lays them out: struct shmid_ds, shminfo, semid_ds, sembuf and the others.

As glibc has them on 64-bit machines (<bits/types/struct_shmid_ds.h> and its neighbours; a test compares them
with the compiler's). Importing this imports ctypes, so `shmlab.sysv` does it inside the functions that need
it.
"""

import ctypes
import os

_INT, _UINT, _LONG, _ULONG, _SHORT, _USHORT = (
    ctypes.c_int,
    ctypes.c_uint,
    ctypes.c_long,
    ctypes.c_ulong,
    ctypes.c_short,
    ctypes.c_ushort,
)


class IpcPerm(ctypes.Structure):
    """``struct ipc_perm``: who owns an object, who made it, and who may what."""

    _fields_ = (
        ("key", _INT),  # __key
        ("uid", _UINT),
        ("gid", _UINT),
        ("cuid", _UINT),
        ("cgid", _UINT),
        ("mode", _UINT),
        ("seq", _USHORT),  # __seq
        ("_pad", _USHORT),
        ("_reserved", _ULONG * 2),
    )


class ShmidDs(ctypes.Structure):
    """``struct shmid_ds``, for IPC_STAT, IPC_SET, SHM_STAT, SHM_STAT_ANY."""

    _fields_ = (
        ("shm_perm", IpcPerm),
        ("shm_segsz", ctypes.c_size_t),
        ("shm_atime", _LONG),
        ("shm_dtime", _LONG),
        ("shm_ctime", _LONG),
        ("shm_cpid", _INT),
        ("shm_lpid", _INT),
        ("shm_nattch", _ULONG),
        ("_reserved", _ULONG * 2),
    )


class ShmInfo(ctypes.Structure):
    """``struct shminfo``, for IPC_INFO: the limits."""

    _fields_ = (
        ("shmmax", _ULONG),
        ("shmmin", _ULONG),
        ("shmmni", _ULONG),
        ("shmseg", _ULONG),
        ("shmall", _ULONG),
        ("_reserved", _ULONG * 4),
    )


class ShmUsage(ctypes.Structure):
    """``struct shm_info``, for SHM_INFO: what is in use."""

    _fields_ = (
        ("used_ids", _INT),
        ("shm_tot", _ULONG),
        ("shm_rss", _ULONG),
        ("shm_swp", _ULONG),
        ("swap_attempts", _ULONG),
        ("swap_successes", _ULONG),
    )


_TIMES = (
    # x86 reserves a word beside each time; other 64-bit machines don't (asm/sembuf.h).
    (("sem_otime", _LONG), ("_otime_high", _ULONG), ("sem_ctime", _LONG), ("_ctime_high", _ULONG))
    if os.uname().machine == "x86_64"
    else (("sem_otime", _LONG), ("sem_ctime", _LONG))
)


class SemidDs(ctypes.Structure):
    """``struct semid_ds``, for IPC_STAT, IPC_SET, SEM_STAT, SEM_STAT_ANY."""

    _fields_ = (
        ("sem_perm", IpcPerm),
        *_TIMES,
        ("sem_nsems", _ULONG),
        ("_reserved", _ULONG * 2),
    )


class SemInfo(ctypes.Structure):
    """``struct seminfo``, for IPC_INFO (the limits) and SEM_INFO (semusz and semaem: what is in use)."""

    _fields_ = tuple(
        (name, _INT)
        for name in (
            *("semmap", "semmni", "semmns", "semmnu", "semmsl"),
            *("semopm", "semume", "semusz", "semvmx", "semaem"),
        )
    )


class SemBuf(ctypes.Structure):
    """``struct sembuf``: one operation of semop."""

    _fields_ = (("sem_num", _USHORT), ("sem_op", _SHORT), ("sem_flg", _SHORT))
