"""Pages: what a mapping costs, which physical page lies under an address, which pages an object has.

The kernel's own accounts are read: /proc/PID/smaps, /proc/PID/pagemap, and lseek(2) on an object. Nothing is
mapped and no page is touched, for a touch is what these accounts are about (FACTS F22, F77). The lines of a
process's address space without these numbers are in ``maps``. Imported through ``shmlab.observe``.
"""

import errno
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn

from shmlab.observe import table
from shmlab.observe.machine import _sees_page_frames as sees_page_frames
from shmlab.observe.maps import MapLine, _is, parse
from shmlab.observe.objects import Kind, object_entry, path_of, user_name
from shmlab.observe.sampling import Sampler
from shmlab.observe.table import Columns, Literals, Table, Value

ENTRY = 8
"""Bytes of /proc/PID/pagemap that describe one page (the kernel's admin-guide/mm/pagemap.rst)."""

PRESENT, SWAPPED, FILE_OR_SHARED, EXCLUSIVE = 1 << 63, 1 << 62, 1 << 61, 1 << 56
FRAME = (1 << 55) - 1
"""Bits of such an entry. The frame's bits tell where in the swap space a page is that was swapped out."""

MOST_PAGES = 1 << 20
"""Pages that one look describes: 4 GiB of 4 KiB pages, some seconds and 200 MB of Python objects."""

MOST_EXTENTS = 10_000
"""Extents that one look finds by default: each costs a system call."""

FIELDS = {
    b"Rss": "rss",
    b"Pss": "pss",
    b"Shared_Clean": "shared_clean",
    b"Shared_Dirty": "shared_dirty",
    b"Private_Clean": "private_clean",
    b"Private_Dirty": "private_dirty",
    b"Referenced": "referenced",
    b"Anonymous": "anonymous",
}
"""Lines of /proc/PID/smaps, and what they're called here."""


@dataclass(frozen=True, slots=True, repr=False)
class Memory(MapLine):
    """A line of /proc/PID/smaps: a mapping, and what it costs. All sizes in bytes.

    *rss* is what is in memory and was touched through this mapping, *pss* the same with each page divided by
    the number of processes that touched it, so that the *pss* of all processes add up. *shared_…* pages are
    also in another process's page tables, *private_…* in this one's alone: it's touching that counts, not
    mapping or forking (FACTS F77). *anonymous* pages belong to no object: in a MAP_PRIVATE mapping, those
    that were copied on write. *referenced* was used lately.
    """

    rss: int
    pss: int
    shared_clean: int
    shared_dirty: int
    private_clean: int
    private_dirty: int
    referenced: int
    anonymous: int

    COLUMNS: ClassVar[Columns] = {
        "start": table.address,
        "length": table.size,
        "perms": table.text,
        **dict.fromkeys(FIELDS.values(), table.size),
        "path": table.text,
    }


@dataclass(frozen=True, slots=True, repr=False)
class Page(Value):
    """One page of a process's address space, as /proc/PID/pagemap describes it.

    *present* is whether the process's page tables lead to a page in memory: a page of an object that this
    process has yet to touch isn't, whoever else uses it. (Reading one page also brings those of the 64 KiB
    around it that are in memory already: the kernel's fault-around. Writing brings one.) *file_or_shared* is
    whether it belongs to an object, a file or shared anonymous memory; a page copied on write doesn't.
    *exclusive* is whether no other page table leads to it. *frame* is the physical page's number, None when
    the page isn't present and when the kernel hides it (FACTS F79); never 0.
    """

    address: int
    present: bool
    swapped: bool
    file_or_shared: bool
    exclusive: bool
    frame: int | None

    COLUMNS: ClassVar[Columns] = {
        "address": table.address,
        "present": table.text,
        "swapped": table.text,
        "file_or_shared": table.text,
        "exclusive": table.text,
        "frame": lambda frame: "" if frame is None else table.address(frame),
    }
    LITERAL: ClassVar[Literals] = {"address": table.address}


@dataclass(frozen=True, slots=True, repr=False)
class Extent(Value):
    """A run of an object's bytes: *data* is whether they're in allocated pages; a hole otherwise."""

    offset: int
    length: int
    data: bool

    COLUMNS: ClassVar[Columns] = {"offset": table.address, "length": table.size, "data": table.text}

    @property
    def end(self) -> int:
        """The offset after the last byte."""
        return self.offset + self.length


class Pages(Table[Page]):
    """Pages, and *frames_permitted*: whether this user may see their physical numbers."""

    frames_permitted: bool = False

    def _remarks(self) -> list[str]:
        hidden = (
            [] if self.frames_permitted else ["frame numbers are hidden: seeing them takes CAP_SYS_ADMIN"]
        )
        return super()._remarks() + hidden


class Extents(Table[Extent]):
    """Extents, and *complete*: whether they reach the object's end, *size*, or there were too many.

    *allocated* is the memory that the object takes, in bytes (``st_blocks`` times 512). It's more than the
    data where posix_fallocate(3) reserved pages that nobody has touched yet: SEEK_DATA calls them a hole.
    """

    complete: bool = True
    size: int = 0
    allocated: int = 0

    def _remarks(self) -> list[str]:
        cut = [] if self.complete else [f"the object goes on: it's {table.size(self.size)} long"]
        return super()._remarks() + cut


def memory(
    pid: int | str = "self", name: str | None = None, address: int | None = None, kind: Kind = "object"
) -> Table[Memory]:
    """Return what the mappings of process *pid* cost, by address.

    With *name*, only those of that object (as in ``mappings``); with *address*, only the one it lies in. The
    table is empty when there's no such process. Raises PermissionError for a process that this user may not
    look at. The kernel walks the process's page tables for it: some milliseconds for a large process.
    Source: ``/proc/PID/smaps`` (proc(5)).
    """
    try:
        with open(f"/proc/{_proc(pid)}/smaps", "rb", buffering=0) as file:
            text = file.read()
    except PermissionError as error:
        not_permitted(error, pid)
    except (FileNotFoundError, ProcessLookupError):
        text = b""
    rows: Iterable[Memory] = _parse_smaps(text)
    if address is not None:
        rows = [row for row in rows if row.start <= address < row.end]
    if name is not None:
        entry, path = object_entry(name, kind), path_of(name, kind)
        rows = [row for row in rows if (_is(row, entry) if entry else row.deleted and row.path == path)]
    return Table(rows, Memory.COLUMNS)


def pages(pid: int | str, start: int, length: int) -> Pages:
    """Return the pages that the *length* bytes from address *start* of process *pid* lie in, one row a page.

    An address that isn't mapped is a page that isn't present. Whoever lacks CAP_SYS_ADMIN gets rows without
    ``frame``, and ``frames_permitted`` False: the kernel tells everything but that. One pread(2), whatever
    the length. The table is empty when there's no such process.

    Raises PermissionError for a process that this user may not look at, OSError EINVAL for a negative *start*
    or *length*, or more than 2**20 pages. Source: the kernel's admin-guide/mm/pagemap.rst, FACTS F76 to F79.
    """
    size = os.sysconf("SC_PAGE_SIZE")
    first = start // size
    count = -(-(start + length) // size) - first if length else 0
    if start < 0 or length < 0 or count > MOST_PAGES:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), f"pages({pid}, {start:#x}, {length})")
    try:
        with open(f"/proc/{_proc(pid)}/pagemap", "rb", buffering=0) as file:
            text = os.pread(file.fileno(), count * ENTRY, first * ENTRY)
    except PermissionError as error:
        not_permitted(error, pid)
    except (FileNotFoundError, ProcessLookupError):
        text = b""
    entries = memoryview(text[: len(text) // ENTRY * ENTRY]).cast("Q")
    found = Pages([_page((first + i) * size, entry) for i, entry in enumerate(entries)], Page.COLUMNS)
    witness = next((page for page in found if page.present), None)
    # It's the one who looks that the kernel judges: where no page is present, one of our own tells.
    found.frames_permitted = sees_page_frames() if witness is None else witness.frame is not None
    return found


def allocated_pages(name: str, kind: Kind = "object", most: int = MOST_EXTENTS) -> Extents:
    """Return which bytes of the object called *name* lie in allocated pages, as at most *most* extents.

    They alternate between data and hole and add up to the object's size; none for an empty object. Looking
    allocates nothing (FACTS F22). A page is allocated by the first touch, even one that reads; ftruncate
    allocates none (F21). Pages that posix_fallocate reserved and nobody touched count as a hole.

    Raises OSError with the name: FileNotFoundError, PermissionError, EINVAL for a name that no object can
    have. Source: SEEK_DATA and SEEK_HOLE of lseek(2).
    """
    fd = Sampler(name, kind)._open()
    try:
        status = os.fstat(fd)
        rows: list[Extent] = []
        complete = True
        for extent in _extents(fd, status.st_size):
            if len(rows) == most:
                complete = False
                break
            rows.append(extent)
    finally:
        os.close(fd)
    found = Extents(rows, Extent.COLUMNS)
    found.complete, found.size, found.allocated = complete, status.st_size, status.st_blocks * 512
    return found


def not_permitted(error: PermissionError, pid: int | str) -> NoReturn:
    """Raise *error* again, saying whose process it is that may not be looked at."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            fields = dict(line.partition(b":")[::2] for line in file.read().splitlines())
        whose = f"process {pid} belongs to {user_name(int(fields[b'Uid'].split()[1]))}"
    except OSError:
        whose = f"process {pid} can't be looked at"
    raise PermissionError(error.errno, f"{error.strerror} ({whose})", error.filename) from None


def _proc(pid: int | str) -> int | str:
    return pid if pid == "self" else int(pid)


def _parse_smaps(text: bytes) -> Iterator[Memory]:
    line: MapLine | None = None
    sizes: dict[str, int] = {}
    for raw in text.split(b"\n"):
        if not raw:
            continue
        label, colon, rest = raw.partition(b":")
        # A mapping's own line has its first colon in the device, after blanks.
        if not colon or b" " in label:
            if line is not None:
                yield _memory(line, sizes)
            line, sizes = parse(raw), {}
        elif label in FIELDS:
            sizes[FIELDS[label]] = int(rest.split()[0]) * 1024
    if line is not None:
        yield _memory(line, sizes)


def _memory(line: MapLine, sizes: dict[str, int]) -> Memory:
    fields: dict[str, Any] = {name: getattr(line, name) for name in MapLine.__match_args__}
    fields |= {name: sizes.get(name, 0) for name in FIELDS.values()}
    return Memory(**fields)


def _page(address: int, entry: int) -> Page:
    present = bool(entry & PRESENT)
    return Page(
        address=address,
        present=present,
        swapped=bool(entry & SWAPPED),
        file_or_shared=bool(entry & FILE_OR_SHARED),
        exclusive=bool(entry & EXCLUSIVE),
        frame=(entry & FRAME or None) if present else None,
    )


def _extents(fd: int, size: int) -> Iterator[Extent]:
    at = 0
    while at < size:
        try:
            data = min(os.lseek(fd, at, os.SEEK_DATA), size)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            data = size  # nothing but a hole follows
        if data > at:
            yield Extent(at, data - at, data=False)
        if data == size:
            return
        try:
            at = min(os.lseek(fd, data, os.SEEK_HOLE), size)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return  # shortened while we looked
        yield Extent(data, at - data, data=True)
