"""What judges share: a student's value taken for a program, a place to try it on, and how it ended, in words.

Imported by the modules of :mod:`shmlab.questions` and by nobody else. Nothing here runs anything of a
student's in the notebook.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from struct import iter_unpack
from typing import Any

from shmlab import observe, posix, sysv
from shmlab.processes import Outcome, Process, own_key, own_name
from shmlab.programs import Program, as_program
from shmlab.questions import PATIENCE, Verdict


def program_of(value: Any, name: str) -> Program | Verdict:
    """Return the program that a student gave, or what is wrong with it; *name* is what the text calls it."""
    if not callable(value) and not isinstance(value, Program):
        message = f"that's {kind_of(value)}, not a program."
        return Verdict(False, message, f"Give it {name}, without parentheses.")
    try:
        return as_program(value)
    except (TypeError, ValueError) as error:
        return Verdict(False, f"it can't be sent to a process: {error}.", "Write it with def, in a cell.")


def kind_of(value: Any) -> str:
    """Return what a value is, in words: its own text may be long, or fail."""
    return "None" if value is None else f"a value of type {type(value).__name__:.40}"


@contextmanager
def absent(word: str) -> Iterator[str]:
    """Yield a name that nothing has; remove whatever has it afterwards."""
    name = own_name(word)
    with suppress(FileNotFoundError):
        posix.shm_unlink(name)
    try:
        yield name
    finally:
        with suppress(FileNotFoundError):
            posix.shm_unlink(name)


@contextmanager
def unused_key(word: str) -> Iterator[int]:
    """Yield a key that no segment has; remove whatever has it afterwards."""
    key = own_key(word)
    _remove_segment(key)
    try:
        yield key
    finally:
        _remove_segment(key)


def _remove_segment(key: int) -> None:
    with suppress(FileNotFoundError):
        sysv.shmctl(sysv.shmget(key, 0, 0), sysv.IPC_RMID)


class Words:
    """The 64-bit words of an object, as the kernel has them: a student's program may shorten it meanwhile.

    *item* is ``"Q"``, or ``"q"`` for numbers that may be below 0.
    """

    def __init__(self, name: str, count: int = 24, item: str = "Q") -> None:
        self._sampler, self._count, self._item = observe.Sampler(name), count, f"={item}"

    def __call__(self) -> tuple[int, ...]:
        read = self._sampler.read(0, 8 * self._count).ljust(8 * self._count, b"\0")
        return tuple(each for (each,) in iter_unpack(self._item, read))


@contextmanager
def existing(word: str, size: int, content: bytes = b"") -> Iterator[str]:
    """Create an object of *size* bytes, 0 included, that nobody maps; yield its name; remove it."""
    with absent(word) as name:
        fd = posix.shm_open(name, posix.O_CREAT | posix.O_EXCL | posix.O_RDWR, 0o600)
        try:
            posix.ftruncate(fd, size)
            # By the descriptor, not through a mapping: a program may shorten the object meanwhile.
            os.pwrite(fd, content, 0)
        finally:
            posix.close(fd)
        yield name


def run_to_end(process: Process) -> Outcome | None:
    """Run a student's program; return how it ended, or None when it hasn't in time."""
    process.run()
    return ended(process)


def ended(process: Process) -> Outcome | None:
    """Return how a program that runs already ended, or None when it hasn't in time."""
    try:
        return process.wait(PATIENCE / 5)
    except TimeoutError:
        return None


def how(outcome: Outcome | None) -> str:
    """Return how a program ended, to stand behind "it": ``was killed by signal 7 …``."""
    if outcome is None:
        return "has not ended"
    return f"was {outcome}" if outcome.kind in ("killed", "stopped") else str(outcome)
