"""Names that no other student on this machine has, and that say whose they are.

Every object the lab creates is called ``/shmlab-<uid>-<session>-<word>``. The prefix *is* the registration:
whoever cleans up after a session (the supervisor, ``shmlab clean``) removes what carries its prefix, so an
object is on record before it exists and no crash between creating and registering can leak it. A *session*
is one notebook kernel, or one script, with every process it launched; its token travels to them, and to
nobody else, in the environment variable ``SHMLAB_SESSION``, by which they are found.

Imported by everything above; imports nothing of ours. Creates no object and starts no process.
"""

import os
import re
import secrets
from dataclasses import dataclass
from functools import lru_cache

MAX_NAME = 30
"""Longest name in characters, slash included: macOS allows 31 (PSHMNAMLEN)."""

SESSION_VARIABLE = "SHMLAB_SESSION"

_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
_PATTERN = re.compile(r"/?(?:sem\.)?shmlab-(?P<uid>\d+)-(?P<session>[a-z2-9]{4})-(?P<word>[^/]+)")


@dataclass(frozen=True)
class Owned:
    """What a name of ours says about its owner."""

    uid: int
    session: str
    word: str


@lru_cache(maxsize=1)
def session() -> str:
    """Return this process's session token: its parent's when the lab launched it, else one drawn now.

    A drawn token has four characters: 923,521 possibilities, none that is easily misread for another. It is
    not put into this process's own environment: a second notebook server started from here is not ours.
    """
    inherited = os.environ.get(SESSION_VARIABLE, "")
    if re.fullmatch(r"[a-z2-9]{4}", inherited):
        return inherited
    return "".join(secrets.choice(_ALPHABET) for _ in range(4))


def prefix(token: str | None = None, uid: int | None = None) -> str:
    """Return what the names of a session start with, ``/shmlab-<uid>-<session>-``; this one's by default."""
    return f"/shmlab-{os.getuid() if uid is None else uid}-{token or session()}-"


def name(word: str) -> str:
    """Return ``/shmlab-<uid>-<session>-<word>``, at most 30 characters.

    Raises ValueError when *word* is empty, holds a slash or a NUL, or makes the name too long.
    """
    if not word or "/" in word or "\0" in word:
        raise ValueError(f"{word!r} can't end a name: it needs at least one character, no slash and no NUL")
    full = prefix() + word
    if len(full) > MAX_NAME:
        spare = MAX_NAME - len(full) + len(word)
        raise ValueError(f"{word!r} is too long: {spare} characters are left after {prefix()!r}")
    return full


def is_board(name: str) -> bool:
    """Whether a name is that of a session's board, where the lab keeps what its processes are doing."""
    owned = parse(name)
    return owned is not None and re.fullmatch(r"board\d*", owned.word) is not None


def parse(name: str) -> Owned | None:
    """Read a name, or a file name in /dev/shm, back; None when it isn't one of the lab's."""
    match = _PATTERN.fullmatch(name)
    if match is None:
        return None
    return Owned(int(match["uid"]), match["session"], match["word"])
