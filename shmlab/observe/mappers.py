"""Who maps what: the processes that map an object or a segment, or merely have it open.

Everything is read from /proc/PID/maps and /proc/PID/fd; no object is opened, let alone mapped. A process that
ends while it's looked at is left out; one that this user may not look at is counted in the table's
``unseen``. (Processes hidden by /proc's ``hidepid`` option can't even be counted.) Imported through
``shmlab.observe``; ``survey`` looks once for everything there is.
"""

import os
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import ClassVar

from shmlab.observe import table
from shmlab.observe.maps import (
    DELETED,
    SYSV,
    Identity,
    MapLine,
    device_text,
    identity_of,
    maps_text,
    parse,
)
from shmlab.observe.objects import SHM, Kind, ObjectEntry, object_entry, path_of, user_name
from shmlab.observe.sysv import Segment
from shmlab.observe.table import Columns, Table, Value

MEMFD = "/memfd:"
"""What the path of a memory file begins with, before the name it was given (memfd_create(2))."""

UNLINKED: Identity = ("", 0)
"""Stands for whatever had a path and lost it, when that is all that's known."""

Keep = Callable[[Identity, str, bool], Identity | None]
"""Given an identity, a path, and whether it's marked as deleted: the identity to keep it under, if any."""


@dataclass(frozen=True, slots=True, repr=False)
class Mapper(Value):
    """A process that maps an object or a segment, or has it open, or both.

    *perms* are the different permissions of its mappings (empty when it only has the object open). *mappings*
    is how many there are: of a segment, what nattch counts, which are attaches and the parts that mprotect
    divided one into (FACTS F43). *mapped* is how many bytes they are in all, *open_fds* how many descriptors
    of the object it holds.
    """

    pid: int
    command: str
    user: str
    perms: tuple[str, ...]
    mappings: int
    mapped: int
    open_fds: int

    COLUMNS: ClassVar[Columns] = {
        "pid": table.number,
        "command": table.text,
        "user": table.text,
        "perms": table.text,
        "mappings": table.number,
        "mapped": table.size,
        "open_fds": table.number,
    }


@dataclass(slots=True)
class Opened:
    """A descriptor of a process: what it leads to."""

    identity: Identity
    path: str
    status: os.stat_result


@dataclass(slots=True)
class Held:
    """What one process has of one object: who it is, and every line and descriptor."""

    mapper: Mapper
    lines: list[MapLine]
    opened: list[Opened]


def mappers(name: str, kind: Kind = "object") -> Table[Mapper]:
    """Return the processes that map the object called *name* or have it open, by pid.

    A *name* stands for the object that bears it now; when it was unlinked and nothing new bears the name, for
    the object that bore it. The table's ``unseen`` counts processes that this user may not look at.
    """
    entry = object_entry(name, kind)
    if entry is not None:
        return mappers_of([entry])[entry]
    path = path_of(name, kind)

    def gone(_: Identity, its_path: str, deleted: bool) -> Identity | None:
        return UNLINKED if deleted and its_path == path else None

    found, unseen = scan([os.fsencode(f" {path}{DELETED}")], gone)
    return _table(found.get(UNLINKED, ()), unseen)


def mappers_of(things: Iterable[ObjectEntry | Segment]) -> dict[ObjectEntry | Segment, Table[Mapper]]:
    """Return who maps each of *things*, looking at every process of the machine once for all of them."""
    identities = {thing: identity_of(thing) for thing in things}
    found, unseen = _who_of(identities.values())
    return {thing: _table(found.get(identity, ()), unseen) for thing, identity in identities.items()}


def attachments(shmid: int) -> Table[Mapper]:
    """Return the processes that are attached to the segment with id *shmid*, by pid.

    Their ``mappings`` add up to the segment's nattch, but for processes that this user may not look at
    (``unseen``) and those that went to another IPC namespace and took an attached segment with them: there,
    the same id is another segment's. Empty when there's no such segment. Source: ``/proc/PID/maps``, where a
    segment's id stands as the inode (FACTS F54).
    """
    wanted = (SYSV, shmid)
    found, unseen = _who_of([wanted])
    return _table(found.get(wanted, ()), unseen)


def _who_of(identities: Iterable[Identity]) -> tuple[dict[Identity, list[Held]], int]:
    wanted = set(identities)
    return scan(
        markers_of(wanted),
        lambda identity, *_: identity if identity in wanted else None,
        descriptors=any(device != SYSV for device, _ in wanted),
    )


def markers_of(identities: Iterable[Identity]) -> list[bytes]:
    """Return what the lines of /proc/PID/maps contain that have one of *identities*."""
    devices = {device for device, _ in identities}
    return [b" /SYSV" if device == SYSV else f" {device} ".encode() for device in devices]


def scan(
    markers: Collection[bytes], keep: Keep, descriptors: bool = True
) -> tuple[dict[Identity, list[Held]], int]:
    """Look at every process once, by pid: return who has what *keep* keeps, and how many weren't to be seen.

    Of the mappings only those are looked at whose line contains one of *markers*: a process's maps are some
    30 kB of text, and searching it costs less than reading its lines. Without *descriptors* nobody is asked
    what is open, which for segments is nothing.
    """
    found: dict[Identity, list[Held]] = {}
    unseen = 0
    for pid in sorted(int(file) for file in os.listdir("/proc") if file.isdigit()):
        try:
            held = _holdings(pid, markers, keep, descriptors)
        except (FileNotFoundError, ProcessLookupError):
            continue
        except PermissionError:
            unseen += 1
            continue
        for identity, each in held.items():
            found.setdefault(identity, []).append(each)
    return found, unseen


def _holdings(pid: int, markers: Collection[bytes], keep: Keep, descriptors: bool) -> dict[Identity, Held]:
    lines: dict[Identity, list[MapLine]] = {}
    opened: dict[Identity, list[Opened]] = {}
    for line in _lines_with(markers, maps_text(pid)):
        identity = keep(line.identity, line.path, line.deleted)
        if identity is not None:
            lines.setdefault(identity, []).append(line)
    for each in _open_objects(pid) if descriptors else ():
        path = each.path.removesuffix(DELETED)
        identity = keep(each.identity, path, path != each.path)
        if identity is not None:
            opened.setdefault(identity, []).append(each)
    if any(device == SYSV for device, _ in lines) and not _same_ipc_namespace(pid):
        lines = {identity: those for identity, those in lines.items() if identity[0] != SYSV}
    if not lines and not opened:
        return {}
    command, user = _who(pid)
    held = {}
    for identity in {**lines, **opened}:
        those, its_fds = lines.get(identity, []), opened.get(identity, [])
        perms = tuple(sorted({line.perms for line in those}))
        length = sum(line.length for line in those)
        mapper = Mapper(pid, command, user, perms, len(those), length, len(its_fds))
        held[identity] = Held(mapper, those, its_fds)
    return held


def _lines_with(markers: Collection[bytes], text: bytes) -> list[MapLine]:
    starts = set()
    for marker in markers:
        at = text.find(marker)
        while at >= 0:
            starts.add(text.rfind(b"\n", 0, at) + 1)
            at = text.find(marker, text.find(b"\n", at))
    return [parse(text[start : text.find(b"\n", start)]) for start in sorted(starts)]


def _table(held: Iterable[Held], unseen: int) -> Table[Mapper]:
    return Table([each.mapper for each in held], Mapper.COLUMNS, unseen)


def _same_ipc_namespace(pid: int) -> bool:
    """Whether a segment's id means the same to that process as to us: ids begin at 0 in every namespace."""
    return os.stat(f"/proc/{pid}/ns/ipc").st_ino == os.stat("/proc/self/ns/ipc").st_ino


def _open_objects(pid: int) -> list[Opened]:
    """Return what a process has open in /dev/shm, and its memory files.

    Only those are stat'ed: following any other link could wait for a network file system that doesn't answer.
    """
    found = []
    folder = f"/proc/{pid}/fd"
    for fd in os.listdir(folder):
        try:
            path = os.readlink(f"{folder}/{fd}")
            if path.startswith((SHM + "/", MEMFD)):
                status = os.stat(f"{folder}/{fd}")
                found.append(Opened((device_text(status.st_dev), status.st_ino), path, status))
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
