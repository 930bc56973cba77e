"""What lesson 04 asks: six predictions, and three exercises that are judged on real mappings and processes.

Imported by :mod:`shmlab.questions` alone. The facts are FACTS.md's D12 to D14, D79 to D93, F16 to F27, F76 to
F79, P18, P21.
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from shmlab import observe, posix
from shmlab.processes import Process
from shmlab.processes.outcome import Outcome
from shmlab.questions import PATIENCE, Exercise, Question, Verdict, right, scratch, wrong
from shmlab.questions.judging import kind_of, program_of

PAGE = posix.PAGE_SIZE

QUESTIONS = (
    Question(
        "04-protect",
        "The object may be written by its owner, and was opened with O_RDWR. A process maps it with "
        "PROT_READ "
        "alone, and then stores a byte there. What happens?",
        (
            wrong(
                "The byte is stored: the descriptor allows it",
                "The descriptor says what may be asked of mmap. What may be done at an address is up to the "
                "mapping.",
            ),
            wrong(
                "Nothing: the store is ignored",
                "The processor doesn't skip an instruction that it can't carry out: it tells the kernel.",
            ),
            wrong(
                "SIGBUS kills the process",
                "SIGBUS says that the object hasn't got the byte. Here it's there; only the mapping forbids "
                "it.",
            ),
            right(
                "SIGSEGV kills the process",
                "The object is in order, the mapping says no: a segmentation fault, with si_code "
                "SEGV_ACCERR.",
            ),
        ),
    ),
    Question(
        "04-readonly",
        "An object was opened with O_RDONLY. Now it's mapped with PROT_READ | PROT_WRITE, once with "
        "MAP_SHARED, "
        "once with MAP_PRIVATE. Which mmap succeeds?",
        (
            wrong(
                "Both: only a store would fail",
                "Then a mapping could do what its descriptor may not. Who would have to notice, and when?",
            ),
            wrong(
                "Neither: O_RDONLY means no PROT_WRITE",
                "Whom does a store harm? With one of the two flags it never reaches the object.",
            ),
            wrong(
                "Only the one with MAP_SHARED",
                "A store through a shared mapping changes the object. Was it opened for that?",
            ),
            right(
                "Only the one with MAP_PRIVATE",
                "What is stored through it never gets to the object, so reading it is all that has to be "
                "permitted. MAP_SHARED with PROT_WRITE needs O_RDWR: otherwise EACCES.",
            ),
        ),
    ),
    Question(
        "04-copy",
        "A has mapped the object with MAP_PRIVATE, and stored an A into page 1. Then B, with MAP_SHARED, "
        "stores "
        "a B into page 0 and one into page 1, each right beside A's place. Now A looks. Which of the two "
        "does "
        "it see?",
        (
            wrong(
                "Both: A's byte is A's own, all others are the object's",
                "What is copied is as large as what the processor can lead somewhere else: more than a byte.",
            ),
            wrong(
                "Neither: a private mapping is a copy of the object as it was",
                "Was anything copied at mmap? Look at the map of the pages: which of them are A's own?",
            ),
            right(
                "Only the one in page 0",
                "Page 1 was copied when A stored there, the whole of it; since then A's page 1 and the "
                "object's "
                "are two pages. Page 0 is still the object's.",
            ),
            wrong(
                "Only the one in page 1",
                "In which of the two pages has A stored something, and what did the kernel do then?",
            ),
        ),
    ),
    Question(
        "04-fixed",
        "A process has “precious” in a page of its own memory. It maps an object with MAP_FIXED and that "
        "page's "
        "address. What happens?",
        (
            wrong(
                "mmap fails: something stands there",
                "So it would be if mmap asked. There's a flag that makes it ask; it isn't this one.",
            ),
            wrong(
                "The object is mapped somewhere else",
                "So it is when the address is only a hint. MAP_FIXED says: there, and nowhere else.",
            ),
            right(
                "The object is mapped there, and “precious” is gone",
                "Whatever stood there is unmapped first, without a word. If that was the memory of "
                "somebody's "
                "library, so much the worse.",
            ),
            wrong(
                "The process is killed by SIGSEGV",
                "Nobody touched anything forbidden. mmap is a call, and says whether it succeeded.",
            ),
        ),
    ),
    Question(
        "04-pointer",
        "A stored in the object the address of “hello”, as it stands in A's mapping. B, another process, "
        "maps "
        "the same object somewhere else, takes that address out of it and reads there. What does B get?",
        (
            wrong(
                "“hello”: it's the same memory",
                "The memory is the same. The address isn't memory, though: it's one process's way there.",
            ),
            wrong(
                "“hello”, as long as A is alive",
                "B reads with its own page tables. What A has mapped doesn't stand in them.",
            ),
            wrong(
                "mmap adjusts the address for B",
                "To the kernel it's 8 bytes of data: it doesn't know that they mean an address.",
            ),
            right(
                "SIGSEGV: at that address B has nothing",
                "The address belongs to A's mapping. In B nothing is mapped there; or worse, something else "
                "is, "
                "and then B reads that.",
            ),
        ),
    ),
    Question(
        "04-msync",
        "The document says that msync makes changes visible to other processes. How often does a process "
        "have "
        "to call it, so that another one, which maps the same object, sees a store?",
        (
            wrong(
                "Once after every store",
                "Has any program of this lesson, or of lesson 01, called it at all?",
            ),
            wrong(
                "Once, before the other one looks",
                "Where would the store have to be carried to? Compare the page frames of two shared "
                "mappings.",
            ),
            wrong(
                "Only when the two run on different processors",
                "The processors' caches are kept coherent by the hardware; no system call has a part in it.",
            ),
            right(
                "Never",
                "Both lead to the same pages of memory: a store is there for all as soon as it's made. "
                "msync is "
                "about something else, the disk under a file.",
            ),
        ),
    ),
)

WANTED = 10_000
"""The byte that exercise 04-a wants to reach."""


def judge_window(offset: Any, index: Any) -> Verdict:
    """Exercise 04-a: the largest offset for mmap that reaches byte 10000, and where it stands there (D92)."""
    for value in (offset, index):
        if type(value) is not int:
            return Verdict(False, f"that's {kind_of(value)}, not a number of bytes.", "Give whole numbers.")
    if not 0 <= index < 4 * PAGE:
        return Verdict(False, f"the mapping has no byte {index}.", f"It counts from 0 to {4 * PAGE - 1}.")
    if not -(1 << 60) < offset < 1 << 60:
        return Verdict(False, f"{offset} is no sensible offset.", f"It lies between 0 and {WANTED}.")
    last = WANTED // PAGE * PAGE
    with scratch(b"", max(5 * PAGE, WANTED + PAGE)) as name:
        fd = posix.shm_open(name, posix.O_RDONLY)
        try:
            posix.mmap(None, 4 * PAGE, posix.PROT_READ, posix.MAP_SHARED, fd, offset)
        except OSError as error:
            hint = f"Offsets are counted in whole pages: multiples of {PAGE}."
            return Verdict(False, f"mmap with offset {offset}: {error.strerror}.", hint)
        finally:
            posix.close(fd)
    if offset > WANTED:
        return Verdict(
            False, f"a mapping from offset {offset} on begins past byte {WANTED}.", "Begin earlier."
        )
    if offset + index != WANTED:
        return Verdict(
            False,
            f"byte {index} of a mapping from offset {offset} on is byte {offset + index} of the object.",
            f"offset + index has to be {WANTED}.",
        )
    if offset != last:
        message = f"it reaches byte {WANTED}, but a mapping may begin nearer to it than {offset}."
        return Verdict(False, message, f"Which is the largest multiple of {PAGE} that isn't past {WANTED}?")
    return Verdict(True, f"mapped from offset {offset} on, byte {WANTED} is the mapping's byte {index}.")


SCRIBBLED = 2 * PAGE + 100


def judge_scribble(program: Any) -> Verdict:
    """Exercise 04-b: a program that stores ! in a copy of its own, with a read-only descriptor (D88, D91)."""
    found = program_of(program, "scribble")
    if isinstance(found, Verdict):
        return found
    with scratch(b"", 4 * PAGE) as name, Process(found, name, SCRIBBLED, label=found.name) as process:
        before = observe.Sampler(name).read()
        complaint = Verdict(
            False,
            "it never paused with the object mapped.",
            "Put a yield after the store, and keep m until then.",
        )
        copied = False
        for _ in range(20):
            state = process.step()
            if state.kind != "paused":
                break
            found_amiss = _scribbled(process, name)
            if found_amiss is None:
                copied = True
                break
            complaint = found_amiss
        try:
            changed = observe.Sampler(name).read() != before
        except FileNotFoundError:
            return Verdict(False, "the object is gone.", "Others need it: leave out shm_unlink.")
        outcome = process.outcome
        if state.kind in ("running", "blocked"):
            return Verdict(
                False, "it has not come to a yield.", "It takes three calls and one store: no loop."
            )
        if outcome is not None and not outcome.ok:
            how = f"was {outcome}" if outcome.kind in ("killed", "stopped") else str(outcome)
            return Verdict(False, f"it {how}.", _help_to_scribble(outcome))
        if changed:
            hint = "MAP_SHARED stores into the object itself. Which flag keeps what you store to yourself?"
            return Verdict(False, "the object has changed.", hint)
    if not copied:
        return complaint
    return Verdict(True, "one page copied for you alone, and the object as it was; O_RDONLY was enough.")


def _scribbled(process: Process, name: str) -> Verdict | None:
    """Return what is amiss with a paused program's mapping; None when it's as it should be."""
    pid = process.pid or 0
    lines = observe.mappings(pid, name)
    if any(line.perms.startswith("rw-s") for line in lines):
        hint = "With O_RDONLY the kernel would have refused. Which flag keeps what you store to yourself?"
        return Verdict(False, "the object is mapped with MAP_SHARED, for writing.", hint)
    if not lines:
        return Verdict(
            False,
            "it never paused with the object mapped.",
            "Put a yield after the store, and keep m until then.",
        )
    copied = [
        line.offset + number * PAGE
        for line in lines
        for number, page in enumerate(observe.pages(pid, line.start, line.length))
        if page.present and not page.file_or_shared
    ]
    wanted = SCRIBBLED // PAGE * PAGE
    if not copied:
        return Verdict(
            False,
            "no page of its mapping has been copied.",
            "A copy is made by a store: m.buf[offset] = ord('!'), then a yield.",
        )
    if copied != [wanted]:
        hint = "Store the one byte, at the offset that the program is given."
        return Verdict(False, f"copied were the pages at {copied}, wanted is the one at {wanted}.", hint)
    return None


def _help_to_scribble(outcome: Outcome) -> str:
    said = str(outcome)
    if "PermissionError" in said:
        return "MAP_SHARED with PROT_WRITE needs O_RDWR. Is there a flag whose stores don't reach the object?"
    if "read-only" in said or "SIGSEGV" in said:
        return "Storing needs PROT_WRITE, even in a copy of one's own."
    if "IndexError" in said:
        return "The mapping has to reach as far as the offset: map offset + 1 bytes, from offset 0."
    if "FileNotFoundError" in said or "FileExistsError" in said:
        return "It's called with the name of an object that exists: shm_open(name, posix.O_RDONLY)."
    if "missing" in said or "positional" in said:
        return "It's called with two arguments: the name and the offset."
    return "Run it yourself: Process(scribble, name, 100).run().wait()."


CHAINS = (
    # offsets of the records, in the order of the chain, and their words
    ((512, 64, 3000), ("one", "object,", "anywhere")),
    ((4000, 2048, 16, 1024), ("offsets", "are", "no", "pointers")),
    ((), ()),
)


def judge_chain(program: Any) -> Verdict:
    """Exercise 04-c: a program that prints what stands along a chain of offsets (P21, D84)."""
    found = program_of(program, "read_chain")
    if isinstance(found, Verdict):
        return found
    for places, words in CHAINS:
        with _chain(places, words) as name, Process(found, name, label=found.name) as process:
            what = f"a chain of {len(words)} records"
            try:
                outcome = process.run().wait(PATIENCE / 5)
            except TimeoutError:
                hint = "The chain ends with the record whose first number is 0; an empty chain begins with 0."
                return Verdict(False, f"{what}: it has not ended.", hint)
            if not outcome.ok:
                how = f"was {outcome}" if outcome.kind in ("killed", "stopped") else str(outcome)
                return Verdict(False, f"{what}: it {how}.", _help_to_follow(outcome))
            printed = process.output.split()
        if printed != list(words):
            wanted = " ".join(words) or "nothing"
            got = " ".join(printed)[:80] or "nothing"
            return Verdict(
                False, f"{what}: it printed {got}, wanted is {wanted}.", _help_to_print(printed, words)
            )
    return Verdict(
        True, f"{len(CHAINS)} chains, wherever they were mapped: an offset means the same everywhere."
    )


@contextmanager
def _chain(places: tuple[int, ...], words: tuple[str, ...]) -> Iterator[str]:
    content = bytearray(4096)
    # Whoever takes the head for a record gives itself away.
    struct.pack_into("Q8s", content, 0, places[0] if places else 0, b"head")
    for number, (place, word) in enumerate(zip(places, words, strict=True)):
        after = places[number + 1] if number + 1 < len(places) else 0
        struct.pack_into("Q8s", content, place, after, word.encode())
    with scratch(bytes(content)) as name:
        yield name


def _help_to_follow(outcome: Outcome) -> str:
    said = str(outcome)
    if "SIGSEGV" in said:
        return "What stands there is an offset, no address: look at m.buf, at that offset."
    if "UnicodeDecodeError" in said:
        return "A word is 8 bytes, filled up with zeros, and stands behind the 8 bytes of the number."
    if "struct.error" in said:
        return "struct.unpack_from('Q8s', m.buf, at) takes a number and 8 bytes out of a record."
    if "missing" in said or "positional" in said:
        return "It's called with one argument: the name."
    return "Run it yourself: Process(read_chain, name).run().wait()."


def _help_to_print(printed: list[str], words: tuple[str, ...]) -> str:
    if any("\0" in word or "\\x00" in word for word in printed):
        return "Take the zeros off: word.rstrip(b'\\0').decode()."
    if printed == list(words[:-1]):
        return "The last record, whose number is 0, has a word as well."
    if not words:
        return "When the number at offset 0 is 0 there is no record at all."
    return "The number at offset 0 says where the first record is; each record's number, where the next."


EXERCISES = (
    Exercise("04-a", ("the offset for mmap", "the index in the mapping"), judge_window),
    Exercise("04-b", ("the program",), judge_scribble),
    Exercise("04-c", ("the program",), judge_chain),
)
