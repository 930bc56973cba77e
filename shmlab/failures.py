"""How a failure looks: an OSError with errno, its text and the object's name, whoever noticed it.

What `shmlab.posix` and `shmlab.sysv` have in common here; each adds how its own library's exceptions are
turned back into errno. No call is made, nothing but os is imported.
"""

import os

INT_MIN, INT_MAX, UINT_MAX = -(2**31), 2**31 - 1, 2**32 - 1


def check_range(value: int, low: int, high: int, what: str) -> None:
    """Raise OverflowError when the C type of *what* can't hold *value*, which libraries would wrap."""
    if not low <= value <= high:
        raise OverflowError(f"{what} is {value}, which the C type can't hold")


def failure(number: int, name: str | None) -> OSError:
    """Return the OSError (of the right subclass) for errno *number* on the object called *name*."""
    if name is None:
        return OSError(number, os.strerror(number))
    return OSError(number, os.strerror(number), name)
