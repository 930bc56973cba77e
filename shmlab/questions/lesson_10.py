"""What lesson 10 asks: six predictions, and three exercises that are judged on schedules of real processes.

Imported by :mod:`shmlab.questions` alone. The facts are FACTS.md's D03, F58 to F63.
"""

from collections import defaultdict
from collections.abc import Iterable
from time import monotonic
from typing import Any

from shmlab.processes import Process, Run, Shared, every_schedule, run_schedule
from shmlab.processes.turns import parse
from shmlab.programs import Program
from shmlab.programs.increment import increment
from shmlab.programs.record_writer import record_writer
from shmlab.programs.slow_reader import SEEN, slow_reader
from shmlab.questions import PATIENCE, Exercise, Question, Verdict, right, scratch, wrong
from shmlab.questions.judging import Words, how, kind_of, program_of

QUESTIONS = (
    Question(
        "10-six",
        "A and B each add 1, in two steps: load, store. There are six orders of these four steps. In how "
        "many of them is an update lost?",
        (
            wrong(
                "In one: ABAB",
                "That's one. But does it matter in which order the two store, once both have loaded 0?",
            ),
            wrong(
                "In two: ABAB and BABA",
                "In both of these the steps take turns. What becomes of ABBA?",
            ),
            right(
                "In four of them",
                "It's right only if one of them has stored before the other loads: AABB and BBAA. In the "
                "other four both have loaded 0, and whoever stores last stores 1.",
            ),
            wrong(
                "In five: only AABB is right",
                "Is there a reason why it should be A who goes first?",
            ),
        ),
    ),
    Question(
        "10-least",
        "Now each of the two adds 1 a thousand times. All orders of their steps are possible. What's the "
        "least that the counter can be at the end?",
        (
            wrong(
                "1000: at least one of the two counts",
                "That would be so if they lost one update each time they clash. But how old may the number "
                "be that somebody stores?",
            ),
            wrong(
                "1001",
                "Somebody may load, sleep for as long as you like, and store what is long out of date. What "
                "does that store wipe out?",
            ),
            right(
                "2",
                "A loads 0 and sleeps while B adds 999. A stores 1. B loads that 1, for its last time, and "
                "sleeps while A does all the rest. Then B stores 2. (Less is not possible: whoever loads for "
                "the last time finds at least the 1 that the other, or it itself, has stored.)",
            ),
            wrong(
                "1",
                "Almost. Then the last of all stores would store 1, so that process loaded 0 for its "
                "thousandth increment. Who had stored something by then?",
            ),
        ),
    ),
    Question(
        "10-switch",
        "The two processes run at full speed, and the band of lost updates grows. Now the semaphore is "
        "switched on while they run. What does the band do?",
        (
            wrong(
                "It shrinks: the lost ones are made up for",
                "Who would make up for them? Does anybody know which increments were lost?",
            ),
            right(
                "It stays as wide as it is, and both lines are less steep",
                "No update is lost from there on, and none comes back. And each increment costs more: both "
                "wait for their turn, and the calls take time.",
            ),
            wrong(
                "It goes on growing, but more slowly",
                "That would be so if only one of the two waited on the semaphore. Both do, before each "
                "increment.",
            ),
            wrong(
                "It stays as wide as it is, and both lines are as steep as before",
                "Half of it is right. Is a semaphore for nothing?",
            ),
        ),
    ),
    Question(
        "10-torn",
        "A writer fills a record of eight numbers with 1, then with 2, and so on, a store each. The reader "
        "copies all eight in one go. Is it ever torn: numbers of two versions in one copy?",
        (
            wrong(
                "No: the copy is a single step, nobody can come in between",
                "Nobody comes in between the parts of the copy. But in what state may the record be when the "
                "copy begins?",
            ),
            wrong(
                "No: what is written is visible at once",
                "That's just it: each store is. What does the record look like after three of the eight?",
            ),
            right(
                "Yes, most of the time",
                "Seven times in eight the writer is in the middle of a version. The reader sees each store "
                "at once, and so it sees what was never meant to be seen.",
            ),
            wrong(
                "Yes, once in a million reads",
                "How much of its time does the writer spend between a version's first store and its last?",
            ),
        ),
    ),
    Question(
        "10-instruction",
        "In C, x86-64 adds 1 to memory in a single instruction, incq. Two processes on two processors "
        "execute it side by side, fifty million times each. Is anything lost?",
        (
            wrong(
                "No: nothing can come in between of one instruction",
                "The kernel can't: it switches between instructions, so on one processor it's as you say. "
                "But the other processor doesn't wait for that.",
            ),
            right(
                "Yes, unless it has the lock prefix",
                "One instruction, but still a load, an addition and a store; another processor's may fall in "
                "between. With lock in front the processor keeps the cache line to itself for the three.",
            ),
            wrong(
                "No: each processor has the counter in its cache",
                "It has. But a cache line can be written by one processor at a time only, and wanders "
                "between them. When may it wander?",
            ),
            wrong(
                "Yes, with the lock prefix too",
                "Then what would it be there for? Look up what lock does with the cache line.",
            ),
        ),
    ),
    Question(
        "10-neither",
        "In none of the six schedules both read 0. Now the same two lines, in C, at full speed on two "
        "processors, a hundred thousand rounds. Will there be rounds in which both read 0?",
        (
            wrong(
                "No: every run is one of the six schedules",
                "So it would be if each store was in memory before the next instruction begins. Is that so?",
            ),
            wrong(
                "Yes, if the compiler exchanges the two lines",
                "It may do so with plain variables. These are volatile, and the two instructions stand there "
                "in order. What does the processor do with a store?",
            ),
            right(
                "Maybe: a processor may look before its own store has arrived",
                "A store waits in the processor's store buffer for its cache line, and the load behind it "
                "doesn't wait. So both may look before either store has arrived. No order of the steps "
                "explains it.",
            ),
            wrong(
                "No: x86-64 never reorders anything",
                "It keeps stores in order, and loads. Which pair is missing from that list?",
            ),
        ),
    ),
)


def judge_number(answer: Any) -> Verdict:
    """Exercise 10-a: in how many schedules two increments of A and one of B all survive."""
    if type(answer) is not int:
        return Verdict(False, f"that's {kind_of(answer)}, not a whole number.", "A number of schedules.")
    with scratch(b"") as name:
        words = Words(name)
        pair = [Process(increment, Shared(name), times, label=who) for who, times in (("A", 2), ("B", 1))]
        table = every_schedule(
            pair,
            watch={"counter": lambda: words()[0]},
            outcome=lambda run: "right" if run.memory["counter"] == 3 else "lost update",
        ).all()
    kept = table.where("right")
    if answer == len(kept):
        those = ", ".join(run.schedule for run in kept)
        return Verdict(True, f"of {len(table)} schedules, all run just now, {answer} lose nothing: {those}.")
    if answer == len(table) - len(kept):
        return Verdict(False, f"in {answer} of {len(table)} an update is lost.", "And in the others?")
    if answer < 0 or answer > len(table):
        return Verdict(False, f"there are {len(table)} schedules.", "Six steps: which two of them are B's?")
    hint = "B's load and store have to stand side by side. Where, among A's four steps, may they?"
    return Verdict(False, f"not {answer}: there are {len(table)} schedules, and all were run.", hint)


VERSIONS = 3


def judge_mixture(schedule: Any) -> Verdict:
    """Exercise 10-b: a schedule after which a reader has read word 0 of version 1, 1 of 2, and 2 of 3."""
    if type(schedule) in (list, tuple) and all(type(each) is str for each in schedule):
        schedule = "".join(schedule)
    if type(schedule) is not str:
        return Verdict(False, f"that's {kind_of(schedule)}, not a text of W and R.", "Like 'WWW RRR'.")
    try:
        order = parse(schedule, "WR")
    except ValueError as error:
        return Verdict(False, f"{error}.", "W is a step of the writer, R one of the reader.")
    if any(each.startswith("!") for each in order):
        return Verdict(False, "nobody needs to be killed for it.", "Only W and R.")
    for who, wanted in (("W", 3 * VERSIONS), ("R", 3)):
        if (count := order.count(who)) > wanted:
            return Verdict(False, f"{who} gets {count} steps: it has {wanted}.", "W has nine, R three.")
    with scratch(b"") as name:
        pair = (
            Process(record_writer, Shared(name), 3, VERSIONS, label="W"),
            Process(slow_reader, Shared(name), 3, label="R"),
        )
        words = Words(name)
        run_schedule(pair, order)
        seen = list(words()[SEEN : SEEN + 3])
    if seen == [1, 2, 3]:
        return Verdict(
            True,
            "the reader took home [1, 2, 3], each word from another version. There was never such a record.",
        )
    message = f"the reader took home {seen}."
    if seen[0] != 1:
        return Verdict(
            False, message, "Its first load has to come after the first store of 1, and before 2's."
        )
    if seen[1] != 2:
        return Verdict(False, message, "Word 0 is right. The writer stores 1, 1, 1, 2, 2: then word 1 is 2.")
    return Verdict(False, message, "Words 0 and 1 are right. Its last load comes after the last store.")


MOST_SCHEDULES = 400
"""More than that can't be run in time: five steps a process have 252, six have 924."""


def judge_tally(program: Any) -> Verdict:
    """Exercise 10-c: a program that counts rightly under every schedule, for nobody stores where another
    does."""
    program = program_of(program, "tally")
    if isinstance(program, Verdict):
        return program
    deadline = monotonic() + PATIENCE - 3
    with scratch(b"") as name:
        words = Words(name)
        alone = run_schedule(_pair(program, name, 3), "", watch={"words": words}, timeout=1.0)
        complaint = _wrong(alone, 6, "3 times each, one process after the other")
    if complaint is not None:  # a verdict that isn't passed is false
        return complaint
    with scratch(b"") as name:
        words = Words(name)
        runs = []
        with every_schedule(_pair(program, name, 1), watch={"words": words}, timeout=1.0) as every:
            for run in every:
                runs.append(run)
                complaint = _wrong(run, 2, f"once each, by the schedule {run.schedule}")
                if complaint is not None:
                    return complaint
                if every.bound > MOST_SCHEDULES or monotonic() > deadline:
                    message = f"it has too many steps to run all of its schedules: {every.bound:,} at most."
                    return Verdict(False, message, "Two yields for each increment are enough, or one.")
    if shared := _stored_by_both(runs):
        return Verdict(
            False,
            f"none of its {len(runs)} schedules breaks it. But both processes store into word {shared[0]}, "
            "and load it before; you have no yield between the two, and the kernel needs none.",
            "Put a yield between load and store, and ask again. Where could each count undisturbed?",
        )
    return Verdict(
        True,
        f"right under all of its {len(runs)} schedules, each run on real processes: nobody stores where "
        "another does.",
    )


def _pair(program: Program, name: str, times: int) -> list[Process]:
    return [
        Process(program, Shared(name), who, times, label=label) for who, label in enumerate("AB", start=1)
    ]


def _wrong(run: Run, wanted: int, when: str) -> Verdict | None:
    """Return what is wrong with a run, or None."""
    for who, outcome in run.outcomes.items():
        if outcome is None or not outcome.ok:
            hint = "It's called with the memory, who it is (1 or 2), and how often it is to count."
            hint = "Each loop needs an end." if outcome is None else hint
            return Verdict(False, f"{when}: {who} {how(outcome)}.", hint)
    first, second = run.memory["words"][1:3]
    if first + second == wanted:
        return None
    message = f"{when}: words 1 and 2 are {first} and {second}, together {first + second} and not {wanted}."
    return Verdict(False, message, "Play it through: who loads what, and what does whose store wipe out?")


def _stored_by_both(runs: Iterable[Run]) -> list[int]:
    """Return the words into which both processes stored something new."""
    who: dict[int, set[str]] = defaultdict(set)
    for run in runs:
        before: tuple[int, ...] = (0,) * len(run.memory["words"])
        for turn in run.turns:
            now = turn.memory.get("words", before)
            for place, pair in enumerate(zip(before, now, strict=True)):
                if pair[0] != pair[1]:
                    who[place].add(turn.who)
            before = now
    return sorted(place for place, labels in who.items() if len(labels) > 1)


EXERCISES = (
    Exercise("10-a", ("how many schedules lose nothing",), judge_number),
    Exercise("10-b", ("the schedule",), judge_mixture),
    Exercise("10-c", ("the program",), judge_tally),
)
