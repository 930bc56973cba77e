"""What the control calls tell, as frozen values with C's own field names: shmid_ds, semid_ds, shminfo ….

Made from and into the structures of `shmlab.sysv.layouts`. Loaded when a control call first needs it, for a
worker that asks nothing would pay for dataclasses. Imported by `shmlab.sysv.segments` and
`shmlab.sysv.semaphores`, and by name through ``shmlab.sysv``.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, ClassVar

from shmlab import libc
from shmlab.observe import table
from shmlab.observe.sysv import SHM_DEST, SHM_LOCKED
from shmlab.observe.table import Literals, Value
from shmlab.sysv import layouts


def _mode(bits: int) -> str:
    # The 03000 that IPC_STAT adds for a segment; a set's mode has no bits of the kernel's.
    added = [name for name, bit in (("SHM_DEST", SHM_DEST), ("SHM_LOCKED", SHM_LOCKED)) if bits & bit]
    return " | ".join([table.octal(bits & ~(SHM_DEST | SHM_LOCKED)), *added])


class _Structure(Value):
    """A repr as Python would write it, and two columns, field and value, in a notebook."""

    __slots__ = ()
    LITERAL: ClassVar[Literals] = {
        "key": table.key,
        "mode": _mode,
        "shm_atime": str,
        "shm_dtime": str,
        "shm_ctime": str,
        "sem_otime": str,
        "sem_ctime": str,
    }

    def _repr_html_(self) -> str:
        return table.html_table(["field", "value"], self._rows(), [False, False])

    def _rows(self, prefix: str = "") -> list[list[str]]:
        rows = []
        for field in fields(self):  # type: ignore[arg-type]  # every structure is a dataclass
            value = getattr(self, field.name)
            if isinstance(value, _Structure):
                rows += value._rows(f"{field.name}.")
            else:
                rows.append([prefix + field.name, self._cell(field.name, value)])
        return rows

    def _cell(self, name: str, value: Any) -> str:
        if value is None or isinstance(value, datetime):
            return table.moment(value)
        return table.size(value) if name == "shm_segsz" else self.LITERAL.get(name, str)(value)


@dataclass(frozen=True, slots=True, repr=False)
class ipc_perm(_Structure):  # noqa: N801  C's own name, as everything here
    """``struct ipc_perm``: key, owner (uid, gid), creator (cuid, cgid), mode, and the sequence number.

    For a segment *mode* holds two bits more than permissions: SHM_DEST and SHM_LOCKED.
    """

    key: int
    uid: int
    gid: int
    cuid: int
    cgid: int
    mode: int
    seq: int


@dataclass(frozen=True, slots=True, repr=False)
class shmid_ds(_Structure):  # noqa: N801
    """``struct shmid_ds``: what the kernel knows of a segment. Sizes in bytes; a time is None if it never
    was.

    For IPC_SET change a copy: ``replace(ds, shm_perm=replace(ds.shm_perm, mode=0o640))``
    (dataclasses.replace).
    """

    shm_perm: ipc_perm
    shm_segsz: int
    shm_atime: datetime | None
    shm_dtime: datetime | None
    shm_ctime: datetime | None
    shm_cpid: int
    shm_lpid: int
    shm_nattch: int


@dataclass(frozen=True, slots=True, repr=False)
class semid_ds(_Structure):  # noqa: N801
    """``struct semid_ds``: what the kernel knows of a semaphore set. A time is None if it never was."""

    sem_perm: ipc_perm
    sem_otime: datetime | None
    sem_ctime: datetime | None
    sem_nsems: int


@dataclass(frozen=True, slots=True, repr=False)
class shminfo(_Structure):  # noqa: N801
    """``struct shminfo``: the limits for segments. *shmmax* and *shmmin* in bytes, *shmall* in pages."""

    shmmax: int
    shmmin: int
    shmmni: int
    shmseg: int
    shmall: int


@dataclass(frozen=True, slots=True, repr=False)
class shm_info(_Structure):  # noqa: N801
    """``struct shm_info``: what segments use. *used_ids* is how many there are, shm_… are pages."""

    used_ids: int
    shm_tot: int
    shm_rss: int
    shm_swp: int
    swap_attempts: int
    swap_successes: int


@dataclass(frozen=True, slots=True, repr=False)
class seminfo(_Structure):  # noqa: N801
    """``struct seminfo``: the limits for semaphore sets (semctl(2) says which field is which).

    From SEM_INFO *semusz* is the number of sets and *semaem* the number of semaphores in them.
    """

    semmap: int
    semmni: int
    semmns: int
    semmnu: int
    semmsl: int
    semopm: int
    semume: int
    semusz: int
    semvmx: int
    semaem: int


def told(kind: type[Any], raw: Any) -> Any:
    """Return the *kind* of value that the structure *raw*, which the kernel has filled in, holds."""
    values = {}
    for field in fields(kind):
        value = getattr(raw, field.name)
        if isinstance(value, layouts.IpcPerm):
            value = told(ipc_perm, value)
        elif field.name.endswith("time"):
            value = table.local_time(value) if value else None
        values[field.name] = value
    return kind(**values)


def for_set(value: shmid_ds | semid_ds, kind: type[Any]) -> Any:
    """Return *value* as the structure that IPC_SET reads: *kind* is `ShmidDs` or `SemidDs`, filled in whole.

    The kernel takes the owner and the permission bits from it and ignores the rest, but which those are is
    its decision. OverflowError for what a field can't hold.
    """
    raw = kind()
    for field in fields(value):
        given = getattr(value, field.name)
        if isinstance(given, ipc_perm):
            for part in fields(given):
                _store(getattr(raw, field.name), part.name, getattr(given, part.name))
        elif isinstance(given, datetime):
            _store(raw, field.name, int(given.timestamp()))
        elif given is not None:
            _store(raw, field.name, given)
    return raw


def _store(raw: Any, name: str, number: int) -> None:
    ctype = dict(field[:2] for field in raw._fields_)[name]
    setattr(raw, name, libc.fits(number, ctype, name))
