"""Semaphore sets: semget, semop, semtimedop and semctl.

libc makes the calls: sysv_ipc knows sets of one semaphore only, resets one that exists when it is asked to
create it (FACTS P08), and its wheels wait for ever whatever the time-out (P07). Only removal is sysv_ipc's.
"""

from __future__ import annotations

import errno
from struct import Struct
from struct import error as StructError  # noqa: N812  it is a class
from time import monotonic

import sysv_ipc

from shmlab.failures import INT_MAX, INT_MIN, check_range, failure
from shmlab.sysv.failures import of_id, of_key, signed_key, translated
from shmlab.sysv.keys import IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT
from shmlab.sysv.later import libc

TYPE_CHECKING = False  # typing's own costs a worker milliseconds
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

SEM_UNDO = 0o10000  # linux/sem.h, as what follows
GETPID, GETVAL, GETALL, GETNCNT, GETZCNT, SETVAL, SETALL = 11, 12, 13, 14, 15, 16, 17
SEM_STAT, SEM_INFO, SEM_STAT_ANY = 18, 19, 20

_LONGEST = 2.0**62  # seconds that time_t certainly holds
_SEMBUF = Struct("Hhh")  # as layouts.SemBuf: a ctypes array takes longer to make than the call takes


class sembuf(tuple[int, int, int]):  # noqa: N801  C's own name
    """``struct sembuf``: one operation. *sem_num* is the semaphore's index in its set; *sem_op* is added to
    it (negative: once that leaves nothing below 0), or 0 waits until it is 0; *sem_flg* is 0 or a union of
    IPC_NOWAIT, SEM_UNDO."""

    __slots__ = ()

    def __new__(cls, sem_num: int, sem_op: int, sem_flg: int = 0) -> sembuf:
        return super().__new__(cls, (sem_num, sem_op, sem_flg))

    def __getnewargs__(self) -> tuple[int, int, int]:
        return self[0], self[1], self[2]

    @property
    def sem_num(self) -> int:
        """The semaphore's index in its set."""
        return self[0]

    @property
    def sem_op(self) -> int:
        """What is added to the semaphore's value; 0 waits until it is 0."""
        return self[1]

    @property
    def sem_flg(self) -> int:
        """0, or a union of IPC_NOWAIT and SEM_UNDO."""
        return self[2]

    def __repr__(self) -> str:
        flags = [name for name, bit in (("IPC_NOWAIT", 0o4000), ("SEM_UNDO", SEM_UNDO)) if self[2] & bit]
        rest = self[2] & ~(0o4000 | SEM_UNDO)
        flg = " | ".join([*flags, *([f"0o{rest:o}"] if rest else [])]) or "0"
        return f"sembuf(sem_num={self[0]}, sem_op={self[1]}, sem_flg={flg})"


def semget(key: int, nsems: int, semflg: int) -> int:
    """Create a semaphore set, or find one. ``int semget(key_t key, int nsems, int semflg)``

    *key* is as for `shmget`, in a space of its own. *nsems* is how many semaphores; for a set that exists 0
    or anything up to its number will do. *semflg* is the mode (no umask is applied) with IPC_CREAT, IPC_EXCL.

    Returns the id. A new set's values are 0 on Linux and undefined in POSIX; those of a set that exists are
    left alone (FACTS P08).

    Raises FileExistsError (EEXIST), FileNotFoundError (ENOENT), PermissionError (EACCES), OSError with EINVAL
    (*nsems*), ENOSPC, ENOMEM …, each with the key; OverflowError for what the C type can't hold.

    Source: semget(2), POSIX.1-2017; FACTS D37, F69, P08, P13.
    """
    key = signed_key(key)
    try:
        return libc.semget(key, nsems, semflg)
    except OSError as error:
        raise failure(error.errno or 0, of_key(key)) from None


def semop(semid: int, sops: Iterable[Sequence[int]]) -> None:
    """Do operations on a semaphore set, all of them or none, waiting for as long as one has to wait.
    ``int semop(int semid, struct sembuf *sops, size_t nsops)``

    *sops* are `sembuf`, or tuples (sem_num, sem_op) or (sem_num, sem_op, sem_flg). The wait has no end of its
    own: where nobody may ever do the opposite, use `semtimedop`. A signal whose handler returns doesn't end
    it (C: EINTR, even with SA_RESTART); what a handler raises does, KeyboardInterrupt included.

    Raises BlockingIOError (EAGAIN: IPC_NOWAIT, and it would wait), OSError with EIDRM (removed meanwhile),
    EINVAL (no such set), EFBIG (*sem_num*), ERANGE (above SEMVMX), E2BIG, PermissionError (EACCES) …, each
    with the id; OverflowError for what a ``short`` can't hold.

    Source: semop(2), POSIX.1-2017; FACTS F66-F69.
    """
    _operate(semid, sops, None)


def semtimedop(semid: int, sops: Iterable[Sequence[int]], seconds: float | None) -> None:
    """As `semop`, but wait *seconds* at most; None waits as `semop` does.
    ``int semtimedop(int semid, struct sembuf *sops, size_t nsops, const struct timespec *timeout)``

    0 or less waits for nothing. Signals are treated as in `semop`, and don't make the wait any longer.

    Raises BlockingIOError (EAGAIN) when the time is up, and whatever `semop` does; OverflowError for more
    seconds than ``time_t`` holds, infinity included; ValueError for NaN.

    Source: semop(2), Linux; FACTS F66, P07.
    """
    if seconds is not None:
        seconds = seconds * 1.0
        if seconds != seconds:
            raise ValueError("the number of seconds is NaN")
        if seconds > _LONGEST:
            raise OverflowError(f"{seconds} seconds are more than time_t can hold")
    _operate(semid, sops, seconds)


def _operate(semid: int, sops: Iterable[Sequence[int]], seconds: float | None) -> None:
    check_range(semid, INT_MIN, INT_MAX, "semid")
    operations = [each if type(each) is sembuf else sembuf(*each) for each in sops]
    array, count = _laid_out(operations), len(operations)
    deadline = monotonic() + (seconds or 0)
    while True:
        if seconds is None:
            number = libc.semop(semid, array, count)
        else:
            number = libc.semtimedop(semid, array, count, max(seconds, 0))
            seconds = deadline - monotonic()
        if number == 0:
            return
        if number != errno.EINTR:  # after a signal on with what is left, as PEP 475 has it
            raise failure(number, of_id(semid))


def _laid_out(operations: list[sembuf]) -> bytes:
    """Return the operations as C has them, one ``struct sembuf`` behind the other."""
    try:
        return b"".join([_SEMBUF.pack(*each) for each in operations])
    except StructError:
        from shmlab.sysv.layouts import SemBuf

        for each in operations:
            for name, ctype in SemBuf._fields_:
                libc.fits(getattr(each, name), ctype, name)  # says which one is wrong, and how
        raise


def semctl(semid: int, semnum: int, cmd: int, arg: Any = None) -> Any:
    """Ask about a semaphore or its set, change it, or remove the set.
    ``int semctl(int semid, int semnum, int cmd, union semun arg)``

    | *cmd* | what happens | *arg* | returned |
    |---|---|---|---|
    | GETVAL, SETVAL | asks for, or sets, one value | SETVAL: int | int, None |
    | GETALL, SETALL | asks for, or sets, all values | SETALL: ints | tuple of int, None |
    | GETPID | who operated on it last | | pid |
    | GETNCNT, GETZCNT | how many wait for more, or for 0 | | int |
    | IPC_STAT | asks | | `semid_ds` |
    | IPC_SET | sets uid, gid and the 9 mode bits; owner, creator or root | `semid_ds` | None |
    | IPC_RMID | removes at once, waiters get EIDRM; owner, creator or root | | None |
    | SEM_STAT, SEM_STAT_ANY | as IPC_STAT, *semid* being an index of the kernel's table | | id, `semid_ds` |
    | IPC_INFO, SEM_INFO | the limits, or what is in use | | highest index in use, `seminfo` |

    *semnum* counts for the single-semaphore commands only. GETALL and SETALL ask with IPC_STAT how many there
    are, for which SETALL needs permission to read, too: C would read past the end of too short an array.

    Raises OSError with the kernel's errno and the id: EINVAL (no such set, bad *semnum*, unknown *cmd*),
    EIDRM, ERANGE (a value above SEMVMX), PermissionError (EACCES, EPERM); TypeError for a missing or needless
    *arg*, ValueError for the wrong number of values, OverflowError for what the C type can't hold.

    Source: semctl(2), POSIX.1-2017; FACTS F65-F69, P08.
    """
    check_range(semid, INT_MIN, INT_MAX, "semid")
    if (arg is None) == (cmd in (SETVAL, SETALL, IPC_SET)):
        raise TypeError("arg is for SETVAL, SETALL and IPC_SET, and these need it")
    if cmd == IPC_RMID:
        try:
            sysv_ipc.remove_semaphore(semid)
        except (sysv_ipc.Error, OSError) as error:
            raise translated(error, of_id(semid), errno.EPERM) from None
        return None
    try:
        return _control(semid, semnum, cmd, arg)
    except OSError as error:
        by_index = cmd in (SEM_STAT, SEM_STAT_ANY)
        raise failure(error.errno or 0, f"index {semid}" if by_index else of_id(semid)) from None


def _control(semid: int, semnum: int, cmd: int, arg: Any) -> Any:
    from ctypes import byref, c_int

    if cmd in (GETVAL, GETPID, GETNCNT, GETZCNT):
        return libc.semctl(semid, semnum, cmd)
    if cmd == SETVAL:
        libc.semctl(semid, semnum, cmd, libc.fits(arg, c_int, "arg"))
        return None
    if cmd in (GETALL, SETALL):
        return _all_values(semid, cmd, arg)
    from shmlab.sysv import layouts, records

    if cmd == IPC_SET:
        if not isinstance(arg, records.semid_ds):
            raise TypeError(f"IPC_SET needs a semid_ds, as IPC_STAT gives, not {type(arg).__name__}")
        libc.semctl(semid, semnum, cmd, byref(records.for_set(arg, layouts.SemidDs)))
        return None
    kind, raw = (
        (records.seminfo, layouts.SemInfo())
        if cmd in (IPC_INFO, SEM_INFO)
        else (records.semid_ds, layouts.SemidDs())
    )
    answer = libc.semctl(semid, semnum, cmd, byref(raw))
    found = records.told(kind, raw)
    return found if cmd == IPC_STAT else (answer, found)


def _all_values(semid: int, cmd: int, values: Iterable[int] | None) -> tuple[int, ...] | None:
    from ctypes import byref, c_ushort

    from shmlab.sysv.layouts import SemidDs

    raw = SemidDs()
    libc.semctl(semid, 0, IPC_STAT, byref(raw))
    array = (c_ushort * raw.sem_nsems)()
    if values is None:
        libc.semctl(semid, 0, cmd, byref(array))
        return tuple(array)
    given = tuple(values)
    if len(given) != len(array):
        raise ValueError(f"{of_id(semid)} has {len(array)} semaphores, not {len(given)}")
    for index, value in enumerate(given):
        array[index] = libc.fits(value, c_ushort, "a value")
    libc.semctl(semid, 0, cmd, byref(array))
    return None
