"""What ``shmlab ls`` lists: every POSIX object and semaphore, System V segment and set, as rows.

Everything in a row is from :mod:`shmlab.observe`; whether a session of the lab lives, from
:mod:`shmlab.processes.sweep`. :func:`gather` looks once; how it's printed is :mod:`shmlab.cli.ls`'s to say.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shmlab import names, observe
from shmlab.cli.terminal import count
from shmlab.observe import table as units
from shmlab.observe.objects import user_name

Shared = observe.ObjectEntry | observe.Segment
"""What a process can map: semaphore sets are called, never mapped."""

ALIVE, ORPHAN, UNKNOWN = "alive", "orphan", "unknown"


@dataclass(frozen=True)
class Entry:
    """One row: a POSIX object or semaphore, or a System V segment or set. Sizes are bytes."""

    kind: str
    """``"object"``, ``"semaphore"``, ``"segment"`` or ``"set"``."""
    name: str
    """A POSIX name, or a key and an id as ipcs writes them."""
    key: int | None
    id: int | None
    size: int | None
    allocated: int | None
    semaphores: int | None
    mode: int
    uid: int
    owner: str
    status: str = ""
    """A segment's ``dest`` or ``locked``."""
    token: str = ""
    """The session of the lab that it belongs to."""
    session: str = ""
    """Whether that session is alive."""
    mappers: tuple[observe.Mapper, ...] = ()
    creator: int | None = None

    def cells(self) -> dict[str, str]:
        """Return the text of every column."""
        return {
            "kind": self.kind,
            "name": units.text(self.name) + (f" {self.status}" if self.status else ""),
            "size": count(self.semaphores, "sem") if self.semaphores is not None else units.size(self.size),
            "allocated": units.size(self.allocated),
            "mode": f"{self.mode & 0o7777:04o}",
            "owner": self.owner,
            "session": self.session,
            "mapped by": ", ".join(who(each) for each in self.mappers),
        }

    def as_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "name": self.name if self.id is None else None,
            "key": None if self.key is None else units.key(self.key),
            "id": self.id,
            "size": self.size,
            "allocated": self.allocated,
            "semaphores": self.semaphores,
            "mode": f"{self.mode & 0o7777:04o}",
            "status": self.status,
            "uid": self.uid,
            "owner": self.owner,
            "session": {"token": self.token, "state": self.session} if self.token else None,
            "mapped_by": [
                {
                    "pid": each.pid,
                    "command": each.command,
                    "user": each.user,
                    "mapped": each.mapped,
                    "perms": list(each.perms),
                    "open_fds": each.open_fds,
                }
                for each in self.mappers
            ],
        }


@dataclass(frozen=True)
class Listing:
    """What was seen: rows, how many of other users' were left out, how many processes can't be looked at."""

    entries: tuple[Entry, ...]
    hidden: int
    unseen: int


def gather(everybody: bool = True) -> Listing:
    """Look at the machine; without *everybody*, keep what this user owns, created, or maps."""
    things: list[Shared] = [*observe.objects(), *observe.segments()]
    mappers = observe.mappers_of(things) if things else {}
    states = _session_states(things)
    entries = [_entry(each, tuple(mappers[each]), states) for each in things]
    entries += [_set(each) for each in observe.semaphore_sets()]
    mine, me = os.getuid(), user_name(os.geteuid())
    kept = [
        each
        for each in entries
        if everybody or mine in (each.uid, each.creator) or any(who.user == me for who in each.mappers)
    ]
    unseen = max((each.unseen for each in mappers.values()), default=0)
    return Listing(tuple(kept), len(entries) - len(kept), unseen)


def _entry(
    thing: Shared,
    mappers: tuple[observe.Mapper, ...],
    states: dict[tuple[int, str], str],
) -> Entry:
    if isinstance(thing, observe.Segment):
        return Entry(
            kind="segment",
            name=_key_and_id(thing),
            key=thing.key,
            id=thing.id,
            size=thing.size,
            allocated=thing.resident + thing.swapped,
            semaphores=None,
            mode=thing.mode & 0o777,
            uid=thing.uid,
            owner=thing.owner,
            status=thing.status,
            mappers=mappers,
            creator=thing.cuid,
        )
    owned = _ours(thing)
    return Entry(
        kind=thing.kind,
        name=thing.name,
        key=None,
        id=None,
        size=thing.size,
        allocated=thing.allocated,
        semaphores=None,
        mode=thing.mode,
        uid=thing.uid,
        owner=thing.owner,
        token=owned.session if owned else "",
        session=states.get((owned.uid, owned.session), UNKNOWN) if owned else "",
        mappers=mappers,
    )


def _set(each: observe.SemaphoreSet) -> Entry:
    return Entry(
        kind="set",
        name=_key_and_id(each),
        key=each.key,
        id=each.id,
        size=None,
        allocated=None,
        semaphores=each.nsems,
        mode=each.mode & 0o777,
        uid=each.uid,
        owner=each.owner,
        creator=each.cuid,
    )


def _key_and_id(each: observe.Segment | observe.SemaphoreSet) -> str:
    return f"{units.key(each.key)} id {each.id}"


def _ours(thing: observe.ObjectEntry) -> names.Owned | None:
    """Return what a name says when it's the lab's; a name that lies about its owner is nobody's session."""
    owned = names.parse(thing.name)
    return owned if owned is not None and owned.uid == thing.uid else None


def _session_states(things: Sequence[Shared]) -> dict[tuple[int, str], str]:
    """Return whether each session with an object is alive. Only its user and root can tell."""
    found = {_ours(each) for each in things if isinstance(each, observe.ObjectEntry)}
    uids = {owned.uid for owned in found if owned is not None and os.getuid() in (0, owned.uid)}
    if not uids:
        return {}
    # Here and not above: most listings of a machine without the lab's objects need no posix_ipc.
    from shmlab.processes import sweep

    return {
        (uid, each.token): ALIVE if each.alive else ORPHAN for uid in uids for each in sweep.sessions(uid)
    }


def who(mapper: observe.Mapper) -> str:
    return f"{mapper.pid} {units.text(mapper.command.split(' ')[0])}"
