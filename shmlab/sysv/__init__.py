"""The document's System V calls, by their own names and in their own argument order, and semaphore sets.

`keys` makes keys; `segments` creates, controls and removes segments; `attachments` attaches them;
`semaphores` is the sets; `records` the values that the control calls return. A lesson and a worker import
this and write ``sysv.shmget(…)``; the modules inside are nobody else's. Failures are OSError with errno and
"key 0x5ac70010" or "id 26148898". POSIX is `shmlab.posix`, what the kernel says is `shmlab.observe`. ctypes
is loaded by the first call that needs it, dataclasses by the first control call, no scientific library ever.
"""

from shmlab.sysv.attachments import (
    SHM_EXEC,
    SHM_RDONLY,
    SHM_REMAP,
    SHM_RND,
    Attachment,
    shmat,
    shmdt,
)
from shmlab.sysv.keys import (
    IPC_CREAT,
    IPC_EXCL,
    IPC_INFO,
    IPC_NOWAIT,
    IPC_PRIVATE,
    IPC_RMID,
    IPC_SET,
    IPC_STAT,
    ftok,
)
from shmlab.sysv.segments import (
    SHM_DEST,
    SHM_HUGETLB,
    SHM_INFO,
    SHM_LOCK,
    SHM_LOCKED,
    SHM_NORESERVE,
    SHM_R,
    SHM_STAT,
    SHM_STAT_ANY,
    SHM_UNLOCK,
    SHM_W,
    shmctl,
    shmget,
)
from shmlab.sysv.semaphores import (
    GETALL,
    GETNCNT,
    GETPID,
    GETVAL,
    GETZCNT,
    SEM_INFO,
    SEM_STAT,
    SEM_STAT_ANY,
    SEM_UNDO,
    SETALL,
    SETVAL,
    sembuf,
    semctl,
    semget,
    semop,
    semtimedop,
)

TYPE_CHECKING = False  # typing's own costs a worker milliseconds
if TYPE_CHECKING:
    from typing import Any

    from shmlab.sysv.records import ipc_perm as ipc_perm
    from shmlab.sysv.records import semid_ds as semid_ds
    from shmlab.sysv.records import seminfo as seminfo
    from shmlab.sysv.records import shm_info as shm_info
    from shmlab.sysv.records import shmid_ds as shmid_ds
    from shmlab.sysv.records import shminfo as shminfo

_RECORDS = ("ipc_perm", "semid_ds", "seminfo", "shm_info", "shmid_ds", "shminfo")

__all__ = [
    "GETALL",
    "GETNCNT",
    "GETPID",
    "GETVAL",
    "GETZCNT",
    "IPC_CREAT",
    "IPC_EXCL",
    "IPC_INFO",
    "IPC_NOWAIT",
    "IPC_PRIVATE",
    "IPC_RMID",
    "IPC_SET",
    "IPC_STAT",
    "SEM_INFO",
    "SEM_STAT",
    "SEM_STAT_ANY",
    "SEM_UNDO",
    "SETALL",
    "SETVAL",
    "SHM_DEST",
    "SHM_EXEC",
    "SHM_HUGETLB",
    "SHM_INFO",
    "SHM_LOCK",
    "SHM_LOCKED",
    "SHM_NORESERVE",
    "SHM_R",
    "SHM_RDONLY",
    "SHM_REMAP",
    "SHM_RND",
    "SHM_STAT",
    "SHM_STAT_ANY",
    "SHM_UNLOCK",
    "SHM_W",
    "Attachment",
    "ftok",
    "ipc_perm",
    "sembuf",
    "semctl",
    "semget",
    "semid_ds",
    "seminfo",
    "semop",
    "semtimedop",
    "shm_info",
    "shmat",
    "shmctl",
    "shmdt",
    "shmget",
    "shmid_ds",
    "shminfo",
]


def __getattr__(name: str) -> "Any":
    if name not in _RECORDS:
        raise AttributeError(f"module 'shmlab.sysv' has no attribute {name!r}")
    from shmlab.sysv import records

    return getattr(records, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
