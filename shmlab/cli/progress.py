"""``shmlab progress``: which exercises were passed on this machine; ``--json`` for a teacher who collects it.

What is remembered, and where, is in :mod:`shmlab.progress`; nothing of it leaves the machine by itself.
"""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from shmlab import course, progress
from shmlab.cli.terminal import HAVE, LACK, count, say, say_json
from shmlab.progress import Record


def run(options: Namespace) -> int:
    """Print what is remembered, or forget it; the exit status is 1 if the file can't be read or removed."""
    where = progress.file()
    try:
        if options.forget:
            said = "removed" if progress.forget() else "nothing was remembered"
            say(f"{where}: {said}" if where else "nothing is remembered: SHMLAB_PROGRESS is empty")
            return 0
        records, lessons = progress.recall(), course.lessons()
    except OSError as error:
        raise SystemExit(f"shmlab: {error.filename}: {error.strerror}") from None
    if options.json:
        known = [asdict(records.get(each, Record(each, 0, None))) for each in exercises(lessons, records)]
        say_json({"file": str(where) if where else None, "exercises": known})
        return 0
    for line in table(lessons, records):
        say(line)
    say()
    say(f"remembered in {where}" if where else "nothing is remembered: SHMLAB_PROGRESS is empty")
    return 0


def exercises(lessons: Sequence[course.Lesson], records: Mapping[str, Record]) -> list[str]:
    """Return the exercises there are, and those that are remembered, each once."""
    return sorted({*(each for lesson in lessons for each in lesson.exercises), *records})


def table(lessons: Sequence[course.Lesson], records: Mapping[str, Record]) -> list[str]:
    """Return a line for each lesson: which of its exercises were passed, how often they were tried."""
    lines = []
    longest = max((len(each.title) for each in lessons), default=0)
    passed = 0
    for lesson in lessons:
        known = [records.get(each, Record(each, 0, None)) for each in lesson.exercises]
        marks = " ".join(HAVE if each.first_passed else LACK for each in known)
        passed += sum(each.first_passed is not None for each in known)
        tried = sum(each.attempts for each in known)
        said = f"{count(tried, 'attempt')}" if tried else ""
        lines.append(f"{lesson.number}  {lesson.title:{longest}}  {marks:6} {said}".rstrip())
    total = sum(len(each.exercises) for each in lessons)
    return [*lines, "", f"{passed} of {count(total, 'exercise')} passed"]
