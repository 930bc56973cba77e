"""How a failure of a POSIX call looks: posix_ipc's exceptions as what they were, errno and the object's name.

posix_ipc turns errno into exceptions of its own and drops the number; this module turns them back. It
also holds the checks that must come before posix_ipc is called, because posix_ipc would crash on such a
name. Imported by the other modules of `shmlab.posix`; no call is made here.
"""

import errno
import os

import posix_ipc

from shmlab.failures import failure


class Descriptor(int):
    """A file descriptor from `shm_open`: an ordinary int that also remembers which name it was opened by."""

    name: str


def check_name(name: str) -> None:
    """Refuse what posix_ipc dies of: TypeError for a non-string, ValueError for a NUL (FACTS P01).

    Characters that the file system's encoding lacks raise UnicodeEncodeError, a ValueError, for the same
    reason.
    """
    if not isinstance(name, str):
        raise TypeError(f"a name must be a string, not {type(name).__name__}")
    if "\0" in name:
        raise ValueError("embedded null character")
    if not name.isascii():
        os.fsencode(name)


def translated(error: Exception, name: str) -> OSError:
    """Return what errno was when posix_ipc raised *error*.

    The texts are those of posix_ipc 1.3.2 (src/posix_ipc_module.c). Where it gives two numbers one exception
    (ENOENT and EINVAL, for sem_unlink) the answer is the one that glibc gives: ENOENT.
    """
    text = str(error)
    if isinstance(error, OSError) and error.errno is not None:
        return failure(error.errno, name)
    if isinstance(error, posix_ipc.PermissionsError):
        return failure(errno.EACCES, name)
    if isinstance(error, posix_ipc.ExistentialError):
        if "already exists" in text:
            return failure(errno.EEXIST, name)
        return failure(errno.ENOENT if text.startswith("No ") else errno.EINVAL, name)
    if isinstance(error, MemoryError):
        return failure(errno.ENOMEM, name)
    if isinstance(error, ValueError):
        return failure(errno.ENAMETOOLONG if "too long" in text else errno.EINVAL, name)
    return failure(errno.ENFILE if "system limit" in text else errno.EMFILE, name)


def name_of(fd: int) -> str | None:
    """Return the name of the object that *fd* refers to: "/mymem", a path for any other file, None if
    unknown."""
    if isinstance(fd, Descriptor):
        return fd.name
    try:
        path = os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return None
    if path.endswith(" (deleted)") and not os.path.lexists(path):
        path = path.removesuffix(" (deleted)")
    return path.removeprefix("/dev/shm")
