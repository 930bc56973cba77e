"""Who holds what, who waits for what, and who can therefore never go on: deadlocks, by name.

A semaphore has no owner that the kernel would know of (FACTS F65), so who holds it is kept here, from what
was seen: a value that fell was taken by the process that had just been stepped, one that rose was given back.
Plain values in, plain values out; nothing here looks at the machine. Imported by
:mod:`shmlab.processes.interleaving`.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Wait:
    """Why one process can't go on: it waits for *thing*, which *holder* has, or alone could post.

    *holder* is "" when nobody is left that could. *held* is False for a semaphore that isn't anybody's: one
    that counts, or that one process posts and another waits for.
    """

    who: str
    thing: str
    holder: str = ""
    held: bool = True
    ended: bool = False
    """Whether the holder has ended, and so will never post."""

    def __str__(self) -> str:
        if not self.holder:
            return f"{self.who} waits for {self.thing}, and nobody is left to post it"
        if self.holder == self.who:
            return f"{self.who} waits for {self.thing}, held by {self.who} itself"
        if not self.held:
            return f"{self.who} waits for {self.thing}, which only {self.holder} could post"
        ended = ", which has ended" if self.ended else ""
        return f"{self.who} waits for {self.thing}, held by {self.holder}{ended}"


@dataclass(frozen=True)
class Deadlock:
    """Processes that can never go on. *cycle* are those that wait for one another, the first one's holder
    the second, and so on round; *others* wait for these, or for somebody who has ended.

    Without a cycle it is no deadlock in the strict sense, but as final: ``bool(deadlock.cycle)`` says which.
    """

    cycle: tuple[Wait, ...] = ()
    others: tuple[Wait, ...] = ()

    @property
    def kind(self) -> str:
        """``"deadlock"``, or ``"blocked for ever"`` when there is no cycle."""
        return "deadlock" if self.cycle else "blocked for ever"

    @property
    def stuck(self) -> tuple[str, ...]:
        """The labels of all the processes that can't go on."""
        return tuple(each.who for each in (*self.cycle, *self.others))

    def __str__(self) -> str:
        said = "; ".join(map(str, (*self.cycle, *self.others)))
        return f"{self.kind}: {said}"


class Holders:
    """Who has taken what and not given it back, as far as it was seen, thing by thing."""

    def __init__(self) -> None:
        self._held: dict[str, list[str]] = {}
        self._first: dict[str, int] = {}
        self._signals: set[str] = set()

    def of(self, thing: str) -> tuple[str, ...]:
        """The labels of those who have taken *thing*, who took it first in front; twice who took it twice."""
        return tuple(self._held.get(thing, ()))

    def owned(self, thing: str) -> bool:
        """Whether *thing* is used as one process's at a time: it began at 1, and who posted it had it."""
        return self._first.get(thing) == 1 and thing not in self._signals

    def note(
        self,
        who: str,
        before: Mapping[str, int],
        after: Mapping[str, int],
        let_on: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Note a step of *who* that changed the semaphores' values from *before* to *after*.

        *let_on* are (label, thing): whose wait for what it ended. Such a one has taken what *who* posted, so
        that the value shows neither.
        """
        let_on = list(let_on)
        for thing, value in after.items():
            if thing not in before:
                self._first.setdefault(thing, value)
                continue
            self._first.setdefault(thing, before[thing])
            held = self._held.setdefault(thing, [])
            takers = [label for label, what in let_on if what == thing]
            change = value - before[thing] + len(takers)
            for _ in range(change):
                if who not in held:
                    self._signals.add(thing)
                if held:
                    held.remove(who if who in held else held[0])
            held += [who] * -change
            held += takers


def find(
    waits: Mapping[str, str], holders: Holders, able: Collection[str], ended: Collection[str]
) -> Deadlock | None:
    """Return who can never go on, or None.

    *waits* says for each blocked process what it waits for; *able* are the processes that can be stepped, or
    are running, *ended* those that are no more.
    """
    others: dict[str, list[str]] = {}
    for who, thing in waits.items():
        held = holders.of(thing)
        if holders.owned(thing) and held:
            others[who] = list(dict.fromkeys(held))
        else:
            others[who] = [each for each in (*waits, *able) if each != who]
    stuck = set(waits)
    while free := {who for who in stuck if any(_may_post(each, stuck, ended) for each in others[who])}:
        stuck -= free
    if not stuck:
        return None

    def wait(who: str, holder: str) -> Wait:
        held = holders.owned(waits[who]) and bool(holders.of(waits[who]))
        return Wait(who, waits[who], holder, held, holder in ended)

    cycle = _cycle([who for who in waits if who in stuck], others, stuck)
    round_ = tuple(wait(who, cycle[(at + 1) % len(cycle)]) for at, who in enumerate(cycle))
    rest = [who for who in waits if who in stuck and who not in cycle]
    return Deadlock(round_, tuple(wait(who, others[who][0] if others[who] else "") for who in rest))


def _may_post(who: str, stuck: Collection[str], ended: Collection[str]) -> bool:
    return who not in stuck and who not in ended


def _cycle(begin: Iterable[str], after: Mapping[str, list[str]], within: Collection[str]) -> list[str]:
    """Return a way round through *after*, or nothing; the shortest that its first process is on."""
    for first in begin:
        paths = [[first]]
        seen: set[str] = set()
        while paths:
            path = paths.pop(0)
            for each in after[path[-1]]:
                if each == first:
                    return path
                if each in within and each not in seen:
                    seen.add(each)
                    paths.append([*path, each])
    return []
