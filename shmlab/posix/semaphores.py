"""Named semaphores: sem_open, sem_wait, sem_trywait, sem_timedwait, sem_post, sem_getvalue, sem_close,
sem_unlink.

posix_ipc makes the calls. What is added: errno, the name, seconds instead of a point in time, waits that
go on after a signal, and a refusal to close under a thread that waits (which C leaves undefined, and
which crashes).
"""

from __future__ import annotations

import errno
import os
from _thread import get_ident
from time import monotonic

import posix_ipc

from shmlab.failures import INT_MAX, INT_MIN, UINT_MAX, check_range, failure
from shmlab.posix.failures import check_name, translated

TYPE_CHECKING = False  # typing's own costs a worker milliseconds
if TYPE_CHECKING:
    from typing import Any

SEM_VALUE_MAX: int = posix_ipc.SEMAPHORE_VALUE_MAX

_LONGEST = 2.0**62  # seconds from now that time_t certainly holds
_Busy, _Signal = posix_ipc.BusyError, posix_ipc.SignalError


class Semaphore:
    """An open named semaphore: what `sem_open` returns and the other calls take.

    ``with sem:`` waits before the block and posts after it, as a critical section needs; it doesn't close.
    A semaphore that is forgotten without `sem_close` is closed when Python drops it; its name stays.
    """

    __slots__ = ("__weakref__", "_handle", "_waiting", "name")

    def __init__(self, handle: Any, name: str) -> None:
        self._handle: Any = handle
        self._waiting: dict[int, None] = {}
        self.name = name

    def __repr__(self) -> str:
        return f"<Semaphore {self.name!r}{', closed' if self._handle is None else ''}>"

    def __enter__(self) -> Semaphore:
        sem_wait(self)
        return self

    def __exit__(self, *raised: object) -> None:
        sem_post(self)

    def __del__(self) -> None:
        if self._handle is not None:
            self._handle.close()


def _failed(error: Exception, sem: Semaphore) -> Exception:
    if not isinstance(sem, Semaphore):
        return TypeError(f"a Semaphore from sem_open is needed, not {type(sem).__name__}")
    if sem._handle is None:
        return failure(errno.EINVAL, sem.name)
    return translated(error, sem.name)


def sem_open(name: str, oflag: int, mode: int = 0o600, value: int = 0) -> Semaphore:
    """Open a named semaphore, or create one.
    ``sem_t *sem_open(const char *name, int oflag, mode_t mode, unsigned int value)``

    *oflag* is 0, O_CREAT or O_CREAT | O_EXCL. *mode* (less the umask) and *value* count only for a semaphore
    that this call creates. To open one needs permission to read and to write it.

    Raises FileExistsError, FileNotFoundError, PermissionError, OSError with EINVAL (the name, or *value*
    above SEM_VALUE_MAX), ENAMETOOLONG (251 bytes fit), EMFILE …, each with the name. Before any call:
    ValueError for a NUL in the name (FACTS P01), TypeError, OverflowError.

    Source: sem_open(3); FACTS F65.
    """
    check_name(name)
    check_range(oflag, INT_MIN, INT_MAX, "oflag")
    check_range(mode, 0, UINT_MAX, "mode")
    check_range(value, 0, UINT_MAX, "value")
    flags = oflag if oflag & os.O_CREAT else oflag & ~os.O_EXCL  # alone O_EXCL means nothing in C
    try:
        return Semaphore(posix_ipc.Semaphore(name, flags, mode & 0o7777, value), name)
    except (posix_ipc.Error, OSError, ValueError, MemoryError) as error:
        raise translated(error, name) from None


def sem_wait(sem: Semaphore) -> None:
    """Take one from the semaphore's value, waiting as long as it is 0. ``int sem_wait(sem_t *sem)``

    The wait has no end of its own: where nobody may ever post, use `sem_timedwait`. A signal whose handler
    returns doesn't end it (C: EINTR); a KeyboardInterrupt does, as does any subclass that a handler raises.
    Every other exception of a signal handler is lost: posix_ipc clears it (FACTS P06), and the wait goes on.
    A handler that has to end a wait must therefore raise KeyboardInterrupt or a class derived from it.

    Raises OSError with EINVAL when *sem* has been closed.

    Source: sem_wait(3); FACTS F65, P06.
    """
    me = get_ident()
    while True:
        try:
            sem._waiting[me] = None
            try:
                return sem._handle.acquire()
            finally:
                sem._waiting.pop(me, None)
        except _Signal:
            continue
        except Exception as error:
            raise _failed(error, sem) from None


def sem_trywait(sem: Semaphore) -> None:
    """Take one from the semaphore's value, or refuse at once. ``int sem_trywait(sem_t *sem)``

    Raises BlockingIOError (EAGAIN) when the value is 0; OSError with EINVAL when *sem* has been closed.

    Source: sem_wait(3).
    """
    try:
        sem._handle.acquire(0)
    except _Busy:
        raise failure(errno.EAGAIN, sem.name) from None
    except Exception as error:
        raise _failed(error, sem) from None


def sem_timedwait(sem: Semaphore, seconds: float) -> None:
    """Take one from the semaphore's value, waiting *seconds* at most.
    ``int sem_timedwait(sem_t *sem, const struct timespec *abs_timeout)``

    C takes a point in time (CLOCK_REALTIME), this takes a number of seconds from now; 0 or less waits for
    nothing. Signals are treated as in `sem_wait`, and don't make the wait any longer.

    Raises TimeoutError (ETIMEDOUT); OSError with EINVAL when *sem* has been closed; OverflowError for more
    seconds than ``time_t`` holds, infinity included; ValueError for NaN.

    Source: sem_wait(3); FACTS P06.
    """
    seconds = seconds * 1.0
    if seconds != seconds:
        raise ValueError("the number of seconds is NaN")
    if seconds > _LONGEST:
        raise OverflowError(f"{seconds} seconds are more than time_t can hold")
    me, left, deadline = get_ident(), seconds, monotonic() + seconds
    while True:
        try:
            sem._waiting[me] = None
            try:
                return sem._handle.acquire(left if left > 0 else 0)
            finally:
                sem._waiting.pop(me, None)
        except _Signal:
            left = deadline - monotonic()
        except _Busy:
            raise failure(errno.ETIMEDOUT, sem.name) from None
        except Exception as error:
            raise _failed(error, sem) from None


def sem_post(sem: Semaphore) -> None:
    """Add one to the semaphore's value, which lets one waiter go on. ``int sem_post(sem_t *sem)``

    Raises OSError with EOVERFLOW at SEM_VALUE_MAX, EINVAL when *sem* has been closed.

    Source: sem_post(3); FACTS F65.
    """
    try:
        sem._handle.release()
    except Exception as error:
        raise _failed(error, sem) from None


def sem_getvalue(sem: Semaphore) -> int:
    """Return the semaphore's value. ``int sem_getvalue(sem_t *sem, int *sval)``

    Never negative on Linux: 0 with waiters is 0 (FACTS F65). It may be old by the time you read it.

    Raises OSError with EINVAL when *sem* has been closed.

    Source: sem_getvalue(3).
    """
    try:
        value: int = sem._handle.value
    except Exception as error:
        raise _failed(error, sem) from None
    return value


def sem_close(sem: Semaphore) -> None:
    """Close the semaphore in this process. ``int sem_close(sem_t *sem)``

    Its name and its value stay, and `sem_unlink` works before and after (FACTS P05).

    Raises OSError with EINVAL when it has been closed before, and EBUSY while a thread of this process
    waits on it: there C's behaviour is undefined, and in practice the waiter dies of SIGSEGV.

    Source: sem_close(3).
    """
    if not isinstance(sem, Semaphore):
        raise _failed(TypeError(), sem)
    # First taken away, then looked for waiters (who announce themselves, then look): no thread slips between.
    handle, sem._handle = sem._handle, None
    if handle is None:
        raise failure(errno.EINVAL, sem.name)
    if sem._waiting:
        sem._handle = handle
        raise failure(errno.EBUSY, sem.name)
    try:
        handle.close()
    except (posix_ipc.Error, OSError) as error:
        raise translated(error, sem.name) from None


def sem_unlink(name: str) -> None:
    """Remove the name of a semaphore; who has it open goes on using it. ``int sem_unlink(const char *name)``

    Raises FileNotFoundError (ENOENT: absent, or no valid name), PermissionError (EACCES), OSError with
    ENAMETOOLONG; ValueError for a NUL in the name, TypeError.

    Source: sem_unlink(3).
    """
    check_name(name)
    try:
        if name.isascii():
            posix_ipc.unlink_semaphore(name)
        else:  # see shm_unlink
            from shmlab import libc

            libc.sem_unlink(name)
    except (posix_ipc.Error, OSError, ValueError) as error:
        raise translated(error, name) from None
