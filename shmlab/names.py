"""Names and keys that no other student on this machine has, and that say whose they are.

Every object the lab creates is called ``/shmlab-<uid>-<session>-<word>``, and a System V key of the lab's has
the session in its upper 20 bits. The prefix *is* the registration: whoever cleans up after a session (the
supervisor, ``shmlab clean``) removes what carries its prefix, so a thing is on record before it exists and no
crash between creating and registering can leak it. A *session* is one notebook kernel, or one script, with
every process it launched; its token travels to them, and to nobody else, in the environment variable
``SHMLAB_SESSION``, by which they are found.

Imported by everything above; imports nothing of ours. Creates no object and starts no process.
"""

import os
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

MAX_NAME = 30
"""Longest name in characters, slash included: macOS allows 31 (PSHMNAMLEN)."""

SESSION_VARIABLE = "SHMLAB_SESSION"

_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
_FIRST_TOKEN = 125_000
"""Number of the first token: small keys, and small negative ones, are what others choose by hand."""

_WORD_BITS = 12
"""Bits of a key that come from its word; the 20 above them are the token's."""

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
    drawn again while an object in /dev/shm bears it, anybody's: a name says the user as well, a key doesn't.
    It is not put into this process's own environment: a second notebook server started from here is not ours.
    """
    inherited = os.environ.get(SESSION_VARIABLE, "")
    if re.fullmatch(f"[{_ALPHABET}]{{4}}", inherited):
        return inherited
    taken = set()
    with suppress(OSError):
        taken = {owned.session for each in os.listdir("/dev/shm") if (owned := parse(each))}
    for _ in range(100):
        token = "".join(secrets.choice(_ALPHABET) for _ in range(4))
        if token not in taken:
            break
    return token


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


def key(word: str, token: str | None = None) -> int:
    """Return the System V key of a word in a session, this one's by default: a signed C ``key_t``.

    The upper 20 bits are the token as a number, the lower 12 a hash of the word that is never 0, so the key
    is never IPC_PRIVATE. The same word gives the same key in every process of the session. Two words may
    share one, with a chance of 1 in 4,095.

    Raises ValueError when *word* is empty or the token is none that :func:`session` draws.
    """
    from zlib import crc32  # here: a worker hardly ever asks for a key

    if not word:
        raise ValueError("a key needs a word of at least one character")
    token = token or session()
    if len(token) != 4 or any(letter not in _ALPHABET for letter in token):
        raise ValueError(f"{token!r} is no session's token: four characters of {_ALPHABET}")
    number = _FIRST_TOKEN
    for place, letter in enumerate(reversed(token)):
        number += _ALPHABET.index(letter) * len(_ALPHABET) ** place
    low = 1 + crc32(word.encode("utf-8", "surrogatepass")) % ((1 << _WORD_BITS) - 1)
    unsigned = number << _WORD_BITS | low
    return unsigned - (1 << 32) if unsigned >> 31 else unsigned


def parse_key(key: int) -> str | None:
    """Return the token of the session that a key would be of, or None when it can't be the lab's.

    A key has no room for a mark of the lab's: most keys that anybody draws at random are of *some* token. So
    ask whether that session exists and whether its user created what has the key. A stranger's random key
    falls into one given session with a chance of 1 in 1,048,576, and the stranger is then the same user.
    Signed keys and the unsigned spelling of the same 32 bits are both read.
    """
    unsigned = key & 0xFFFFFFFF
    number = (unsigned >> _WORD_BITS) - _FIRST_TOKEN
    if not 0 <= number < len(_ALPHABET) ** 4 or not unsigned & ((1 << _WORD_BITS) - 1):
        return None
    token = ""
    for _ in range(4):
        number, at = divmod(number, len(_ALPHABET))
        token = _ALPHABET[at] + token
    return token
