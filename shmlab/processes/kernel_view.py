"""What the kernel says about one process and the objects it holds, at one moment, and what changed since.

:func:`look` looks, :func:`changes` compares two views row by row. Only :mod:`shmlab.observe` looks at the
machine; this gathers what belongs to one process of the lab, without the lab's and the interpreter's own.
Imported by :mod:`shmlab.processes.walk`.
"""

import os
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, fields
from typing import Any, Generic, TypeVar

from shmlab import names, observe
from shmlab.processes.process import FIRST_DESCRIPTOR

SHM = "/dev/shm/"

OF_THE_KERNEL = ("[heap]", "[stack]", "[vdso]", "[vvar]", "[vvar_vclock]", "[vsyscall]")
"""Mappings that the kernel makes and grows for any process, whatever it calls."""

LIBRARY = re.compile(r"\.so(\.\d+)*$")

MOST_EXTENTS = 64
"""Runs of allocated pages that are looked for in an object, at most: each costs a system call."""

NO_OBJECTS: observe.Table[observe.ObjectEntry] = observe.Table((), observe.ObjectEntry.COLUMNS)
NO_MAPPINGS: observe.Table[observe.MapLine] = observe.Table((), observe.MapLine.COLUMNS)
NO_DESCRIPTORS: observe.Table[observe.Descriptor] = observe.Table((), observe.Descriptor.COLUMNS)
NO_SEGMENTS: observe.Table[observe.Segment] = observe.Table((), observe.Segment.COLUMNS)

T = TypeVar("T")

Span = tuple[int, int, str, str]
"""A mapping as far as it tells one from another: start, end, permissions, path."""


@dataclass(frozen=True)
class Unnamed:
    """An object without a name that a process still holds: unlinked, but mapped or open.

    *was* is the name it had. *size* and *allocated* are bytes; both are None where the kernel tells them to
    nobody but root, which is when the object is mapped and no descriptor of it is open.
    """

    inode: int
    was: str
    size: int | None = None
    allocated: int | None = None


@dataclass(frozen=True)
class Held:
    """What one process holds: its *mappings* and its *descriptors*, and *alive*: False for a zombie."""

    pid: int
    mappings: observe.Table[observe.MapLine]
    descriptors: observe.Table[observe.Descriptor]
    alive: bool = True


@dataclass(frozen=True)
class KernelView:
    """What the kernel says at one moment.

    *objects* are the entries of /dev/shm that bear the walk's names; *unnamed* those objects that lost their
    name and are still held; *segments* the System V segments that the process made or attaches. *mappings*
    are the process's shared mappings and those that appeared since it started, *descriptors* what it has
    open. *children* are the processes that it forked and that are still there. *data* tells for each object,
    by inode, the pages that hold data.
    """

    objects: observe.Table[observe.ObjectEntry] = NO_OBJECTS
    mappings: observe.Table[observe.MapLine] = NO_MAPPINGS
    descriptors: observe.Table[observe.Descriptor] = NO_DESCRIPTORS
    unnamed: tuple[Unnamed, ...] = ()
    segments: observe.Table[observe.Segment] = NO_SEGMENTS
    children: tuple[Held, ...] = ()
    data: tuple[tuple[int, observe.Extents], ...] = field(default=(), compare=False)

    @property
    def allocated(self) -> int | None:
        """Bytes of memory that all of these objects take; None where the kernel doesn't tell of each."""
        known: list[int | None] = [each.allocated for each in self.objects]
        known += [each.allocated for each in self.unnamed]
        known += [each.resident + each.swapped for each in self.segments]
        return None if None in known else sum(each for each in known if each is not None)


@dataclass(frozen=True)
class Change(Generic[T]):
    """One row that a step changed. *what* is ``"new"``, ``"gone"`` or ``"changed"``; *row* is the row as it
    is now, for a row that is gone as it was; *fields* are the names of what differs."""

    what: str
    row: T
    fields: tuple[str, ...] = ()


@dataclass(frozen=True)
class Changes:
    """What a step changed in the kernel's view, table by table. False when it changed nothing."""

    objects: tuple[Change[observe.ObjectEntry], ...] = ()
    mappings: tuple[Change[observe.MapLine], ...] = ()
    descriptors: tuple[Change[observe.Descriptor], ...] = ()
    unnamed: tuple[Change[Unnamed], ...] = ()
    segments: tuple[Change[observe.Segment], ...] = ()
    children: tuple[Change[Held], ...] = ()

    def __bool__(self) -> bool:
        return any(getattr(self, each.name) for each in fields(self))


@dataclass(frozen=True)
class Known:
    """What of a process's mappings is not the program's: those *mapped* when it started, and those *ranges*
    (start, end) that its interpreter mapped since."""

    mapped: frozenset[Span] = frozenset()
    ranges: tuple[tuple[int, int], ...] = ()


def look(pid: int | None, wanted: Collection[str], known: Known, alive: bool) -> KernelView:
    """Return what the kernel says of process *pid* and of the objects called *wanted*.

    With *alive* False, or no *pid*, no process is looked at: what outlives it remains.
    """
    holders = [_held(each, known) for each in (pid, *_children(pid))] if pid is not None and alive else []
    objects = entries({*wanted, *_names_held(holders)})
    return KernelView(
        objects=objects,
        mappings=holders[0].mappings if holders else NO_MAPPINGS,
        descriptors=holders[0].descriptors if holders else NO_DESCRIPTORS,
        unnamed=_unnamed(holders, {entry.inode for entry in objects}),
        segments=_segments(pid, holders),
        children=tuple(holders[1:]),
        data=tuple((entry.inode, data) for entry in objects if (data := _data(entry)) is not None),
    )


def spans(pid: int) -> frozenset[Span]:
    """Return what is mapped in process *pid* now."""
    return frozenset(map(_span, observe.mappings(pid)))


def entries(wanted: Iterable[str]) -> observe.Table[observe.ObjectEntry]:
    """Return the objects and semaphores that bear one of the names *wanted*."""
    found = []
    for name in sorted(set(wanted)):
        found += [observe.object_entry(name), observe.object_entry(name, "semaphore")]
    return observe.Table([each for each in found if each is not None], observe.ObjectEntry.COLUMNS)


def _held(pid: int, known: Known) -> Held:
    lines = [line for line in observe.mappings(pid) if _is_the_programs(line, known)]
    try:
        descriptors = observe.descriptors(pid, below=FIRST_DESCRIPTOR)
    except PermissionError:
        descriptors = NO_DESCRIPTORS
    return Held(pid, observe.Table(lines, observe.MapLine.COLUMNS), descriptors, not _is_zombie(pid))


def _is_the_programs(line: observe.MapLine, known: Known) -> bool:
    """Whether a mapping is shared, or came after the start, and isn't the lab's or the interpreter's."""
    if line.path in OF_THE_KERNEL or LIBRARY.search(line.path) or _is_board(line):
        return False
    if line.path.startswith((SHM, "/SYSV")):
        return True
    if _span(line) in known.mapped:  # the C library's locale and conversion tables are mapped shared, too
        return False
    interpreters = any(start <= line.start and line.end <= end for start, end in known.ranges)
    return line.perms.endswith("s") or not interpreters


def _names_held(holders: Iterable[Held]) -> set[str]:
    """The names that the kernel itself tells of objects that processes hold: no semaphore's among them."""
    paths = {line.path for held in holders for line in held.mappings if not line.deleted}
    paths |= {each.target for held in holders for each in held.descriptors if "unlinked" not in each.kind}
    words = {path.removeprefix(SHM) for path in paths if path.startswith(SHM)}
    return {f"/{word}" for word in words if word and "/" not in word and not word.startswith("sem.")}


def _data(entry: observe.ObjectEntry) -> observe.Extents | None:
    try:
        return observe.allocated_pages(entry.name, entry.kind, most=MOST_EXTENTS)
    except OSError:
        return None


def _unnamed(holders: Iterable[Held], named: set[int]) -> tuple[Unnamed, ...]:
    found: dict[int, Unnamed] = {}
    for held in holders:
        # Descriptors first: what is open is the owner's to look at, what is only mapped is root's.
        links = [
            (f"/proc/{held.pid}/fd/{each.number}", each.inode or 0, each.target)
            for each in held.descriptors
            if each.target.startswith(SHM) and each.kind.endswith(", unlinked")
        ]
        links += [
            (f"/proc/{held.pid}/map_files/{line.start:x}-{line.end:x}", line.inode, line.path)
            for line in held.mappings
            if line.path.startswith(SHM) and line.deleted
        ]
        for link, inode, path in links:
            if inode in named or (inode in found and found[inode].size is not None):
                continue
            was = "/" + path.removeprefix(SHM).removesuffix(" (deleted)")
            try:
                status = os.stat(link)
                found[inode] = Unnamed(inode, was, status.st_size, status.st_blocks * 512)
            except OSError:
                found.setdefault(inode, Unnamed(inode, was))
    return tuple(found.values())


def _segments(pid: int | None, holders: Iterable[Held]) -> observe.Table[observe.Segment]:
    ids = {line.inode for held in holders for line in held.mappings if line.path.startswith("/SYSV")}
    rows = observe.segments() if pid is not None else ()
    return observe.Table([row for row in rows if row.cpid == pid or row.id in ids], observe.Segment.COLUMNS)


def _children(pid: int) -> list[int]:
    """The processes that *pid* forked; none on a kernel that doesn't list them."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(each) for each in file.read().split()]
    except OSError:
        return []


def _is_zombie(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def _span(line: observe.MapLine) -> Span:
    return line.start, line.end, line.perms, line.path


def _is_board(line: observe.MapLine) -> bool:
    return line.path.startswith(SHM) and names.is_board(line.path.removeprefix(SHM))


# --- What changed ------------------------------------------------------------------------------------------

KEYS: dict[str, tuple[str, ...]] = {
    "objects": ("kind", "name", "inode"),
    "mappings": ("start", "device", "inode"),
    "descriptors": ("number", "inode"),
    "unnamed": ("inode",),
    "segments": ("id",),
    "children": ("pid",),
}
"""By which fields a row is the same as one before, in each table."""

UNTOLD = {"objects": {"modified"}}
"""Fields whose change alone is none to be shown: a clock's."""


def changes(before: KernelView, now: KernelView) -> Changes:
    """Return what differs in *now* from the view *before*."""
    return Changes(**{table: _compare(table, getattr(before, table), getattr(now, table)) for table in KEYS})


def _compare(table: str, before: Iterable[Any], now: Iterable[Any]) -> tuple[Change[Any], ...]:
    def key(row: Any) -> tuple[Any, ...]:
        return tuple(getattr(row, name) for name in KEYS[table])

    old = {key(row): row for row in before}
    new = {key(row): row for row in now}
    found: list[Change[Any]] = []
    for each, row in new.items():
        if each not in old:
            found.append(Change("new", row))
            continue
        told = [each.name for each in fields(row) if each.name not in UNTOLD.get(table, ())]
        differ = tuple(name for name in told if getattr(row, name) != getattr(old[each], name))
        if differ:
            found.append(Change("changed", row, differ))
    return (*found, *(Change("gone", row) for each, row in old.items() if each not in new))
