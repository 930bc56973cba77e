"""What lesson 14 asks: four predictions, and three exercises that are judged by running them.

Imported by :mod:`shmlab.questions` alone. The facts are FACTS.md's D12, D14, D37, D72, D78, D82, F09. No
verdict stands here: the judges make the experiments themselves.
"""

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

from shmlab import observe, posix
from shmlab.document import VERDICTS, Case, decide, fails, holds
from shmlab.document.probing import PAGE, READ_WRITE, an_object, answer, unused_name
from shmlab.processes import Outcome, Process
from shmlab.questions import Exercise, Question, Verdict, right, wrong
from shmlab.questions.judging import existing, how, kind_of, program_of

QUESTIONS = (
    Question(
        "14-msync",
        "Process B has mapped the object and read a 0 in it. Now the notebook stores a 7 there, and calls "
        "nothing, msync least of all. B reads again. What does it read?",
        (
            wrong(
                "0, until the notebook calls msync",
                "So the document has it. But what would have to be written back, and from where to where, "
                "when both have mapped the same object?",
            ),
            right(
                "7",
                "Both map the same physical page, and a store into it is a store for everybody. What msync "
                "writes, it writes to a disk, and an object has none.",
            ),
            wrong(
                "0 or 7, by chance: the cache decides",
                "The caches of the processors are kept alike by the hardware. No program has to do it.",
            ),
            wrong(
                "0, until it maps the object anew",
                "A mapping isn't a copy. (MAP_PRIVATE makes one, page by page; this is MAP_SHARED.)",
            ),
        ),
    ),
    Question(
        "14-key",
        "A semaphore set has the key k. Now somebody calls shmget(k, 4096, IPC_CREAT | IPC_EXCL | 0600), "
        "with the very same number. What happens?",
        (
            wrong(
                "EEXIST: the key is taken",
                "It's taken among the semaphore sets. Does shmget look there?",
            ),
            wrong(
                "It returns the id of the semaphore set",
                "Then shmat would attach a semaphore set. What does a key belong to?",
            ),
            right(
                "It makes a segment, whose key is k as well",
                "Segments, semaphore sets and message queues have a table each, and each table its own keys. "
                "A semaphore's key is nothing to shmget.",
            ),
            wrong(
                "EINVAL: k isn't a segment's key",
                "Any number is a key. What kind of thing it leads to is settled by the call.",
            ),
        ),
    ),
    Question(
        "14-zero",
        "A process closes its descriptor 0, the standard input. Then it calls shm_open, which succeeds. What "
        "does shm_open return?",
        (
            right(
                "0",
                "The lowest number that's free, as open does. So the document's 0 can be seen, and means "
                "something else: not success, but descriptor 0. A test like if (fd == 0) finds it once in a "
                "while, which is worse than never.",
            ),
            wrong(
                "3: the first three are reserved",
                "Nothing reserves them. They are the first three because they were opened first.",
            ),
            wrong(
                "-1: without a standard input nothing can be opened",
                "The call succeeds: so it said above. Which descriptors are free?",
            ),
            wrong(
                "1 or more: 0 is never given twice",
                "A number that was closed is free again, and the search for one begins at the bottom.",
            ),
        ),
    ),
    Question(
        "14-fallocate",
        "ftruncate returns -1 when it fails, and errno says why. What does C's posix_fallocate(fd, 0, 0) "
        "return, which fails for its length of 0?",
        (
            wrong(
                "-1, and errno is EINVAL",
                "As nearly every call does. The document's sentence must come from somewhere, though.",
            ),
            wrong(
                "0: there's nothing to do",
                "POSIX lets a length of 0 fail. How does it say so?",
            ),
            right(
                "22: the number of EINVAL itself",
                "It returns the error's number and leaves errno alone. What the document says of ftruncate "
                "is true of this one; two calls, mixed up.",
            ),
            wrong(
                "A negative number: minus EINVAL",
                "So the kernel answers the C library. What comes out of the library is something else.",
            ),
        ),
    ),
)


# --- 14-a --------------------------------------------------------------------------------------------------


def unlink_of_nothing() -> Iterator[Case]:
    with unused_name("check") as name:
        error = answer(posix.shm_unlink, name)
        yield holds(f"shm_unlink of a name that nothing has: {error}", error == "ENOENT")


def closing_ends_the_mapping() -> Iterator[Case]:
    with an_object(word="check") as thing:
        fd = posix.shm_open(thing.name, posix.O_RDWR)
        m = posix.mmap(None, PAGE, READ_WRITE, posix.MAP_SHARED, fd)
        posix.close(fd)
        m.buf[0] = 7
        read = os.pread(thing.fd, 1, 0)[0]
        yield fails(f"7 stored after close: the object has {read}", read == 7)


def who_opens_may_write() -> Iterator[Case]:
    with an_object(word="check") as thing:
        for flag, kind in ((posix.O_RDWR, holds), (posix.O_RDONLY, fails)):
            fd = posix.shm_open(thing.name, flag)
            mapped = answer(posix.mmap, None, PAGE, posix.PROT_WRITE, posix.MAP_SHARED, fd)
            posix.close(fd)
            yield kind(f"PROT_WRITE: {mapped}", isinstance(mapped, posix.Mapping) == (kind is holds))


CLAIMS: tuple[tuple[str, Callable[[], Iterator[Case]], str], ...] = (
    ("first", unlink_of_nothing, "Make the call, with a name that you've just unlinked."),
    ("second", closing_ends_the_mapping, "mmap, close, and then store: does the store arrive?"),
    ("third", who_opens_may_write, "There are two ways to open it. Try both."),
)


def judge_claims(*said: Any) -> Verdict:
    """Exercise 14-a: the verdicts of three claims; each is decided here and now."""
    known = {each.casefold(): each for each in VERDICTS}
    verdicts = []
    for value in said:
        verdict = known.get(value.strip().casefold()) if isinstance(value, str) else None
        if verdict is None:
            found = repr(value)[:40] if isinstance(value, str) else kind_of(value)
            return Verdict(False, f"{found} is no verdict.", f"There are {', '.join(map(repr, VERDICTS))}.")
        verdicts.append(verdict)
    for verdict, (which, probe, hint) in zip(verdicts, CLAIMS, strict=True):
        if verdict != decide(tuple(probe())):
            return Verdict(False, f"the {which} claim isn't {verdict!r} on this kernel.", hint)
    return Verdict(True, "all three, and this kernel has just answered the same.")


# --- 14-b --------------------------------------------------------------------------------------------------

STEPS = 50
FATAL = (signal.SIGBUS, signal.SIGSEGV)


def judge_counterexample(program: Any) -> Verdict:
    """Exercise 14-b: a program that maps successfully and dies of the touch (D17, D87)."""
    found = program_of(program, "refute")
    if isinstance(found, Verdict):
        return found
    with existing("check", 0) as name:
        outcome, mapped = _led(Process(found, name, label=found.name), name)
    if outcome is None:
        return Verdict(False, "it hasn't ended.", "One touch is enough: no endless loop.")
    if outcome.signal not in FATAL:
        hint = "Something made the memory usable before you touched it. Leave that out."
        return Verdict(False, f"it {how(outcome)}: nothing is refuted.", hint)
    if not mapped:
        message = f"it {how(outcome)}, but before that it never yielded with the object mapped."
        return Verdict(False, message, 'The yield stands between mmap and the touch: yield "mmap".')
    return Verdict(True, f"mmap had succeeded, the kernel shows the mapping, and the process {how(outcome)}.")


def _led(process: Process, name: str) -> tuple[Outcome | None, bool]:
    """Step a program to its end; return how it ended, and whether it had the object mapped at a yield."""
    mapped = False
    with process:
        for _ in range(STEPS):
            state = process.step()
            if state.kind != "paused":
                return state.outcome, mapped
            mapped = mapped or bool(process.pid and observe.mappings(process.pid, name))
    return None, mapped


# --- 14-c --------------------------------------------------------------------------------------------------

SETTINGS = {
    "MAP_SHARED": posix.MAP_SHARED,
    "MAP_PRIVATE": posix.MAP_PRIVATE,
    "MAP_SHARED_VALIDATE": posix.MAP_SHARED_VALIDATE,
}


def judge_probe(program: Any) -> Verdict:
    """Exercise 14-c: a probe that must answer as the kernel does, under flags for which it answers
    differently."""
    found = program_of(program, "visible")
    if isinstance(found, Verdict):
        return found
    said: list[str] = []
    for setting, flags in SETTINGS.items():
        with existing("check", PAGE, b"some bytes") as name:
            expected = _sees(name, flags)
            label, outcome = _last_label(Process(found, name, flags, label=found.name))
        if outcome is None or not outcome.ok:
            ended = how(outcome)
            return Verdict(
                False, f"with {setting} it {ended}.", "It's called with a name and the flags for mmap."
            )
        if label not in ("true", "wrong"):
            message = f"with {setting} its last yield says {label or 'nothing'!r}."
            return Verdict(False, message, 'Its last line yields one of two words: "true" or "wrong".')
        if label != expected:
            hint = "Let what you see decide: store by the mapping, read by another way, and compare the two."
            if len({*said, label}) == 1 and said:
                hint = "A probe that always says the same decides nothing. " + hint
            return Verdict(False, f"with {setting} it says {label!r}, and this kernel {expected!r}.", hint)
        said.append(label)
    return Verdict(True, f"it said {', '.join(said)}, as this kernel does: what it saw decided.")


def _sees(name: str, flags: int) -> str:
    """Return what this kernel answers: whether a store by such a mapping is in the object."""
    fd = posix.shm_open(name, posix.O_RDWR)
    try:
        with posix.mmap(None, PAGE, READ_WRITE, flags, fd) as m:
            before = os.pread(fd, 1, 1)[0]
            m.buf[1] = before ^ 0xFF
            return "wrong" if os.pread(fd, 1, 1)[0] == before else "true"
    finally:
        posix.close(fd)


def _last_label(process: Process) -> tuple[str, Outcome | None]:
    label = ""
    with process:
        for _ in range(STEPS):
            state = process.step()
            if state.kind != "paused":
                return label, state.outcome
            label = state.at
    return label, None


EXERCISES = (
    Exercise("14-a", ("the first verdict", "the second", "the third"), judge_claims),
    Exercise("14-b", ("the program",), judge_counterexample),
    Exercise("14-c", ("the program",), judge_probe),
)
