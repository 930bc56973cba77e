"""Everything that this machine shares, in one look: what has a name, a key or an id, and what has none.

What has none is in no listing of the system's: memory that relatives share (MAP_SHARED | MAP_ANONYMOUS;
FACTS D29), memory files (memfd_create), and objects that were unlinked while somebody uses them. Only the
processes that map them, or have them open, tell of it. Imported through ``shmlab.observe`` by the command
line and lessons.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from shmlab.observe import table
from shmlab.observe.mappers import MEMFD, Held, Mapper, markers_of, scan
from shmlab.observe.maps import DELETED, SYSV, Identity, identity_of
from shmlab.observe.objects import SEMAPHORE, SHM, ObjectEntry, objects
from shmlab.observe.sysv import Segment, SemaphoreSet, segments, semaphore_sets
from shmlab.observe.table import Columns, Table, Value

ZERO = "/dev/zero"
"""The path that the kernel shows, marked as deleted, for memory of MAP_SHARED | MAP_ANONYMOUS."""

ANONYMOUS, MEMORY_FILE, OBJECT, SEMAPHORE_KIND = "anonymous", "memory file", "object", "semaphore"

MARKERS = (f" {ZERO}{DELETED}".encode(), f" {MEMFD}".encode(), f" {SHM}/".encode())


@dataclass(frozen=True, slots=True, repr=False)
class Unnamed(Value):
    """Shared memory without a name: it goes with the last process that has it.

    *kind* is ``anonymous`` (MAP_SHARED | MAP_ANONYMOUS), ``memory file`` (memfd_create(2)), or ``object`` or
    ``semaphore``: unlinked, and still in use. *name* is the one it lost, or the one that a memory file was
    given; empty for anonymous memory. *size* is its length in bytes; where the kernel doesn't let us ask, how
    far its mappings reach. *allocated* is the memory it takes, in bytes, None where we may not ask.
    """

    kind: str
    name: str
    size: int
    allocated: int | None
    uid: int | None
    inode: int
    device: str
    mappers: tuple[Mapper, ...]

    COLUMNS: ClassVar[Columns] = {
        "kind": table.text,
        "name": table.text,
        "size": table.size,
        "allocated": table.size,
        "inode": table.number,
        "pids": table.text,
    }

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes that map it or have it open."""
        return tuple(each.pid for each in self.mappers)


@dataclass(frozen=True)
class Survey:
    """What was there to be seen; *unseen* counts processes that this user may not look at."""

    objects: Table[ObjectEntry]
    segments: Table[Segment]
    sets: Table[SemaphoreSet]
    mappers: Mapping[ObjectEntry | Segment, tuple[Mapper, ...]]
    unnamed: Table[Unnamed]
    unseen: int


def survey() -> Survey:
    """Return all that this machine shares and who maps it, looking at every process once."""
    entries, rows = objects(), segments()
    identities: dict[ObjectEntry | Segment, Identity] = {each: identity_of(each) for each in entries}
    identities |= {each: identity_of(each) for each in rows}
    named = set(identities.values())

    def keep(identity: Identity, path: str, deleted: bool) -> Identity | None:
        return identity if identity in named or _kind(path, deleted) else None

    found, unseen = scan([*{*MARKERS, *markers_of(named)}], keep)
    return Survey(
        objects=entries,
        segments=rows,
        sets=semaphore_sets(),
        mappers={
            thing: tuple(each.mapper for each in found.get(identity, ()))
            for thing, identity in identities.items()
        },
        unnamed=Table(_unnamed(found, named), Unnamed.COLUMNS, unseen),
        unseen=unseen,
    )


def unnamed() -> Table[Unnamed]:
    """Return the shared memory without a name that processes have, the anonymous first, each by its inode.

    Source: ``/proc/PID/maps`` and ``/proc/PID/fd`` (proc(5)), and where permitted ``/proc/PID/map_files``.
    The table's ``unseen`` counts processes that this user may not look at.
    """
    return survey().unnamed


def _kind(path: str, deleted: bool) -> str:
    if path.startswith(MEMFD):
        return MEMORY_FILE
    if not deleted:
        return ""
    if path == ZERO:
        return ANONYMOUS
    if path.startswith(f"{SHM}/{SEMAPHORE}"):
        return SEMAPHORE_KIND
    return OBJECT if path.startswith(f"{SHM}/") else ""


def _unnamed(found: Mapping[Identity, Sequence[Held]], named: set[Identity]) -> list[Unnamed]:
    rows = {
        identity: held for identity, held in found.items() if identity not in named and identity[0] != SYSV
    }
    if any(_path(held).startswith(SHM) for held in rows.values()):
        # What was created since we listed the objects: glibc marks its semaphores' mappings as deleted (F55).
        born = {identity_of(each) for each in objects()}
        rows = {identity: held for identity, held in rows.items() if identity not in born}
    made = [_described(identity, held) for identity, held in rows.items()]
    return sorted(made, key=lambda each: (each.kind, each.name, each.inode))


def _path(held: Sequence[Held]) -> str:
    first = held[0]
    return first.lines[0].path if first.lines else first.opened[0].path.removesuffix(DELETED)


def _described(identity: Identity, held: Sequence[Held]) -> Unnamed:
    path = _path(held)
    kind = _kind(path, True)
    status = _status(held)
    reach = max((line.offset + line.length for each in held for line in each.lines), default=0)
    name = {ANONYMOUS: "", MEMORY_FILE: path.removeprefix(MEMFD)}.get(kind, path.removeprefix(SHM))
    if kind == SEMAPHORE_KIND:
        name = f"/{name.removeprefix(f'/{SEMAPHORE}')}"
    return Unnamed(
        kind=kind,
        name=name,
        size=reach if status is None else status.st_size,
        allocated=None if status is None else status.st_blocks * 512,
        uid=None if status is None else status.st_uid,
        inode=identity[1],
        device=identity[0],
        mappers=tuple(each.mapper for each in held),
    )


def _status(held: Iterable[Held]) -> os.stat_result | None:
    """Ask for the size: a descriptor of it, or a mapping, which takes root (proc(5), map_files)."""
    for each in held:
        if each.opened:
            return each.opened[0].status
        for line in each.lines:
            try:
                return os.stat(f"/proc/{each.mapper.pid}/map_files/{line.start:x}-{line.end:x}")
            except OSError:
                continue
    return None
