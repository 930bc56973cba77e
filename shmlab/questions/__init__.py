"""What the lessons ask: questions with their answers, exercises with their judges, one module a lesson.

``lesson_01`` holds what lesson 01 asks, as ``QUESTIONS`` and ``EXERCISES``; this page holds what such a
module is made of, and finds things by their id (``"01-at-once"``). The answers are here and not in the
notebook, so that nobody reads them by accident. Nothing here knows a widget: :mod:`shmlab.check` puts it
on screen.
"""

import pkgutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from html import escape
from importlib import import_module
from typing import Any, TypeVar

from shmlab import posix
from shmlab.palette import RIGHT, WRONG
from shmlab.processes import own_name


@dataclass(frozen=True)
class Option:
    """One answer that may be chosen, and what is said when it is."""

    text: str
    reply: str
    """Why it's right, or the help that fits this very mistake."""
    right: bool = False


def right(text: str, reply: str) -> Option:
    """Return the option that is right; *reply* explains it."""
    return Option(text, reply, right=True)


def wrong(text: str, reply: str) -> Option:
    """Return an option that is wrong; *reply* helps whoever chose it, without giving the right one away."""
    return Option(text, reply)


@dataclass(frozen=True)
class Question:
    """A prediction that a lesson asks for."""

    id: str
    text: str
    options: tuple[Option, ...]

    def __post_init__(self) -> None:
        if sum(option.right for option in self.options) != 1:
            raise ValueError(f"question {self.id} needs exactly one right option")


@dataclass(frozen=True)
class Verdict:
    """What was found of an answer or an exercise. ``bool(verdict)`` is whether it's right."""

    passed: bool
    message: str
    hint: str = ""
    words: tuple[str, str] = ("Right", "Not yet")
    """What's said when it's right, and when it isn't: never told by colour alone."""

    def __bool__(self) -> bool:
        return self.passed

    @property
    def word(self) -> str:
        return self.words[0] if self.passed else self.words[1]

    @property
    def mark(self) -> str:
        return "✓" if self.passed else "✗"

    def __repr__(self) -> str:
        hint = f"\n  Hint: {self.hint}" if self.hint else ""
        return f"{self.mark} {self.word}: {self.message}{hint}"

    def _repr_html_(self) -> str:
        colour = RIGHT if self.passed else WRONG
        hint = f'<div style="margin-top:6px"><b>Hint:</b> {escape(self.hint)}</div>' if self.hint else ""
        return (
            f'<div style="border-left:8px solid {colour};padding:8px 14px;font-size:18px;line-height:1.45">'
            f'<b style="background:{colour};color:#fff;padding:2px 10px;border-radius:4px;margin-right:8px">'
            f"{self.mark} {self.word}</b>{escape(self.message)}{hint}</div>"
        )


@dataclass(frozen=True)
class Exercise:
    """A task, what it wants to be given (in words, one for each value), and who judges it.

    *judge* gets the student's values. It looks at the kernel's state or runs the student's program in a
    process of its own; it calls nothing of the student's in the notebook, and it ends within ``PATIENCE``.
    """

    id: str
    wants: tuple[str, ...]
    judge: Callable[..., Verdict]


PATIENCE = 10.0
"""Seconds that judging one exercise may take."""


def question(id_: str) -> Question:
    """Return the question of that id. Raises KeyError, naming those that there are."""
    return _find(id_, questions(), "question")


def exercise(id_: str) -> Exercise:
    """Return the exercise of that id. Raises KeyError, naming those that there are."""
    return _find(id_, exercises(), "exercise")


def questions() -> dict[str, Question]:
    """Return the questions of every lesson by id."""
    return {each.id: each for lesson in _lessons() for each in lesson.QUESTIONS}


def exercises() -> dict[str, Exercise]:
    """Return the exercises of every lesson by id."""
    return {each.id: each for lesson in _lessons() for each in lesson.EXERCISES}


class UnknownIdError(KeyError):
    """There is nothing of that id. A KeyError whose text reads like a sentence."""

    def __str__(self) -> str:
        return str(self.args[0])


@contextmanager
def scratch(content: bytes, size: int = 4096) -> Iterator[str]:
    """Create an object that starts with *content*, for a judge to try things on; yield its name; remove it.

    Raises OSError (ENOSPC) when /dev/shm is full.
    """
    name = own_name("check")
    with suppress(FileNotFoundError):
        posix.shm_unlink(name)
    with posix.create(name, size) as memory:
        # Touched now and never again: a student's program may shorten the object, and this is the notebook.
        memory.buf[: len(content)] = content
        yield name


def _lessons() -> list[Any]:
    found = [each.name for each in pkgutil.iter_modules(__path__) if each.name.startswith("lesson_")]
    return [import_module(f"{__name__}.{each}") for each in sorted(found)]


T = TypeVar("T")


def _find(id_: str, those: dict[str, T], what: str) -> T:
    try:
        return those[id_]
    except (KeyError, TypeError):
        raise UnknownIdError(f"there is no {what} {id_!r}: there are {', '.join(those) or 'none'}") from None
