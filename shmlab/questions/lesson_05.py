"""What lesson 05 asks: five predictions, and three exercises that are judged on processes that really fork.

Imported by :mod:`shmlab.questions` alone. The facts are FACTS.md's D10, D21, D81, F31 to F33.
"""

import os
import sys
from collections.abc import Iterator
from time import monotonic
from typing import Any

from shmlab import observe, posix
from shmlab.processes import Process, State
from shmlab.questions import PATIENCE, Exercise, Question, Verdict, right, scratch, wrong
from shmlab.questions.judging import kind_of, program_of

QUESTIONS = (
    Question(
        "05-store",
        "Both ranges read parent, in both processes, at the same addresses. Now the child stores child! into "
        "both. What does the parent read then?",
        (
            wrong(
                "MAP_SHARED: parent, MAP_PRIVATE: parent",
                "That would be so if fork copied everything. Then what would the s in the line rw-s of "
                "/proc/PID/maps be for?",
            ),
            right(
                "MAP_SHARED: child!, MAP_PRIVATE: parent",
                "The mapping is inherited together with its flags. The shared one still shows the object, to "
                "both. The private one was one page only until somebody stored: at that moment the kernel "
                "made the child a copy.",
            ),
            wrong(
                "MAP_SHARED: child!, MAP_PRIVATE: child!",
                "The same address in two processes is not the same memory: each process has a table of its "
                "own that says where an address leads. Which of the two flags promises sharing?",
            ),
            wrong(
                "MAP_SHARED: parent, MAP_PRIVATE: child!",
                "The other way round: one of the two flags says by its name that others shall see the store.",
            ),
        ),
    ),
    Question(
        "05-offset",
        "Both processes have descriptor 3, which shm_open returned before the fork. The child moves its "
        "offset with lseek(fd, 77, SEEK_SET). Where does the parent's own descriptor 3 stand after that?",
        (
            wrong(
                "At 0: the child has a descriptor of its own",
                "It has a number of its own, in a table of its own. But the offset is no part of that table: "
                "where would the kernel keep it so that a shell's commands append to one file?",
            ),
            right(
                "At 77: both numbers mean one open file",
                "fork copies the table of descriptors, and the copies refer to one open file description "
                "(fork(2)), which holds the offset. Whoever opens for itself has an offset of its own.",
            ),
            wrong(
                "Nowhere: a shared memory object has no offset",
                "mmap doesn't use it, but read and write do, and they work on what shm_open returns.",
            ),
        ),
    ),
    Question(
        "05-later",
        "This time the child maps the object after the fork, stores hello, and hands the parent the address. "
        "The child still stands there with its mapping. What happens when the parent reads at that address?",
        (
            wrong(
                "It finds hello: MAP_SHARED is shared",
                "MAP_SHARED says what stores do in a mapping that a process has. Does the parent have it? A "
                "fork copies what there is at that moment.",
            ),
            wrong(
                "It finds zeros: a page of its own",
                "A page of zeros comes with the first touch of a mapping. Has anything been mapped at that "
                "address, in the parent?",
            ),
            wrong(
                "It's killed by SIGBUS",
                "SIGBUS needs a mapping, behind which there is no object. Look at what the parent has at "
                "that address: is there even a mapping?",
            ),
            right(
                "It's killed by SIGSEGV",
                "After the fork the two address spaces go separate ways. In the parent nothing is mapped "
                "there, so the processor finds no page and the kernel sends SIGSEGV. An address means "
                "something in one process only.",
            ),
        ),
    ),
    Question(
        "05-exec",
        "The child, which has inherited a mapping, a System V attachment and the descriptor of shm_open, "
        "calls execv and becomes /bin/sh (keep is 0). Which of the three does the shell have?",
        (
            wrong(
                "All three: it's the same process",
                "It is the same process, with the same pid. But the addresses were the old program's: could "
                "the new program's code lie at them now?",
            ),
            wrong(
                "The mapping and the attachment",
                "Both are ranges of addresses, and the new program gets an address space that starts empty.",
            ),
            wrong(
                "The descriptor",
                "A good guess: descriptors do survive exec, as the shell's standard output shows. But see "
                "what shm_open(3) says of FD_CLOEXEC.",
            ),
            right(
                "None of them",
                "execve(2) drops the whole address space: mappings and attachments alike. A descriptor would "
                "survive, but shm_open sets FD_CLOEXEC on its own, so that one is closed too.",
            ),
        ),
    ),
    Question(
        "05-once",
        "The program prints the word once, forks, and both processes end as programs end: by exit. Its "
        "output goes to a pipe, as it does under a notebook. How often does the word come out?",
        (
            wrong(
                "Once: it's printed before the fork",
                "print puts the word into a buffer, and the buffer is written when it's full, or at the end. "
                "Where is that buffer when the fork happens?",
            ),
            right(
                "Twice: the buffer is copied",
                "The word waits in a buffer, which is a variable on the heap; fork copies it like any other "
                "private memory. At its end each process writes out its own copy.",
            ),
            wrong(
                "Not at all: each waits for the other to write it",
                "Neither knows of the other's buffer. What does exit do with a buffer that isn't empty?",
            ),
        ),
    ),
)

READ_WRITE = posix.PROT_READ | posix.PROT_WRITE


def passing_a_byte(flags: int) -> Iterator[str]:
    """Map without a descriptor, fork, let the child store, and say what the parent finds."""
    m = posix.mmap(None, 4096, READ_WRITE, flags, -1)
    child = os.fork()
    if child == 0:
        m.buf[0] = 67
        os._exit(0)
    os.waitpid(child, 0)
    print("found", m.buf[0])
    yield "looked"


def judge_flags(flags: Any) -> Verdict:
    """Exercise 05-a: the flags of memory that a family shares without a name."""
    if type(flags) is not int:
        return Verdict(
            False,
            f"that's {kind_of(flags)}, not flags.",
            "Flags are numbers that are put together with |: posix.MAP_… | posix.MAP_….",
        )
    if not -(2**31) <= flags < 2**31:
        return Verdict(False, f"{flags} is no int of C's.", "Put them together with |, of posix.MAP_….")
    with Process(passing_a_byte, flags, label="parent") as process:
        outcome = process.run().wait(PATIENCE / 2)
        output = process.output
    if outcome.ok and "found 67" in output:
        return Verdict(
            True,
            "the child's store arrived, though this memory has no name: only who descends from its maker can "
            "have it.",
        )
    if outcome.ok:
        return Verdict(
            False,
            "the child stored 67, and the parent found 0.",
            "With MAP_PRIVATE a store makes a copy of the page, for the one who stores. The other flag?",
        )
    if flags & posix.MAP_ANONYMOUS:
        return Verdict(
            False,
            f"mmap said no: it {outcome}.",
            "Each mapping is either MAP_SHARED or MAP_PRIVATE: one of them, with MAP_ANONYMOUS.",
        )
    return Verdict(
        False,
        f"mmap said no: it {outcome}.",
        "Without a descriptor (fd is -1 here) there is no object to map. MAP_ANONYMOUS asks for new memory.",
    )


def judge_delegate(program: Any) -> Verdict:
    """Exercise 05-b: a child stores its pid at offset 0; the parent waits, and stores its own at offset 8."""
    found = program_of(program, "delegate")
    if isinstance(found, Verdict):
        return found
    with scratch(b"") as name, Process(found, name, label=found.name) as process:
        deadline = monotonic() + PATIENCE / 2
        sampler = observe.Sampler(name)
        state = process.start().state
        while True:
            left = max(0.1, min(2.0, deadline - monotonic()))
            # One that waits for its child is blocked: that step is to be awaited, not another one ordered.
            state = process.step(left) if state.kind == "paused" else process.pause(left)
            content = sampler.read(0, 16)
            first, second = (int.from_bytes(content[at : at + 8], sys.byteorder) for at in (0, 8))
            if state.kind == "ended" or second or monotonic() > deadline:
                break
        waited = not (first and os.path.exists(f"/proc/{first}"))
        return _judge_pids(state, process.pid or 0, first, second, waited)


def _judge_pids(state: State, parent: int, first: int, second: int, waited: bool) -> Verdict:
    if state.kind == "ended" and (state.outcome is None or not state.outcome.ok):
        return Verdict(False, f"it {state.outcome}.", _help_for(str(state.outcome)))
    if not second and state.kind in ("running", "blocked"):
        return Verdict(False, f"it has not ended: {state}.", "The child must end by itself: os._exit(0).")
    if first == parent or (first and first == second):
        return Verdict(
            False,
            "one process stored both numbers.",
            "fork returns twice: 0 in the child, the child's pid in the parent. The 0 tells who does what.",
        )
    if not second:
        where = "offset 0 is set, offset 8 is 0" if first else "both numbers are 0"
        hint = (
            "Now the parent: after it has waited, it stores os.getpid() at offset 8."
            if first
            else "The child's pid at offset 0: m.buf.cast('Q')[0] = os.getpid(), in a MAP_SHARED mapping."
        )
        return Verdict(False, f"{where}.", hint)
    if second != parent:
        return Verdict(
            False,
            f"at offset 8 stands {second}, and the parent is {parent}.",
            "It's os.getpid(), in the parent.",
        )
    if state.kind == "ended":
        return Verdict(
            False,
            "it ended in the step that stored: too late to see whether it waited.",
            'Put a yield after the last store: yield "stored".',
        )
    if not first or not waited:
        return Verdict(
            False,
            f"the parent has stored, and its child {'is still there' if first else 'has not'}.",
            "os.waitpid(child, 0) returns when the child has ended, and takes it off the kernel's list.",
        )
    return Verdict(
        True,
        "two processes stored, the child first, and the parent knew when: the child had ended, and was "
        "waited for.",
    )


SAID = "the new program was here"
ADDED = b"and so was the parent"
COMMAND = ["sh", "-c", f"echo {SAID}"]


def judge_into(program: Any) -> Verdict:
    """Exercise 05-c: run a command with its standard output in the object, and go on after it."""
    found = program_of(program, "into")
    if isinstance(found, Verdict):
        return found
    arguments: list[Any] = [*COMMAND] if found.language == "C" else [COMMAND]
    with scratch(b"") as name, Process(found, name, *arguments, label=found.name) as process:
        process.run()
        try:
            outcome = process.wait(PATIENCE / 2)
        except TimeoutError:
            return Verdict(
                False,
                f"it has not ended: {process.state}.",
                "Who waits for whom? The child becomes the command, the parent waits for the child.",
            )
        output = process.output
        content = observe.Sampler(name).read().rstrip(b"\0")
    if content == f"{SAID}\n".encode() + ADDED:
        return Verdict(
            True,
            f"the object reads {content.decode()!r}. The command knew nothing of it: it inherited a standard "
            "output. And the parent's text came after it because they share one offset.",
        )
    if not outcome.ok:
        return Verdict(False, f"it {outcome}.", _help_for(str(outcome)))
    if "descriptor" in output.lower() or "write error" in output.lower():
        return Verdict(
            False,
            f"the command says: {output.strip()[:100]}",
            "shm_open's descriptor is closed by exec. What os.dup2(fd, 1) makes is not.",
        )
    if SAID in output:
        return Verdict(
            False,
            "the command's text went where this process prints, not into the object.",
            "Standard output is descriptor 1: os.dup2(fd, 1), in the child, before it becomes the command.",
        )
    return _judge_content(content)


def _judge_content(content: bytes) -> Verdict:
    said = SAID.encode()
    shown = f"the object reads {content[:60].decode(errors='replace')!r}"
    if not content:
        return Verdict(
            False,
            "the object is empty.",
            "os.fork; in the child os.dup2(fd, 1) and os.execvp(command[0], command); in the parent "
            "os.waitpid, then os.write.",
        )
    if content.rstrip(b"\n") == said:
        return Verdict(
            False,
            f"{shown}: the parent's text is missing.",
            f"After os.waitpid the parent goes on: os.write(fd, {ADDED!r}). Or did the parent call exec?",
        )
    if content == ADDED:
        return Verdict(
            False,
            f"{shown}, and nothing of the command.",
            "It's a child that becomes the command: os.fork, and in the child os.dup2(fd, 1) and os.execvp.",
        )
    if content.startswith(ADDED[:10]) and said in content:
        return Verdict(False, f"{shown}: the parent was first.", "os.waitpid(child, 0) first, then os.write.")
    if content.startswith(ADDED[:10]):
        return Verdict(
            False,
            f"{shown}: the parent's text lies over the command's.",
            "Who opens for itself has an offset of its own. One shm_open, before the fork, and os.write, not "
            "the mapping: then both share one offset.",
        )
    return Verdict(
        False, f"{shown}.", f"First what the command prints, then, right after it, {ADDED.decode()!r}."
    )


def _help_for(outcome: str) -> str:
    if "ChildProcessError" in outcome:
        return "Only the parent has a child to wait for. Does the child leave, by os._exit(0)?"
    if "missing" in outcome or "positional" in outcome:
        return "The text says what it's called with: the name, and in the last exercise the command too."
    if "read-only" in outcome or "PermissionError" in outcome:
        return "Writing needs O_RDWR for shm_open, and PROT_WRITE for mmap."
    if "SIGSEGV" in outcome or "SIGBUS" in outcome:
        return "Map the object before the fork, all its 4096 bytes."
    return "Run it yourself, step by step: Process(…).step()."


EXERCISES = (
    Exercise("05-a", ("the flags",), judge_flags),
    Exercise("05-b", ("the program",), judge_delegate),
    Exercise("05-c", ("the program",), judge_into),
)
