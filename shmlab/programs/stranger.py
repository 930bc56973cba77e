"""Becomes the user it is told to be, and tries what may be done to an object. Twin: stranger.c."""

import errno
import os
from collections.abc import Callable, Iterator

from shmlab import posix


def stranger(name: str, uid: int) -> Iterator[str]:
    if uid != os.geteuid():  # only root may, and there is no way back
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    yield "user"
    print("O_RDONLY:", said(posix.shm_open, name, posix.O_RDONLY))
    print("O_RDWR:", said(posix.shm_open, name, posix.O_RDWR))
    print("O_RDWR | O_CREAT:", said(posix.shm_open, name, posix.O_RDWR | posix.O_CREAT, 0o644))
    yield "open"
    fd = posix.shm_open(name, posix.O_RDONLY)
    print("mmap PROT_READ:", said(posix.mmap, None, 4096, posix.PROT_READ, posix.MAP_SHARED, fd))
    print("mmap PROT_WRITE:", said(posix.mmap, None, 4096, posix.PROT_WRITE, posix.MAP_SHARED, fd))
    print("fchmod 0666:", said(os.fchmod, fd, 0o666))
    yield "use"
    print("O_RDONLY | O_TRUNC:", said(posix.shm_open, name, posix.O_RDONLY | posix.O_TRUNC))
    print("shm_unlink:", said(posix.shm_unlink, name))
    yield "remove"


def said(call: Callable[..., object], *arguments: object) -> str:
    try:
        call(*arguments)
        return "yes"
    except OSError as error:
        return errno.errorcode[error.errno or 0]
