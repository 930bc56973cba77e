"""Finding and removing what a session left: its processes, then its objects, segments and semaphore sets.

A process belongs to a session when ``SHMLAB_SESSION`` in the environment it was started with says so; that
holds for whatever it forks, too. An object belongs to it by its name; a System V segment or semaphore set by
its key, when the session's user created it; a segment also by its creator, when the ledger says that it was
one of the session's processes. (Of a semaphore set the kernel doesn't know the creator.) Only this IPC
namespace is looked at: in another one, nothing of System V is ours to see or remove (FACTS F73).

A session lives as long as somebody holds the lock (``flock``) on its board: the kernel drops it when the last
holder dies, however it dies, and unlike a pid it can't come to mean somebody else. Keys alone make no
session, for most keys of strangers look like one of ours: where no object is left, nothing is.

Used by the supervisor, by :func:`shmlab.cleanup` and by ``shmlab clean``.
"""

import fcntl
import os
import select
import signal
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from mmap import PAGESIZE
from pathlib import Path
from time import monotonic

from shmlab import names, observe, posix, sysv
from shmlab.observe import table
from shmlab.processes.ledger import Ledger

PATIENCE = 2.0
"""Seconds that killed processes get to be gone."""


@dataclass(frozen=True)
class Found:
    """Something that a session left, and what became of it."""

    kind: str
    """``"process"``, ``"object"``, ``"semaphore"``, ``"segment"`` or ``"set"``."""
    name: str
    """A process's pid and command, the object's name, or a key and an id: ``0x5ac70010 id 26148898``."""
    session: str
    removed: bool
    reason: str = ""
    """Why it was left alone, when it was."""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" + (f" ({self.reason})" if self.reason else "")


@dataclass
class Remains:
    """What a session has on this machine right now."""

    token: str
    alive: bool
    objects: list[observe.ObjectEntry] = field(default_factory=list)
    segments: list[observe.Segment] = field(default_factory=list)
    """Its System V segments, without those that are marked for destruction: they go by themselves."""
    sets: list[observe.SemaphoreSet] = field(default_factory=list)

    @property
    def things(self) -> list["Thing"]:
        """All that can be removed, the boards last: they show that the session is dead, and whose pids were
        its."""
        boards = [each for each in self.objects if names.is_board(each.name)]
        others = [each for each in self.objects if not names.is_board(each.name)]
        return [*others, *self.segments, *self.sets, *boards]

    def look_for_system_v(self, uid: int) -> None:
        """Find the session's segments and semaphore sets, now, in this IPC namespace."""
        boards = [each.name for each in self.objects if names.is_board(each.name) and each.uid == uid]
        with _ledgers(boards) as ledgers:
            self.segments = [
                each
                for each in observe.segments()
                if each.cuid == uid
                and not each.dest
                and (
                    names.parse_key(each.key) == self.token
                    or any(ledger.has_made(each) for ledger in ledgers)
                )
            ]
        self.sets = [
            each
            for each in observe.semaphore_sets()
            if each.cuid == uid and names.parse_key(each.key) == self.token
        ]


Thing = observe.ObjectEntry | observe.Segment | observe.SemaphoreSet


def sessions(uid: int) -> list[Remains]:
    """Return every session of a user that has an object, all that it has, and whether somebody still works
    in it."""
    found: dict[str, Remains] = {}
    for entry in observe.objects("shmlab-*"):
        owned = names.parse(entry.name)
        if owned is not None and owned.uid == uid and entry.uid == uid:
            found.setdefault(owned.session, Remains(owned.session, False)).objects.append(entry)
    for remains in found.values():
        with _claimed(remains) as ours:
            remains.alive = not ours
        remains.look_for_system_v(uid)
    return list(found.values())


def processes_of(token: str) -> list[int]:
    """Return the pids of a session's processes: those started with its token in their environment."""
    return _marked(f"{names.SESSION_VARIABLE}={token}")


def kill(mark: str) -> None:
    """Kill every process that was started with *mark*, ``NAME=value``, in its environment."""
    _kill_marked(mark, {os.getpid()})


def _marked(variable: str, spare: Collection[int] = ()) -> list[int]:
    mark = variable.encode()
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) in spare:
            continue
        with suppress(OSError):
            environment = Path(f"/proc/{entry}/environ").read_bytes()
            if mark in environment and mark in environment.split(b"\0"):
                found.append(int(entry))
    return found


def remove_session(
    token: str, uid: int, *, spare: Collection[int] = (), dry_run: bool = False
) -> list[Found]:
    """Kill a session's processes, then remove its objects, segments and sets; return what there was.

    *spare* are pids to leave alone: the caller's own. With *dry_run* nothing is touched. A segment that
    somebody is still attached to goes when the last one detaches it.
    """
    found = _kill_processes(token, {*spare, os.getpid()}, dry_run)
    objects = [each for each in observe.objects(f"shmlab-{uid}-{token}-*") if each.uid == uid]
    remains = Remains(token, False, objects)
    remains.look_for_system_v(uid)
    for thing in remains.things:
        removed = not dry_run and _remove(thing)
        found.append(Found(_kind(thing), _name(thing), token, removed))
    return found


def clean(uid: int, *, everything: bool = False, dry_run: bool = False) -> list[Found]:
    """Remove what dead sessions of a user left; with *everything*, what living ones have as well.

    Never touches what isn't the lab's, what is another user's, or an orphan that a process outside its
    session still uses.
    """
    found: list[Found] = []
    for remains in sessions(uid):
        with _claimed(remains) as ours:
            if not (ours or everything):
                known = any(names.is_board(each.name) for each in remains.objects)
                reason = "its session is alive" if known else "its session may be alive"
                found += [
                    Found(_kind(each), _name(each), remains.token, False, reason) for each in remains.things
                ]
                continue
            found += _kill_processes(remains.token, {os.getpid()}, dry_run)
            inside = {os.getpid(), *(processes_of(remains.token) if dry_run else ())}
            remains.look_for_system_v(uid)  # again: the killed ones were making some, and use none any more
            users = {} if everything else observe.mappers_of([*remains.objects, *remains.segments])
            left = False
            for thing in remains.things:
                if isinstance(thing, observe.ObjectEntry) and names.is_board(thing.name):
                    reason = "something of its session is left" if left else ""
                else:
                    reason = "" if everything else _in_use(thing, users, inside)
                removed = not reason and not dry_run and _remove(thing)
                left = left or not (removed or dry_run) or bool(reason)
                found.append(Found(_kind(thing), _name(thing), remains.token, removed, reason))
    return found


def _in_use(
    thing: Thing,
    users: Mapping[observe.ObjectEntry | observe.Segment, Iterable[observe.Mapper]],
    inside: Collection[int],
) -> str:
    """Say who, outside the session, uses a thing; empty when nobody does."""
    if isinstance(thing, observe.SemaphoreSet):
        # Who waits isn't known. While the session's own processes live (a dry run), it may be they.
        others = set(inside) <= {os.getpid()}
        return "in use by a process that waits for it" if others and _is_awaited(thing) else ""
    mappers = list(users.get(thing, ()))
    outside = [each.pid for each in mappers if each.pid not in inside]
    if outside:
        return f"in use by {_command(outside[0])} ({outside[0]})"
    if isinstance(thing, observe.Segment):
        # Another user's process can't be looked at, but the kernel counts its attachments with the others'.
        pages = -(-thing.size // PAGESIZE)
        if thing.attached * pages * PAGESIZE > sum(each.mapped for each in mappers):
            return "in use by a process that can't be looked at"
    return ""


def _is_awaited(thing: observe.SemaphoreSet) -> bool:
    """Whether a process is blocked on a semaphore of the set: nothing else shows that one is used."""
    with suppress(OSError):
        return any(
            sysv.semctl(thing.id, number, command)
            for number in range(thing.nsems)
            for command in (sysv.GETNCNT, sysv.GETZCNT)
        )
    return False


def _kill_processes(token: str, spare: Collection[int], dry_run: bool) -> list[Found]:
    pids = _marked(f"{names.SESSION_VARIABLE}={token}", spare)
    found = {pid: Found("process", f"{pid} {_command(pid)}", token, not dry_run) for pid in pids}
    if not dry_run:
        for pid, command in _kill_marked(f"{names.SESSION_VARIABLE}={token}", spare).items():
            found.setdefault(pid, Found("process", f"{pid} {command}", token, True))
    return list(found.values())


def _kill_marked(mark: str, spare: Collection[int]) -> dict[int, str]:
    """Kill until none is found, for one may have forked while we looked; return pids and commands."""
    killed: dict[int, str] = {}
    deadline = monotonic() + PATIENCE
    while (pids := _marked(mark, spare)) and monotonic() < deadline:
        dying = []
        for pid in pids:
            killed.setdefault(pid, _command(pid))
            with suppress(OSError):
                dying.append(os.pidfd_open(pid))
                signal.pidfd_send_signal(dying[-1], signal.SIGKILL)
        for descriptor in dying:
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            poll.poll(max(0.0, deadline - monotonic()) * 1000)
            os.close(descriptor)
    return killed


def _command(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return "?"


def _kind(thing: Thing) -> str:
    if isinstance(thing, observe.ObjectEntry):
        return thing.kind
    return "segment" if isinstance(thing, observe.Segment) else "set"


def _name(thing: Thing) -> str:
    if isinstance(thing, observe.ObjectEntry):
        return thing.name
    return f"{table.key(thing.key)} id {thing.id}"


def _remove(thing: Thing) -> bool:
    with suppress(OSError):
        if isinstance(thing, observe.Segment):
            sysv.shmctl(thing.id, sysv.IPC_RMID)
        elif isinstance(thing, observe.SemaphoreSet):
            sysv.semctl(thing.id, 0, sysv.IPC_RMID)
        elif thing.kind == "semaphore":
            posix.sem_unlink(thing.name)
        else:
            posix.shm_unlink(thing.name)
        return True
    return False


@contextmanager
def _ledgers(boards: Iterable[str]) -> Iterator[list[Ledger]]:
    """Give what the boards say of the session's processes."""
    with ExitStack() as opened:
        ledgers = []
        for name in boards:
            with suppress(OSError):
                descriptor = posix.shm_open(name, os.O_RDONLY)
                opened.callback(os.close, descriptor)
                ledgers.append(Ledger(descriptor))
        yield ledgers


@contextmanager
def _claimed(remains: Remains) -> Iterator[bool]:
    """Hold the lock of every board of a session meanwhile; give False when somebody lives in it.

    Held, and not only looked at: a session that is just beginning must not get its lock between our look and
    our removing what it has. Of a session without a board nobody can tell whether it lives: a script may use
    the lab's names and nothing else of the lab. It counts as alive. (So a board is removed last, and stays
    while anything of a dead session does: it is what shows that the session is dead.)
    """
    boards = [each.name for each in remains.objects if names.is_board(each.name)]
    with ExitStack() as held:
        ours = bool(boards)
        for name in boards:
            try:
                descriptor = posix.shm_open(name, os.O_RDWR)
            except FileNotFoundError:
                continue  # gone, and its session with it
            except OSError:
                ours = False  # not to be looked at now, and so not to be called dead
                continue
            held.callback(os.close, descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                ours = False
        yield ours
