"""What processes share, between two steps: the values of its memory and of its semaphores; and how it began.

What it is follows from the processes' arguments: every :class:`Shared`, every text that begins with a slash,
every number that is a key of this session's. It is looked at without being touched, and it is put back,
before a program runs again, to what it was before the first run. Imported by
:mod:`shmlab.processes.interleaving`.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from struct import Struct
from typing import Any
from zlib import crc32

from shmlab import names, observe, posix, sysv
from shmlab.observe.objects import path_of
from shmlab.processes import session
from shmlab.processes.process import Process, Shared
from shmlab.programs import is_plain

MOST_REMEMBERED = 1 << 20
"""Bytes of an object or a segment up to which its content is remembered, to be put back."""

MOST_COMPARED = 1 << 16
"""Bytes of an object up to which a change of it is noticed, though nobody watches it."""

Watch = Mapping[str, "Shared | Callable[[], Any]"]
"""What is shown of the memory: for each word a function that reads it, or an object, whose first item is
shown."""


@dataclass(frozen=True)
class Look:
    """What there was to be seen at one moment."""

    memory: tuple[tuple[str, Any], ...] = ()
    semaphores: tuple[tuple[str, int], ...] = ()
    """Each semaphore's short name, and its value."""
    waiting: Mapping[str, int] = field(default_factory=dict)
    """For each semaphore of a System V set, how many processes wait for it."""
    mark: int = 0
    """Differs when the objects' bytes do."""

    @property
    def values(self) -> dict[str, int]:
        """The semaphores' values by their names."""
        return dict(self.semaphores)


def short(name: str) -> str:
    """Return what an object or semaphore is called on screen: its word, when it is the lab's."""
    owned = names.parse(name)
    return owned.word if owned is not None else name


class Surroundings:
    """The objects, segments and semaphores of *processes*; *watch* says what is shown of the memory (None:
    the first item of every object)."""

    def __init__(self, processes: Iterable[Process], watch: Watch | None = None) -> None:
        arguments = [each for process in processes for each in process.arguments]
        self._items: dict[str, str] = {}
        self._keys: list[int] = []
        for each in arguments:
            if isinstance(each, Shared):
                self._items[_slashed(each.name)] = each.item
            elif isinstance(each, str) and len(each) > 1 and each[0] == "/" and "/" not in each[1:]:
                self._items.setdefault(each, "Q")
            elif (key := _own_key(each)) is not None and key not in self._keys:
                self._keys.append(key)
        self._watch = dict(watch) if watch is not None else None
        self._sets: dict[int, str] = {}
        self._remembered: Remembered | None = None

    @property
    def names(self) -> frozenset[object]:
        """The names of objects and semaphores, and the keys, that it is about."""
        return frozenset([*self._items, *self._keys])

    # --- looking -----------------------------------------------------------------------------------------

    def look(self) -> Look:
        """Return what there is now. What doesn't exist (yet) is left out."""
        memory, mark = [], 0
        for name, item in self._items.items():
            size, data = _content(name)
            if data:
                mark = crc32(data, mark)
            width = Struct(item).size
            if self._watch is None and size >= width:
                memory.append((short(name), Struct(item).unpack_from(data)[0]))
        for word, what in (self._watch or {}).items():
            memory.append((word, _told(what) if callable(what) else _first(what)))
        values: list[tuple[str, int]] = []
        waiting: dict[str, int] = {}
        for name in self._items:
            with suppress(OSError):
                sem = posix.sem_open(name, 0)
                values.append((short(name), posix.sem_getvalue(sem)))
                posix.sem_close(sem)
        for key in self._keys:
            with suppress(OSError):
                self._look_at_set(sysv.semget(key, 0, 0), key, values, waiting)
        return Look(tuple(memory), tuple(values), waiting, mark)

    def _look_at_set(
        self, semid: int, key: int, values: list[tuple[str, int]], waiting: dict[str, int]
    ) -> None:
        numbers = sysv.semctl(semid, 0, sysv.GETALL)
        word = session.current().word_of(key) or f"set {semid}"
        self._sets[semid] = word
        for number, value in enumerate(numbers):
            name = word if len(numbers) == 1 else f"{word}[{number}]"
            values.append((name, value))
            waiting[name] = sysv.semctl(semid, number, sysv.GETNCNT)

    def thing(self, on: str, before: Look, now: Look) -> str:
        """Return the short name of what a process is blocked *on*, as :attr:`State.on` has it.

        The kernel tells the semaphore set, not which of its semaphores: that is the one that has come to be
        waited for. A named semaphore that is in nobody's arguments is watched from now on.
        """
        call, _, target = on.partition(" on ")
        if target.startswith("semaphore set "):
            word = self._sets.get(int(target.rpartition(" ")[2]), "")
            members = [name for name in now.waiting if name == word or name.startswith(f"{word}[")]
            newly = [name for name in members if now.waiting[name] > before.waiting.get(name, 0)]
            return (newly or members or [target])[0] if word else target
        name = target.strip("'")
        if call == "sem_wait" and name.startswith("/") and "'" not in name:
            self._items.setdefault(name, "Q")
            return short(name)
        return target or call

    # --- putting back ------------------------------------------------------------------------------------

    def remember(self) -> None:
        """Remember what there is now. Only the first call counts."""
        if self._remembered is None:
            self._remembered = Remembered(list(self._items), self._keys)

    def put_back(self) -> None:
        """Make everything what it was when it was remembered, and remove what has come since.

        For a time when no process is at work on it. Nothing happens before :meth:`remember`.
        """
        if self._remembered is not None:
            self._remembered.put_back(list(self._items))

    def identity(self) -> tuple[object, ...]:
        """Differs once a name stands for another object: processes that map the old one are no use then."""
        found = []
        for name in self._items:
            with suppress(OSError):
                status = os.stat(path_of(name))
                found.append((name, status.st_dev, status.st_ino, status.st_size))
        return tuple(found)


class Remembered:
    """What objects, segments and semaphores held at one moment, and which there were."""

    def __init__(self, wanted: Iterable[str], keys: Iterable[int]) -> None:
        self.keys = list(keys)
        self.objects: dict[str, bytes | None] = {}
        self.semaphores: dict[str, int] = {}
        for name in wanted:
            if observe.object_entry(name) is not None:
                size, data = _content(name, MOST_REMEMBERED)
                self.objects[name] = data if size == len(data) else None
            with suppress(OSError):
                sem = posix.sem_open(name, 0)
                self.semaphores[name] = posix.sem_getvalue(sem)
                posix.sem_close(sem)
        self.segments: dict[int, bytes | None] = {}
        self.sets: dict[int, list[int]] = {}
        for key in self.keys:
            with suppress(OSError), sysv.shmat(sysv.shmget(key, 0, 0), None, sysv.SHM_RDONLY) as attached:
                fits = attached.length <= MOST_REMEMBERED
                self.segments[key] = bytes(attached.buf) if fits else None
            with suppress(OSError):
                self.sets[key] = list(sysv.semctl(sysv.semget(key, 0, 0), 0, sysv.GETALL))

    def put_back(self, wanted: Iterable[str]) -> None:
        for name in wanted:
            with suppress(OSError):
                self._put_object_back(name)
            with suppress(OSError):
                self._put_semaphore_back(name)
        for key in self.keys:
            with suppress(OSError):
                self._put_segment_back(key)
            with suppress(OSError):
                self._put_set_back(key)

    def _put_object_back(self, name: str) -> None:
        if name not in self.objects:
            posix.shm_unlink(name)
            return
        if (data := self.objects[name]) is None:
            return
        descriptor = posix.shm_open(name, os.O_RDWR)
        try:
            if os.fstat(descriptor).st_size != len(data):
                posix.ftruncate(descriptor, len(data))
            os.pwrite(descriptor, data, 0)
        finally:
            os.close(descriptor)

    def _put_semaphore_back(self, name: str) -> None:
        if name not in self.semaphores:
            posix.sem_unlink(name)
            return
        sem = posix.sem_open(name, 0)
        try:
            for _ in range(self.semaphores[name] - posix.sem_getvalue(sem)):
                posix.sem_post(sem)
            for _ in range(posix.sem_getvalue(sem) - self.semaphores[name]):
                posix.sem_trywait(sem)
        finally:
            posix.sem_close(sem)

    def _put_segment_back(self, key: int) -> None:
        shmid = sysv.shmget(key, 0, 0)
        if key not in self.segments:
            sysv.shmctl(shmid, sysv.IPC_RMID)
        elif (data := self.segments[key]) is not None:
            with sysv.shmat(shmid) as attached:
                attached.buf[: len(data)] = data

    def _put_set_back(self, key: int) -> None:
        semid = sysv.semget(key, 0, 0)
        if key not in self.sets:
            sysv.semctl(semid, 0, sysv.IPC_RMID)
        else:
            sysv.semctl(semid, 0, sysv.SETALL, self.sets[key])


def _content(name: str, most: int = MOST_COMPARED) -> tuple[int, bytes]:
    """Return an object's size in bytes, and its first *most* bytes; by pread, which allocates nothing."""
    try:
        descriptor = os.open(path_of(name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return 0, b""
    try:
        return os.fstat(descriptor).st_size, os.pread(descriptor, most, 0)
    finally:
        os.close(descriptor)


def _told(read: Callable[[], Any]) -> Any:
    """Return what a function of the lesson's says: as a plain value, which can be kept and compared."""
    try:
        value = read()
        value = value.tolist() if hasattr(value, "tolist") else value
        return value if is_plain(value) else repr(value)
    except Exception as error:  # it is shown where its value would be
        return f"raised {type(error).__name__}: {error}"


def _first(shared: Shared) -> Any:
    unpack = Struct(shared.item)
    data = _content(_slashed(shared.name), unpack.size)[1]
    return unpack.unpack(data)[0] if len(data) == unpack.size else None


def _slashed(name: str) -> str:
    return "/" + name.lstrip("/")


def _own_key(value: object) -> int | None:
    """Return *value* as the session's System V key that it is, a C program's text included, or None."""
    if isinstance(value, str):
        with suppress(ValueError):
            value = int(value, 0)
    if not isinstance(value, int) or isinstance(value, bool) or not -(1 << 31) <= value < 1 << 32:
        return None
    if names.parse_key(value) != names.session():
        return None
    unsigned = value & 0xFFFFFFFF
    return unsigned - (1 << 32) if unsigned >> 31 else unsigned
