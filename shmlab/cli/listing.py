"""What ``shmlab ls`` lists: everything that this machine shares, by either API, as rows.

Everything in a row is from :mod:`shmlab.observe`; whether a session of the lab lives, and what it has, from
:mod:`shmlab.processes.sweep`. :func:`gather` looks once; how it's printed is :mod:`shmlab.cli.ls`'s to say.
"""

import os
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from shmlab import names, observe
from shmlab.cli.entry import Entry
from shmlab.observe import table as units
from shmlab.observe.objects import user_name

ALIVE, ORPHAN, UNKNOWN = "alive", "orphan", "unknown"

MANY = 256
"""Semaphores of a set from which on their values aren't asked for: each takes three calls."""


@dataclass(frozen=True)
class Listing:
    """What was seen: rows, how many of other users' were left out, how many processes can't be looked at.

    *unlinked* are the sizes, in bytes, of unlinked objects that aren't in the rows because nobody asked.
    """

    entries: tuple[Entry, ...]
    hidden: int
    unseen: int
    unlinked: tuple[int, ...] = ()


def gather(everybody: bool = True, anonymous: bool = False) -> Listing:
    """Look at the machine; without *everybody*, keep what this user owns, created, or maps.

    *anonymous* adds memory without a name: anonymous, memory files, and what was unlinked while in use.
    """
    seen = observe.survey()
    sessions = _sessions(seen)
    # Where /proc hides others' processes (hidepid) there's nothing to count: init isn't there for us, either.
    unseen = seen.unseen > 0 or not os.path.exists("/proc/1")
    entries = [_object(each, seen.mappers[each], sessions, unseen) for each in seen.objects]
    entries += [_segment(row, seen.mappers[row], sessions, unseen) for row in seen.segments]
    entries += [_set(row, sessions) for row in seen.sets]
    nameless = [_unnamed(each) for each in seen.unnamed]
    mine, me = os.getuid(), user_name(os.geteuid())

    def kept(each: Entry) -> bool:
        return everybody or mine in (each.uid, each.creator) or any(who.user == me for who in each.mappers)

    if anonymous:
        entries += nameless
        nameless = []
    rows = tuple(each for each in entries if kept(each))
    unlinked = tuple(each.size or 0 for each in nameless if each.kind == "object" and kept(each))
    return Listing(rows, len(entries) - len(rows), seen.unseen, unlinked)


@dataclass
class _Sessions:
    """Which session of the lab a thing belongs to, and whether it lives: its user and root can tell."""

    known: set[tuple[int, str]] = field(default_factory=set)
    """Uid and token of every session that has an object."""
    states: dict[tuple[int, str], str] = field(default_factory=dict)
    segments: dict[int, str] = field(default_factory=dict)
    """Tokens by the segment's id, for those that are known by their creator alone."""

    def of_object(self, thing: observe.ObjectEntry) -> dict[str, Any]:
        owned = _ours(thing)
        return self._words(owned.uid, owned.session) if owned else {}

    def of_system_v(self, thing: observe.Segment | observe.SemaphoreSet) -> dict[str, Any]:
        token = names.parse_key(thing.key) or ""
        if isinstance(thing, observe.Segment):
            token = self.segments.get(thing.id, token)
        return self._words(thing.cuid, token) if (thing.cuid, token) in self.known else {}

    def _words(self, uid: int, token: str) -> dict[str, Any]:
        return {"token": token, "session": self.states.get((uid, token), UNKNOWN)}


def _sessions(seen: observe.Survey) -> _Sessions:
    owners = {_ours(each) for each in seen.objects}
    found = _Sessions({(owned.uid, owned.session) for owned in owners if owned is not None})
    uids = {uid for uid, _ in found.known if os.getuid() in (0, uid)}
    if uids:
        # Here and not above: most listings of a machine without the lab's objects need no posix_ipc.
        from shmlab.processes import sweep

        for uid in uids:
            for each in sweep.sessions(uid):
                found.states[uid, each.token] = ALIVE if each.alive else ORPHAN
                found.segments |= {row.id: each.token for row in each.segments}
    return found


def _ours(thing: observe.ObjectEntry) -> names.Owned | None:
    """Return what a name says when it's the lab's; a name that lies about its owner is nobody's session."""
    owned = names.parse(thing.name)
    return owned if owned is not None and owned.uid == thing.uid else None


def _object(
    thing: observe.ObjectEntry, mappers: tuple[observe.Mapper, ...], sessions: _Sessions, unseen: bool
) -> Entry:
    state, blocked = None, None
    if thing.kind == "semaphore":
        with suppress(OSError):
            state = observe.named_semaphore(thing.name)
            blocked = observe.blocked_on(thing.name, mappers)
    return Entry(
        kind=thing.kind,
        name=thing.name,
        inode=thing.inode,
        size=thing.size,
        allocated=thing.allocated,
        values=(state.value,) if state else None,
        waiting=blocked if state else None,
        mode=thing.mode,
        uid=thing.uid,
        owner=thing.owner,
        changed=thing.modified,
        mappers=mappers,
        unseen=unseen,
        **sessions.of_object(thing),
    )


def _segment(
    thing: observe.Segment, mappers: tuple[observe.Mapper, ...], sessions: _Sessions, unseen: bool
) -> Entry:
    return Entry(
        kind="segment",
        name=_key_and_id(thing),
        key=thing.key,
        id=thing.id,
        size=thing.size,
        allocated=thing.resident + thing.swapped,
        mode=thing.mode & 0o777,
        uid=thing.uid,
        owner=thing.owner,
        changed=thing.ctime,
        status=thing.status,
        attached=thing.attached,
        mappers=mappers,
        creator=thing.cuid,
        unseen=unseen,
        **sessions.of_system_v(thing),
    )


def _set(thing: observe.SemaphoreSet, sessions: _Sessions) -> Entry:
    state: tuple[observe.SemaphoreState, ...] | None = None
    if thing.nsems <= MANY:
        with suppress(OSError):
            state = observe.semaphores(thing.id)
    return Entry(
        kind="set",
        name=_key_and_id(thing),
        key=thing.key,
        id=thing.id,
        semaphores=thing.nsems,
        values=None if state is None else tuple(each.semval for each in state),
        waiting=None if state is None else sum(each.semncnt + each.semzcnt for each in state),
        mode=thing.mode & 0o777,
        uid=thing.uid,
        owner=thing.owner,
        changed=thing.ctime,
        creator=thing.cuid,
        **sessions.of_system_v(thing),
    )


def _unnamed(thing: observe.Unnamed) -> Entry:
    return Entry(
        kind=thing.kind,
        name=thing.name,
        inode=thing.inode,
        size=thing.size,
        allocated=thing.allocated,
        uid=thing.uid,
        owner="" if thing.uid is None else user_name(thing.uid),
        status="unlinked" if thing.kind in ("object", "semaphore") else "",
        mappers=thing.mappers,
    )


def _key_and_id(each: observe.Segment | observe.SemaphoreSet) -> str:
    return f"{units.key(each.key)} id {each.id}"
