"""The document's 93 statements as data, each with a probe that decides it on the reader's own kernel.

One module a section of the document, in its order; ``statements`` holds what a statement is made of and how
it is decided, ``probing`` what the probes share. The words are ours, and the verdicts those of docs/FACTS.md,
part A. The same table is a lesson (14) and a test suite: where a kernel answers otherwise, a finding says so.
Nothing here knows a widget: :mod:`shmlab.panels` puts the table on screen.
"""

from functools import cache
from importlib import import_module

from shmlab.document.statements import (
    AGREES,
    DIFFERS,
    IMPRECISE,
    ON_LINUX,
    SIGNS,
    TRUE,
    UNDECIDED,
    VERDICTS,
    WRONG,
    Case,
    Finding,
    Statement,
    UndecidedError,
    by_linux,
    decide,
    fails,
    holds,
    run,
    statement,
)

__all__ = [
    "AGREES",
    "DIFFERS",
    "IMPRECISE",
    "ON_LINUX",
    "SECTIONS",
    "SIGNS",
    "TRUE",
    "UNDECIDED",
    "VERDICTS",
    "WRONG",
    "Case",
    "Finding",
    "Statement",
    "UndecidedError",
    "by_linux",
    "decide",
    "fails",
    "find",
    "holds",
    "run",
    "statement",
    "statements",
]

SECTIONS = {
    "introduction": "introduction",
    "posix_steps": "POSIX: the calls",
    "posix_analysis": "POSIX: the example",
    "sysv_steps": "System V: the calls",
    "appendix_shmget": "shmget",
    "appendix_shmat": "shmat, shmdt",
    "appendix_shmctl": "shmctl",
    "appendix_shm_open": "shm_open",
    "appendix_ftruncate": "ftruncate",
    "appendix_mmap": "mmap",
}
"""The module of each section, and what the table calls it."""


@cache
def statements() -> dict[str, Statement]:
    """Return all statements by id, in the document's order."""
    found: dict[str, Statement] = {}
    for section in SECTIONS:
        module = import_module(f"{__name__}.{section}")
        for each in vars(module).values():
            if isinstance(each, Statement) and each.section == section:
                found[each.id] = each
    return found


def find(id_: str) -> Statement:
    """Return the statement of that id. Raises KeyError, saying which there are."""
    there = statements()
    try:
        return there[str(id_).strip().upper()]
    except KeyError:
        first, *_, last = there
        raise KeyError(f"there is no statement {id_!r}: there are {first} to {last}") from None
