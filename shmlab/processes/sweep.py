"""Finding and removing what a session left: its processes, then its objects.

A process belongs to a session when ``SHMLAB_SESSION`` in the environment it was started with says so; that
holds for whatever it forks, too. An object belongs to it by its name. A session lives as long as somebody
holds the lock (``flock``) on its board: the kernel drops it when the last holder dies, however it dies, and
unlike a pid it can't come to mean somebody else.

Used by the supervisor, by :func:`shmlab.cleanup` and by ``shmlab clean``.
"""

import fcntl
import os
import select
import signal
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from shmlab import names, observe, posix

PATIENCE = 2.0
"""Seconds that killed processes get to be gone."""


@dataclass(frozen=True)
class Found:
    """Something that a session left, and what became of it."""

    kind: str
    """``"process"``, ``"object"`` or ``"semaphore"``."""
    name: str
    """A process's pid and command, or the object's name."""
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


def sessions(uid: int) -> list[Remains]:
    """Return every session of a user that has an object, and whether somebody still works in it."""
    found: dict[str, Remains] = {}
    for entry in observe.objects("shmlab-*"):
        owned = names.parse(entry.name)
        if owned is not None and owned.uid == uid and entry.uid == uid:
            found.setdefault(owned.session, Remains(owned.session, False)).objects.append(entry)
    for remains in found.values():
        with _claimed(remains) as ours:
            remains.alive = not ours
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
    """Kill a session's processes, then unlink its objects; return what there was.

    *spare* are pids to leave alone: the caller's own. With *dry_run* nothing is touched.
    """
    found = _kill_processes(token, {*spare, os.getpid()}, dry_run)
    for entry in _boards_last(observe.objects(f"shmlab-{uid}-{token}-*")):
        if entry.uid == uid:
            removed = not dry_run and _unlink(entry)
            found.append(Found(entry.kind, entry.name, token, removed))
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
                    Found(each.kind, each.name, remains.token, False, reason) for each in remains.objects
                ]
                continue
            inside = {os.getpid(), *processes_of(remains.token)}
            found += _kill_processes(remains.token, {os.getpid()}, dry_run)
            users = {} if everything else observe.mappers_of(remains.objects)
            spared = ""
            for entry in _boards_last(remains.objects):
                outside = [each.pid for each in users.get(entry, ()) if each.pid not in inside]
                if names.is_board(entry.name):
                    reason = spared and "something of its session is in use"
                else:
                    reason = f"in use by {_command(outside[0])} ({outside[0]})" if outside else ""
                    spared = spared or reason
                removed = not reason and not dry_run and _unlink(entry)
                found.append(Found(entry.kind, entry.name, remains.token, removed, reason))
    return found


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


def _unlink(entry: observe.ObjectEntry) -> bool:
    with suppress(OSError):
        (posix.sem_unlink if entry.kind == "semaphore" else posix.shm_unlink)(entry.name)
        return True
    return False


def _boards_last(entries: Iterable[observe.ObjectEntry]) -> list[observe.ObjectEntry]:
    return sorted(entries, key=lambda each: names.is_board(each.name))


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
