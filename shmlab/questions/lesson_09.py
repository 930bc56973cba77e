"""What lesson 09 asks: five predictions, and three exercises that the kernel's table of segments judges.

Imported by :mod:`shmlab.questions` alone. The facts are FACTS.md's D29, F33, F43, F51 to F57, F71 to F73.
"""

import os
import signal
from collections.abc import Iterator, Sequence
from typing import Any

from shmlab import observe, sysv
from shmlab.processes import Process, own_key
from shmlab.programs import Program
from shmlab.questions import Exercise, Question, Verdict, right, wrong
from shmlab.questions.judging import how, kind_of, program_of

QUESTIONS = (
    Question(
        "09-nattch",
        "Process A has attached the segment twice, process B once. ipcs -m has a column nattch; lsipc, a "
        "tool of the same makers, explains it as the number of attached processes. What stands there?",
        (
            wrong(
                "1: one segment is attached",
                "That would be a strange count: one row is one segment anyway. What could be counted in it?",
            ),
            wrong(
                "2: two processes have it",
                "So lsipc's explanation says. But what does the kernel do at the second shmat of a process: "
                "does it look whether the process has the segment already?",
            ),
            right(
                "3: three times it was attached",
                "The kernel counts attachments, and knows nothing of whose they are. Two processes, three "
                "attachments.",
            ),
        ),
    ),
    Question(
        "09-killed",
        "A made the segment and has it attached twice, B once. Now A is killed by kill -9, without a chance "
        "to detach anything. What does ipcs -m show?",
        (
            wrong(
                "No such segment: its creator is dead",
                "The creator is a number in the table, cpid. Does a segment need its creator?",
            ),
            wrong(
                "The segment, and nattch is still 3",
                "Nobody called shmdt, that's true. But the kernel takes a dead process's memory apart.",
            ),
            right(
                "The segment, and nattch is 1",
                "Dying detaches, however one dies; it doesn't remove. And with nattch 0 the segment would "
                "stay all the same.",
            ),
            wrong(
                "The segment, marked dest",
                "That mark comes from IPC_RMID alone, and nobody called it.",
            ),
        ),
    ),
    Question(
        "09-deleted",
        "B has the segment attached; nobody has removed anything. What does B's line in /proc/PID/maps show "
        "as the path?",
        (
            wrong(
                "/dev/shm and the key",
                "That's where POSIX objects are. System V segments live in no folder that you could list.",
            ),
            wrong(
                "/SYSV and the key, and no more",
                "Almost. The kernel adds a word that it adds to each file that no folder holds.",
            ),
            right(
                "/SYSV and the key, and (deleted)",
                "A segment is a file inside the kernel that never had a place in a folder, and of such files "
                "the kernel says (deleted). It means nothing here: ask ipcs whether a segment is marked.",
            ),
            wrong(
                "Nothing: the memory is anonymous",
                "It looks like it, for there's no name. But the kernel keeps a segment as a file of its own.",
            ),
        ),
    ),
    Question(
        "09-posix",
        "The notebook makes a POSIX object of 4096 bytes and maps it. What does ipcs show of it?",
        (
            wrong(
                "A row whose key is the object's name",
                "A key is a number of 32 bits, and an object has none. Where would the name be?",
            ),
            wrong(
                "A row with the key 0x00000000",
                "That's how segments of IPC_PRIVATE look, and marked ones. An object is no segment.",
            ),
            right(
                "Nothing",
                "ipcs asks for the tables of System V, and objects aren't in them. Look in /dev/shm, in "
                "/proc/PID/maps, or use a tool that looks at both.",
            ),
        ),
    ),
    Question(
        "09-namespace",
        "unshare --ipc starts a program in an IPC namespace of its own. There it runs ipcs -m, and lists "
        "/dev/shm. What does it see of the notebook's segment and of its object?",
        (
            wrong("Both", "Then there would be nothing to unshare. One of the two lives in a namespace."),
            right(
                "The object, but not the segment",
                "Keys, ids and tables of System V belong to an IPC namespace. Objects are files of a file "
                "system that is mounted at /dev/shm: another kind of namespace, that of mounts.",
            ),
            wrong(
                "The segment, but not the object",
                "It's the other way round: what would a namespace called IPC hold, keys and ids, or files?",
            ),
            wrong(
                "Neither",
                "So it is in a container, which has a namespace of each kind. Here only one was unshared.",
            ),
        ),
    ),
)

# --- 09-a --------------------------------------------------------------------------------------------------


def _family(key: int) -> Iterator[str]:
    shmid = sysv.shmget(key, 4096, sysv.IPC_CREAT | sysv.IPC_EXCL | 0o600)
    first, second = sysv.shmat(shmid), sysv.shmat(shmid)
    child = os.fork()
    if child == 0:
        sysv.shmdt(first)
        signal.raise_signal(signal.SIGSTOP)
        os._exit(0)
    os.waitpid(child, os.WUNTRACED)
    yield "the child has detached once"
    sysv.shmdt(second)


def judge_count(count: Any) -> Verdict:
    """Exercise 09-a: nattch when a parent attached twice, and its child detached once (F33, F43)."""
    if type(count) is not int:
        return Verdict(False, f"that's {kind_of(count)}, not a number.", "What stands in column nattch?")
    key = own_key("check")
    _remove(row.id for row in observe.segments() if row.key == key)
    try:
        with Process(_family, key) as parent:
            state = parent.step()
            while state.kind == "blocked":  # in waitpid, until its child has stopped
                state = parent.pause()
            (nattch,) = (row.attached for row in observe.segments() if row.key == key)
    finally:
        _remove(row.id for row in observe.segments() if row.key == key)
    if count == nattch:
        return Verdict(True, f"nattch is {nattch}: the kernel was just asked, about two real processes.")
    hint = "fork copies attachments, all of them. And the child takes away one of its own."
    return Verdict(False, f"the kernel says something else than {count}.", hint)


# --- 09-b --------------------------------------------------------------------------------------------------

SIZE, MOST = 5000, 12


def judge_tidy(program: Any) -> Verdict:
    """Exercise 09-b: a program that leaves no segment behind, whichever yield it is killed at (F72)."""
    found = program_of(program, "tidy")
    if isinstance(found, Verdict):
        return found
    for steps in range(1, MOST + 1):
        verdict = _killed_after(found, steps)
        if verdict is not None:
            return verdict
    return Verdict(False, f"it has more than {MOST} steps.", "Three calls, and a yield or two.")


def _killed_after(program: Program, steps: int) -> Verdict | None:
    """Kill the program after so many steps; return what is wrong, or that all is well; None to go on."""
    with Process(program, SIZE, label=program.name) as process:
        for _ in range(steps):
            state = process.step()
        made = _made_by(process.pid)
        used = [row for row in made if row.attached and row.size == SIZE]
    left = _made_by(process.pid)
    _remove(row.id for row in left)
    if state.kind == "ended":
        if state.outcome is None or not state.outcome.ok:
            return Verdict(False, f"it {how(state.outcome)}.", "Run it yourself: Process(tidy, 5000).step().")
        if steps == 1:
            return Verdict(False, "it never yields.", "Yield while it has the segment attached.")
        if left:
            hint = "Who removes it when all goes well?"
            return Verdict(False, "it ran to its end, and its segment is still there.", hint)
        return Verdict(True, f"killed after each of {steps - 1} steps, and nothing was left, ever.")
    if state.kind != "paused":
        return Verdict(False, f"after step {steps - 1} it is {state}.", "It needs no waiting.")
    if left:
        hint = "IPC_RMID doesn't take it from who has it attached. So when is the earliest moment for it?"
        return Verdict(False, f"killed at {state.at!r}, it left its segment behind.", hint)
    if steps == 1 and not used:
        hint = f"At its first yield it has a segment of {SIZE} bytes attached: keep what shmat returns."
        return Verdict(False, f"at {state.at!r} it has no segment of {SIZE} bytes attached.", hint)
    return None


# --- 09-c --------------------------------------------------------------------------------------------------


def judge_hunt(culprit: Any, bystanders: Any) -> Verdict:
    """Exercise 09-c: what the dead process made is gone, and whatever else there was is there (F51, F71)."""
    if not isinstance(culprit, Process) or culprit.pid is None:
        return Verdict(False, "there is no culprit.", "Run the cell that sets it loose: culprit, bystanders.")
    if not isinstance(bystanders, Sequence) or not bystanders:
        return Verdict(False, "there are no bystanders.", "Run the cell that sets the culprit loose.")
    outcome = culprit.outcome
    if outcome is None or outcome.kind != "killed":
        return Verdict(False, "the culprit isn't dead yet.", "Run the cell that sets it loose again.")
    there = {row.id for row in observe.segments() if not row.dest}
    if missing := [shmid for shmid in bystanders if shmid not in there]:
        message = f"{_segments(len(missing))} of somebody else's {_were(len(missing))} removed."
        hint = "Whose is it? Not who was there last, lpid, but who made it. Set the scene again."
        return Verdict(False, message, hint)
    if left := _made_by(culprit.pid):
        message = f"{_segments(len(left))} of the dead process {_were(len(left), 'is', 'are')} still there."
        return Verdict(False, message, "ipcs -m -p shows who made each: cpid. ipcrm -m takes an id.")
    return Verdict(True, "all that the dead process left is gone, and nothing else is.")


def _segments(count: int) -> str:
    return f"{count} segment{'' if count == 1 else 's'}"


def _were(count: int, one: str = "was", many: str = "were") -> str:
    return one if count == 1 else many


def _made_by(pid: int | None) -> list[observe.Segment]:
    return [row for row in observe.segments() if row.cpid == pid]


def _remove(ids: Iterator[int]) -> None:
    for shmid in ids:
        try:
            sysv.shmctl(shmid, sysv.IPC_RMID)
        except OSError:
            continue  # gone meanwhile, which is as good


EXERCISES = (
    Exercise("09-a", ("the number",), judge_count),
    Exercise("09-b", ("the program",), judge_tidy),
    Exercise("09-c", ("the culprit", "the bystanders"), judge_hunt),
)
