"""What a process maps: the lines of /proc/PID/maps, and what identifies the memory behind one.

Everything is read as text; no object is opened, let alone mapped. Who maps a given object is ``mappers``,
which builds on this. Imported through ``shmlab.observe``; ``waiting`` uses it to find what a futex lies in.
"""

import os
from dataclasses import dataclass
from typing import ClassVar

from shmlab.observe import table
from shmlab.observe.objects import Kind, ObjectEntry, object_entry, path_of
from shmlab.observe.sysv import Segment
from shmlab.observe.table import Columns, Literals, Table, Value

DELETED = " (deleted)"
"""What the kernel appends to the path of a file that has lost its name (proc(5))."""

SYSV = "SYSV"

Identity = tuple[str, int]
"""What stays the same however an object is called: device as /proc/PID/maps writes it, and inode. For a
System V segment: SYSV and its id, which is the inode of its file inside the kernel (FACTS F54)."""


@dataclass(frozen=True, slots=True, repr=False)
class MapLine(Value):
    """One line of /proc/PID/maps: the bytes from *start* up to *end* of a process's address space.

    *perms* ends in ``s`` for MAP_SHARED and ``p`` for MAP_PRIVATE. *deleted* is whether the kernel marks
    *path* as ``(deleted)``. For a POSIX object that means unlinked; for a System V segment and for a
    semaphore it means nothing, because the kernel and glibc mark those that still exist too (FACTS F54, F55).
    """

    start: int
    end: int
    perms: str
    offset: int
    device: str
    inode: int
    path: str
    deleted: bool

    COLUMNS: ClassVar[Columns] = {
        "start": table.address,
        "end": table.address,
        "length": table.size,
        "perms": table.text,
        "offset": table.address,
        "device": table.text,
        "inode": table.number,
        "path": table.text,
        "deleted": table.text,
    }
    LITERAL: ClassVar[Literals] = {"start": table.address, "end": table.address, "offset": table.address}

    @property
    def length(self) -> int:
        """Length in bytes, a multiple of the page size."""
        return self.end - self.start

    @property
    def identity(self) -> Identity:
        return (SYSV if self.deleted and self.path.startswith("/SYSV") else self.device, self.inode)


def mappings(pid: int | str = "self", name: str | None = None, kind: Kind = "object") -> Table[MapLine]:
    """Return the mappings of process *pid* by address; with *name*, only those of that object.

    A *name* stands for the object that bears it now; when it was unlinked and nothing new bears the name, for
    the object that bore it. The table is empty when there's no such process, and its ``unseen`` is 1 when
    this user may not look at it. Source: ``/proc/PID/maps`` (proc(5)).
    """
    try:
        lines = [parse(line) for line in maps_text(pid).split(b"\n") if line]
    except PermissionError:
        return Table((), MapLine.COLUMNS, unseen=1)
    except (FileNotFoundError, ProcessLookupError):
        lines = []
    if name is not None:
        entry = object_entry(name, kind)
        path = path_of(name, kind)
        lines = [
            line for line in lines if (_is(line, entry) if entry else line.deleted and line.path == path)
        ]
    return Table(lines, MapLine.COLUMNS)


def mapping_at(pid: int, address: int) -> MapLine | None:
    """Return the mapping of process *pid* that *address* lies in, or None. Raises PermissionError."""
    for line in maps_text(pid).split(b"\n"):
        start, _, end = line.partition(b" ")[0].partition(b"-")
        if line and int(start, 16) <= address < int(end, 16):
            return parse(line)
    return None


def parse(line: bytes) -> MapLine:
    """Read one line of /proc/PID/maps."""
    words = line.split(None, 5)
    start, _, end = words[0].partition(b"-")
    path = os.fsdecode(words[5]) if len(words) > 5 else ""
    return MapLine(
        start=int(start, 16),
        end=int(end, 16),
        perms=words[1].decode(),
        offset=int(words[2], 16),
        device=words[3].decode(),
        inode=int(words[4]),
        path=path.removesuffix(DELETED),
        deleted=path.endswith(DELETED),
    )


def identity_of(thing: ObjectEntry | Segment) -> Identity:
    """Return what the lines of an object's or a segment's mappings have as their ``identity``."""
    if isinstance(thing, Segment):
        return (SYSV, thing.id)
    return (device_text(thing.device), thing.inode)


def device_text(device: int) -> str:
    """Write a device as /proc/PID/maps does."""
    return f"{os.major(device):02x}:{os.minor(device):02x}"


def _is(line: MapLine, entry: ObjectEntry) -> bool:
    return line.identity == identity_of(entry)


def maps_text(pid: int | str) -> bytes:
    """Return the text of /proc/PID/maps."""
    if pid != "self":
        pid = int(pid)
    with open(f"/proc/{pid}/maps", "rb", buffering=0) as file:
        return file.read()
