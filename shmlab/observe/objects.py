"""POSIX objects as the kernel lists them: the entries of /dev/shm, named semaphores among them.

Looking is stat(2) alone: no object is opened here. Who maps an object is in ``maps``, its bytes are read by
``sampling``. Imported by both, and through ``shmlab.observe`` by figures, panels and the command line.
"""

import errno
import os
import stat
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import ClassVar, Literal

from shmlab.observe import table
from shmlab.observe.table import Columns, Literals, Table, Value

SHM = "/dev/shm"
"""Where Linux keeps POSIX objects (shm_overview(7)); glibc's shm_open is open(2) in here."""

SEMAPHORE = "sem."
"""What glibc puts before a semaphore's name to make the name of its file (sem_overview(7), FACTS F65)."""

Kind = Literal["object", "semaphore"]


@dataclass(frozen=True, slots=True, repr=False)
class ObjectEntry(Value):
    """One entry of /dev/shm. *size* is its length and *allocated* the memory it takes, both in bytes."""

    name: str
    kind: Kind
    size: int
    allocated: int
    mode: int
    uid: int
    gid: int
    owner: str
    inode: int
    device: int
    modified: datetime

    COLUMNS: ClassVar[Columns] = {
        "name": table.text,
        "kind": table.text,
        "size": table.size,
        "allocated": table.size,
        "mode": table.mode,
        "owner": table.text,
        "inode": table.number,
        "modified": table.moment,
    }
    LITERAL: ClassVar[Literals] = {"mode": table.octal, "modified": str}


def objects(pattern: str = "*") -> Table[ObjectEntry]:
    """Return the POSIX objects and named semaphores of this machine whose names match *pattern*, by name.

    *pattern* is a shell pattern (``fnmatch``), with or without the leading slash. A semaphore appears as
    ``/word``, not as the ``sem.word`` that its file is called. Directories and symbolic links in /dev/shm are
    left out: shm_open(3) can't open them. Without a /dev/shm the table is empty.
    """
    wanted = "/" + pattern.lstrip("/")
    found = []
    try:
        with os.scandir(SHM) as entries:
            files = [entry.name for entry in entries]
    except FileNotFoundError:
        files = []
    for file in files:
        kind: Kind = "semaphore" if file.startswith(SEMAPHORE) else "object"
        name = "/" + (file.removeprefix(SEMAPHORE) if kind == "semaphore" else file)
        if not fnmatchcase(name, wanted):
            continue
        try:
            status = os.lstat(f"{SHM}/{file}")
        except FileNotFoundError:
            continue
        if stat.S_ISREG(status.st_mode):
            found.append(_entry(name, kind, status))
    return Table(sorted(found, key=lambda entry: (entry.kind, entry.name)), ObjectEntry.COLUMNS)


def object_entry(name: str, kind: Kind = "object") -> ObjectEntry | None:
    """Return the entry of the object or semaphore called *name*, or None when there is none.

    Raises OSError for a name that none can have: EINVAL (empty, or a slash inside), ENAMETOOLONG.
    """
    try:
        status = os.lstat(path_of(name, kind))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OSError(error.errno, error.strerror, name) from None
    return _entry(_spelled(name), kind, status) if stat.S_ISREG(status.st_mode) else None


def path_of(name: str, kind: Kind = "object") -> str:
    """Return the path of the file that glibc keeps an object or a semaphore in.

    Leading slashes are ignored, as by glibc (FACTS F01). Raises OSError EINVAL, as shm_open(3) does, for a
    name that stands for no file.
    """
    word = name.lstrip("/")
    if not word or "/" in word or "\0" in word or (kind == "object" and word in (".", "..")):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), name)
    return f"{SHM}/{SEMAPHORE if kind == 'semaphore' else ''}{word}"


@lru_cache(maxsize=256)
def user_name(uid: int) -> str:
    """Return the name of a user, or the number as text where the user database has none."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _spelled(name: str) -> str:
    return "/" + name.lstrip("/")


def _entry(name: str, kind: Kind, status: os.stat_result) -> ObjectEntry:
    return ObjectEntry(
        name=name,
        kind=kind,
        size=status.st_size,
        allocated=status.st_blocks * 512,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        owner=user_name(status.st_uid),
        inode=status.st_ino,
        device=status.st_dev,
        modified=table.local_time(status.st_mtime),
    )
