"""Schedules: one that is given, run on real processes, and every one there is.

A lesson's whole use of it (*counter* is a memoryview of the object's numbers)::

    a, b = Process(increment, Shared(name), 1), Process(increment, Shared(name), 1)
    reset = lambda: counter.__setitem__(0, 0)

    run = run_schedule([a, b], "ABAB", setup=reset)     # the rest is run in order
    run.turns                   # A: load, B: load, A: store, …; each with its locals, memory, semaphores
    run.memory["counter"]       # 1: one update is lost
    run.outcomes["A"].ok, run.deadlock

    def verdict(run):
        return "right" if run.memory["counter"] == 2 else "lost update"

    every = every_schedule([a, b], outcome=verdict)     # nothing has run yet
    for run in every:                                   # real runs, as they come
        print(run.schedule, run.result, every.progress)
    every.table                 # a table of all; every.table.counts, .where("lost update")

Every schedule is found by running: who can step after a turn is known only once it was taken. So each run
repeats, with fresh processes, the beginning of one before, chooses somebody else at the last place where
there was a choice, and goes on to the end. What a program does after its last yield belongs to its last step
as far as it changes nothing: such an end is no choice, and two increments have six schedules. Nor is it one
to step somebody again whose step has changed nothing, not even where it stands (it spins), before anything
else has changed.

Imported by panels, lessons and the judges of exercises.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import factorial, prod

from shmlab.processes.interleaving import MOST_TURNS, PATIENCE, Interleaving
from shmlab.processes.process import Process
from shmlab.processes.schedule_table import ScheduleTable
from shmlab.processes.surroundings import Watch
from shmlab.processes.turns import Run, Turn, parse

LIMIT = 1000
"""Schedules that are run unless more are asked for."""


def run_schedule(
    processes: Sequence[Process],
    schedule: "str | Iterable[str]",
    *,
    setup: Callable[[], object] | None = None,
    watch: Watch | None = None,
    outcome: Callable[[Run], object] | None = None,
    complete: bool = True,
    timeout: float = PATIENCE,
) -> Run:
    """Step fresh processes in the order of *schedule* (``"ABAB"``); return what happened, turn by turn.

    A schedule that ends early is *completed*: the first process that can step takes all its steps, then the
    next one. Otherwise the processes are stopped where they are, and have no outcome. A step asked of one
    that is blocked or has ended is recorded and does nothing. ``"!A"`` kills A. The rest is as for
    :class:`~shmlab.processes.interleaving.Interleaving`; memory and semaphores stay as the run left them, and
    begin as *setup* makes them.

    Raises ValueError for a label that no process has, and what :meth:`Process.start` raises.
    """
    with Interleaving(processes, setup=setup, watch=watch, outcome=outcome, timeout=timeout) as stage:
        return stage.replay(schedule, finish=complete)


def every_schedule(
    processes: Sequence[Process],
    *,
    setup: Callable[[], object] | None = None,
    watch: Watch | None = None,
    outcome: Callable[[Run], object] | None = None,
    limit: int = LIMIT,
    most_turns: int = 100,
    timeout: float = PATIENCE,
) -> "Schedules":
    """Return the runs of every schedule of *processes*, to be iterated over: each is run when it's asked for.

    At most *limit* schedules are run, none for more than *most_turns* turns. Memory and semaphores begin each
    run as they were, or as *setup* makes them, and are put back at the end. The rest is as for
    :class:`~shmlab.processes.interleaving.Interleaving`.
    """
    if limit < 1:
        raise ValueError(f"limit is a number of schedules, at least 1, not {limit!r}")
    stage = Interleaving(processes, setup=setup, watch=watch, outcome=outcome, timeout=timeout, ahead=True)
    return Schedules(stage, limit, min(most_turns, MOST_TURNS))


@dataclass
class Choice:
    """A place in a schedule where one of several was chosen."""

    who: str
    rest: list[str]
    """Those who are still to be chosen here, in runs to come."""
    gates: dict[str, int]
    """For each process how often it had moved by then: who has the same number stands at the same gate."""
    width: int
    tried: int = 0
    seen: tuple[str, str] = field(default=("", ""))
    """What kind of turn it was, and its label: a replay must see the same."""

    def drop(self, who: str) -> None:
        """Choose *who* here no more."""
        if who in self.rest:
            self.rest.remove(who)
            self.width -= 1


class Schedules(Iterator[Run]):
    """Every schedule of some processes, run one after the other; see :func:`every_schedule`.

    Use it in a ``for``, or in a ``with`` when you leave before its end: then no process is left waiting.
    """

    def __init__(self, stage: Interleaving, limit: int = LIMIT, most_turns: int = 100) -> None:
        self._stage, self._most_turns = stage, most_turns
        self.limit = limit
        self.runs: list[Run] = []
        """Those that have been run."""
        self.progress = 0.0
        """How much is done, from 0 to 1; a guess until the last, for nobody knows what the rest holds."""
        self.complete = False
        """Whether every schedule has been run."""
        self.repeatable = True
        """Whether the processes did the same whenever they were stepped in the same order."""
        self._choices: list[Choice] = []
        self._over = False

    def __enter__(self) -> "Schedules":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Schedules: {len(self.runs)} of at most {self.bound or '?'} run>"

    @property
    def bound(self) -> int:
        """How many there are at most: the orders of as many steps as were seen; 0 before the first run."""
        most: Counter[str] = Counter()
        for run in self.runs:
            counted = Counter(each.who for each in run.turns if each.token and not each.quiet)
            most |= counted
        return factorial(sum(most.values())) // prod(map(factorial, most.values())) if most else 0

    @property
    def table(self) -> ScheduleTable:
        """The runs so far as a table."""
        colours = {process.label: process.colour for process in self._stage.processes}
        remark = "" if self.complete else f"not all: {len(self.runs)} of at most {self.bound} schedules"
        if not self.repeatable:
            remark = "; ".join(filter(None, [remark, "the same order did not always do the same"]))
        return ScheduleTable(self.runs, colours, remark)

    def all(self) -> ScheduleTable:
        """Run what has not been run; return the table."""
        for _ in self:
            pass
        return self.table

    def close(self) -> None:
        """Run no more; put back what the processes share. May be called twice."""
        if not self._over:
            self._over = True
            self._stage.put_back()
            self._stage.close()

    def __next__(self) -> Run:
        if self._over or len(self.runs) >= self.limit:
            self.close()
            raise StopIteration
        try:
            run = self._next()
        except BaseException:
            self.close()
            raise
        self.runs.append(run)
        self._backtrack()
        if not self._choices:
            self.complete, self.progress = True, 1.0
            self.close()
        return run

    # --- how it is done ----------------------------------------------------------------------------------

    def _next(self) -> Run:
        """Repeat the choices made, then choose the first who can step, to the end."""
        stage = self._stage
        stage.reset()
        stage.start()
        moves: Counter[str] = Counter(dict.fromkeys(stage.labels, 0))
        spins: set[str] = set()
        for choice in self._choices:
            self._note(moves, choice, self._take(choice.who, spins))
        while len(stage.turns) < self._most_turns:
            able = [label for label in stage.able if label not in spins]
            if not able:
                break
            choice = Choice(able[0], able[1:], dict(moves), len(able))
            self._choices.append(choice)
            self._note(moves, choice, self._take(choice.who, spins))
        return stage.so_far

    def _take(self, who: str, spins: set[str]) -> tuple[Turn, ...]:
        """Let one step; return its turn and those of whom it let on. Note in *spins* who spins by now."""
        before, stood = len(self._stage.turns), self._stage.states[who]
        turn = self._stage.step(who)
        if turn.changed:
            spins.clear()
        elif turn.kind == "step" and (turn.line, turn.state.locals) == (stood.line, stood.locals):
            spins.add(who)
        return self._stage.turns[before:]

    def _note(self, moves: Counter[str], choice: Choice, turns: tuple[Turn, ...]) -> None:
        seen = turns[0].kind, turns[0].label
        if choice.seen not in (seen, ("", "")):
            self.repeatable = False
        choice.seen = seen
        if turns[0].quiet:
            # Whoever is chosen here instead could as well be chosen afterwards, and the end that changed
            # nothing be brought forward to wherever the process has stood at its last gate.
            gate = moves[choice.who]
            for each in self._choices:
                if each is choice:
                    each.rest, each.width, each.tried = [], 1, 0
                    break
                if each.gates[choice.who] == gate:
                    each.drop(choice.who)
        moves.update(each.who for each in turns)

    def _backtrack(self) -> None:
        """Choose somebody else at the last place where there is a choice left; forget what came after it."""
        choices = self._choices
        while choices and not choices[-1].rest:
            choices.pop()
        if choices:
            last = choices[-1]
            last.who, last.seen = last.rest.pop(0), ("", "")
            last.tried += 1
        share, done = 1.0, 0.0
        for each in choices:
            share /= each.width
            done += each.tried * share
        self.progress = max(self.progress, min(done, 0.999))


__all__ = ["ScheduleTable", "Schedules", "every_schedule", "parse", "run_schedule"]
