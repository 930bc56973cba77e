"""What lesson 13 asks: six predictions, and three exercises that are judged on real objects, segments and
processes.

Imported by :mod:`shmlab.questions` alone. The facts are FACTS.md's D06, D07, F13, F37, F42, F45, F71, P16.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from shmlab import observe, posix, sysv
from shmlab.processes import Outcome, Process
from shmlab.programs import Program
from shmlab.programs.two_numbers import two_numbers
from shmlab.questions import Exercise, Question, Verdict, right, wrong
from shmlab.questions.judging import absent, existing, how, kind_of, program_of, run_to_end, unused_key

NEW = sysv.IPC_CREAT | sysv.IPC_EXCL

QUESTIONS = (
    Question(
        "13-number",
        "A has made an object and a segment: shm_open returned 3, shmget returned 41. It tells a stranger, "
        "process B, these two numbers. B calls mmap with descriptor 3 and shmat with id 41. What does B get?",
        (
            wrong(
                "A's object and A's segment",
                "Both are numbers that the kernel gave out. But for whom does each of them mean something?",
            ),
            wrong(
                "A's object, and EINVAL for the segment",
                "Which of the two numbers is an index into a table that each process has for itself?",
            ),
            right(
                "EBADF, or something of its own, for 3; A's segment for 41",
                "A descriptor is an index into the process's own table, an id into the kernel's. Whoever has "
                "the permission may attach what an id leads to.",
            ),
            wrong(
                "Neither: a name and a key are needed",
                "They lead to the numbers. Lesson 08's processes attached by a bare id.",
            ),
        ),
    ),
    Question(
        "13-mode",
        "B, which isn't root, has opened an object (it has a descriptor) and looked up a segment (it has its "
        "id), but mapped and attached nothing. Now the mode of both becomes 0. B calls mmap and shmat. What "
        "succeeds?",
        (
            wrong(
                "Both: it had the permission when it opened them",
                "For one of them that's right. Did shmget give B anything that belongs to B?",
            ),
            right(
                "mmap alone",
                "The descriptor is the permission, asked for once, by shm_open. An id is a mere number: each "
                "shmat is asked anew.",
            ),
            wrong(
                "shmat alone",
                "An id is a number that anybody may guess. It had better not be a permission.",
            ),
            wrong(
                "Neither: nobody may do anything any more",
                "What did lesson 07 find about a descriptor that was open before?",
            ),
        ),
    ),
    Question(
        "13-late",
        "A uses memory of both kinds, and has removed the object's name and marked the segment already. B "
        "comes late. It knows the name, the key, and the segment's id. Which of them leads it in?",
        (
            wrong(
                "The name",
                "shm_unlink takes it away at once, whoever uses the object.",
            ),
            wrong(
                "The key",
                "IPC_RMID makes the key 0 at once: the next shmget for it finds nothing.",
            ),
            right(
                "The id",
                "On Linux a marked segment can be attached by its id as long as somebody has it. Other "
                "systems refuse.",
            ),
            wrong(
                "None of them",
                "So POSIX would have it. But lesson 08 found a way in that Linux leaves open.",
            ),
        ),
    ),
    Question(
        "13-huge",
        "A program wants 1 PiB, a million GiB, which no machine has: once with shm_open and ftruncate, once "
        "with shmget. The system is set up as usual. What do the two calls say?",
        (
            wrong(
                "Both succeed: memory comes with the first touch",
                "It does, for both. One of them asks nevertheless whether there could ever be enough.",
            ),
            wrong(
                "Both fail with ENOMEM",
                "One of them only writes down how long a file is to be.",
            ),
            right(
                "ftruncate succeeds, shmget fails",
                "An object's size is a note; what it lacks shows at a touch, as SIGBUS. A segment's size is "
                "counted against the machine's memory at once, unless vm.overcommit_memory is 1, or "
                "SHM_NORESERVE is said.",
            ),
            wrong(
                "ftruncate fails, shmget succeeds",
                "Which of the two calls promises memory, and which one a length?",
            ),
        ),
    ),
    Question(
        "13-visitor",
        "An object has been made with shm_open. Somewhere else a Python program calls "
        "multiprocessing.shared_memory.SharedMemory(name), reads five bytes, calls close(), and ends. It "
        "never calls unlink(). What about the object's name afterwards?",
        (
            wrong(
                "It's there: close() is no unlink()",
                "So the manual has it: unlink() is for one process, close() for all. Look after its end.",
            ),
            right(
                "It's gone",
                "The module has a process of its own, the resource tracker, unlink whatever a program has "
                "opened and not unlinked, also what it only visits.",
            ),
            wrong(
                "It's there until the creator ends",
                "An object doesn't know its creator, nor does /dev/shm.",
            ),
            wrong(
                "The visitor failed: the object isn't multiprocessing's",
                "Underneath it's shm_open and mmap: any object will do.",
            ),
        ),
    ),
    Question(
        "13-copy",
        "1 MiB is copied into an object that's mapped, and into a segment that's attached; by turns, many "
        "times. Which takes longer?",
        (
            wrong(
                "The object: it's a file, and a file system stands in between",
                "When does the file system come in: at a call, or at a store?",
            ),
            wrong(
                "The segment: it's the older interface",
                "Old are the calls. What does a store go through, once it's attached?",
            ),
            right(
                "Neither",
                "A store is no call. Both are pages of memory in the process's page table, and the processor "
                "doesn't know how they came there.",
            ),
            wrong(
                "The object, until msync has been called",
                "msync has nothing to do for memory (lesson 04).",
            ),
        ),
    ),
)

# --- 13-a --------------------------------------------------------------------------------------------------

KINDS = ("neither", "POSIX", "System V", "both")
HINTS = {
    "grows": "ftruncate; and shmget for the same key, with a larger size.",
    "umask": "Lesson 07 for the one, lesson 08 for the other: two modes of 0666, under a umask.",
    "read": "Call os.pread with what shm_open returned, and with what shmget returned.",
    "number": "The program two_numbers has tried it.",
    "killed": "Nobody calls shm_unlink, nobody calls IPC_RMID. Who should remove it?",
}
"""The five properties, and what helps with each."""


def judge_properties(answers: Any) -> Verdict:
    """Exercise 13-a: which of the two has each property, compared with what was just tried."""
    if not isinstance(answers, dict):
        return Verdict(False, f"that's {kind_of(answers)}, not a dictionary.", "{'grows': 'both', …}")
    if missing := [word for word in HINTS if word not in answers]:
        return Verdict(False, f"nothing is said of {missing[0]!r}.", f"It has {len(HINTS)} entries.")
    if odd := [word for word in HINTS if answers[word] not in KINDS]:
        return Verdict(False, f"{odd[0]!r} can't be answered like that.", f"One of: {', '.join(KINDS)}.")
    found = _tried()
    agreed = [word for word in HINTS if answers[word] == found[word]]
    if len(agreed) == len(HINTS):
        return Verdict(True, "the kernel answered the same, to all five, just now.")
    word = next(word for word in HINTS if word not in agreed)
    return Verdict(False, f"{len(agreed)} of {len(HINTS)} are right; {word!r} isn't.", HINTS[word])


def _tried() -> dict[str, str]:
    """Try each property on an object and on a segment that another process makes; return who has it."""
    with absent("check") as name, unused_key("check") as key:
        with Process(_makes_both, name, key, 0o077) as maker:
            if maker.step().kind != "paused":
                raise RuntimeError(f"the maker {maker.state}")
            os.kill(maker.pid or 0, signal.SIGKILL)
            maker.wait(5)
        there, row = observe.object_entry(name), _looked_up(key)
        killed = there is not None, row is not None
        if there is None or row is None:
            return dict.fromkeys(HINTS, "neither") | {"killed": _who(*killed)}
        umask = there.mode != 0o666, row.mode & 0o777 != 0o666
        fd = posix.shm_open(name, posix.O_RDWR)
        try:
            read = _works(os.pread, fd, 1, 0), _works(os.pread, row.id, 1, 0)
            with Process(two_numbers, int(fd), row.id) as other:
                run_to_end(other)
            number = "mmap: yes" in other.output, "shmat: yes" in other.output
            grows = _works(posix.ftruncate, fd, 8192), _works(sysv.shmget, key, 8192, 0)
        finally:
            posix.close(fd)
    tried = {"grows": grows, "umask": umask, "read": read, "number": number, "killed": killed}
    return {word: _who(*pair) for word, pair in tried.items()}


def _makes_both(name: str, key: int, mask: int) -> Iterator[str]:
    os.umask(mask)
    posix.ftruncate(posix.shm_open(name, posix.O_CREAT | posix.O_EXCL | posix.O_RDWR, 0o666), 4096)
    sysv.shmget(key, 4096, sysv.IPC_CREAT | sysv.IPC_EXCL | 0o666)
    yield "both are made"


def _who(object_has_it: bool, segment_has_it: bool) -> str:
    return KINDS[object_has_it + 2 * segment_has_it]


def _works(call: Any, *arguments: Any) -> bool:
    try:
        call(*arguments)
    except OSError:
        return False
    return True


# --- 13-b --------------------------------------------------------------------------------------------------

TEXT = "the same words, whichever way they go"
TAKEN = b"somebody else's"

Complaint = tuple[str, str] | tuple[()]


def judge_either(program: Any) -> Verdict:
    """Exercise 13-b: one program that makes, fills and removes an object, or a segment."""
    found = program_of(program, "either")
    if isinstance(found, Verdict):
        return found
    for complaint in (_object_made(found), _segment_made(found), _object_taken(found), _segment_taken(found)):
        if complaint:
            return Verdict(False, *complaint)
    return Verdict(True, "a name or a key, it makes, fills and removes it, and leaves others' alone.")


def _object_made(program: Program) -> Complaint:
    with absent("check") as name, Process(program, name, TEXT, label=program.name) as process:
        state = process.step()
        if state.kind != "paused":
            return _never_stored("a name", state.outcome)
        entry = observe.object_entry(name)
        if entry is None:
            hint = "A name is text: isinstance(where, str)"
            return "at its first yield there is no object of that name.", hint
        if complaint := _misprinted("object", entry.size, entry.mode, lambda: _stored(name)):
            return complaint
        outcome = run_to_end(process)
        if outcome is None or not outcome.ok:
            return f"it {how(outcome)}, when it was given a name.", _help(outcome)
        if observe.object_entry(name) is not None:
            return "it has ended, and the object is still there.", "shm_unlink, behind the yield."
    return ()


def _segment_made(program: Program) -> Complaint:
    with unused_key("check") as key, Process(program, key, TEXT, label=program.name) as process:
        state = process.step()
        if state.kind != "paused":
            return _never_stored("a key", state.outcome)
        row = _looked_up(key)
        if row is None:
            return "at its first yield no segment has that key.", "A key is a number: shmget, not shm_open."
        if complaint := _misprinted(
            "segment", row.size, row.mode & 0o777, lambda: _content(row.id, row.size)
        ):
            return complaint
        outcome = run_to_end(process)
        if outcome is None or not outcome.ok:
            return f"it {how(outcome)}, when it was given a key.", _help(outcome)
        if any(each.id == row.id for each in observe.segments()):
            return "it has ended, and the segment is still there.", "shmctl with IPC_RMID, behind the yield."
    return ()


def _never_stored(given: str, outcome: Outcome | None) -> Complaint:
    if outcome is not None and outcome.ok:
        return f"when it's given {given}, it never yields.", 'When the text is stored: yield "stored".'
    return f"it {how(outcome)}, when it was given {given}.", _help(outcome)


def _misprinted(what: str, size: int, mode: int, content: Callable[[], bytes]) -> Complaint:
    if size != len(TEXT):
        return f"the {what} has {size} bytes, the text {len(TEXT)}.", "Its size is len(text)."
    if mode != 0o600:
        hint = "shmget's mode belongs to the flags" if what == "segment" else "it's shm_open's third argument"
        return f"the {what}'s mode is {mode:04o}, not 0600.", f"0o600: {hint}."
    if content() != TEXT.encode():
        return f"the {what} doesn't hold the text.", "m.buf[:] = text.encode('ascii'), before the yield."
    return ()


def _object_taken(program: Program) -> Complaint:
    with existing("check", len(TAKEN), TAKEN) as name:
        before = observe.object_entry(name)
        with Process(program, name, TEXT) as process:
            outcome = run_to_end(process)
        after = observe.object_entry(name)
        if after is None or before is None or after.inode != before.inode:
            return "an object that was there before is gone.", "Only who made it removes it: O_EXCL says who."
        if _stored(name) != TAKEN:
            return "an object that was there before has other bytes now.", "O_CREAT | O_EXCL"
    return _unrefused("name", outcome)


def _segment_taken(program: Program) -> Complaint:
    with unused_key("check") as key, _segment(key, len(TAKEN), 0o600) as shmid:
        with sysv.shmat(shmid) as m:
            m.buf[:] = TAKEN
        with Process(program, key, TEXT) as process:
            outcome = run_to_end(process)
        row = _looked_up(key)
        if row is None or row.id != shmid:
            hint = "Only who made it removes it: IPC_EXCL says who."
            return "a segment that was there before is gone.", hint
        if _content(shmid, len(TAKEN)) != TAKEN:
            return "a segment that was there before has other bytes now.", "IPC_CREAT | IPC_EXCL"
    return _unrefused("key", outcome)


def _unrefused(what: str, outcome: Outcome | None) -> Complaint:
    if "FileExistsError" in str(outcome):
        return ()
    hint = "With the flag for it, both calls raise FileExistsError: let it pass."
    return f"when the {what} is taken, it {how(outcome)}.", hint


# --- 13-c --------------------------------------------------------------------------------------------------

SIZE, MODE, MOST = 5000, 0o666, 12
CONTENT = bytes(range(250)) * (SIZE // 250)


def judge_move(program: Any) -> Verdict:
    """Exercise 13-c: a segment's bytes move to an object, and are whole somewhere at every moment."""
    found = program_of(program, "move")
    if isinstance(found, Verdict):
        return found
    with unused_key("check") as key, _filled(key), existing("check", len(TAKEN), TAKEN) as name:
        with Process(found, key, name) as process:
            outcome = run_to_end(process)
        entry = observe.object_entry(name)
        if entry is None or _stored(name) != TAKEN or _lost(key):
            hint = "O_CREAT | O_EXCL, and IPC_RMID last."
            return Verdict(False, "when the name is taken, something is lost.", hint)
        if complaint := _unrefused("name", outcome):
            return Verdict(False, *complaint)
    for steps in range(1, MOST + 1):
        verdict = _killed_after(found, steps)
        if verdict is not None:
            return verdict
    return Verdict(False, f"it has more than {MOST} steps.", "A yield behind each call is enough.")


def _killed_after(program: Program, steps: int) -> Verdict | None:
    """Kill the program after so many steps; return what is wrong, or that all is well; None to go on."""
    with absent("check") as name, unused_key("check") as key, _filled(key):
        with Process(program, key, name, label=program.name) as process:
            for _ in range(steps):
                state = process.step()
        incomplete, lost = _incomplete(name), _lost(key)
        if state.kind == "ended":
            if state.outcome is None or not state.outcome.ok:
                return Verdict(False, f"it {how(state.outcome)}.", _help(state.outcome))
            if incomplete:
                return Verdict(False, *incomplete)
            if not lost:
                return Verdict(False, "the key still leads to the segment.", "shmctl with IPC_RMID.")
            if steps < 3:
                message = f"it has {steps - 1} yield{'' if steps == 2 else 's'}: nobody can look in between."
                return Verdict(False, message, "A yield behind each call that changes something.")
            return Verdict(True, f"killed after each of {steps - 1} steps, the bytes were whole somewhere.")
        if state.kind != "paused":
            return Verdict(False, f"after step {steps - 1} it is {state}.", "It needs no waiting.")
        if lost and incomplete:
            message = f"killed at {state.at!r}, it leaves no whole copy: no segment, and {incomplete[0]}"
            return Verdict(False, message, "Remove the segment last.")
    return None


def _incomplete(name: str) -> Complaint:
    """Return what an object lacks of what the segment was."""
    entry = observe.object_entry(name)
    if entry is None:
        return "there is no object of that name.", "shm_open with O_CREAT | O_EXCL | O_RDWR."
    if entry.size != SIZE:
        hint = "shmctl with IPC_STAT tells it: shm_segsz. Then ftruncate."
        return f"the object has {entry.size} bytes, the segment had {SIZE}.", hint
    if entry.mode != MODE:
        hint = "The umask is taken from shm_open's mode; os.fchmod(fd, shm_perm.mode & 0o777) sets it."
        return f"the object's mode is {entry.mode:04o}, the segment's was {MODE:04o}.", hint
    if _stored(name) != CONTENT:
        hint = "new.buf[:] = old.buf, zero bytes included."
        return "the object holds other bytes than the segment.", hint
    return ()


def _lost(key: int) -> bool:
    """Whether the key leads to no segment any more, or to one with other bytes."""
    row = _looked_up(key)
    return row is None or row.size != SIZE or _content(row.id, SIZE) != CONTENT


@contextmanager
def _filled(key: int) -> Iterator[None]:
    with _segment(key, SIZE, MODE) as shmid:
        with sysv.shmat(shmid) as m:
            m.buf[:] = CONTENT
        yield


# --- Segments to try things on -----------------------------------------------------------------------------


@contextmanager
def _segment(key: int, size: int, mode: int) -> Iterator[int]:
    shmid = sysv.shmget(key, size, NEW | mode)
    try:
        yield shmid
    finally:
        with suppress(OSError):  # the program has removed it, which is as good
            sysv.shmctl(shmid, sysv.IPC_RMID)


def _looked_up(key: int) -> observe.Segment | None:
    return next((row for row in observe.segments() if row.key == key), None)


def _stored(name: str) -> bytes:
    """The bytes of an object, read and not mapped: its size may change."""
    fd = posix.shm_open(name, posix.O_RDONLY)
    try:
        return os.pread(fd, 2 * SIZE, 0)
    finally:
        posix.close(fd)


def _content(shmid: int, length: int) -> bytes:
    with sysv.shmat(shmid, None, sysv.SHM_RDONLY) as m:
        return bytes(m.buf[:length])


def _help(outcome: Outcome | None) -> str:
    said = str(outcome)
    if outcome is None:
        return "It takes a few calls and one store: no endless loop."
    if "SIGBUS" in said:
        return "A new object has no bytes: ftruncate comes before the store."
    if "FileExistsError" in said:
        return "It's taken by an object or segment of yours: does an earlier step of your program make it?"
    if "positional" in said:
        return "It's called with two arguments."
    if "TypeError" in said or "ValueError" in said:
        return "A name is for shm_open, a key for shmget; and a slice takes as many bytes as it's long."
    if "FileNotFoundError" in said:
        return "It looks for what isn't there, or is gone already."
    return "Run it yourself, with a name or key of your own, and look at the outcome that wait() returns."


EXERCISES = (
    Exercise("13-a", ("the dictionary",), judge_properties),
    Exercise("13-b", ("the program",), judge_either),
    Exercise("13-c", ("the program",), judge_move),
)
