"""The values of semaphores, and how many processes wait: of a System V set, and of a POSIX semaphore.

Looking changes neither a value nor a time. Imported through ``shmlab.observe`` by the command line and
lessons.
"""

import errno
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from shmlab.observe import table
from shmlab.observe.mappers import Mapper
from shmlab.observe.objects import path_of
from shmlab.observe.table import Columns, Table, Value
from shmlab.observe.waiting import Waiting, waiting

GETPID, GETALL, GETNCNT, GETZCNT = 11, 13, 14, 15
"""Commands of semctl(2) (linux/sem.h)."""


@dataclass(frozen=True, slots=True, repr=False)
class SemaphoreState(Value):
    """One semaphore of a System V set: *number* in the set, *semval*, and who wants what of it.

    *semncnt* processes wait for a larger value, *semzcnt* for 0; *sempid* is the process that operated on it
    last, 0 when none has (or one that this pid namespace can't name).
    """

    number: int
    semval: int
    semncnt: int
    semzcnt: int
    sempid: int

    COLUMNS: ClassVar[Columns] = {
        "number": table.number,
        "semval": table.number,
        "semncnt": table.number,
        "semzcnt": table.number,
        "sempid": table.number,
    }


@dataclass(frozen=True, slots=True, repr=False)
class NamedState(Value):
    """The value of a POSIX semaphore, and how many wait as glibc counts them.

    Who was killed while waiting is still counted in *waiting*: the C library counts, not the kernel. How many
    really wait, ``blocked_on`` asks the kernel.
    """

    value: int
    waiting: int

    COLUMNS: ClassVar[Columns] = {"value": table.number, "waiting": table.number}


def semaphores(semid: int) -> Table[SemaphoreState]:
    """Return the semaphores of the System V set with id *semid*, by number.

    All values are of one moment (GETALL), the counts of waiting processes are asked for one by one. Raises
    OSError with the id: EINVAL when there's no such set, EIDRM when it goes meanwhile, EACCES without read
    permission. Source: semctl(2).
    """
    # Here and not above: ctypes costs 7 ms, and hardly anything that imports observe asks for values.
    import ctypes

    from shmlab import libc
    from shmlab.observe.sysv import semaphore_sets

    name = f"id {semid}"
    nsems = next((each.nsems for each in semaphore_sets() if each.id == semid), 0)
    values = (ctypes.c_ushort * nsems)()
    try:
        # Asked first: GETALL writes as many values as there are, whatever the array's length.
        libc.semctl(semid, 0, GETPID)
        if not nsems:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        libc.semctl(semid, 0, GETALL, ctypes.byref(values))
        found = [
            SemaphoreState(
                number,
                value,
                libc.semctl(semid, number, GETNCNT),
                libc.semctl(semid, number, GETZCNT),
                libc.semctl(semid, number, GETPID),
            )
            for number, value in enumerate(values)
        ]
    except OSError as error:
        raise OSError(error.errno, error.strerror, name) from None
    return Table(found, SemaphoreState.COLUMNS)


def named_semaphore(name: str) -> NamedState | None:
    """Return the state of the POSIX semaphore called *name*, without opening it as one.

    None where the C library isn't glibc on a 64-bit machine: what stands in a semaphore's file is each
    library's own affair. glibc's begins with a word of 64 bits, the value in the lower half and the number of
    waiting threads in the upper (``struct new_sem``, sysdeps/nptl/internaltypes.h). Raises OSError with the
    name: ENOENT, EACCES without read permission.
    """
    if not _is_glibc():
        return None
    try:
        descriptor = os.open(path_of(name, "semaphore"), os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        raise OSError(error.errno, error.strerror, name) from None
    try:
        data = os.read(descriptor, 8)
    finally:
        os.close(descriptor)
    if len(data) < 8:
        return None
    word = struct.unpack("=Q", data)[0]
    return NamedState(word & 0xFFFFFFFF, word >> 32)


def blocked_on(name: str, mappers: Iterable[Mapper]) -> int:
    """Return how many threads of *mappers* are blocked in sem_wait on the POSIX semaphore called *name*.

    Where this user may not ask in which call a process sleeps (proc(5): that takes the right to trace it),
    every thread that waits for some futex counts, as far as glibc's own count goes. Raises OSError as
    ``named_semaphore`` does.
    """
    state = named_semaphore(name)
    if state is None or not state.waiting:
        return 0
    sure = perhaps = 0
    for mapper in mappers:
        for thread in _threads(mapper.pid):
            blocked = waiting(thread)
            sure += blocked == Waiting("sem_wait", f"'{name}'")
            perhaps += blocked == Waiting("futex")
    return min(state.waiting, sure + perhaps)


def _threads(pid: int) -> list[int]:
    try:
        return [int(each) for each in os.listdir(f"/proc/{pid}/task")]
    except OSError:
        return []


def _is_glibc() -> bool:
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc") and struct.calcsize("P") == 8
    except ValueError:
        return False
