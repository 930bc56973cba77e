"""Who maps what: a process's mappings, and the processes that map an object or merely have it open.

Everything is read as text from /proc/PID/maps and /proc/PID/fd; no object is opened, let alone mapped. A
process that ends while it's looked at is left out; one that this user may not look at is counted in the
table's ``unseen``. (Processes hidden by /proc's ``hidepid`` option can't even be counted.) Imported through
``shmlab.observe``; ``waiting`` uses it to find what a futex lies in.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from shmlab.observe import table
from shmlab.observe.objects import SHM, Kind, ObjectEntry, object_entry, path_of, user_name
from shmlab.observe.sysv import Segment
from shmlab.observe.table import Columns, Literals, Table, Value

DELETED = " (deleted)"
"""What the kernel appends to the path of a file that has lost its name (proc(5))."""

SYSV = "SYSV"

Identity = tuple[str, int]
"""What stays the same however an object is called: device as /proc/PID/maps writes it, and inode. For a
System V segment: SYSV and its id, which is the inode of its file inside the kernel (FACTS F54)."""

UNLINKED: Identity = ("", 0)


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


@dataclass(frozen=True, slots=True, repr=False)
class Mapper(Value):
    """A process that maps an object, or has it open, or both.

    *mapped* is how many bytes it maps in all, *perms* the different permissions of those mappings (empty when
    the object is only open), *open_fds* how many descriptors of the object it holds.
    """

    pid: int
    command: str
    user: str
    perms: tuple[str, ...]
    mapped: int
    open_fds: int

    COLUMNS: ClassVar[Columns] = {
        "pid": table.number,
        "command": table.text,
        "user": table.text,
        "perms": table.text,
        "mapped": table.size,
        "open_fds": table.number,
    }


def mappings(pid: int | str = "self", name: str | None = None, kind: Kind = "object") -> Table[MapLine]:
    """Return the mappings of process *pid* by address; with *name*, only those of that object.

    A *name* stands for the object that bears it now; when it was unlinked and nothing new bears the name, for
    the object that bore it. The table is empty when there's no such process, and its ``unseen`` is 1 when
    this user may not look at it. Source: ``/proc/PID/maps`` (proc(5)).
    """
    try:
        lines = [parse(line) for line in _maps(pid).split(b"\n") if line]
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


def mappers(name: str, kind: Kind = "object") -> Table[Mapper]:
    """Return the processes that map the object called *name* or have it open, by pid.

    A *name* stands for the object that bears it now; when it was unlinked and nothing new bears the name, for
    the object that bore it. The table's ``unseen`` counts processes that this user may not look at.
    """
    entry = object_entry(name, kind)
    if entry is not None:
        return mappers_of([entry])[entry]
    return _scan(set(), path_of(name, kind))[UNLINKED]


def mappers_of(things: Iterable[ObjectEntry | Segment]) -> dict[ObjectEntry | Segment, Table[Mapper]]:
    """Return who maps each of *things*, looking at every process of the machine once for all of them."""
    identities = {thing: _identity(thing) for thing in things}
    found = _scan(set(identities.values()))
    return {thing: found[identity] for thing, identity in identities.items()}


def mapping_at(pid: int, address: int) -> MapLine | None:
    """Return the mapping of process *pid* that *address* lies in, or None. Raises PermissionError."""
    for line in _maps(pid).split(b"\n"):
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


def _scan(wanted: set[Identity], unlinked: str | None = None) -> dict[Identity, Table[Mapper]]:
    """Look at every process once; ``UNLINKED`` stands for what had the path *unlinked* and lost it."""
    found: dict[Identity, list[Mapper]] = {identity: [] for identity in [*wanted, UNLINKED]}
    # A process's maps are some 30 kB of text: one search for what its lines must contain spares parsing them.
    markers = [f" {device} ".encode() if device != SYSV else b" /SYSV" for device in {d for d, _ in wanted}]
    if unlinked is not None:
        markers.append(os.fsencode(f" {unlinked}{DELETED}"))
    unseen = 0
    for pid in sorted(int(file) for file in os.listdir("/proc") if file.isdigit()):
        lines: dict[Identity, list[MapLine]] = {}
        opened: dict[Identity, int] = {}
        try:
            text = _maps(pid)
            for raw in text.split(b"\n") if any(marker in text for marker in markers) else ():
                if any(marker in raw for marker in markers):
                    line = parse(raw)
                    gone = line.deleted and line.path == unlinked
                    identity = UNLINKED if gone else line.identity
                    if gone or identity in wanted:
                        lines.setdefault(identity, []).append(line)
            for identity, path in _open_objects(pid):
                gone = unlinked is not None and path == unlinked + DELETED
                identity = UNLINKED if gone else identity
                if gone or identity in wanted:
                    opened[identity] = opened.get(identity, 0) + 1
            if not lines and not opened:
                continue
            if any(device == SYSV for device, _ in lines) and not _same_ipc_namespace(pid):
                lines = {identity: those for identity, those in lines.items() if identity[0] != SYSV}
            command, user = _who(pid)
        except (FileNotFoundError, ProcessLookupError):
            continue
        except PermissionError:
            unseen += 1
            continue
        for identity in {**lines, **opened}:
            those = lines.get(identity, [])
            perms = tuple(sorted({line.perms for line in those}))
            length = sum(line.length for line in those)
            found[identity].append(Mapper(pid, command, user, perms, length, opened.get(identity, 0)))
    return {identity: Table(rows, Mapper.COLUMNS, unseen) for identity, rows in found.items()}


def _same_ipc_namespace(pid: int) -> bool:
    """Whether a segment's id means the same to that process as to us: ids begin at 0 in every namespace."""
    return os.stat(f"/proc/{pid}/ns/ipc").st_ino == os.stat("/proc/self/ns/ipc").st_ino


def _identity(thing: ObjectEntry | Segment) -> Identity:
    if isinstance(thing, Segment):
        return (SYSV, thing.id)
    return (f"{os.major(thing.device):02x}:{os.minor(thing.device):02x}", thing.inode)


def _is(line: MapLine, entry: ObjectEntry) -> bool:
    return line.identity == _identity(entry)


def _maps(pid: int | str) -> bytes:
    if pid != "self":
        pid = int(pid)
    with open(f"/proc/{pid}/maps", "rb", buffering=0) as file:
        return file.read()


def _open_objects(pid: int) -> list[tuple[Identity, str]]:
    """Return identity and path of what a process has open in /dev/shm.

    Only those are stat'ed: following any other link could wait for a network file system that doesn't answer.
    """
    found = []
    folder = f"/proc/{pid}/fd"
    for fd in os.listdir(folder):
        try:
            path = os.readlink(f"{folder}/{fd}")
            if path.startswith(SHM + "/"):
                status = os.stat(f"{folder}/{fd}")
                device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
                found.append(((device, status.st_ino), path))
        except FileNotFoundError:
            continue
    return found


def _who(pid: int) -> tuple[str, str]:
    """Return the command and the effective user of a process, as ps(1) shows them."""
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        words = file.read().rstrip(b"\0").split(b"\0")
    with open(f"/proc/{pid}/status", "rb") as file:
        fields = dict(line.partition(b":")[::2] for line in file.read().splitlines())
    command = " ".join([os.path.basename(os.fsdecode(words[0])), *map(os.fsdecode, words[1:])])
    return command or f"[{os.fsdecode(fields[b'Name'].strip())}]", user_name(int(fields[b"Uid"].split()[1]))
