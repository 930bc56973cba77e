"""Mappings: mmap, msync, munmap, and the `Mapping` that stands where C has a pointer.

CPython's mmap does the work; libc does what it refuses: an address, MAP_FIXED, a length or an offset past
the end of the object, a part of a mapping, flags for msync. Opening and sizing objects is
`shmlab.posix.objects`. No function here reads or writes the mapped bytes.
"""

from __future__ import annotations

import errno
import mmap as _std
import sys

from shmlab.failures import failure
from shmlab.posix.failures import name_of
from shmlab.views import released, shared

TYPE_CHECKING = False  # typing's own costs a worker milliseconds
if TYPE_CHECKING:
    from shmlab.libc import Region

PAGE_SIZE = _std.PAGESIZE

PROT_READ, PROT_WRITE, PROT_EXEC = _std.PROT_READ, _std.PROT_WRITE, _std.PROT_EXEC
MAP_SHARED, MAP_PRIVATE, MAP_ANONYMOUS = _std.MAP_SHARED, _std.MAP_PRIVATE, _std.MAP_ANONYMOUS
MAP_POPULATE = _std.MAP_POPULATE
# What CPython 3.11 doesn't name: Linux's asm-generic/mman-common.h, the same on x86-64 and arm64.
PROT_NONE = 0
MAP_SHARED_VALIDATE = 0x3
MAP_FIXED = 0x10
MAP_NORESERVE = 0x4000
MAP_SYNC = 0x80000
MAP_FIXED_NOREPLACE = 0x100000
MS_ASYNC, MS_INVALIDATE, MS_SYNC = 1, 2, 4

_PLACED = MAP_FIXED | MAP_FIXED_NOREPLACE
_Standard = _std.mmap

if sys.version_info >= (3, 13):

    def _map(fd: int, length: int, flags: int, prot: int, access: int, offset: int) -> _std.mmap:
        return _Standard(fd, length, flags, prot, access, offset, trackfd=False)

else:
    _map = _Standard  # every argument by position: a frame more would be 1 % of the cycle


class Mapping:
    """A range of this process's addresses that shows an object's bytes, or anonymous memory; made by `mmap`.

    `buf` is the memory itself as a memoryview, `length`, `prot` and `flags` are what was asked for,
    `name` is the object's ("/mymem"; a path for another file, None for anonymous memory). ``with`` unmaps
    at the end. A mapping that is forgotten is unmapped when neither it nor any view of it is left.
    """

    __slots__ = ("__weakref__", "_address", "_buf", "_memory", "flags", "length", "name", "prot")

    def __init__(
        self, memory: _std.mmap | Region, length: int, prot: int, flags: int, name: str | None
    ) -> None:
        self._memory: _std.mmap | Region | None = memory
        self._buf: memoryview | None = None
        self._address: int | None = None
        self.length, self.prot, self.flags, self.name = length, prot, flags, name

    def _mapped(self) -> _std.mmap | Region:
        if self._memory is None:
            raise ValueError(f"{_called(self)} has been unmapped")
        return self._memory

    @property
    def buf(self) -> memoryview:
        """The bytes, uncopied: read-only without PROT_WRITE. ValueError after `munmap`, never a crash.

        Touching a page that PROT_NONE forbids, or that lies past the end of the object, kills this process.
        """
        view = self._buf
        if view is None or released(view):
            memory = self._mapped()
            if isinstance(memory, _Standard):
                view = memoryview(memory)
            else:
                view = memory.view(bool(self.prot & PROT_WRITE))
            self._buf = view
        return view

    @property
    def address(self) -> int:
        """Where the mapping begins in this process; another process sees it elsewhere. ValueError after
        `munmap`."""
        memory = self._mapped()
        if not isinstance(memory, _Standard):
            return memory.address
        if self._address is None:
            from shmlab import libc

            self._address = libc.address_of(memory)
        return self._address

    def __len__(self) -> int:
        return self.length

    def __repr__(self) -> str:
        if self._memory is None:
            return f"<Mapping of {_called(self)}, unmapped>"
        letters = "".join(c if self.prot & bit else "-" for c, bit in zip("rwx", (1, 2, 4), strict=True))
        return f"<Mapping of {_called(self)}, {self.length} bytes, {letters}{'s' if self.flags & 1 else 'p'}>"

    def __enter__(self) -> Mapping:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            munmap(self)
        except BufferError as refusal:
            if error is None:
                raise
            # What went wrong inside matters more; its traceback is probably what holds the views.
            error.add_note(str(refusal))


def _called(mapping: Mapping) -> str:
    return "anonymous memory" if mapping.name is None else repr(mapping.name)


def mmap(addr: int | None, length: int, prot: int, flags: int, fd: int, offset: int = 0) -> Mapping:
    """Map an object, or anonymous memory, into this process.
    ``void *mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)``

    *addr* is where to, None or 0 for "anywhere"; without MAP_FIXED it is a hint. *length* is in bytes,
    and the kernel rounds it up to pages. *prot* is PROT_NONE or a union of PROT_READ, PROT_WRITE,
    PROT_EXEC. *flags* holds one of MAP_SHARED, MAP_PRIVATE. *fd* (-1 with MAP_ANONYMOUS) may be closed
    right after. *offset* is a multiple of the page size.

    Returns a `Mapping`.

    **What can kill this process.** As in C, a mapping may be longer than its object, or PROT_NONE, and
    mmap says nothing: the first touch through `buf` is SIGBUS or SIGSEGV. MAP_FIXED replaces whatever was
    at *addr*, the memory of Python and of other Mappings included. Do these in a Process, not in a
    notebook's kernel.

    Raises OSError with the kernel's errno and the object's name: EINVAL (*length* 0, *offset* within a
    page, no MAP_SHARED or MAP_PRIVATE), PermissionError (EACCES: *fd* isn't open for that), EBADF,
    ENODEV, ENOMEM, EEXIST (MAP_FIXED_NOREPLACE), EOVERFLOW …; OverflowError when an argument doesn't fit
    its C type.

    On Python 3.11 and 3.12 a mapping that CPython made keeps a duplicate of *fd* open until it is unmapped
    (FACTS P04); 3.13 doesn't (trackfd=False), nor does libc.

    Source: mmap(2), POSIX.1-2017; FACTS D12, D19, D79-D93, F16, F23, P18.
    """
    anonymous = flags & MAP_ANONYMOUS
    # CPython takes length 0 for "all of it" and fd -1 for "anonymous"; C doesn't.
    if not addr and not flags & _PLACED and length > 0 and offset >= 0 and (anonymous or fd >= 0):
        try:
            memory = _map(-1 if anonymous else fd, length, flags, prot, 0, offset)
        except (ValueError, OverflowError):
            pass  # past the end of the object, or more than Py_ssize_t: not CPython's to decide
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):  # no descriptor left for its duplicate
                raise failure(error.errno or 0, None if anonymous else name_of(fd)) from None
        else:
            return Mapping(memory, length, prot, flags, None if anonymous else name_of(fd))
    from shmlab import libc

    try:
        address = libc.mmap(addr or 0, length, prot, flags, fd, offset)
    except OSError as error:
        raise failure(error.errno or 0, None if anonymous else name_of(fd)) from None
    return Mapping(libc.Region(address, length), length, prot, flags, None if anonymous else name_of(fd))


def msync(mapping: Mapping, length: int | None = None, flags: int = MS_SYNC) -> None:
    """Write a mapped file's changed pages to its disk. ``int msync(void *addr, size_t length, int flags)``

    For shared memory there is nothing to write: other processes see every store without it. *length* (all
    of the mapping when it is None) counts from the start of *mapping*; *flags* is MS_SYNC or MS_ASYNC,
    and MS_INVALIDATE.

    Raises OSError with EINVAL (unknown or contradictory flags), ENOMEM (*length* reaches unmapped
    addresses, or *mapping* has been unmapped), EBUSY, each with the name; OverflowError.

    Source: msync(2); FACTS D14, F26.
    """
    memory = mapping._memory
    if memory is None:
        raise failure(errno.ENOMEM, mapping.name)
    try:
        # mmap.flush() makes no call at all for read-only mappings, where C does.
        if (
            length is None
            and flags == MS_SYNC
            and mapping.prot & PROT_WRITE
            and isinstance(memory, _Standard)
        ):
            memory.flush()
        else:
            from shmlab import libc

            libc.msync(mapping.address, mapping.length if length is None else length, flags)
    except OSError as error:
        raise failure(error.errno or 0, mapping.name) from None


def munmap(mapping: Mapping, length: int | None = None) -> None:
    """Remove a mapping; the object, its size and its bytes stay. ``int munmap(void *addr, size_t length)``

    *length* is all of *mapping* when it is None. Less removes as many whole pages as hold *length* bytes,
    from the start; what remains is the mapping then: it begins that much later and is that much shorter,
    `buf` too.

    While views of the memory exist (slices and casts of `buf`, arrays made of it) this refuses, and the
    mapping stays as it was: BufferError with the name. `buf` itself is no such view; it is released, and
    using it afterwards is a ValueError. Unmapping what has been unmapped does nothing, as in C (FACTS
    F25).

    Raises OSError with EINVAL for *length* 0, OverflowError for a negative one, and ValueError for one
    that reaches past the mapping: C would unmap what lies there, whosever it is.

    Source: munmap(2); FACTS D13, F16, F25.
    """
    if not isinstance(mapping, Mapping):
        raise TypeError(f"a Mapping from mmap is needed, not {type(mapping).__name__}")
    pages = None if length is None else _pages(mapping, length)
    memory, view = mapping._memory, mapping._buf
    if memory is None:
        return
    try:
        if view is not None:
            if shared(view):
                raise BufferError
            view.release()
            mapping._buf = None
        view = None
        if pages is None and isinstance(memory, _Standard):
            memory.close()
            mapping._memory = None
            return
        _remove(mapping, memory, pages)
    except BufferError:
        raise BufferError(
            f"{_called(mapping)} can't be unmapped while views of it exist "
            "(slices, casts, arrays): release or delete them first"
        ) from None
    except OSError as error:
        raise failure(error.errno or 0, mapping.name) from None


def _pages(mapping: Mapping, length: int) -> int | None:
    """Return how many bytes *length* removes, in whole pages; None when that is all of *mapping*."""
    if length < 0:
        raise OverflowError(f"length is {length}, which size_t can't hold")
    if length == 0:
        raise failure(errno.EINVAL, mapping.name)
    pages, whole = -(-length // PAGE_SIZE), -(-mapping.length // PAGE_SIZE)
    if pages > whole:
        raise ValueError(
            f"{length} bytes reach past {_called(mapping)}, of which {mapping.length} are mapped"
        )
    return None if pages == whole else pages * PAGE_SIZE


def _remove(mapping: Mapping, memory: _std.mmap | Region, pages: int | None) -> None:
    if isinstance(memory, _Standard):
        from shmlab import libc

        mapping._memory = memory = libc.adopt(memory)
    memory.unmap(memory.length if pages is None else pages)
    if pages is None:
        mapping._memory = None
    else:
        mapping.length -= pages
