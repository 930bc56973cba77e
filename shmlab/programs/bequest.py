"""Attaches a segment and forks; the child inherits the attachment, until it calls exec. Twin: bequest.c."""

import os
import signal
from collections.abc import Iterator

from shmlab import sysv


def bequest(shmid: int) -> Iterator[str]:
    m = sysv.shmat(shmid)
    yield "shmat"
    child = os.fork()
    if child == 0:
        m.buf[:5] = b"child"
        signal.raise_signal(signal.SIGSTOP)
        os.execv("/bin/sh", ["sh", "-c", "kill -STOP $$"])
    os.waitpid(child, os.WUNTRACED)
    yield "fork"
    os.kill(child, signal.SIGCONT)
    os.waitpid(child, os.WUNTRACED)
    yield "exec"
    os.kill(child, signal.SIGCONT)
    os.waitpid(child, 0)
    yield "the child ended"
