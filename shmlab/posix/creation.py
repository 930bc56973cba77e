"""One convenience, and no more: an object created, sized, reserved and mapped in one step, and removed at
the end.

For those who need shared memory and aren't being taught how it is made (the lab's own processes, a later
lesson's setting). It makes the calls of `shmlab.posix.objects` and `shmlab.posix.mappings` and no others.
"""

from __future__ import annotations

import errno
import os

from shmlab.posix.mappings import MAP_SHARED, PROT_READ, PROT_WRITE, Mapping, mmap
from shmlab.posix.objects import O_CREAT, O_EXCL, O_RDWR, close, posix_fallocate, shm_open, shm_unlink


class OwnedMapping(Mapping):
    """A `Mapping` whose ``with`` block owns the object too: at its end it unmaps and unlinks."""

    __slots__ = ()

    def __enter__(self) -> OwnedMapping:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            super().__exit__(kind, error, trace)
        finally:
            try:  # noqa: SIM105  contextlib would cost every worker a millisecond
                shm_unlink(self.name or "")
            except FileNotFoundError:
                pass  # unlinked inside the block, which is as good


def create(name: str, size: int, mode: int = 0o600) -> OwnedMapping:
    """Create a shared memory object of *size* bytes, reserve its memory, and map it shared, for reading
    and writing.

    The calls: shm_open (O_RDWR | O_CREAT | O_EXCL, *mode*), posix_fallocate, mmap, close. Since the
    memory is reserved, touching it can't end in SIGBUS for want of space. As a context manager it unmaps
    and unlinks at the end; without ``with``, `munmap` and `shm_unlink` are yours. What fails midway
    leaves nothing behind.

    Raises FileExistsError when *name* is taken; OSError with ENOSPC, saying how much is free, when
    /dev/shm is too full; EINVAL for a *size* below 1; whatever `shm_open` and `mmap` raise, each with the
    name.

    Source: shm_open(3), posix_fallocate(3); FACTS F09, F10.
    """
    fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, mode)
    try:
        try:
            posix_fallocate(fd, 0, size)
            mapping = mmap(None, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd)
        finally:
            close(fd)
    except BaseException as error:
        shm_unlink(name)
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise OSError(errno.ENOSPC, _full(size), name) from None
        raise
    return OwnedMapping(mapping._mapped(), size, mapping.prot, mapping.flags, name)


def _full(size: int) -> str:
    try:
        space = os.statvfs("/dev/shm")
    except OSError:
        return f"No space left on /dev/shm (wanted {_amount(size)})"
    return (
        f"No space left on /dev/shm (wanted {_amount(size)}, {_amount(space.f_bavail * space.f_frsize)} free)"
    )


def _amount(size: int) -> str:
    for unit, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if size >= unit:
            return f"{size / unit:.4g} {name}"
    return f"{size} bytes"
