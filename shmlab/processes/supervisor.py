"""The process that outlives the notebook's kernel just long enough to leave nothing behind.

Started once a session, in a session of its own so that no Ctrl-C and no hang-up reaches it. It waits for the
end of the kernel, however that comes (the pipe from it closes, or its pidfd says so), kills the session's
processes, removes its objects, segments and semaphore sets, and ends. When it was itself killed, ``shmlab
clean`` or the next session's supervisor does the same: each also sweeps up after the dead sessions that it
finds.

It finds everything by the session's token, or by the ledger of the session's processes, so nothing need be
reported to it and no crash can fall between creating a thing and reporting it.
"""

import os
import select
import signal
import sys
from contextlib import suppress

SETTLE = 1.0
"""Seconds before it looks for dead sessions: the lesson's first processes are starting now."""


def main(argv: list[str]) -> None:
    """Wait for the end of a kernel and clean up. *argv*: the session's token and the kernel's pid."""
    token, kernel = argv[0], int(argv[1])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)

    from shmlab.processes import sweep

    uid = os.getuid()
    if not _kernel_ends(kernel, SETTLE):
        with suppress(Exception):
            sweep.clean(uid)
        _kernel_ends(kernel, None)
    sweep.remove_session(token, uid)


def _kernel_ends(kernel: int, timeout: float | None) -> bool:
    """Return True as soon as the kernel is gone, False when it still lives after *timeout* seconds."""
    poll = select.poll()
    poll.register(0, select.POLLIN | select.POLLHUP)
    descriptor = -1
    try:
        with suppress(AttributeError, OSError):
            # A student's os.fork() keeps the pipe open after the kernel is dead; the pidfd is not fooled.
            descriptor = os.pidfd_open(kernel)
            poll.register(descriptor, select.POLLIN)
        if os.getppid() != kernel:
            return True
        return bool(poll.poll(None if timeout is None else timeout * 1000))
    finally:
        if descriptor >= 0:
            os.close(descriptor)


if __name__ == "__main__":
    main(sys.argv[1:])
