"""The lessons, as they say of themselves: number, title, question, time, what they build on, exercises.

Read from the notebooks of a checkout, so that nothing is kept twice. Imported by the command line, the
figures and lesson 00; knows nothing of what was done in them (that's :mod:`shmlab.progress`).
"""

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import shmlab

TITLE = re.compile(r"# (\d\d) · (.+)")
QUESTION = re.compile(r"\*\*The question: (.+?)\*\*", re.DOTALL)
MINUTES = re.compile(r"(\d+)\s+minutes")
BUILDS_ON = re.compile(r"builds on(.*?)takes", re.DOTALL)
LINK = re.compile(r"\]\((\d\d)-[^)]*\)(\s+to\s)?")
EXERCISE = re.compile(r'check\.exercise\(\\"(\d\d-\w+)\\"')


@dataclass(frozen=True)
class Lesson:
    """A lesson: *minutes* it takes, the numbers of the lessons that it *builds_on*, its *exercises*' ids."""

    number: str
    title: str
    question: str
    minutes: int
    builds_on: tuple[str, ...]
    exercises: tuple[str, ...]
    path: Path


def folder() -> Path:
    """Return where the lessons are in a checkout: beside the package."""
    return Path(shmlab.__file__).resolve().parents[1] / "notebooks"


def paths() -> list[Path]:
    """Return the lessons' notebooks in order; none where the package was installed without them."""
    return sorted(folder().glob("[0-9][0-9]*.ipynb"))


def lessons() -> list[Lesson]:
    """Return the lessons in order; of several with one number the one with the shortest name.

    A student's notebooks may lie beside them: copies, and such as say nothing of themselves.
    """
    found: dict[str, Lesson] = {}
    for path in sorted(paths(), key=lambda path: len(path.name)):
        with suppress(ValueError):
            lesson = read(path)
            found.setdefault(lesson.number, lesson)
    return [found[number] for number in sorted(found)]


def read(path: Path) -> Lesson:
    """Return what the lesson at *path* says of itself. Raises ValueError if it doesn't."""
    text = path.read_text(encoding="utf-8")
    try:
        first = "".join(json.loads(text)["cells"][0]["source"])
    except (LookupError, TypeError):
        raise ValueError(f"{path.name} is no notebook, or has no cell") from None
    title, question, minutes = (each.search(first) for each in (TITLE, QUESTION, MINUTES))
    if title is None or question is None or minutes is None:
        raise ValueError(f"{path.name} has no title, question or time in its first cell")
    builds_on = BUILDS_ON.search(first)
    return Lesson(
        number=title[1],
        title=title[2],
        question=" ".join(question[1].split()),
        minutes=int(minutes[1]),
        builds_on=_numbers(builds_on[1]) if builds_on else (),
        exercises=tuple(dict.fromkeys(EXERCISE.findall(text))),
        path=path,
    )


def _numbers(text: str) -> tuple[str, ...]:
    """Return the numbers of the lessons that a text links to; "01 to 03" are three."""
    found: list[int] = []
    to = False
    for link in LINK.finditer(text):
        number = int(link[1])
        found += range(found[-1] + 1, number + 1) if to else [number]
        to = bool(link[2])
    return tuple(f"{number:02}" for number in sorted({*found}))
