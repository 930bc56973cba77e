"""Shared memory objects: shm_open, ftruncate, posix_fallocate, close, shm_unlink.

What gives an object its name, its size and its end. Mapping it is `shmlab.posix.mappings`. posix_ipc and the
standard library make the calls; libc only where they refuse an argument that C accepts.
"""

import os

import posix_ipc

from shmlab.failures import INT_MAX, INT_MIN, UINT_MAX, check_range, failure
from shmlab.posix.failures import Descriptor, check_name, name_of, translated

O_RDONLY, O_WRONLY, O_RDWR = os.O_RDONLY, os.O_WRONLY, os.O_RDWR
O_CREAT, O_EXCL, O_TRUNC = os.O_CREAT, os.O_EXCL, os.O_TRUNC

close = os.close

_SharedMemory = posix_ipc.SharedMemory
_ACCESS = os.O_ACCMODE
_PERMISSIONS = 0o7777  # the kernel ignores every other bit of a mode


def shm_open(name: str, oflag: int, mode: int = 0o600) -> int:
    """Open a shared memory object, or create one. ``int shm_open(const char *name, int oflag, mode_t mode)``

    *name* is "/mymem"; *oflag* is O_RDONLY or O_RDWR, with O_CREAT, O_EXCL, O_TRUNC; *mode* counts only
    for an object that this call creates, and less the umask. A new object is 0 bytes long and nothing is
    mapped.

    Returns a file descriptor: an ordinary one, which is yours and which `close` closes (no object of Python's
    closes it for you, FACTS P04). It isn't inherited through exec (FD_CLOEXEC).

    Raises FileExistsError (EEXIST: O_CREAT | O_EXCL and it exists), FileNotFoundError (ENOENT),
    PermissionError (EACCES), OSError with EINVAL (a slash inside the name, an empty name), ENAMETOOLONG,
    EMFILE, ENOSPC …, each with the name. Before any call: ValueError for a NUL in the name (FACTS P01),
    TypeError, OverflowError.

    This never changes the size of an existing object, unless *oflag* holds O_TRUNC (FACTS P02, P03).

    Source: shm_open(3), POSIX.1-2017; FACTS D06-D10, D65-D72, F01-F08.
    """
    check_name(name)
    if not (0 <= oflag <= INT_MAX and 0 <= mode <= INT_MAX):  # one comparison for what is usual
        check_range(oflag, INT_MIN, INT_MAX, "oflag")
        check_range(mode, 0, UINT_MAX, "mode")
    try:
        # The size is left out, always: posix_ipc would ftruncate, and on failure unlink (P02, P03).
        # O_EXCL without O_CREAT means nothing to the kernel (F02), but posix_ipc refuses it.
        access = oflag & _ACCESS
        flags = oflag if oflag & O_CREAT else oflag & ~O_EXCL
        if access == O_RDWR:
            fd = _SharedMemory(name, flags, mode & _PERMISSIONS).fd
        elif access == O_RDONLY:
            fd = _SharedMemory(name, flags, mode & _PERMISSIONS, read_only=True).fd
        else:
            from shmlab import libc

            fd = libc.shm_open(name, oflag, mode)
    except (posix_ipc.Error, OSError, ValueError) as error:
        raise translated(error, name) from None
    descriptor = Descriptor(fd)
    descriptor.name = name
    return descriptor


def ftruncate(fd: int, length: int) -> None:
    """Set the size of an object to *length* bytes. ``int ftruncate(int fd, off_t length)``

    Growing adds zeros and reserves no memory; shrinking takes bytes away from under those who map them,
    who then die of SIGBUS when they touch them. *fd* must be open for writing.

    Raises OSError with EINVAL (negative, or *fd* is read-only), EBADF, EFBIG; OverflowError past ``off_t``.

    Source: ftruncate(2); FACTS D16-D19, D73-D78, F03, F18, F20, F21.
    """
    try:
        os.ftruncate(fd, length)
    except OSError as error:
        raise failure(error.errno or 0, name_of(fd)) from None


def posix_fallocate(fd: int, offset: int, length: int) -> None:
    """Reserve memory for *length* bytes from *offset*, growing the object if it has to.
    ``int posix_fallocate(int fd, off_t offset, off_t length)``

    After it, touching those bytes can't fail for want of space in /dev/shm. C returns the error number (and
    leaves errno alone); here it is raised: OSError with ENOSPC, EINVAL (*length* < 1, *offset* < 0), EBADF.

    Source: posix_fallocate(3); FACTS F09, F10.
    """
    try:
        os.posix_fallocate(fd, offset, length)
    except OSError as error:
        raise failure(error.errno or 0, name_of(fd)) from None


def shm_unlink(name: str) -> None:
    """Remove the name of an object. ``int shm_unlink(const char *name)``

    The name is gone at once; the memory is released when the last process has unmapped and closed it.

    Raises FileNotFoundError (ENOENT: absent, or no valid name), PermissionError (EACCES: another user's),
    OSError with ENAMETOOLONG, EISDIR …, with the name. ValueError for a NUL, TypeError.

    Source: shm_unlink(3); FACTS D11, F07, F30.
    """
    check_name(name)
    try:
        if name.isascii():
            posix_ipc.unlink_shared_memory(name)
        else:  # posix_ipc encodes this one in UTF-8, whatever it encoded the name in when opening
            from shmlab import libc

            libc.shm_unlink(name)
    except (posix_ipc.Error, OSError, ValueError) as error:
        raise translated(error, name) from None
