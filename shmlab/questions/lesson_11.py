"""What lesson 11 asks: five predictions, and three exercises that are judged on schedules of real processes.

Imported by :mod:`shmlab.questions` alone. The facts are FACTS.md's D03, D04 and F64 to F70.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from struct import pack
from time import monotonic
from typing import Any

from shmlab import posix
from shmlab.processes import Process, Run, Shared, Turn, every_schedule, own_name, run_schedule
from shmlab.processes.turns import parse
from shmlab.programs import Program
from shmlab.programs.two_semaphores import two_semaphores
from shmlab.questions import PATIENCE, Exercise, Question, Verdict, right, scratch, wrong
from shmlab.questions.judging import Words, how, kind_of, program_of

QUESTIONS = (
    Question(
        "11-wait",
        "A has come through sem_wait: the semaphore's value is 0. Now A is held between its load and its "
        "store, for as long as you like. B calls sem_wait. What happens to B?",
        (
            wrong(
                "It asks again and again until the value is 1",
                "Then it would use up a processor for nothing. Who could tell it when it's worth asking?",
            ),
            wrong(
                "sem_wait fails, and B goes on without",
                "That's what sem_trywait does: EAGAIN. What does “wait” say?",
            ),
            right(
                "It sleeps in the kernel until A posts",
                "sem_wait goes into the kernel (futex(2)), which lets B run again when somebody has posted. "
                "Until then B costs nothing, and no step of B's can be taken.",
            ),
            wrong(
                "It waits for A to end, as wait does",
                "wait(2) waits for a child's end. A semaphore knows nothing of processes: what is it that "
                "B waits for?",
            ),
        ),
    ),
    Question(
        "11-cost",
        "Nobody else wants it: a process takes and gives back thousands of times, in C. A POSIX "
        "semaphore, a System V semaphore, a record lock (fcntl): which is the cheapest, and why?",
        (
            wrong(
                "They're alike: the kernel does it in each case",
                "Does it have to? The value lies in memory that both can reach. When is the kernel needed?",
            ),
            right(
                "The POSIX semaphore: as long as nobody waits, it doesn't call the kernel",
                "Its value is a number in shared memory, changed by one atomic instruction. Only who has to "
                "wait, or to wake somebody up, makes a call. The other two call each time, twice a pair.",
            ),
            wrong(
                "The System V semaphore: it has been in the kernel all along",
                "That's true, and just the trouble: how does a process reach what is in the kernel?",
            ),
            wrong(
                "The record lock: it knows its process and needs no value",
                "Where is it kept who holds which record? And who keeps it?",
            ),
        ),
    ),
    Question(
        "11-deadlock",
        "A takes semaphore one, then two. B takes two, then one. Both give them back. Does it end well?",
        (
            wrong(
                "Never: each needs what the other has",
                "Only if each has got its first one. What if A has got both before B begins?",
            ),
            wrong(
                "Always: each gives back what it has taken",
                "It does, when it gets there. What if A has one and B has two?",
            ),
            right(
                "It depends on the schedule",
                "Whoever has both in time comes through. When each has its first one, nobody ever does. "
                "On a quiet machine that may take weeks to happen.",
            ),
            wrong(
                "Yes, unless a third process comes along",
                "Two are enough. Let A take one step, then B one.",
            ),
        ),
    ),
    Question(
        "11-killed",
        "A has come through sem_wait and is killed with signal 9, in the middle of its critical section. "
        "B calls sem_wait. What happens?",
        (
            wrong(
                "The kernel notices that A is dead and posts for it",
                "It would have to know that A “has” the semaphore. Where would that be written down?",
            ),
            right(
                "B waits for ever",
                "The value is 0, a number in shared memory, and stays 0. Nobody knows that it was A who "
                "took the 1; the kernel cleans up descriptors and mappings, not numbers.",
            ),
            wrong(
                "sem_wait fails with EOWNERDEAD",
                "That's what a robust mutex says, because a mutex has an owner. Has a semaphore?",
            ),
            wrong(
                "B comes through: A's semaphores go with A",
                "A's descriptors and mappings go with A. Is the semaphore A's?",
            ),
        ),
    ),
    Question(
        "11-first",
        "Two processes start at once. Each calls semget with IPC_CREAT, sets the value to 1 with semctl, "
        "and then takes it with semop. What can go wrong?",
        (
            wrong(
                "Nothing: semget makes the set once only",
                "It does: the second one finds the set that the first has made. And what does it do next?",
            ),
            wrong(
                "The second semget fails with EEXIST",
                "It would with IPC_EXCL. Without, it finds the set. What does it do with it then?",
            ),
            right(
                "The second may set it to 1 while the first has it",
                "Making a set and giving it a value are two calls. A makes, sets, takes; then B sets the 1 "
                "again, and takes it, too. Both are inside.",
            ),
            wrong(
                "The value may become 2",
                "SETVAL doesn't add, it sets. When is it bad to set a value to 1?",
            ),
        ),
    ),
)


class Semaphores:
    """Semaphores to try things on. ``set(0, 1)`` gives each its value, whatever a program did to them."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names

    def set(self, *values: int) -> None:
        for name, value in zip(self.names, values, strict=True):
            with suppress(FileNotFoundError):
                posix.sem_unlink(name)
            posix.sem_close(posix.sem_open(name, posix.O_CREAT | posix.O_EXCL, 0o600, value))


@contextmanager
def _semaphores(*words: str) -> Iterator[Semaphores]:
    names = [own_name(f"check-{word}") for word in words]
    try:
        yield Semaphores(names)
    finally:
        for name in names:
            with suppress(FileNotFoundError):
                posix.sem_unlink(name)


# --- 11-a --------------------------------------------------------------------------------------------------


def asks(memory: memoryview, done: str) -> Iterator[str]:
    posix.sem_wait(posix.sem_open(done, 0))
    yield "sem_wait"
    memory[1] = memory[0]
    yield "read"


def answers(memory: memoryview, done: str) -> Iterator[str]:
    memory[0] = 42
    yield "store"
    posix.sem_post(posix.sem_open(done, 0))
    yield "sem_post"


def judge_first_value(value: Any) -> Verdict:
    """Exercise 11-a: the value with which a semaphore begins that says “it's done”."""
    if type(value) is not int:
        return Verdict(False, f"that's {kind_of(value)}, not a whole number.", "A number, 0 or above.")
    if value < 0:
        return Verdict(False, f"a semaphore is never below 0, so it can't begin at {value}.", "0 or above.")
    if value > posix.SEM_VALUE_MAX:
        return Verdict(False, f"that's more than SEM_VALUE_MAX, {posix.SEM_VALUE_MAX:,}.", "A small one.")
    with scratch(bytes(16)) as name, _semaphores("done") as semaphores:
        words = Words(name, 2, "q")

        def setup() -> None:
            semaphores.set(value)
            _store(name, 0, 0)

        pair = [Process(each, Shared(name), semaphores.names[0]) for each in (asks, answers)]
        table = every_schedule(pair, setup=setup, watch={"words": words}).all()
    for run in table:
        if run.memory["words"][1] != 42:
            message = f"by the schedule {run.schedule}, A reads {run.memory['words'][1]} before B has stored."
            return Verdict(False, message, "What would keep A in sem_wait until B has posted?")
    told = ", ".join(run.schedule for run in table)
    return Verdict(True, f"A read 42 under all {len(table)} schedules, run just now: {told}.")


# --- 11-b --------------------------------------------------------------------------------------------------


def judge_circle(schedule: Any) -> Verdict:
    """Exercise 11-b: a schedule by which three processes wait for one another in a circle."""
    if type(schedule) in (list, tuple) and all(type(each) is str for each in schedule):
        schedule = "".join(schedule)
    if type(schedule) is not str:
        return Verdict(False, f"that's {kind_of(schedule)}, not a text of A, B and C.", "Like 'AAB'.")
    try:
        order = parse(schedule, "ABC")
    except ValueError as error:
        return Verdict(False, f"{error}.", "A, B and C are a step each of the process of that name.")
    if any(each.startswith("!") for each in order):
        return Verdict(False, "nobody needs to be killed for it.", "Only A, B and C.")
    if len(order) > 12:
        return Verdict(False, f"that's {len(order)} steps, they have twelve.", "Three will do.")
    with _semaphores("one", "two", "three") as semaphores:
        one, two, three = semaphores.names
        circle = [
            Process(two_semaphores, first, second, label=label)
            for label, first, second in (("A", one, two), ("B", two, three), ("C", three, one))
        ]
        run = run_schedule(circle, order, setup=lambda: semaphores.set(1, 1, 1), timeout=1.0)
    if run.deadlock is None:
        said = f"{''.join(order)} and then the rest: " if order else ""
        message = f"{said}all three came through." if run.ok else f"it came to: {run.result}."
        return Verdict(False, message, "Each has to get its first one, and nobody its second.")
    if len(run.deadlock.cycle) != 3:
        return Verdict(False, f"{run.deadlock}.", "All three have to be part of the circle.")
    return Verdict(True, f"{run.deadlock}.")


# --- 11-c --------------------------------------------------------------------------------------------------

BALANCE = 5
MOST_SCHEDULES = 400
LONGEST = 60
"""Steps of two transfers, more than which only a loop without an end makes."""


def judge_transfer(program: Any) -> Verdict:
    """Exercise 11-c: a transfer between two guarded accounts that is right under every schedule of two."""
    program = program_of(program, "transfer")
    if isinstance(program, Verdict):
        return program
    with ExitStack() as stack:
        name = stack.enter_context(scratch(bytes(16)))
        semaphores = stack.enter_context(_semaphores("0", "1"))
        trial = _Trial(program, name, semaphores)
        for attempt in (trial.alone, trial.guarded):
            complaint = attempt()
            if complaint is not None:  # a verdict that isn't passed is false
                return complaint
        return trial.together()


class _Trial:
    """One student's program on two accounts, 0 and 1, each with its semaphore."""

    def __init__(self, program: Program, name: str, semaphores: Semaphores) -> None:
        self.name, self.semaphores = name, semaphores
        self.turns: tuple[Turn, ...] = ()
        """What it did when nobody else was there."""
        self.watch: dict[str, Callable[[], Any]] = {"words": Words(name, 2, "q")}
        zero, one = semaphores.names
        self.there = Process(program, Shared(name), 0, 1, zero, one, label="A")
        self.back = Process(program, Shared(name), 1, 0, one, zero, label="B")

    def _begin(self, *values: int) -> Callable[[], None]:
        def begin() -> None:
            self.semaphores.set(*values)
            _store(self.name, BALANCE, BALANCE)

        return begin

    def alone(self) -> Verdict | None:
        """Return what is wrong when nobody else is there."""
        run = run_schedule([self.there], "", setup=self._begin(1, 1), watch=self.watch, timeout=1.0)
        self.turns = run.turns
        return self._wrong(run, "alone", (BALANCE - 1, BALANCE + 1))

    def guarded(self) -> Verdict | None:
        """Return what is wrong when somebody else has one of the semaphores."""
        for account, values in enumerate([(0, 1), (1, 0)]):
            setup = self._begin(*values)
            run = run_schedule([self.there], "", setup=setup, watch=self.watch, timeout=0.5)
            if run.memory["words"] != (BALANCE, BALANCE):
                message = f"somebody else has account {account}'s semaphore, and it changes an account."
                return Verdict(False, message, "Wait for both semaphores before the first store.")
        if not any(sorted(each.value for each in turn.semaphores) == [0, 1] for turn in self.turns):
            message = "there's no yield between its two waits: nobody can come in between here."
            return Verdict(False, message, "Put a yield behind each sem_wait; the kernel needs none.")
        return None

    def together(self) -> Verdict:
        """Run all schedules of one there and one back; return the verdict."""
        deadline, count = monotonic() + PATIENCE / 2, 0
        pair, setup = [self.there, self.back], self._begin(1, 1)
        with every_schedule(pair, setup=setup, watch=self.watch, timeout=1.0) as every:
            for run in every:
                count += 1
                when = f"by the schedule {shortened(run.schedule)}"
                if run.deadlock is not None:
                    hint = "Nobody may hold what another waits for while it waits itself: agree on an order."
                    return Verdict(False, f"{when}: {run.deadlock}.", hint)
                if len(run.schedule) > LONGEST and None in run.outcomes.values():
                    message = (
                        f"{when}: it asks again and again. A schedule may let only that one step, for ever."
                    )
                    return Verdict(False, message, "sem_wait sleeps until it's worth going on: use it alone.")
                complaint = self._wrong(run, when, (BALANCE, BALANCE))
                if complaint is not None:
                    return complaint
                if every.bound > MOST_SCHEDULES and monotonic() > deadline:
                    message = f"it has too many schedules to run them all: up to {every.bound:,}."
                    return Verdict(False, message, "A yield behind each wait, store and post is enough.")
        return Verdict(True, f"right under all {count} schedules of one there and one back, and no deadlock.")

    def _wrong(self, run: Run, when: str, wanted: tuple[int, int]) -> Verdict | None:
        for who, outcome in run.outcomes.items():
            if outcome is None or not outcome.ok:
                hint = "It's called with the memory, the two accounts' numbers, and their semaphores' names."
                hint = (
                    "It has to end by itself, and to give back before it does." if outcome is None else hint
                )
                return Verdict(False, f"{when}: {who} {how(outcome)}.", hint)
        if (words := run.memory["words"]) != wanted:
            message = f"{when}: the accounts hold {words} and not {wanted}."
            return Verdict(False, message, "One less in the giver's account, one more in the taker's.")
        if (values := [each.value for each in run.semaphores]) != [1, 1]:
            message = f"{when}: the semaphores are at {values} and not back at [1, 1]."
            return Verdict(False, message, "Each sem_wait needs its sem_post, on the same semaphore.")
        return None


def shortened(schedule: str) -> str:
    return schedule if len(schedule) <= LONGEST else f"{schedule[:20]}…"


def _store(name: str, *words: int) -> None:
    fd = posix.shm_open(name, posix.O_RDWR)
    try:
        posix.ftruncate(fd, 4096)
        os.pwrite(fd, pack(f"={len(words)}q", *words), 0)
    finally:
        posix.close(fd)


EXERCISES = (
    Exercise("11-a", ("the first value",), judge_first_value),
    Exercise("11-b", ("the schedule",), judge_circle),
    Exercise("11-c", ("the program",), judge_transfer),
)
