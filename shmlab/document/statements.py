"""What a statement of the document is made of, and how the reader's own kernel decides one.

A :class:`Statement` is data, with one probe: a generator that makes the real calls and yields a :class:`Case`
for everything it saw. What speaks for the statement is said by :func:`holds`, what speaks against it by
:func:`fails`, and :func:`by_linux` is what holds because Linux does it so. The verdict follows from the cases
alone; that it's the one in the ledger (docs/FACTS.md, part A) is for :func:`run` to find. Imported by the
sections of :mod:`shmlab.document`, which gathers them.
"""

import errno
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass

from shmlab.processes import session

TRUE, ON_LINUX, IMPRECISE, WRONG = "true", "true on Linux", "imprecise", "wrong"

VERDICTS = (TRUE, ON_LINUX, IMPRECISE, WRONG)
"""What a statement may be found to be. Imprecise: it holds in one case and fails in another."""

SIGNS = {TRUE: "✓", ON_LINUX: "✓", IMPRECISE: "~", WRONG: "✗"}
"""Beside the word, so that a verdict isn't told by colour alone."""

AGREES, DIFFERS, UNDECIDED = "agrees", "answers differently", "not decided here"

NO_ROOM = (errno.ENOSPC, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN)
"""What the machine says when it's full: that's no answer to a statement."""


@dataclass(frozen=True)
class Case:
    """One thing that was seen, and what it means for the statement."""

    seen: str
    """What was seen, with the numbers and errnos that were seen."""
    kind: str
    """``"holds"``, ``"fails"`` or ``"linux"``: what the ledger expects it to show."""
    came_true: bool
    """Whether it did show that."""

    @property
    def speaks_for(self) -> bool:
        """Whether what was seen supports the statement, whatever was expected."""
        return self.came_true == (self.kind != "fails")

    def __str__(self) -> str:
        return f"{'+' if self.speaks_for else '−'} {self.seen}"  # noqa: RUF001  a minus sign, as wide as +


def holds(seen: str, so: object) -> Case:
    """Return a case in which the statement holds, provided that *so* is true; else it speaks against it."""
    return Case(seen, "holds", bool(so))


def fails(seen: str, so: object) -> Case:
    """Return a case in which the statement fails, provided that *so* is true; else it speaks for it."""
    return Case(seen, "fails", bool(so))


def by_linux(seen: str, so: object) -> Case:
    """Return a case in which the statement holds, provided that *so*, and only because Linux does it so."""
    return Case(seen, "linux", bool(so))


class UndecidedError(Exception):
    """This machine lacks what the probe needs; the text says what."""


Probe = Callable[[], Iterator[Case]]


@dataclass(frozen=True)
class Statement:
    """One statement of the document, in our words."""

    id: str
    """As in the ledger: ``"D17"``."""
    words: str
    verdict: str
    """One of :data:`VERDICTS`: what the ledger found."""
    correction: str
    """What it should say; for a true one, what else is good to know, or nothing."""
    lesson: str
    """The number of the lesson that shows it."""
    probe: Probe
    section: str = ""

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise ValueError(f"{self.id}: {self.verdict!r} is no verdict: there are {', '.join(VERDICTS)}")
        if self.verdict != TRUE and not self.correction:
            raise ValueError(f"{self.id} is {self.verdict}, and nothing corrects it")


def statement(
    id_: str, words: str, verdict: str, lesson: str, correction: str = ""
) -> Callable[[Probe], Statement]:
    """Make a :class:`Statement` of the probe that is defined below it."""

    def made(probe: Probe) -> Statement:
        return Statement(id_, words, verdict, correction, lesson, probe, probe.__module__.rpartition(".")[2])

    return made


@dataclass(frozen=True)
class Finding:
    """What a probe found on this kernel, this time."""

    id: str
    status: str
    """:data:`AGREES` with the ledger, :data:`DIFFERS`, or :data:`UNDECIDED`."""
    answer: str
    """The verdict that the cases give; empty when there are none."""
    cases: tuple[Case, ...]
    reason: str = ""
    """Why it couldn't be decided, or what the probe ran into."""
    seconds: float = 0.0

    def __bool__(self) -> bool:
        return self.status == AGREES

    @property
    def sign(self) -> str:
        return {AGREES: "✓", DIFFERS: "✗", UNDECIDED: "–"}[self.status]  # noqa: RUF001  as long as it looks

    @property
    def observed(self) -> str:
        """What was seen, one case a line; where the answer differs, the cases that surprised come first."""
        surprises = [f"unexpected: {case.seen}" for case in self.cases if not case.came_true]
        usual = [str(case) for case in self.cases if case.came_true]
        return "\n".join([*filter(None, [self.reason]), *surprises, *usual])

    def __repr__(self) -> str:
        answer = f": {self.answer}" if self.answer else ""
        lines = "".join(f"\n    {line}" for line in self.observed.splitlines())
        return f"{self.sign} {self.id} {self.status}{answer}{lines}"


def decide(cases: tuple[Case, ...]) -> str:
    """Return the verdict that *cases* give: what speaks for the statement and what speaks against it."""
    if not cases:
        return ""
    support = [case for case in cases if case.speaks_for]
    if not support:
        return WRONG
    if len(support) < len(cases):
        return IMPRECISE
    return ON_LINUX if any(case.kind == "linux" for case in cases) else TRUE


_one_at_a_time = threading.Lock()


def run(statement: Statement) -> Finding:
    """Decide *statement* on this kernel, now. Never raises because of what the kernel answers.

    Agreeing takes more than the verdict: every single case has to come out as the ledger says. One probe runs
    at a time, whoever asks: they use the same names.
    """
    with _one_at_a_time:
        began, before = time.monotonic(), session.cleanups()
        cases: list[Case] = []
        reason, status = "", ""
        try:
            with closing(statement.probe()) as seen:  # type: ignore[type-var]  # generators all
                cases.extend(seen)
        except UndecidedError as lacking:
            reason, status = str(lacking), UNDECIDED
        except OSError as error:
            full = error.errno in NO_ROOM or isinstance(error, TimeoutError)
            reason, status = _said(error), UNDECIDED if full else DIFFERS
        except Exception as error:
            reason, status = _said(error), DIFFERS
        if session.cleanups() != before:  # what came out, came out because of that
            cases = []
            reason, status = "the lab was stopped while it ran: run it again", UNDECIDED
        answer = "" if status == UNDECIDED else decide(tuple(cases))
        if not status:
            as_expected = answer == statement.verdict and all(case.came_true for case in cases)
            status = AGREES if as_expected else DIFFERS
        return Finding(statement.id, status, answer, tuple(cases), reason, time.monotonic() - began)


def _said(error: Exception) -> str:
    return f"the probe ran into {type(error).__name__}: {error}"
