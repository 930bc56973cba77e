"""What the commands share in printing: how wide, which marks, a value as JSON.

No colour anywhere: marks and words say it, on every terminal and for every eye.
"""

import json
import os
import sys
from typing import Any

HAVE, LACK, CUT = "\N{CHECK MARK}", "\N{EN DASH}", "\N{HORIZONTAL ELLIPSIS}"
TIMES = "\N{MULTIPLICATION SIGN}"


def width(otherwise: int) -> int:
    """Return the columns there are: ``$COLUMNS``, else the terminal's, or *otherwise* where there's none."""
    asked = os.environ.get("COLUMNS", "")
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    try:
        # A pseudo-terminal that nobody sized says 0.
        return os.get_terminal_size(sys.stdout.fileno()).columns or 80
    except (OSError, ValueError):
        return otherwise


def writable(text: str) -> str:
    """Return *text* with what this terminal's encoding can't write replaced."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    # One letter for one letter, so that columns stay where they are.
    for mark, plain in ((HAVE, "+"), (LACK, "-"), (CUT, "~"), (TIMES, "x")):
        try:
            mark.encode(encoding)
        except UnicodeEncodeError:
            text = text.replace(mark, plain)
    return text.encode(encoding, "backslashreplace").decode(encoding)


def say(text: str = "") -> None:
    """Print text on standard output."""
    print(writable(text))


def say_json(value: Any, in_a_line: bool = False) -> None:
    """Print a value as JSON, plain ASCII, so that no terminal's encoding can spoil it."""
    print(json.dumps(value, indent=None if in_a_line else 2))


def count(number: int, word: str) -> str:
    """Return ``1 object``, ``2 objects``, ``2 processes``."""
    return f"{number} {word}{'' if number == 1 else 'es' if word.endswith('s') else 's'}"
