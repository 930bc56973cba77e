"""What happened when several processes were stepped in some order, as values: turns, and the run they make.

Nothing is run here (:mod:`shmlab.processes.interleaving` does that) or drawn. Imported by it, by panels,
lessons and tests.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from shmlab.processes.deadlock import Deadlock
from shmlab.processes.outcome import Outcome
from shmlab.processes.process import State

KILL = "!"
"""In a schedule, in front of a process's letter: it is killed with SIGKILL instead of being stepped."""

OURS = re.compile(r"'/shmlab-\d+-[a-z2-9]{4}-([^']+)'")
"""A name of the lab's as sentences quote it."""


@dataclass(frozen=True)
class Semaphore:
    """A semaphore between two turns. *waiters* and *holders* are labels of processes."""

    name: str
    value: int
    waiters: tuple[str, ...] = ()
    holders: tuple[str, ...] = ()
    """Who has taken it and not given it back, as far as the turns showed; the kernel keeps no record."""

    def __str__(self) -> str:
        waiters = f", {' and '.join(self.waiters)} waiting" if self.waiters else ""
        return f"{self.name} = {self.value}{waiters}"


@dataclass(frozen=True)
class Turn:
    """Who was let on, and what there was afterwards.

    *kind* is ``"step"`` (it reached its next yield), ``"blocked"``, ``"ended"``, ``"running"`` (it did
    neither in time), ``"idle"`` (it was asked to step and could not: it has ended, or is still blocked), or
    ``"free"`` (all were let go, nobody's turn). *chosen* is False for a step that had been blocked and was
    completed because somebody else let it. *quiet* marks an end that changed nothing and failed nowhere.
    """

    who: str
    kind: str
    state: State
    chosen: bool = True
    killed: bool = False
    quiet: bool = False
    changed: bool = False
    """Whether it changed anything of what the processes share."""
    memory: Mapping[str, Any] = field(default_factory=dict)
    semaphores: tuple[Semaphore, ...] = ()
    thing: str = ""
    """What it waits for when it is blocked, by the name that it has on screen."""

    @property
    def label(self) -> str:
        """What the program calls the step that it took; "" when it took none."""
        return self.state.at if self.kind == "step" else ""

    @property
    def line(self) -> int | None:
        """The line of the program's source that it reached, counted from 1."""
        return self.state.line

    @property
    def locals(self) -> dict[str, str]:
        """Its local variables, as text."""
        return dict(self.state.locals)

    @property
    def on(self) -> str:
        """What it is blocked in, and on."""
        return self.state.on

    @property
    def outcome(self) -> Outcome | None:
        """How it ended, if it did."""
        return self.state.outcome

    @property
    def token(self) -> str:
        """How a schedule writes this choice; "" for what nobody chose."""
        return (KILL if self.killed else "") + self.who if self.chosen and self.who else ""

    @property
    def words(self) -> str:
        """What happened, without who."""
        if self.kind == "step":
            return self.label or "a step"
        if self.kind == "idle":
            return f"no step: {told(self.state, self.thing)}"
        if self.kind == "free":
            return "let go"
        if self.kind == "blocked":
            return told(self.state, self.thing).removesuffix(f" after step {self.state.step}")
        return "still running" if self.kind == "running" else str(self.state.outcome)

    def __str__(self) -> str:
        let = "" if self.chosen or self.kind == "ended" else " (let on)"
        return f"{self.who}{let}: {self.words}" if self.who else self.words

    def __repr__(self) -> str:
        return f"<Turn {self}>"


@dataclass(frozen=True, repr=False)
class Run:
    """What one schedule came to, on real processes.

    *states* and *outcomes* are by label; an outcome is None for a process that has not ended (it was stopped
    then). *memory* is what was watched, *deadlock* who could never have gone on. *result* is the run in a few
    words, by which a table counts.
    """

    turns: tuple[Turn, ...]
    states: Mapping[str, State]
    memory: Mapping[str, Any]
    semaphores: tuple[Semaphore, ...] = ()
    deadlock: Deadlock | None = None
    result: str = ""

    @property
    def schedule(self) -> str:
        """Who was chosen, turn by turn, as :func:`scheduled` writes it: ``"ABAB"``."""
        return scheduled(self.turns)

    @property
    def outcomes(self) -> dict[str, Outcome | None]:
        """How each process ended."""
        return {label: state.outcome for label, state in self.states.items()}

    @property
    def ok(self) -> bool:
        """Whether every process ended by itself, with status 0."""
        return all(outcome is not None and outcome.ok for outcome in self.outcomes.values())

    def __str__(self) -> str:
        return f"{self.schedule}: {self.result}"

    def __repr__(self) -> str:
        return f"<Run {self}>"


def scheduled(turns: Iterable[Turn]) -> str:
    """Return who was chosen, turn by turn: without those who couldn't step, and without ends that changed
    nothing, which come by themselves when the rest is run."""
    return joined(each.token for each in turns if not each.quiet and each.kind != "idle")


def joined(tokens: Iterable[str]) -> str:
    """Return a schedule as text: letters without a space, longer labels with."""
    tokens = [each for each in tokens if each]
    single = all(len(each.removeprefix(KILL)) == 1 for each in tokens)
    return ("" if single else " ").join(tokens)


def parse(schedule: "str | Iterable[str]", labels: Iterable[str]) -> list[str]:
    """Return the labels that a schedule names, one a step, each with ``!`` in front where it is a kill.

    A text of letters (``"ABAB"``, spaces and small letters allowed) when every label is one character, words
    otherwise; or a sequence of labels. Raises ValueError for a label that no process has.
    """
    labels = list(labels)
    if isinstance(schedule, str):
        single = all(len(label) == 1 for label in labels)
        tokens = re.findall(rf"{KILL}?\S", schedule) if single else schedule.split()
    else:
        tokens = list(schedule)
    found = []
    for token in tokens:
        word = token.removeprefix(KILL)
        label = word if word in labels else word.upper()
        if label not in labels:
            raise ValueError(f"no process {word!r} here: there is {', '.join(labels)}")
        found.append(token.removesuffix(word) + label)
    return found


def plain(words: str) -> str:
    """Return a sentence with the lab's names shortened to their words: who looks knows whose they are."""
    return OURS.sub(r"\1", words)


def told(state: State, thing: str = "") -> str:
    """Return where a process is, in words; what it waits for is called *thing*, where that is known."""
    call, on, _ = state.on.partition(" on ")
    return plain(str(replace(state, on=f"{call} on {thing}") if thing and on else state))


def result_of(run: Run) -> str:
    """Return in a few words what a run came to, when nobody says what it should have."""
    if run.deadlock is not None:
        return run.deadlock.kind
    if any(outcome is None for outcome in run.outcomes.values()):
        return "not ended"
    failed = [f"{who} {outcome}" for who, outcome in run.outcomes.items() if outcome and not outcome.ok]
    values = [f"{name} = {value}" for name, value in run.memory.items()]
    return ", ".join(failed or values) or "ended"
