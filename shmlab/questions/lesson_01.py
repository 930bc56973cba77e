"""What lesson 01 asks: four predictions, and three exercises that are judged on real objects and processes.

Imported by :mod:`shmlab.questions` alone. The facts are FACTS.md's D01 to D05, D11, D14, F58 to F63.
"""

import sys
from collections.abc import Sequence
from time import monotonic
from typing import Any

from shmlab import observe, posix
from shmlab.processes import Process, Shared, State, start
from shmlab.programs import as_program
from shmlab.programs.increment import increment
from shmlab.questions import PATIENCE, Exercise, Question, Verdict, right, scratch, wrong
from shmlab.questions.judging import kind_of

QUESTIONS = (
    Question(
        "01-at-once",
        "Process A stores the letter h and stands still: no msync, no munmap, no end. When does the "
        "notebook find the h in its own mapping?",
        (
            wrong(
                "When A has called msync",
                "msync writes a mapped file's changes to its disk. This object has no disk behind it, and "
                "the program never calls msync. What else could carry a byte from A to the notebook?",
            ),
            wrong(
                "When A has unmapped it, or ended",
                "That would be so if A worked on a copy of its own and handed it in at the end. Which flag "
                "did both mmap calls get?",
            ),
            right(
                "At once: it's already there",
                "MAP_SHARED makes both mappings show the same physical memory. A's store changes that "
                "memory: there is no second place that would have to be brought up to date, and so no call "
                "that does it.",
            ),
            wrong(
                "Never: each process has a memory of its own",
                "That holds for all the rest of their memory, and for MAP_PRIVATE. Shared memory is the "
                "exception that was made on purpose.",
            ),
        ),
    ),
    Question(
        "01-writer-ends",
        "Process A now runs to its end: it unmaps the object and exits. What will the notebook find in the "
        "object?",
        (
            wrong(
                "hello, until the notebook looks a second time",
                "Looking changes nothing: reading memory doesn't use it up, as reading a pipe does.",
            ),
            right(
                "hello: the bytes stay",
                "The bytes belong to the object, and the object belongs to no process. It keeps its name "
                "and its bytes until somebody unlinks it, even when nobody maps it. (Unlinking takes the "
                "name; the memory goes with the last mapping.)",
            ),
            wrong(
                "Zeros: its memory went with A",
                "So it is with a process's own memory. But whose is this? A did not create the object, it "
                "only opened and mapped it.",
            ),
            wrong(
                "An error: the object is gone",
                "munmap takes the mapping out of one process. What makes an object go is another call, one "
                "that the program doesn't make.",
            ),
        ),
    ),
    Question(
        "01-copy",
        "copy = bytes(m.buf[:5]) and view = m.buf[:5] both read hello. Then another process writes jelly "
        "there. What do they read now?",
        (
            wrong(
                "Both read jelly",
                "bytes(…) made a new object of Python's, in the notebook's own memory. Who else can reach "
                "that?",
            ),
            wrong(
                "Both read hello",
                "view holds no bytes: it says where in the mapping to look, and looks anew each time.",
            ),
            right(
                "copy reads hello, view reads jelly",
                "“Visible at once” is said of the shared memory. A value that was copied out of it is a "
                "photograph: it shows what was there, and is out of date from the next store on.",
            ),
            wrong(
                "copy reads jelly, view reads hello",
                "The other way round: which of the two is the shared memory, and which was copied out of it?",
            ),
        ),
    ),
    Question(
        "01-one-plus-one",
        "The counter is 0. A loads it, B loads it, A stores, B stores: each has added 1. What is the "
        "counter?",
        (
            wrong(
                "2: one and one are two",
                "Follow B: what was the counter when B loaded it? Then what does B store?",
            ),
            right(
                "1: one of the two is lost",
                "Both loaded 0, so both stored 1. B's store wiped out A's: a lost update. Every byte was "
                "visible at once the whole time; it didn't help.",
            ),
            wrong(
                "0: they cancel each other out",
                "Each of them stores what it loaded plus one. Could that be 0?",
            ),
            wrong(
                "1 or 2: that's left to chance",
                "Which of the two comes about is chance when they run freely. Here the order is given, "
                "step by step: play it through.",
            ),
        ),
    ),
)


def judge_hello(where: Any) -> Verdict:
    """Exercise 01-a: ``hello`` stands at offset 100 of the object."""
    if issubclass(type(where), posix.Mapping):
        where = where.name
    if type(where) is not str:
        return Verdict(False, f"that's {kind_of(where)}, not the name of an object.", "Give it name.")
    try:
        text = observe.Sampler(where).read(0, 1 << 20)
    except FileNotFoundError:
        return Verdict(
            False,
            f"there is no object called {where!r:.60}.",
            "Run the lesson from its first cell, then this one.",
        )
    except OSError as error:
        return Verdict(False, f"{where!r:.60} can't be read: {error.strerror}.", "Give it name.")
    found = text[100:105]
    if found == b"hello":
        return Verdict(True, "the kernel finds hello at offset 100, in 5 bytes that every process may see.")
    message = f"at offset 100 there is {found!r}."
    if len(text) < 105:
        return Verdict(
            False, f"the object has {len(text)} bytes: there is no offset 104.", "Use the lesson's object."
        )
    if found.lower() == b"hello":
        return Verdict(False, message, "Every byte counts: small letters.")
    if found == bytes(5):
        elsewhere = text.find(b"hello")
        if elsewhere >= 0:
            message = f"hello stands at offset {elsewhere}; at offset 100 there are still zeros."
        hint = "In Python a part of a buffer is assigned to like a part of a list: buf[from:to] = b'…'."
        return Verdict(False, message, hint)
    return Verdict(False, message, "Five bytes, from offset 100 up to and not including offset 105.")


SHOUTED = b"one memory, 2 processes!"


def judge_shout(program: Any) -> Verdict:
    """Exercise 01-b: a program that writes the object's letters large, in place, one byte a step."""
    if type(program) is str or program is None:
        return Verdict(
            False, f"that's {kind_of(program)}, not a program.", "Give it shout, without parentheses."
        )
    try:
        program = as_program(program)
    except (TypeError, ValueError) as error:
        return Verdict(False, f"it can't be sent to a process: {error}.", "Write it with def, in a cell.")
    with scratch(SHOUTED) as name, Process(program, name, label=program.name) as process:
        return _watch_shout(process, observe.Sampler(name))


def _watch_shout(process: Process, sampler: observe.Sampler) -> Verdict:
    deadline = monotonic() + PATIENCE / 2
    before = original = sampler.read()
    while True:
        state = process.step(timeout=max(0.1, min(2.0, deadline - monotonic())))
        try:
            now = sampler.read()
        except FileNotFoundError:
            return Verdict(
                False,
                "the object is gone: the program unlinked it.",
                "Others still need it: leave out shm_unlink.",
            )
        if len(now) != len(before):
            return Verdict(
                False,
                f"step {state.step} made the object {len(now)} bytes long.",
                "It has its size already: leave out ftruncate.",
            )
        changed = [i for i, pair in enumerate(zip(before, now, strict=True)) if pair[0] != pair[1]]
        if len(changed) > 1:
            return Verdict(
                False,
                f"{len(changed)} bytes changed in one step.",
                "One yield after each store: then each byte is a step of its own.",
            )
        before = now
        if state.kind == "ended":
            break
        if state.kind != "paused" or monotonic() > deadline:
            return Verdict(
                False,
                f"it has not ended: {state}.",
                "Each turn of a loop needs a yield, and each loop an end: the object has 4096 bytes.",
            )
    return _judge_shouted(state, original, before)


def _judge_shouted(state: State, original: bytes, now: bytes) -> Verdict:
    if state.outcome is None or not state.outcome.ok:
        return Verdict(False, f"it {state.outcome}.", _help_for(str(state.outcome)))
    wanted = original.upper()
    if now == wanted:
        letters = sum(old != new for old, new in zip(original, now, strict=True))
        return Verdict(
            True,
            f"{_text(original)} became {_text(now)}: {letters} letters, {letters} steps that changed one "
            "byte.",
        )
    if now == original:
        return Verdict(
            False,
            f"the object still reads {_text(now)}.",
            "Map it PROT_READ | PROT_WRITE, MAP_SHARED, and store.",
        )
    at = next(i for i, pair in enumerate(zip(now, wanted, strict=True)) if pair[0] != pair[1])
    message = f"the object reads {_text(now)}: at offset {at}, byte {original[at]} is {now[at]} now."
    if original[at : at + 1].islower():
        hint = "That was a small letter, and it should be large: bytes([byte]).upper()[0]."
    else:
        hint = "That was no small letter: it has to stay as it is. Small letters are 97 to 122."
    return Verdict(False, message, hint)


def _help_for(outcome: str) -> str:
    if "FileNotFoundError" in outcome:
        return "It's called with the name of an object that exists: shm_open(name, posix.O_RDWR)."
    if "read-only" in outcome or "PermissionError" in outcome:
        return "Writing needs O_RDWR for shm_open and PROT_WRITE for mmap."
    if "missing" in outcome or "positional" in outcome:
        return "It's called with one argument: the name."
    return "Run it yourself, step by step: Process(shout, name).step()."


TIMES = 3


def judge_schedules(all_kept: Any, fewest: Any) -> Verdict:
    """Exercise 01-c: a schedule of 2 times 3 increments that ends at 6, and one at 2 (FACTS F60)."""
    schedules = []
    for word, given in (("all_kept", all_kept), ("fewest", fewest)):
        schedule, complaint = _schedule(given)
        if complaint:
            hint = 'A schedule is a text of letters, one a step: "AB" is a step of A, then one of B.'
            return Verdict(False, f"{word} {complaint}.", hint)
        schedules.append(schedule)
    highest, lowest = (_play(schedule) for schedule in schedules)
    if highest != 2 * TIMES:
        return Verdict(
            False,
            f"all_kept ended at {highest}, not at {2 * TIMES}.",
            "An update is lost when somebody loads before the other has stored.",
        )
    if lowest > TIMES:
        return Verdict(
            False,
            f"{highest} for all_kept. fewest ended at {lowest}: it can be fewer.",
            "Let both load before either of them stores, again and again.",
        )
    if lowest == TIMES:
        return Verdict(
            False,
            f"{highest} for all_kept. fewest ended at {lowest}: half of them were lost, and more can be.",
            "What A loaded first, it may store when B is almost done. And what B loaded last?",
        )
    return Verdict(
        True,
        f"{highest} and {lowest}, on real processes. With a million increments each it may be 2 as well: "
        "what one process did last can wipe out almost everything.",
    )


def _schedule(given: Any) -> tuple[str, str]:
    """Return a schedule as text, and what is wrong with it."""
    if type(given) in (list, tuple) and all(type(each) is str for each in given):
        given = "".join(given)
    if type(given) is not str:
        return "", f"is {kind_of(given)}, not a text of the letters A and B"
    schedule = "".join(given.split()).upper()
    if not schedule:
        return "", "is empty"
    if strange := set(schedule) - {"A", "B"}:
        return "", f"names {min(strange)!r:.12}: there are only A and B"
    wanted = 2 * TIMES
    for each in "AB":
        if (count := schedule.count(each)) != wanted:
            return "", f"gives {each} {count} steps: it needs {wanted}, for {TIMES} times load and store"
    return schedule, ""


def _play(schedule: Sequence[str]) -> int:
    """Run two incrementing processes by a schedule; return what the counter is then."""
    with scratch(b"") as name:
        with (
            Process(increment, Shared(name), TIMES, label="A") as a,
            Process(increment, Shared(name), TIMES, label="B") as b,
        ):
            start(a, b)
            processes = {"A": a, "B": b}
            for each in schedule:
                state = processes[each].step()
                if state.kind != "paused":
                    raise RuntimeError(f"process {each} is {state}")
        return int.from_bytes(observe.Sampler(name).read(0, 8), sys.byteorder)


def _text(data: bytes) -> str:
    return repr(data.rstrip(b"\0")[:40])[1:]


EXERCISES = (
    Exercise("01-a", ("the name of the object",), judge_hello),
    Exercise("01-b", ("the program",), judge_shout),
    Exercise("01-c", ("the schedule that loses nothing", "the one that loses most"), judge_schedules),
)
