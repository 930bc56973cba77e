"""What a student has done, remembered on this machine and nowhere else: which exercises, when, how often.

One line of JSON for each answer that was judged, appended to ``progress.jsonl`` in ``$XDG_DATA_HOME/shmlab``
(``~/.local/share/shmlab``): a line is written in one go, so that two kernels may write at once, and a line
that was damaged costs that line. Nothing of the answer is kept, and nothing about the person.
Answers count, run by a student or by "Run All Cells"; the lessons' own solutions don't (:mod:`shmlab.check`).
``$SHMLAB_PROGRESS`` names another file; empty, nothing is remembered (tests, and whoever wants it so).

Imported by :mod:`shmlab.check`, which notes, and by the command line and lesson 00, which tell.
"""

import fcntl
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import sleep

VARIABLE = "SHMLAB_PROGRESS"


@dataclass(frozen=True)
class Record:
    """What is known of an exercise: how many *attempts* were judged, and when it was *first_passed*, in
    ISO 8601 (``"2026-11-25T21:04:05+01:00"``); None as long as it wasn't."""

    exercise: str
    attempts: int
    first_passed: str | None


def file() -> Path | None:
    """Return the file in which progress is remembered, whether or not it exists; None when it isn't."""
    named = os.environ.get(VARIABLE)
    if named is not None:
        return Path(named) if named else None
    base = os.environ.get("XDG_DATA_HOME", "")
    if not os.path.isabs(base):  # the specification has relative ones ignored
        base = os.path.expanduser("~/.local/share")
    return Path(base, "shmlab", "progress.jsonl")


def note(exercise: str, passed: bool) -> None:
    """Remember that an answer was judged. Raises OSError where that can't be written."""
    where = file()
    if where is None:
        return
    line = {
        "exercise": exercise,
        "passed": passed,
        "at": datetime.now().astimezone().isoformat(timespec="seconds"),
    }
    where.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(where, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        _lock(fd)
        size = os.fstat(fd).st_size
        torn = size and os.pread(fd, 1, size - 1) != b"\n"  # the disk was full, and took half a line
        os.write(fd, f"{chr(10) if torn else ''}{json.dumps(line)}\n".encode())
    finally:
        os.close(fd)


def _lock(fd: int) -> None:
    """Keep other kernels from writing until *fd* is closed: half a line would be taken for a torn one.

    Without the lock, on a file system that has none or after half a second, there is an empty line at worst.
    """
    for _ in range(50):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sleep(0.01)
        except OSError:
            break
        else:
            break


def recall() -> dict[str, Record]:
    """Return what is known of each exercise that was tried, in the order of the first attempts.

    Lines that aren't understood are passed over. Raises OSError for a file that is there and can't be read.
    """
    where = file()
    if where is None:
        return {}
    try:
        text = where.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return {}
    return _told(text.splitlines())


def passed() -> frozenset[str]:
    """Return the exercises that were passed; none where that can't be read: a lesson goes on without."""
    try:
        return frozenset(each.exercise for each in recall().values() if each.first_passed)
    except OSError:
        return frozenset()


def forget() -> bool:
    """Remove everything that was remembered; return whether there was anything. Raises OSError."""
    where = file()
    if where is None:
        return False
    try:
        where.unlink()
    except FileNotFoundError:
        return False
    return True


def _told(lines: Iterable[str]) -> dict[str, Record]:
    found: dict[str, Record] = {}
    for line in lines:
        try:
            said = json.loads(line)
            exercise, passed, at = said["exercise"], said["passed"], said["at"]
        except (ValueError, KeyError, TypeError):
            continue
        if not (isinstance(exercise, str) and isinstance(passed, bool) and isinstance(at, str)):
            continue
        before = found.get(exercise, Record(exercise, 0, None))
        first = before.first_passed or (at if passed else None)
        found[exercise] = Record(exercise, before.attempts + 1, first)
    return found
