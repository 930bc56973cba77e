"""What lesson 02 asks: six predictions, and three exercises that are judged on real objects and processes.

Imported by :mod:`shmlab.questions` alone. The facts are FACTS.md's D06 to D20, D65 to D78, F02 to F06, F21,
F22, F27, F30, F42.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from shmlab import observe, posix
from shmlab.processes import Process
from shmlab.processes.outcome import Outcome
from shmlab.questions import Exercise, Question, Verdict, right, wrong
from shmlab.questions.judging import absent, how, kind_of, program_of, run_to_end

PAGE = posix.PAGE_SIZE

QUESTIONS = (
    Question(
        "02-returns",
        "A fresh process has three descriptors open: 0, 1 and 2. It calls shm_open, and that succeeds. "
        "What does C's shm_open return?",
        (
            wrong(
                "0, for success",
                "That's what ftruncate, munmap, close and shm_unlink return. But what would ftruncate and "
                "mmap be given, then, to know which object is meant?",
            ),
            right(
                "3, a file descriptor",
                "The lowest number that is free, as with open(2); every later call but shm_unlink refers to "
                "the object by it, or by an address. -1 is the failure. It returns 0 only to a process "
                "that has closed its standard input.",
            ),
            wrong(
                "The address of the memory",
                "So it is with mmap. Between shm_open and mmap nothing is mapped, and there is no address.",
            ),
            wrong(
                "An identifier that is the same in every process",
                "System V's shmget does that. Here what all processes have in common is the name; what the "
                "call returns is each process's own.",
            ),
        ),
    ),
    Question(
        "02-allocated",
        "The object has 10,000 bytes, and a process has mapped all of them. Nobody has stored or read "
        "anything. How much memory does the object take?",
        (
            right(
                "None",
                "ftruncate noted a number, and mmap a range of addresses. Memory comes page by page, with "
                "the first touch of each.",
            ),
            wrong(
                "4096 bytes: one page, to begin with",
                "Memory does come in pages. But which page would that be, as long as nobody has touched one?",
            ),
            wrong(
                "10,000 bytes",
                "That's its size: how far one may go. How much of it is there is another number, as with a "
                "sparse file.",
            ),
            wrong(
                "12,288 bytes: three pages",
                "That is how long the mapping is, in the kernel's eyes: 10,000 rounded up to pages. Are "
                "addresses memory?",
            ),
        ),
    ),
    Question(
        "02-store",
        "The process stores hello through its mapping. Which system call does that take?",
        (
            wrong(
                "write",
                "That's for who has a descriptor and no mapping. What is a mapping good for?",
            ),
            wrong(
                "msync: before it, the store has not arrived",
                "In lesson 01 the notebook saw every byte, and nobody had called msync. For what, then?",
            ),
            right(
                "None",
                "It's an instruction of the processor, like a store to any variable. The kernel has its hand "
                "in it only once a page: the first touch raises a page fault, and the kernel finds a page.",
            ),
            wrong(
                "mmap, once more",
                "The addresses are mapped already. From then on the processor does it alone.",
            ),
        ),
    ),
    Question(
        "02-trunc",
        "An object has 4096 bytes, and its mode lets you write. You open it with O_RDONLY | O_TRUNC. "
        "What happens?",
        (
            wrong(
                "EACCES: who only reads may not truncate",
                "It would make sense. But the access mode says what may be done through the descriptor, "
                "later. What does the kernel look at when it opens?",
            ),
            wrong(
                "EINVAL: the flags contradict each other",
                "Few combinations are refused. POSIX says that the result of this one is undefined.",
            ),
            wrong(
                "It's opened, and O_TRUNC is ignored",
                "POSIX leaves that open, and a kernel could. Look at the size afterwards.",
            ),
            right(
                "It's opened, and has 0 bytes",
                "On Linux. You asked only to read, and have destroyed it: the mode of the object decides, "
                "not the access mode that you asked for. POSIX calls the result undefined.",
            ),
        ),
    ),
    Question(
        "02-unlink",
        "A process has an object of 4 MiB open and mapped, all of it allocated. Somebody calls shm_unlink "
        "for its name. What is gone when the call returns?",
        (
            wrong(
                "Nothing: it's only marked, and goes when the last process ends",
                "Something can be seen to go: try to open it by its name. (And it needn't be the end of a "
                "process.)",
            ),
            right(
                "The name alone",
                "Nobody can open it by name any more. The object itself, its bytes, the mapping and the "
                "descriptor are all as they were, until the last of those that refer to it has let go.",
            ),
            wrong(
                "The name and the memory: a touch of the mapping is a Bus error now",
                "Truncating does that (lesson 03). Unlinking takes no byte from anybody who has it.",
            ),
            wrong(
                "The name and the mapping; the descriptor stays",
                "Only munmap, exec and the end of the process remove a mapping. Nobody else can do it.",
            ),
        ),
    ),
    Question(
        "02-same-name",
        "The name is unlinked, but the notebook still maps the object. Now a process calls shm_open for the "
        "same name, with O_CREAT | O_RDWR. What does it get?",
        (
            wrong(
                "The object that the notebook maps",
                "What would lead there? Only the name did, and that has been removed.",
            ),
            wrong(
                "EEXIST: it's still in use",
                "Whether a name is taken is decided in /dev/shm alone. Is there an entry?",
            ),
            right(
                "A new, empty object",
                "One name, two objects, one after the other: whoever opened before goes on with the old, and "
                "whoever opens now meets in the new. Neither side is told.",
            ),
            wrong(
                "ENOENT: the name is gone",
                "So it would be without O_CREAT. What does that flag do when there is no such name?",
            ),
        ),
    ),
)

# --- 02-a --------------------------------------------------------------------------------------------------

KNOWN = os.O_ACCMODE | posix.O_CREAT | posix.O_EXCL | posix.O_TRUNC


def judge_flags(flags: Any) -> Verdict:
    """Exercise 02-a: the flags that create an object to size and store in, and refuse one that exists."""
    if type(flags) is not int:
        return Verdict(
            False, f"that's {kind_of(flags)}, not flags.", "Join them: posix.O_RDWR | posix.O_CREAT"
        )
    if flags < 0 or flags & ~KNOWN:
        hint = "These will do: O_RDONLY, O_RDWR, O_CREAT, O_EXCL, O_TRUNC, joined with |."
        return Verdict(False, f"{flags:#x} holds more than the flags of this lesson.", hint)
    with absent("check") as name:
        complaint = _creates(name, flags)
        if complaint:
            return Verdict(False, *complaint)
    with _holding("check", b"somebody's") as (name, fd):
        try:
            posix.close(posix.shm_open(name, flags, 0o600))
        except FileExistsError:
            return Verdict(True, "a new object to size and to store in; and where there is one, EEXIST.")
        except OSError as error:
            return Verdict(False, f"an object that exists gives {_errno(error)}, not EEXIST.")
        lost = " and empties it" if os.fstat(fd).st_size == 0 else ""
        hint = "It isn't O_CREAT alone that refuses what exists: which flag makes it exclusive?"
        return Verdict(False, f"an object that exists already is opened{lost}, too.", hint)


def _creates(name: str, flags: int) -> tuple[str, str] | None:
    """Return what is wrong with these flags for a name that nothing has, and a hint."""
    try:
        fd = posix.shm_open(name, flags, 0o600)
    except OSError as error:
        return f"a name that nothing has gives {_errno(error)}.", "Which flag creates?"
    try:
        posix.ftruncate(fd, PAGE)
        # Never touched: it's only asked whether the kernel would let it be mapped.
        posix.munmap(posix.mmap(None, PAGE, posix.PROT_READ | posix.PROT_WRITE, posix.MAP_SHARED, fd))
    except OSError as error:
        if error.errno == errno.EINVAL:
            hint = "It's ftruncate that refuses: the descriptor must be open for writing."
        else:
            hint = "It's mmap that refuses: a mapping needs a descriptor that may be read, too."
        return f"the object is created, but then comes {_errno(error)}.", hint
    finally:
        posix.close(fd)
    return None


# --- 02-b --------------------------------------------------------------------------------------------------

STEPS = 200
TEXTS = ("all given back", "x" * (PAGE + 1))


def judge_note(program: Any) -> Verdict:
    """Exercise 02-b: a program that leaves an object behind, and holds nothing of it itself (D13, P04)."""
    found = program_of(program, "note")
    if isinstance(found, Verdict):
        return found
    for text in TEXTS:
        with absent("check") as name, Process(found, name, text, label=found.name) as process:
            held, outcome = _watched(process, name)
            complaint = _misnoted(held, outcome, _content(name), text.encode())
            if complaint:
                return Verdict(False, *complaint)
    with _holding("check", b"somebody's") as (name, fd), Process(found, name, TEXTS[0]) as process:
        outcome = run_to_end(process)
        if os.pread(fd, 100, 0) != b"somebody's" or _content(name) != b"somebody's":
            message = "an object that existed already was not left as it was."
            return Verdict(False, message, "O_EXCL beside O_CREAT: then it's never somebody else's object.")
        if outcome is None or outcome.kind != "raised" or "FileExistsError" not in outcome.error:
            message = f"where the name existed already, it {how(outcome)}."
            return Verdict(False, message, "Let shm_open's FileExistsError out of the program.")
    return Verdict(True, "the object is there, to the byte, and the process holds nothing of it any more.")


def _watched(process: Process, name: str) -> tuple[str, Outcome | None]:
    """Step *process* to its end; return what it held of the object at its last yield, and how it ended."""
    held = "never paused"
    for _ in range(STEPS):
        state = process.step()
        if state.kind != "paused":
            return held, state.outcome
        mapped = observe.mappings(process.pid or 0, name)
        opened = [
            each for each in observe.descriptors(process.pid or 0) if each.kind.startswith(f"object '{name}'")
        ]
        held = "a mapping" if mapped else f"descriptor {opened[0].number}" if opened else ""
    return held, None


def _misnoted(
    held: str, outcome: Outcome | None, now: bytes | None, text: bytes
) -> tuple[str, str] | tuple[()]:
    if outcome is None or not outcome.ok:
        return f"with a text of {len(text)} bytes it {how(outcome)}.", _help(outcome)
    if now is None:
        return "there is no object of that name afterwards.", "Leave out shm_unlink: others are to read it."
    if len(now) != len(text):
        return (
            f"the object has {len(now)} bytes, the text {len(text)}.",
            "ftruncate(fd, len(text)): any size will do.",
        )
    if now != text:
        return (
            "the object doesn't hold the text.",
            "MAP_SHARED, and m.buf[: len(text)] = text.encode('ascii').",
        )
    if held == "never paused":
        return "it never yields.", 'Its last line is yield "done".'
    if held:
        return f"at its last yield it still holds {held}.", "Before that: munmap(m), and close(fd)."
    return ()


# --- 02-c --------------------------------------------------------------------------------------------------

OLD, NEW = b"the old edition, which somebody is still reading", "the new one"


def judge_replace(program: Any) -> Verdict:
    """Exercise 02-c: a program that puts a new object under a name, and leaves the old one alone (F42)."""
    found = program_of(program, "replace")
    if isinstance(found, Verdict):
        return found
    with _holding("check", OLD) as (name, fd), Process(found, name, NEW, label=found.name) as process:
        before = os.fstat(fd).st_ino
        outcome = run_to_end(process)
        entry = observe.object_entry(name)
        if os.fstat(fd).st_size != len(OLD):
            message = f"the old object had {len(OLD)} bytes, and has {os.fstat(fd).st_size} now."
            return Verdict(False, message, "Whoever maps it dies of that. Take its name away, not its bytes.")
        if os.pread(fd, len(OLD), 0) != OLD:
            message = "the old object's bytes have changed: a reader sees half of each."
            return Verdict(False, message, "The same name needn't lead to the same object: unlink first.")
        if outcome is None or not outcome.ok:
            return Verdict(False, f"it {how(outcome)}.", _help(outcome))
        if entry is None:
            return Verdict(False, "nothing has the name afterwards.", "After shm_unlink, create it anew.")
        if entry.inode == before:
            return Verdict(False, "the name still leads to the old object.", "Unlink it, then create.")
        if _content(name) != NEW.encode():
            message = f"the new object holds {_content(name)!r:.60}, not {NEW.encode()!r}."
            return Verdict(False, message, "Its size is len(text), and all of the text is stored in it.")
    with absent("check") as name, Process(found, name, NEW) as process:
        outcome = run_to_end(process)
        if outcome is None or not outcome.ok or _content(name) != NEW.encode():
            message = f"where nothing had the name yet, it {how(outcome)}."
            hint = "shm_unlink raises FileNotFoundError then: nothing to take away, go on."
            return Verdict(False, message, hint)
    return Verdict(True, "who had the old one reads on undisturbed, and who opens the name gets the new one.")


# --- Objects and processes to try things on ----------------------------------------------------------------


@contextmanager
def _holding(word: str, content: bytes) -> Iterator[tuple[str, int]]:
    """Create an object that holds *content* and nobody maps; yield its name and a descriptor of it."""
    with absent(word) as name:
        fd = posix.shm_open(name, posix.O_CREAT | posix.O_EXCL | posix.O_RDWR, 0o600)
        try:
            os.pwrite(fd, content, 0)
            yield name, fd
        finally:
            posix.close(fd)


def _content(name: str) -> bytes | None:
    """Return all bytes of an object, by read(2): a mapping could fault; None when nothing has the name."""
    try:
        with observe.Sampler(name) as sampler:
            return sampler.read()
    except FileNotFoundError:
        return None


def _help(outcome: Outcome | None) -> str:
    said = str(outcome)
    if outcome is None:
        return "It takes a few calls and one store: no endless loop."
    if "SIGBUS" in said:
        return "It touched memory that the object hasn't got: ftruncate first."
    if "FileExistsError" in said:
        return "The name is taken, and O_EXCL says so: open it once, or take the name away before."
    if "FileNotFoundError" in said:
        return "Nothing has the name: O_CREAT creates it; or shm_unlink came too early, or twice."
    if "PermissionError" in said or "read-only" in said or "Errno 22" in said:
        return "Sizing and writing need O_RDWR for shm_open, and writing PROT_WRITE for mmap."
    if "missing" in said or "positional" in said:
        return "It's called with two arguments: the name and the text."
    if "structures" in said or "assign" in said or "bytes-like" in said:
        return "m.buf takes bytes, as many as the slice is long: m.buf[: len(text)] = text.encode('ascii')."
    return "Run it yourself, with a name of your own, and look at the outcome that wait() returns."


def _errno(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, str(error))


EXERCISES = (
    Exercise("02-a", ("the flags",), judge_flags),
    Exercise("02-b", ("the program",), judge_note),
    Exercise("02-c", ("the program",), judge_replace),
)
