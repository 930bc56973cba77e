"""What lesson 06 asks: five predictions, and three exercises that are judged on real parents and children.

Imported by :mod:`shmlab.questions` alone. The facts are FACTS.md's D22, F34 to F36, F61.
"""

import os
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from time import monotonic, sleep
from typing import Any

from shmlab import observe, posix
from shmlab.processes import Process, State, own_name
from shmlab.programs.ending import ending
from shmlab.questions import Exercise, Question, Verdict, right, scratch, wrong
from shmlab.questions.judging import kind_of, program_of

QUESTIONS = (
    Question(
        "06-held",
        "The child stands just before its store. The parent doesn't wait, and takes its next step: it reads "
        "the number. What happens?",
        (
            wrong(
                "It is held until the child has stored",
                "That would take somebody who knows that a store is to come. To the processor it's a load "
                "from memory, like any other: whom would it ask?",
            ),
            right(
                "It reads 0",
                "A load returns what the memory holds at that moment, and never waits. Shared memory doesn't "
                "know that a child is about to store.",
            ),
            wrong(
                "It reads 42",
                "The child has not stored yet: it stands before that line, in sem_wait, and nobody lets it "
                "on. Where would the 42 come from?",
            ),
            wrong(
                "An error: the number isn't there yet",
                "The object has been 4096 bytes long from the beginning. What do bytes hold into which "
                "nobody has stored?",
            ),
        ),
    ),
    Question(
        "06-stored",
        "The parent is in waitpid. The child is let on, stores 42, and stands still again, before its last "
        "line. When does waitpid return?",
        (
            wrong(
                "Now: the number is in the object",
                "waitpid knows nothing of the object. The kernel wasn't even called for the store: how would "
                "it notice?",
            ),
            wrong(
                "When the parent reads the number",
                "The parent can't read anything: it's in a system call that has not returned.",
            ),
            right(
                "When the child ends",
                "It's a process's end that waitpid waits for (or its stop, where WUNTRACED asks for it): not "
                "a store, not a number. Here the child could go on for hours with 42 long stored.",
            ),
            wrong(
                "As soon as the child stands still",
                "It blocks in sem_wait, as processes do all the time; that's no end. If every wait for "
                "something woke the parent, what would it be told?",
            ),
        ),
    ),
    Question(
        "06-261",
        "The child calls exit(261). Which exit status does its parent get out of waitpid?",
        (
            wrong(
                "261: what the child gave",
                "The status is one word of 16 bits that counts, and it has to say too whether a signal "
                "ended the child. How many bits are left for exit?",
            ),
            right(
                "5: what is left of 261 in eight bits",
                "Of exit's argument eight bits reach the parent, 261 & 0xff = 5 (exit(3), and POSIX for "
                "waitpid). exit(256) looks like success.",
            ),
            wrong(
                "255: the largest that there is",
                "255 is the largest, that's right. But nothing is rounded down here: bits are cut off. What "
                "is 261 in binary?",
            ),
            wrong(
                "1: an error, as 261 isn't allowed",
                "exit takes an int, any int, and returns to nobody: who could complain?",
            ),
        ),
    ),
    Question(
        "06-zombie",
        "The child has ended; its parent has not waited for it yet. What is left of the child?",
        (
            wrong(
                "Nothing: it has ended",
                "Then where would the status wait that its parent may still ask for? And could its number "
                "be given to a new process, with the parent none the wiser?",
            ),
            wrong(
                "Everything, its memory too, until it is waited for",
                "That would be a costly way to keep one number. What does the kernel need for waitpid to "
                "answer?",
            ),
            right(
                "Its number and its status, and no memory",
                "A zombie: the kernel keeps the entry in the process table, because a parent may still ask, "
                "and gives back all the rest at the end of the process: memory, mappings, attachments, "
                "descriptors.",
            ),
            wrong(
                "Its mappings of shared memory, and nothing else",
                "Then shared memory would stay attached by somebody who can't use it. What belongs to the "
                "process goes when the process ends.",
            ),
        ),
    ),
    Question(
        "06-siblings",
        "The counter is 0. Two children have both loaded it, and each stores what it loaded plus 1. The "
        "parent waits for both, then reads. What does it find?",
        (
            wrong(
                "2: it waited for both of them",
                "It did, and it sees everything that they stored. But follow the second store: which number "
                "had that child loaded?",
            ),
            right(
                "1: an update is lost all the same",
                "Both loaded 0, so both stored 1. wait puts each child's end before the parent's next line. "
                "It puts no order between one child and the other.",
            ),
            wrong(
                "1 or 2: the parent may read too early",
                "The parent reads after two waits: both children have ended, and nothing that they stored "
                "can be missing. So what did they store?",
            ),
            wrong(
                "0: the children counted in copies of their own",
                "So it is with the parent's variables. The counter lies in an object that's mapped "
                "MAP_SHARED, and a child inherits that mapping as what it is.",
            ),
        ),
    ),
)

HANDED_OVER = 1000
"""What the child of exercise 06-a calls exit with."""


def judge_status(status: Any) -> Verdict:
    """Exercise 06-a: what waitpid gives for exit(1000), as a number; a real child is asked (FACTS F34)."""
    if type(status) is not int:
        return Verdict(False, f"that's {kind_of(status)}, not a number.", "A whole number: 0x… is welcome.")
    with scratch(b"") as name, Process(ending, name, "exit", HANDED_OVER) as process:
        process.run().wait(5)
        (given,) = struct.unpack("q", observe.Sampler(name).read(0, 8))
    if status == given:
        return Verdict(True, f"{given:#06x}, and a real child that called exit(1000) gave just that.")
    hint = "The exit status stands in the second byte; the lowest one is for signals."
    if status == HANDED_OVER:
        hint = "That's what the child handed to exit. How many bits of it arrive, and where do they stand?"
    elif status == os.WEXITSTATUS(given):
        hint = "That's the exit status, which WEXITSTATUS takes out of what waitpid gave. Where did it stand?"
    elif status == HANDED_OVER << 8:
        hint = "The place is right. But only eight bits of 1000 arrive."
    elif 0 <= status < 256:
        hint = "A status below 256 tells of a signal. " + hint
    return Verdict(False, f"waitpid gave something else than {status:#06x}.", hint)


SETTLING = 0.5
"""Seconds that a program gets to show that it has not waited."""


def judge_sum(program: Any) -> Verdict:
    """Exercise 06-b: two children store, the parent waits for both and adds up (FACTS D22)."""
    program = program_of(program, "the function")
    if isinstance(program, Verdict):
        return program
    with ExitStack() as stack:
        name, gates = stack.enter_context(scratch(b"")), stack.enter_context(_gates(2))
        process = stack.enter_context(Process(program, name, tuple(gate.name for gate in gates)))
        process.run()
        state = _settled(process, 3.0)
        if state.kind != "blocked":
            return _hurried(state, name, "both children were", "wait, or waitpid, once for each child.")
        if not state.on.startswith("wait"):
            return Verdict(False, f"the parent is {state}.", "It's the children who wait at a semaphore.")
        posix.sem_post(gates[1])
        if not _until(lambda: _numbers(name, 3)[1] == 2, 2.0):
            return Verdict(
                False,
                f"gates[1] was opened, and the numbers are {_numbers(name, 3)}.",
                "The second child waits there, and then stores 2 as number 1.",
            )
        if _until(lambda: process.state.kind != "blocked", SETTLING):
            _until(lambda: process.outcome is not None, SETTLING)
            if process.outcome is not None or _numbers(name, 3)[2]:
                return _hurried(process.state, name, "one child was", "One wait is one child: there are two.")
        posix.sem_post(gates[0])
        return _judge_sum(process, name)


def _judge_sum(process: Process, name: str) -> Verdict:
    try:
        outcome = process.wait(3)
    except TimeoutError:
        return Verdict(
            False, f"it has not ended: {process.state}.", "Two children, two waits; each child ends."
        )
    numbers = _numbers(name, 3)
    if not outcome.ok:
        return Verdict(False, f"it {outcome}.", _help_for(str(outcome)))
    if numbers != [40, 2, 42]:
        return Verdict(
            False,
            f"the numbers are {numbers}, not [40, 2, 42].",
            "The sum is number 2, stored by the parent.",
        )
    return Verdict(True, "40 + 2 = 42, however long the children were held.")


def _hurried(state: State, name: str, who: str, hint: str) -> Verdict:
    """Say of a program that it went on while children were held."""
    if state.outcome is not None and not state.outcome.ok:
        return Verdict(False, f"it {state.outcome}.", _help_for(str(state.outcome)))
    if state.kind != "ended":
        return Verdict(False, f"it neither waits nor ends: {state}.", hint)
    return Verdict(False, f"while {who} still held, it stored {_numbers(name, 3)[2]} and ended.", hint)


CODES = (10, 20, -9)
"""How the three children of exercise 06-c end, as os.waitstatus_to_exitcode tells it."""

ORDER = (2, 0, 1)
"""In which order they are let on."""


def judge_harvest(program: Any) -> Verdict:
    """Exercise 06-c: note who ended and how, in the order in which they ended (FACTS F34, F36)."""
    program = program_of(program, "the function")
    if isinstance(program, Verdict):
        return program
    with ExitStack() as stack:
        name = stack.enter_context(scratch(struct.pack("6q", *[-1] * 6)))
        gates = stack.enter_context(_gates(3))
        process = stack.enter_context(Process(program, name, tuple(gate.name for gate in gates)))
        process.run()
        for place, child in enumerate(ORDER):
            if process.outcome is None:
                posix.sem_post(gates[child])
            wanted = [child, CODES[child]]

            def noted(place: int = place, wanted: list[int] = wanted) -> bool:
                return _numbers(name, 6)[2 * place : 2 * place + 2] == wanted or process.outcome is not None

            _until(noted, 2.0)
            found = _numbers(name, 6)[2 * place : 2 * place + 2]
            if found != wanted:
                return _judge_note(process.state, place, child, found)
        try:
            outcome = process.wait(3)
        except TimeoutError:
            return Verdict(False, f"it has not ended: {process.state}.", "Three children, three waits.")
    if not outcome.ok:
        return Verdict(False, f"it {outcome}.", _help_for(str(outcome)))
    return Verdict(True, "child 2 was first, then 0, then 1, and each was noted at once, with how it ended.")


def _judge_note(state: State, place: int, child: int, found: list[int]) -> Verdict:
    """Say what is wrong with a note that isn't what it should be."""
    which = ("first", "second", "third")[place]
    if state.outcome is not None and not state.outcome.ok:
        return Verdict(False, f"it {state.outcome}.", _help_for(str(state.outcome)))
    code = CODES[child]
    raw = -code if code < 0 else code << 8
    if found == [-1, -1] and state.kind == "ended":
        return Verdict(False, f"child {child} was the {which} to end; the parent was gone.", "Three waits.")
    if found == [-1, -1]:
        hint = "waitpid(child, 0) waits for that child alone; os.wait() for whichever ends first."
        return Verdict(False, f"child {child} was the {which} to end, and nothing was noted.", hint)
    if code < 0 and found[1] == 0:
        hint = "WEXITSTATUS is for a child that exited. os.waitstatus_to_exitcode knows both."
        return Verdict(False, f"of child {child}, which a signal killed, 0 was noted.", hint)
    if found[1] == raw:
        hint = (
            "That's the status as waitpid gives it: os.waitstatus_to_exitcode makes it a number for people."
        )
        return Verdict(False, f"of child {child}, {found[1]} was noted instead of {code}.", hint)
    if found[1] == code:
        hint = "os.wait() returns the process id of who has ended: where in your list does that stand?"
        return Verdict(False, f"child {child} was the {which} to end; child {found[0]} was noted.", hint)
    hint = f"Numbers {2 * place} and {2 * place + 1}: which child, and how it ended. The object is cast to q."
    return Verdict(False, f"child {child} ended with {code}; noted was {found}.", hint)


@contextmanager
def _gates(count: int) -> Iterator[list[posix.Semaphore]]:
    """Create semaphores of value 0, at which children can be held; remove them."""
    names = [own_name(f"gate{number}") for number in range(count)]
    for name in names:
        with suppress(FileNotFoundError):
            posix.sem_unlink(name)
    try:
        yield [posix.sem_open(name, posix.O_CREAT | posix.O_EXCL) for name in names]
    finally:
        for name in names:
            with suppress(FileNotFoundError):
                posix.sem_unlink(name)


def _settled(process: Process, seconds: float) -> State:
    """Return where a running process is when it has ended or blocked for others, or after *seconds*."""
    _until(lambda: (state := process.state).kind == "ended" or state.on.startswith(("wait", "sem")), seconds)
    return process.state


def _until(true: Callable[[], bool], seconds: float) -> bool:
    """Look again and again, at most for *seconds*; return whether it came true."""
    deadline = monotonic() + seconds
    while not true():
        if monotonic() > deadline:
            return False
        sleep(0.005)
    return True


def _numbers(name: str, count: int) -> list[int]:
    return list(struct.unpack(f"{count}q", observe.Sampler(name).read(0, 8 * count)))


def _help_for(outcome: str) -> str:
    if "ChildProcessError" in outcome:
        return "It waits once more than it has children: ECHILD."
    if "missing" in outcome or "positional" in outcome:
        return "It's called with two arguments: the object's name, and the names of the semaphores."
    if "FileNotFoundError" in outcome:
        return "The names are those that it's given: shm_open(name, …), sem_open(gates[i], 0)."
    return "Run it yourself, step by step, with an object and semaphores of yours."


EXERCISES = (
    Exercise("06-a", ("the status",), judge_status),
    Exercise("06-b", ("the program",), judge_sum),
    Exercise("06-c", ("the program",), judge_harvest),
)
