"""IPC namespaces: System V segments and semaphore sets exist in one, and only its processes see them.

POSIX objects don't live in an IPC namespace: /dev/shm is a mount, and mounts have namespaces of their own
(FACTS F73). Imported through ``shmlab.observe``; ``mappers`` asks whether a segment's id means the same to a
process as to us.
"""

import os
from dataclasses import dataclass
from typing import ClassVar

from shmlab.observe import table
from shmlab.observe.table import Columns, Value

INITIAL_IPC_NAMESPACE = 0xEFFFFFFF
"""The inode of the namespace that the machine booted with (PROC_IPC_INIT_INO, linux/proc_ns.h)."""


@dataclass(frozen=True, slots=True, repr=False)
class IpcNamespace(Value):
    """The IPC namespace of a process.

    *inode* is its number, as ``readlink /proc/PID/ns/ipc`` shows it. *ours* is whether this process is in it
    too: only then does an id, or a key, mean the same to both. *initial* is whether it's the one that the
    machine booted with; a container's isn't.
    """

    inode: int
    ours: bool
    initial: bool

    COLUMNS: ClassVar[Columns] = {"inode": table.number, "ours": table.text, "initial": table.text}


def ipc_namespace(pid: int | str = "self") -> IpcNamespace | None:
    """Return the IPC namespace of process *pid*; None when there's no such process, or a kernel without any.

    Raises PermissionError for a process that this user may not look at. Source: ``/proc/PID/ns/ipc``
    (namespaces(7), ipc_namespaces(7)).
    """
    try:
        inode = _inode(pid)
    except (FileNotFoundError, ProcessLookupError):
        return None
    return IpcNamespace(inode, inode == _inode("self"), inode == INITIAL_IPC_NAMESPACE)


def _inode(pid: int | str) -> int:
    return os.stat(f"/proc/{pid if pid == 'self' else int(pid)}/ns/ipc").st_ino
