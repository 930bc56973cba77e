"""What a process has open: /proc/PID/fd and /proc/PID/fdinfo, decoded.

A descriptor is one process's number for an open file description; an object stays alive while one is open,
unlinked or not (FACTS F27, F29). Who else has an object open is ``mappers``. Imported through
``shmlab.observe``.
"""

import os
from dataclasses import dataclass
from typing import ClassVar

from shmlab.observe import table
from shmlab.observe.maps import DELETED
from shmlab.observe.objects import SEMAPHORE, SHM
from shmlab.observe.pages import _proc, not_permitted
from shmlab.observe.table import Columns, Table, Value

LARGE_FILE = {"x86_64": 0o100000, "aarch64": 0o400000}
"""O_LARGEFILE, which the kernel adds to every open on a 64-bit machine: it says nothing."""

FLAGS = (
    "O_APPEND", "O_NONBLOCK", "O_SYNC", "O_DSYNC", "O_ASYNC", "O_DIRECT", "O_TMPFILE", "O_DIRECTORY",
    "O_NOFOLLOW", "O_NOATIME", "O_PATH", "O_CLOEXEC",
)  # fmt: skip
"""What the kernel keeps of an open's flags; O_CREAT, O_EXCL and O_TRUNC act once, then it forgets them."""

ACCESS = {os.O_RDONLY: "O_RDONLY", os.O_WRONLY: "O_WRONLY", os.O_RDWR: "O_RDWR", os.O_ACCMODE: "O_ACCMODE"}


@dataclass(frozen=True, slots=True, repr=False)
class Descriptor(Value):
    """One open descriptor of a process.

    *target* is where /proc/PID/fd/N leads, *kind* what that is: ``object '/x'``, ``semaphore '/x'`` (each
    with ``, unlinked`` after it once it lost its name), ``pipe``, ``socket``, ``terminal``, ``device``,
    ``directory``, ``file``, ``memory file`` (memfd_create(2)), or the name of an anonymous inode such as
    ``eventpoll``. *flags* are those of open(2) that are in force, *offset* is where the next read(2) or
    write(2) begins, in bytes. *inode* is None on a kernel before 5.14 for what isn't an object.
    """

    number: int
    kind: str
    flags: tuple[str, ...]
    offset: int
    inode: int | None
    target: str

    COLUMNS: ClassVar[Columns] = {
        "number": table.number,
        "kind": table.text,
        "flags": table.text,
        "offset": table.number,
        "inode": table.text,
        "target": table.text,
    }


def descriptors(pid: int | str = "self", below: int | None = None) -> Table[Descriptor]:
    """Return the open descriptors of process *pid* by number; with *below*, only those with a lower number.

    The table is empty when there's no such process. Raises PermissionError for a process that this user may
    not look at. Nothing is opened, and no file system but /dev/shm is asked. Source: ``/proc/PID/fd`` and
    ``/proc/PID/fdinfo`` (proc(5)).
    """
    folder = f"/proc/{_proc(pid)}/fd"
    try:
        numbers = sorted(map(int, os.listdir(folder)))
    except PermissionError as error:
        not_permitted(error, pid)
    except (FileNotFoundError, ProcessLookupError):
        numbers = []
    found = []
    for number in numbers:
        if below is not None and number >= below:
            break
        try:
            found.append(_descriptor(f"/proc/{_proc(pid)}", number))
        except (FileNotFoundError, ProcessLookupError):
            continue  # closed meanwhile; and the one that the folder was listed with
        except PermissionError as error:
            not_permitted(error, pid)
    return Table(found, Descriptor.COLUMNS)


def decode_flags(bits: int) -> tuple[str, ...]:
    """Return the names of open(2)'s flags in *bits*, the access mode first; unknown bits in octal."""
    names = [ACCESS[bits & os.O_ACCMODE]]
    rest = bits & ~os.O_ACCMODE & ~LARGE_FILE.get(os.uname().machine, 0)
    for name in FLAGS:
        flag = getattr(os, name, 0)
        # O_SYNC contains O_DSYNC and O_TMPFILE contains O_DIRECTORY: the larger ones stand first.
        if flag and rest & flag == flag:
            names.append(name)
            rest &= ~flag
    return (*names, f"0{rest:o}") if rest else tuple(names)


def _descriptor(process: str, number: int) -> Descriptor:
    link = f"{process}/fd/{number}"
    target = os.readlink(link)
    with open(f"{process}/fdinfo/{number}", errors="replace") as file:
        fields = dict(line.partition(":")[::2] for line in file.read().splitlines())
    bits = int(fields["flags"], 8)
    inode = int(fields["ino"]) if "ino" in fields else None
    kind = _kind(target, bits)
    if target.startswith(SHM + "/"):
        # Asked of the kernel, not read off the path: a name may end in " (deleted)" by itself.
        status = os.stat(link)
        inode = status.st_ino
        kind = _in_shm(target, unlinked=status.st_nlink == 0) if not bits & os.O_DIRECTORY else "directory"
    return Descriptor(number, kind, decode_flags(bits), int(fields["pos"]), inode, target)


def _in_shm(target: str, unlinked: bool) -> str:
    word = target.removeprefix(f"{SHM}/")
    if unlinked:
        word = word.removesuffix(DELETED)
    kind = "semaphore" if word.startswith(SEMAPHORE) else "object"
    return f"{kind} '/{word.removeprefix(SEMAPHORE)}'" + (", unlinked" if unlinked else "")


def _kind(target: str, bits: int) -> str:
    """Say what a path leads to, by the path: stat(2) could wait for a network file system for ever."""
    if target.startswith("/memfd:"):
        return "memory file"
    if target.startswith("anon_inode:"):
        return target.removeprefix("anon_inode:").strip("[]")
    if not target.startswith("/"):
        return target.partition(":")[0]
    if target.startswith(("/dev/pts/", "/dev/tty")):
        return "terminal"
    if target.startswith("/dev/"):
        return "device"
    return "directory" if bits & os.O_DIRECTORY else "file"
