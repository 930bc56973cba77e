"""The bytes of an object, looked at without touching it: by pread(2) only, a few of them however long it is.

Never by mapping it. Reading a mapping allocates a page for every hole it looks at, and kills whoever looks
with SIGBUS when somebody else shortens the object; pread does neither. And nothing is kept open between two
looks: an object that was unlinked gives its memory back though somebody watched it, and the watcher doesn't
show up among those who have it open. Imported through ``shmlab.observe`` by figures and panels.
"""

import errno
import os
import stat
from dataclasses import dataclass, field
from typing import NoReturn

from shmlab.observe import table
from shmlab.observe.objects import Kind, path_of

AT_ONCE = 1024
"""Bytes a point up to which a range is read with one pread and thinned out, faster than one a point."""

AT_ONCE_IN_ALL = 1 << 20
"""Bytes up to which that is done at all: more would be felt by those who write them."""

MOST = 0x7FFF_F000
"""The most that one pread transfers on Linux (read(2))."""


@dataclass(frozen=True, slots=True, repr=False)
class Sample:
    """Bytes of an object: runs of *run* bytes, evenly *stride* bytes apart, the first at *offset*.

    *size* is the length of the whole object in bytes at that moment, *data* the runs one after the other (the
    last may be shorter), *inode* tells apart two objects that had the name one after the other.
    """

    size: int
    offset: int
    stride: int
    run: int
    data: bytes = field(repr=False)
    inode: int = 0

    @property
    def offsets(self) -> range:
        """Where in the object each run begins, in bytes."""
        runs = -(-len(self.data) // self.run)
        return range(self.offset, self.offset + runs * self.stride, self.stride)

    @property
    def whole(self) -> bool:
        """Whether nothing was left out between the runs."""
        return self.stride == self.run

    def __repr__(self) -> str:
        first = self.data[:16].hex(" ") + (" …" if len(self.data) > 16 else "")
        runs = len(self.offsets)
        what = (
            f"{len(self.data)} bytes" if self.whole else f"{runs} runs of {self.run}, one every {self.stride}"
        )
        return f"Sample({what} from {self.offset} of {table.size(self.size)}: {first})"


class Sampler:
    """Looks at the bytes of the object called *name*, again and again, without changing anything.

    It follows the name: when the object is unlinked and a new one created, the next look is at the new one.
    It has no state, so threads may share it. (One trap of POSIX: in a process that holds an ``fcntl`` record
    lock on the object, looking drops that lock, because closing any descriptor of a file does.)

    Raises OSError with the name: FileNotFoundError, PermissionError, or EINVAL for a name that no object can
    have; when it's made, and at every look. After ``close``, looking raises ValueError.
    """

    def __init__(self, name: str, kind: Kind = "object") -> None:
        self.name = name
        self._path = path_of(name, kind)
        self._closed = False
        os.close(self._open())

    def __repr__(self) -> str:
        return f"Sampler({self.name!r}{', closed' if self._closed else ''})"

    def __enter__(self) -> "Sampler":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Look no more. May be called twice."""
        self._closed = True

    @property
    def size(self) -> int:
        """Length of the object now, in bytes."""
        return self._stat().st_size

    @property
    def allocated(self) -> int:
        """Memory that the object takes now, in bytes (``st_blocks`` times 512)."""
        return self._stat().st_blocks * 512

    def read(self, offset: int = 0, length: int | None = None) -> bytes:
        """Return *length* bytes from *offset*, or all that follow; fewer where the object ends before.

        Raises OSError EINVAL for a negative offset or length.
        """
        fd = self._open()
        try:
            rest = max(0, os.fstat(fd).st_size - offset)
            return _read(fd, rest if length is None else min(length, rest), offset)
        except OSError as error:
            self._fail(error)
        finally:
            os.close(fd)

    def sample(self, points: int = 2000, run: int = 1, offset: int = 0, length: int | None = None) -> Sample:
        """Return at most *points* runs of *run* bytes, evenly spaced over *length* bytes from *offset*.

        *length* None means to the end. What fits into ``points * run`` bytes is returned whole; of more,
        between half of *points* and all of them, each run at a multiple of *run* from *offset*, so that a run
        may be an integer or a record. It costs at most *points* preads, whatever the size: some 0.5 µs each.
        Good choices: ``sample(2000)`` for a plot, ``sample(256, 256)`` for a grid of 256 lines.

        The runs are read one after the other while processes may write: a sample is no snapshot. Where the
        object was shortened meanwhile, it ends there. Raises ValueError for *points* or *run* below 1,
        OSError EINVAL for a negative offset or length.
        """
        if points < 1 or run < 1:
            raise ValueError(f"a sample needs at least one point of one byte, not points={points}, run={run}")
        fd = self._open()
        try:
            status = os.fstat(fd)
            if offset < 0 or (length is not None and length < 0):
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
            rest = max(0, status.st_size - offset)
            length = rest if length is None else min(length, rest)
            stride = run if length <= points * run else -(-length // (points * run)) * run
            if stride == run:
                data, complete = _read(fd, length, offset), length
            else:
                at_once = length <= min(points * AT_ONCE, AT_ONCE_IN_ALL)
                data, complete = _runs(fd, offset, length, run, stride, at_once)
            size = status.st_size if len(data) == complete else os.fstat(fd).st_size
            return Sample(size, offset, stride, run, data, status.st_ino)
        except OSError as error:
            self._fail(error)
        finally:
            os.close(fd)

    def _open(self) -> int:
        if self._closed:
            raise ValueError(f"the sampler of {self.name!r} is closed")
        try:
            # O_NONBLOCK: anybody may put a FIFO in /dev/shm, and opening one would wait for its writer.
            fd = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            self._fail(error)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(errno.EINVAL, "not a shared memory object", self.name)
        return fd

    def _stat(self) -> os.stat_result:
        if self._closed:
            raise ValueError(f"the sampler of {self.name!r} is closed")
        try:
            return os.lstat(self._path)
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> NoReturn:
        raise OSError(error.errno, error.strerror, self.name) from None


def _read(fd: int, length: int, offset: int) -> bytes:
    if length <= MOST:
        return os.pread(fd, length, offset)
    parts = []
    while length > 0 and (part := os.pread(fd, min(length, MOST), offset)):
        parts.append(part)
        offset += len(part)
        length -= len(part)
    return b"".join(parts)


def _runs(fd: int, offset: int, length: int, run: int, stride: int, at_once: bool) -> tuple[bytes, int]:
    """Return the runs, joined, and how many bytes they were to have: fewer when the object was shortened."""
    end = offset + length
    starts = range(offset, end, stride)
    complete = (len(starts) - 1) * run + min(run, end - starts[-1])
    if at_once:
        text = os.pread(fd, length, offset)
        if run == 1:
            return text[::stride], complete
        return b"".join([text[at : at + run] for at in range(0, len(text), stride)]), complete
    pread = os.pread
    parts = [pread(fd, run, at) for at in starts[:-1]]
    parts.append(pread(fd, min(run, end - starts[-1]), starts[-1]))
    if sum(map(len, parts)) < complete:
        # Shortened while we looked, perhaps lengthened again: only what precedes the gap is in its place.
        gap = next(i for i, part in enumerate(parts) if len(part) < run)
        parts = parts[: gap + 1]
    return b"".join(parts), complete
