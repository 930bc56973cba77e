"""How much of System V there may be, and how much there is: what ``ipcs -l`` and ``ipcs -u`` print.

The limits are read from /proc/sys/kernel, the use is counted in the tables of ``sysv``. Both are those of
this IPC namespace. (What limits POSIX objects is the room in /dev/shm: ``machine``.) Imported through
``shmlab.observe``.
"""

import os
from dataclasses import dataclass
from typing import ClassVar

from shmlab.observe import table
from shmlab.observe.sysv import segments, semaphore_sets
from shmlab.observe.table import Columns, Value

SHMMIN = 1
"""Bytes of the smallest segment (shmget(2)); SEMVMX: the largest value of a semaphore (semop(2)). Linux has
both as constants (linux/shm.h, linux/sem.h)."""
SEMVMX = 32767


@dataclass(frozen=True, slots=True, repr=False)
class Limits(Value):
    """The limits of System V segments and semaphore sets in this IPC namespace.

    *shmmax* and *shmmin* are bytes of one segment, *shmall* pages of all together, *shmmni* how many segments
    there may be. *shm_rmid_forced* is whether a segment goes as soon as nobody is attached, without IPC_RMID;
    *shm_next_id* and *sem_next_id* are the ids that were asked for the next one, None for the kernel's own
    choice. *semmni* is how many sets there may be, *semmns* how many semaphores in all, *semmsl* in one set,
    *semopm* how many operations in one semop, *semvmx* a semaphore's largest value.
    """

    shmmax: int
    shmmin: int
    shmall: int
    shmmni: int
    shm_rmid_forced: bool
    shm_next_id: int | None
    semmsl: int
    semmns: int
    semopm: int
    semmni: int
    semvmx: int
    sem_next_id: int | None

    COLUMNS: ClassVar[Columns] = {
        "shmmax": table.size,
        "shmmin": table.size,
        "shmall": table.number,
        "shmmni": table.number,
        "shm_rmid_forced": table.text,
        "shm_next_id": table.text,
        "semmsl": table.number,
        "semmns": table.number,
        "semopm": table.number,
        "semmni": table.number,
        "semvmx": table.number,
        "sem_next_id": table.text,
    }


@dataclass(frozen=True, slots=True, repr=False)
class Usage(Value):
    """How much of System V there is in this IPC namespace now; segments that are marked still count.

    *pages* is what *segments* were created with, rounded up to whole pages; *resident* and *swapped* are how
    many of those the kernel has in memory and has swapped out (the others were never touched). *semaphores*
    are those of all *sets*.
    """

    segments: int
    pages: int
    resident: int
    swapped: int
    sets: int
    semaphores: int

    COLUMNS: ClassVar[Columns] = {
        "segments": table.number,
        "pages": table.number,
        "resident": table.number,
        "swapped": table.number,
        "sets": table.number,
        "semaphores": table.number,
    }


def limits() -> Limits | None:
    """Return the limits of System V in this IPC namespace; None where the kernel has no System V IPC.

    Source: ``/proc/sys/kernel`` (proc(5), shmget(2), semget(2)): shmmax, shmall, shmmni, sem,
    shm_rmid_forced, shm_next_id and sem_next_id.
    """
    try:
        semmsl, semmns, semopm, semmni = map(int, _words("sem"))
        return Limits(
            shmmax=_number("shmmax"),
            shmmin=SHMMIN,
            shmall=_number("shmall"),
            shmmni=_number("shmmni"),
            shm_rmid_forced=bool(_number("shm_rmid_forced")),
            shm_next_id=_next_id("shm_next_id"),
            semmsl=semmsl,
            semmns=semmns,
            semopm=semopm,
            semmni=semmni,
            semvmx=SEMVMX,
            sem_next_id=_next_id("sem_next_id"),
        )
    except FileNotFoundError:
        return None


def usage() -> Usage:
    """Return how many segments, pages, sets and semaphores there are. Source: ``/proc/sysvipc`` (proc(5))."""
    page = os.sysconf("SC_PAGE_SIZE")
    rows, sets = segments(), semaphore_sets()
    return Usage(
        segments=len(rows),
        pages=sum(-(-each.size // page) for each in rows),
        resident=sum(each.resident for each in rows) // page,
        swapped=sum(each.swapped for each in rows) // page,
        sets=len(sets),
        semaphores=sum(each.nsems for each in sets),
    )


def _next_id(name: str) -> int | None:
    """A kernel without CONFIG_CHECKPOINT_RESTORE has no such file, and chooses every id itself."""
    try:
        number = _number(name)
    except FileNotFoundError:
        return None
    return number if number >= 0 else None


def _number(name: str) -> int:
    return int(_words(name)[0])


def _words(name: str) -> list[str]:
    with open(f"/proc/sys/kernel/{name}") as file:
        return file.read().split()
