"""A row of ``shmlab ls``: one shared thing of either API, how each column writes it, and the same as JSON.

Plain values and their words; :mod:`shmlab.cli.listing` makes them, ``ls`` and ``watch`` show them.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shmlab import observe
from shmlab.cli.terminal import TIMES, count
from shmlab.observe import table as units

IN_USE, UNUSED, UNKNOWN = "in use", "unused", "unknown"

FEW = 4
"""Values of a set that a cell shows."""


@dataclass(frozen=True)
class Entry:
    """One row: a POSIX object or semaphore, a System V segment or set, or memory without a name.

    Sizes are bytes; None is what doesn't apply, or what this user may not ask.
    """

    kind: str
    """``object``, ``semaphore``, ``segment``, ``set``, ``anonymous`` or ``memory file``."""
    name: str
    """A POSIX name, or a key and an id as ipcs writes them."""
    key: int | None = None
    id: int | None = None
    inode: int | None = None
    size: int | None = None
    allocated: int | None = None
    semaphores: int | None = None
    mode: int | None = None
    uid: int | None = None
    owner: str = ""
    changed: datetime | None = None
    """When it was created or last changed, by the kernel: ``shmlab ls --help`` says what counts."""
    status: str = ""
    """``dest``, ``locked`` (or both) of a segment, ``unlinked`` of what lost its name."""
    attached: int | None = None
    """A segment's nattch."""
    values: tuple[int, ...] | None = None
    waiting: int | None = None
    """Processes that are blocked on the semaphore, or on one of the set."""
    token: str = ""
    """The session of the lab that it belongs to."""
    session: str = ""
    """Whether that session is alive."""
    mappers: tuple[observe.Mapper, ...] = ()
    creator: int | None = None
    unseen: bool = field(default=False, compare=False)
    """Whether there are processes that could not be looked at; they come and go, and no row changes by it."""

    @property
    def identity(self) -> tuple[str, str, int | None, int | None]:
        """What stays the same from look to look: a name that was given again is another object's."""
        return (self.kind, self.name if self.id is None else "", self.id, self.inode)

    @property
    def missing(self) -> int:
        """Attaches of a segment by processes that could not be looked at, or are in another namespace."""
        return max(0, (self.attached or 0) - sum(each.mappings for each in self.mappers))

    @property
    def use(self) -> str:
        """Whether somebody uses it; empty of a set, which nobody holds: processes only call it."""
        if self.kind == "set":
            return IN_USE if self.waiting else ""
        if self.mappers or self.attached:
            return IN_USE
        return UNKNOWN if self.unseen and self.attached is None else UNUSED

    @property
    def state(self) -> str:
        """The use, the status, and how many wait, in words."""
        waiting = f"{self.waiting} waiting" if self.waiting else ""
        use = "" if self.kind == "set" else self.use
        return ", ".join(word for word in (use, *self.status.split(), waiting) if word)

    def users(self) -> list[str]:
        """Return who uses it, and how many mappings (attaches) of it each has when they are several."""
        known = [
            who(each) + (f" {TIMES}{each.mappings}" if each.mappings > 1 else "") for each in self.mappers
        ]
        return [*known, *([f"{self.missing} not seen"] if self.missing else [])]

    def cells(self, now: datetime) -> dict[str, str]:
        """Return the text of every column."""
        return {
            "kind": self.kind,
            "name": units.text(self.name),
            "size": count(self.semaphores, "sem") if self.semaphores is not None else units.size(self.size),
            "allocated": units.size(self.allocated),
            "value": _values(self.values),
            "mode": "" if self.mode is None else f"{self.mode & 0o7777:04o}",
            "owner": self.owner,
            "changed": "" if self.changed is None else since((now - self.changed).total_seconds()),
            "state": self.state,
            "session": self.session,
            "used by": ", ".join(self.users()),
        }

    def as_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "name": self.name if self.id is None else None,
            "key": None if self.key is None else units.key(self.key),
            "id": self.id,
            "inode": self.inode,
            "size": self.size,
            "allocated": self.allocated,
            "semaphores": self.semaphores,
            "values": self.values,
            "waiting": self.waiting,
            "mode": None if self.mode is None else f"{self.mode & 0o7777:04o}",
            "status": self.status,
            "use": self.use or None,
            "attached": self.attached,
            "uid": self.uid,
            "owner": self.owner or None,
            "changed": None if self.changed is None else self.changed.isoformat(),
            "session": {"token": self.token, "state": self.session} if self.token else None,
            "mapped_by": [
                {
                    "pid": each.pid,
                    "command": each.command,
                    "user": each.user,
                    "mappings": each.mappings,
                    "mapped": each.mapped,
                    "perms": list(each.perms),
                    "open_fds": each.open_fds,
                }
                for each in self.mappers
            ],
        }


def who(mapper: observe.Mapper) -> str:
    return f"{mapper.pid} {units.text(mapper.command.split(' ')[0])}"


def since(seconds: float) -> str:
    """Write how long ago: ``12 s``, ``3 min``, ``5 h``, ``9 d``. A clock that was set back gives ``0 s``."""
    whole = max(0, int(seconds))
    for unit, length, most in (("s", 1, 60), ("min", 60, 3600), ("h", 3600, 2 * 86400)):
        if whole < most:
            return f"{whole // length} {unit}"
    return f"{whole // 86400} d"


def _values(values: tuple[int, ...] | None) -> str:
    if values is None:
        return ""
    return " ".join([*map(str, values[:FEW]), *(["..."] if len(values) > FEW else [])])
