"""What lesson 03 asks: five predictions, and three exercises that are judged on real objects and processes.

Imported by :mod:`shmlab.questions` alone. The facts are FACTS.md's D16 to D19, D75 to D78, F05, F09, F10,
F16 to F22, P19.
"""

import errno
import os
from typing import Any

from shmlab import observe, posix
from shmlab.processes import Process, start
from shmlab.processes.outcome import Outcome
from shmlab.programs import Program
from shmlab.programs.touch import touch
from shmlab.questions import PATIENCE, Exercise, Question, Verdict, right, wrong
from shmlab.questions.judging import absent, existing, how, kind_of, program_of, run_to_end

PAGE = posix.PAGE_SIZE

QUESTIONS = (
    Question(
        "03-where",
        "The object was created and never sized. A process opens it, maps 4096 bytes of it, and reads "
        "byte 0. Where does that fail first?",
        (
            wrong(
                "At shm_open: there is nothing in the object",
                "An empty object is an object like any other: it has a name, an owner and a mode, "
                "and shm_open asks for no more.",
            ),
            wrong(
                "At mmap: it returns MAP_FAILED",
                "That would be a kind answer, and Python's own mmap gives it. But does the kernel compare "
                "the length with the object's size when it maps?",
            ),
            right(
                "At the read: a signal kills the process",
                "shm_open and mmap succeed. Only when the process touches an address does somebody have to "
                "come up with the byte that belongs there, and there is none. A touch is no call: it can't "
                "return an error, so the kernel sends a signal.",
            ),
            wrong(
                "Nowhere: it reads 0",
                "So it is with bytes that an object has and nobody has written. How many bytes does this one "
                "have?",
            ),
        ),
    ),
    Question(
        "03-first-fault",
        "The object has 1024 bytes, and a process maps 16384. It reads byte 0, byte 1, byte 2, … "
        "At which one does it die?",
        (
            wrong(
                "At byte 1024: it's the first that the object hasn't got",
                "That's what the object says. But who stands guard over each address is the processor's "
                "memory management, and the unit in which it gives and refuses is larger than a byte.",
            ),
            right(
                "At byte 4096: the first of the next page",
                "Memory is given in pages. Byte 1023 lies in the object's first page, and with it come all "
                "bytes up to 4095. The second page holds none of the object's bytes: nobody gives it.",
            ),
            wrong(
                "At byte 16384: the first that isn't mapped",
                "Up to there the addresses are mapped. It takes two to read a byte, though: a mapping that "
                "leads to the object, and an object that goes so far.",
            ),
            wrong(
                "At byte 0: the size must be a multiple of the page",
                "The document wonders about that, too. Then an object of 5 bytes could never be used; and "
                "ftruncate took the 1024 without a word.",
            ),
        ),
    ),
    Question(
        "03-stranger",
        "A maps the object and has read byte 0. Then B opens the same object with O_TRUNC, which makes it "
        "0 bytes long. A looks at byte 0 again, through the mapping that it has. What happens?",
        (
            wrong(
                "A sees what it saw: its mapping was made before",
                "That would be so if the mapping were a copy. It's a way to the object, and shows what the "
                "object is now.",
            ),
            wrong(
                "A sees 0",
                "Zeros stand where an object has bytes that nobody wrote. Has this one got a byte 0?",
            ),
            wrong(
                "B's call fails, because A has the object mapped",
                "shm_open asks whether B may write to the object. It doesn't ask whether somebody is using "
                "it.",
            ),
            right(
                "A is killed by SIGBUS",
                "The page was taken away from under A's mapping. A did nothing wrong, and nobody told it: "
                "who may write to an object may kill whoever maps it.",
            ),
        ),
    ),
    Question(
        "03-rescue",
        "A Python program says signal.signal(SIGBUS, handler), and then touches a byte that isn't there. "
        "What comes of it?",
        (
            wrong(
                "handler runs, and the program goes on after the read",
                "With what value? The read never took place. A signal that the program's own instruction "
                "raised is not like one that came from outside.",
            ),
            wrong(
                "handler runs, then the program dies",
                "So it is with the C twin of this lesson, whose handler is called at once. When does Python "
                "call a handler: in the middle of an instruction, or after it?",
            ),
            wrong(
                "It dies as before: SIGBUS can't be caught",
                "Only SIGKILL and SIGSTOP can't be caught (signal(7)). Python does install something.",
            ),
            right(
                "Neither: it hangs, and handler never runs",
                "Python's own C handler only notes that the signal came, and returns. The processor tries "
                "the same instruction again, and the same fault comes again, for ever. Your function would "
                "have its turn after the instruction, which is never over.",
            ),
        ),
    ),
    Question(
        "03-full",
        "/dev/shm has room for 1 MiB. A program creates an object, calls ftruncate for 2 MiB, maps it, and "
        "stores one byte in each page. Who reports that there isn't enough?",
        (
            wrong(
                "ftruncate: ENOSPC",
                "ftruncate sets a number, the size. How much memory did the object of 4096 bytes take, "
                "before anybody had touched it?",
            ),
            wrong(
                "mmap: ENOMEM",
                "mmap hands out addresses, and there are more than enough. Memory comes later.",
            ),
            right(
                "Nobody: a store in the middle is a Bus error",
                "ftruncate reserves nothing, and mmap neither. Each page is allocated when it is first "
                "touched, and the first one that there is no room for is fatal: once more it's a touch that "
                "fails, and a touch has no return value.",
            ),
            wrong(
                "Nobody: what doesn't fit is swapped out",
                "The limit here is the size of the file system /dev/shm. It counts the pages that an object "
                "has, wherever they lie.",
            ),
        ),
    ),
)

WANTED = 10_000
"""The byte that exercise 03-a wants to be touchable."""


def judge_smallest(size: Any) -> Verdict:
    """Exercise 03-a: the smallest size of an object whose byte 10000 can be touched (FACTS D18)."""
    if type(size) is not int:
        return Verdict(False, f"that's {kind_of(size)}, not a number of bytes.", "Give it a whole number.")
    if not 0 < size <= 1 << 24:
        return Verdict(False, f"{size} is no sensible size.", "It lies between 1 byte and 16 MiB.")
    with existing("checka", size) as name, existing("checkb", size - 1) as less:
        probes = [Process(touch, each, max(4 * PAGE, 16_384), WANTED, 1) for each in (name, less)]
        given, smaller = _outcomes(probes)
    if not given.ok:
        hint = f"Which page does byte {WANTED} lie in, and from which size on has the object that page?"
        return Verdict(False, f"with {size} bytes, a process that touches byte {WANTED} is {given}.", hint)
    if smaller.ok:
        message = f"with {size} bytes it survives, but with {size - 1} it does, too."
        return Verdict(
            False, message, "A page is there as a whole as soon as one byte of it is the object's."
        )
    return Verdict(
        True,
        f"with {size} bytes byte {WANTED} can be touched, with {size - 1} it is {smaller}: "
        "one byte brings the whole page.",
    )


CASES = (
    # size, offset, what it shows
    (0, PAGE + 904, "an object of 0 bytes"),
    (2 * PAGE, PAGE + 904, "an object that is large enough"),
    (1000, 2000, "an object of 1000 bytes"),
    (PAGE, PAGE, "an object of one page"),
)
KEPT = b"keep this"


def judge_careful(program: Any) -> Verdict:
    """Exercise 03-b: a program that stores ! at an offset, growing the object where it has to (F17, F18)."""
    found = program_of(program, "put")
    if isinstance(found, Verdict):
        return found
    for size, offset, what in CASES:
        with existing("check", size) as name, Process(found, name, offset, label=found.name) as process:
            sampler = observe.Sampler(name)
            if size:
                _write(name, KEPT)
            outcome = run_to_end(process)
            where = f"{what}, offset {offset}"
            if outcome is None or not outcome.ok:
                return Verdict(False, f"{where}: it {how(outcome)}.", _help_to_put(outcome))
            try:
                now = sampler.read()
            except FileNotFoundError:
                return Verdict(
                    False, f"{where}: the object is gone.", "Others need it: leave out shm_unlink."
                )
        complaint, hint = _misput(now, size, offset)
        if complaint:
            return Verdict(False, f"{where}: {complaint}.", hint)
    return Verdict(True, f"{len(CASES)} objects, all with their ! in place, and none of them shortened.")


def _misput(now: bytes, size: int, offset: int) -> tuple[str, str]:
    """Return what is wrong with the object that a program left, and a hint."""
    if len(now) < size:
        return (
            f"it had {size} bytes, and has {len(now)} now",
            "ftruncate shortens, too: what lay behind is lost, and who touches it dies. "
            "Ask os.fstat(fd).st_size first.",
        )
    if len(now) <= offset:
        return (
            f"read(2) finds no byte {offset}: the object has {len(now)}",
            "The store hit the rest of the last page, which isn't the object's. Its size decides, not "
            "whether you survive: grow it when it's no larger than offset.",
        )
    if now[offset : offset + 1] != b"!":
        return f"byte {offset} is {now[offset]}, not 33", "Store ord('!') at m.buf[offset], with MAP_SHARED."
    if size and not now.startswith(KEPT):
        return "what stood in it before is lost", "No O_TRUNC, and no ftruncate to less than it has."
    return "", ""


def _help_to_put(outcome: Outcome | None) -> str:
    said = str(outcome)
    if outcome is None:
        return "It takes a few calls and one store: no endless loop."
    if "SIGBUS" in said:
        return "It touched a page that the object hasn't got: size it first, up to and including that byte."
    if "IndexError" in said:
        return "The mapping has to reach as far as the offset: map offset + 1 bytes, from offset 0."
    if "FileNotFoundError" in said:
        return "It's called with the name of an object that exists: shm_open(name, posix.O_RDWR)."
    if "PermissionError" in said or "read-only" in said or "Errno 22" in said:
        return "Sizing and writing need O_RDWR for shm_open, and writing PROT_WRITE for mmap."
    if "missing" in said or "positional" in said:
        return "It's called with two arguments: the name and the offset."
    return "Run it yourself: Process(put, name, 5000).run().wait()."


def judge_reserve(program: Any) -> Verdict:
    """Exercise 03-c: a program that creates an object whose memory is reserved, or leaves nothing (F10)."""
    found = program_of(program, "reserve")
    if isinstance(found, Verdict):
        return found
    size = 3 * PAGE
    with absent("check") as name, Process(found, name, size, label=found.name) as process:
        outcome = run_to_end(process)
        entry = observe.object_entry(name)
        if outcome is None or not outcome.ok:
            return Verdict(False, f"for {size} bytes it {how(outcome)}.", _help_to_reserve(outcome))
        if entry is None:
            return Verdict(
                False,
                "there is no object of that name afterwards.",
                "Create it with O_CREAT | O_EXCL | O_RDWR, and unlink it only when reserving failed.",
            )
        if entry.size != size:
            return Verdict(
                False, f"the object has {entry.size} bytes, not {size}.", "The second argument is its size."
            )
        if entry.allocated < size:
            hint = "ftruncate sets the size and reserves nothing: posix_fallocate does both."
            return Verdict(
                False,
                f"of {size} bytes {entry.allocated} are allocated: the rest may be refused later.",
                hint,
            )
        if any(extent.data for extent in observe.allocated_pages(name)):
            hint = (
                "Whoever touches to see whether there is room dies of it: posix_fallocate reserves untouched."
            )
            return Verdict(False, "pages of it were touched.", hint)
    return _judge_too_much(found)


def _judge_too_much(program: Program) -> Verdict:
    """Ask for a page more than all of /dev/shm holds, which the kernel refuses at once."""
    room = os.statvfs("/dev/shm")
    size = (room.f_blocks or 1 << 50) * room.f_frsize + PAGE
    with absent("check") as name, Process(program, name, size, label=program.name) as process:
        outcome = run_to_end(process)
        left = observe.object_entry(name)
    told = outcome is not None and outcome.kind == "raised" and f"Errno {errno.ENOSPC}" in outcome.error
    if not told and room.f_blocks:
        hint = "Let the OSError of posix_fallocate out of the program: after cleaning up, raise it again."
        return Verdict(False, f"for more than /dev/shm holds it {how(outcome)}.", hint)
    if left is not None:
        return Verdict(
            False,
            "it raised, and left an object of its name behind.",
            "try: … except OSError: unlink the name, then raise.",
        )
    return Verdict(
        True,
        "reserved without a touch; and where there is no room, an error to be handled, and nothing left.",
    )


def _help_to_reserve(outcome: Outcome | None) -> str:
    said = str(outcome)
    if outcome is None:
        return "It takes two calls, and a third when one fails: no endless loop."
    if "FileExistsError" in said:
        return "Open it once: nobody else has that name."
    if "FileNotFoundError" in said:
        return "It has to create the object: O_CREAT | O_EXCL | O_RDWR."
    if "missing" in said or "positional" in said:
        return "It's called with two arguments: the name and the size in bytes."
    return "Run it yourself: Process(reserve, own_name('try'), 12288).run().wait()."


# --- Objects and processes to try things on ----------------------------------------------------------------


def _write(name: str, data: bytes) -> None:
    """Write by the descriptor, not through a mapping: a program may shorten the object meanwhile."""
    fd = posix.shm_open(name, posix.O_RDWR)
    try:
        os.pwrite(fd, data, 0)
    finally:
        posix.close(fd)


def _outcomes(processes: list[Process]) -> list[Outcome]:
    try:
        start(*processes)
        return [process.run().wait(PATIENCE / 2) for process in processes]
    finally:
        for process in processes:
            process.stop()


EXERCISES = (
    Exercise("03-a", ("the size in bytes",), judge_smallest),
    Exercise("03-b", ("the program",), judge_careful),
    Exercise("03-c", ("the program",), judge_reserve),
)
