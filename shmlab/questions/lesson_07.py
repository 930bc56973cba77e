"""What lesson 07 asks: five predictions, and three exercises that are judged on real objects and processes.

Imported by :mod:`shmlab.questions` alone. The facts are FACTS.md's D05, D09, D40, D43, D70, D71, F01, F02,
F05 to F08, F28, F30, F42.
"""

import os
from collections.abc import Iterator
from typing import Any

from shmlab import observe, posix
from shmlab.processes import Process, start
from shmlab.programs import Program
from shmlab.questions import PATIENCE, Exercise, Question, Verdict, right, wrong
from shmlab.questions.judging import absent, ended, existing, how, kind_of, program_of, run_to_end

SIZE = 4096
CREATE = posix.O_CREAT | posix.O_EXCL | posix.O_RDWR

QUESTIONS = (
    Question(
        "07-first",
        "There is no object of that name, and this time the reader is started first. The writer comes later. "
        "What does the reader print?",
        (
            wrong(
                "'hello': it waits until the text is there",
                "Which of its lines would wait? Neither shm_open nor mmap waits for anybody.",
            ),
            right(
                "'': an empty text",
                "O_CREAT without O_EXCL means: open it, or else make one. So the reader made the object that "
                "it came to read, found zeros in it, and nothing told it that it was the first.",
            ),
            wrong(
                "Nothing: its shm_open fails with ENOENT",
                "That would be the kinder answer, and it's what an shm_open without O_CREAT gives. Look at "
                "the flags.",
            ),
            wrong(
                "Nothing: it is killed by SIGBUS",
                "So it is with an object that nobody has sized (lesson 03). This reader has a line for that, "
                "too.",
            ),
        ),
    ),
    Question(
        "07-two",
        "The reader has printed its '' and unlinked the name. The writer, which had mapped the object "
        "before, "
        "stores hello. Now a second reader is started, with the same name. What does it print?",
        (
            wrong(
                "'hello': the name is the same",
                "The name is. But the writer asked for the name once, when it opened. What does a name lead "
                "to after it was unlinked and created again?",
            ),
            right(
                "'': it reads another object",
                "shm_unlink removed the name and left the writer its object. The second reader's "
                "O_CREAT then "
                "made a new object of that name. Two objects, one name after the other, and writer and "
                "reader "
                "each hold one.",
            ),
            wrong(
                "Nothing: the name is gone, so it gets ENOENT",
                "The name is gone. And what does O_CREAT do when a name is absent?",
            ),
            wrong(
                "'hello': unlinking waits until the writer has ended",
                "What waits is the release of the memory. The name is gone at once.",
            ),
        ),
    ),
    Question(
        "07-umask",
        "A process with the umask 022 creates an object with the mode 0666. Later somebody opens it with "
        "O_CREAT and the mode 0600. Which mode has the object then?",
        (
            wrong(
                "0666: what the creator asked for",
                "The creator asked; the kernel gave less. What is a umask for?",
            ),
            right(
                "0644",
                "The mode is a wish. The umask is taken away from it, 0666 & ~022 is 0644, and that "
                "once, at the "
                "creation. Whoever opens an object that exists may say any mode: nobody listens.",
            ),
            wrong(
                "0600: the later call says so",
                "The later call creates nothing. If it could change the mode, everybody who may open an "
                "object "
                "could.",
            ),
            wrong(
                "0600: 0666 less 022 less the 0600 of the second call",
                "Only bits of the umask are taken away, not those of a mode. And how often is a mode given?",
            ),
        ),
    ),
    Question(
        "07-other",
        "An object has the mode 0644. The folder /dev/shm lets everybody create in it (drwxrwxrwt). What may "
        "another user do, who is neither the owner nor root?",
        (
            wrong(
                "Read, write, and unlink",
                "The w of 0644 stands in the first place only. Whose place is that?",
            ),
            wrong(
                "Read, and unlink, since everybody may write to the folder",
                "In an ordinary folder that would be so: to unlink is to change the folder. But the "
                "last letter of "
                "this one's mode is a t.",
            ),
            right(
                "Read, and nothing else",
                "The last digit, 4, is for everybody else: r. And the t of the folder, the sticky bit, "
                "keeps names for those who own them.",
            ),
            wrong(
                "Nothing: /dev/shm is each user's own",
                "There is one /dev/shm for all (in one container), else strangers could not meet there.",
            ),
        ),
    ),
    Question(
        "07-folder",
        "Names look like paths. So a group wants its objects in a folder: shm_open of '/team/mymem', with "
        "O_CREAT. What happens?",
        (
            wrong(
                "The folder /dev/shm/team is created, and the object in it",
                "open(2) doesn't create folders on the way, either.",
            ),
            wrong(
                "It works if the folder /dev/shm/team exists",
                "To the kernel that would be a fine path. But the C library looks at the name before "
                "the kernel does.",
            ),
            right(
                "EINVAL, with or without such a folder",
                "A slash stands at the beginning, if anywhere. glibc refuses the name before it asks "
                "the kernel. "
                "POSIX leaves it open what other slashes mean, so no portable program has any.",
            ),
            wrong(
                "An object whose name has a slash in it",
                "On Linux an object's name is an entry of /dev/shm, and no entry has a slash in its name.",
            ),
        ),
    ),
)

# --- 07-a: a umask -----------------------------------------------------------------------------------------


def _masked(name: str, mask: int) -> Iterator[str]:
    os.umask(mask)
    posix.close(posix.shm_open(name, CREATE, 0o666))
    yield "created"


def judge_umask(mask: Any) -> Verdict:
    """Exercise 07-a: the umask under which a mode of 0666 becomes 0640 (FACTS D71)."""
    if type(mask) is not int:
        return Verdict(False, f"that's {kind_of(mask)}, not a number.", "Octal numbers begin with 0o: 0o022.")
    if not 0 <= mask <= 0o777:
        return Verdict(False, f"{mask} is no umask.", "It lies between 0 and 0o777: nine bits.")
    with absent("check") as name, Process(_masked, name, mask) as process:
        outcome = process.run().wait(PATIENCE / 2)
        entry = observe.object_entry(name)
    if entry is None:
        return Verdict(False, f"with it, the process that creates an object {how(outcome)}.", "Try another.")
    mode = entry.mode
    if mode == 0o640:
        return Verdict(True, f"under the umask {mask:03o}, 0666 became 0640.")
    if f"{mask}" in ("26", "27", "36", "37", "126", "127", "136", "137"):
        hint = f"Python read {mask} as a decimal number, which is 0o{mask:o}. Octal numbers begin with 0o."
    elif mask == 0o640:
        hint = "A umask says what is taken away, not what is left."
    elif mode & 0o640 != 0o640:
        hint = "It takes too much: the bits 0640 have to stay."
    else:
        hint = "It takes too little: of the group's 6 only 4 may stay, and of the others' 6 nothing."
    return Verdict(False, f"under the umask {mask:03o} the object got the mode {mode:04o}.", hint)


# --- 07-b: a fresh object under a name that may be taken ----------------------------------------------------

OLD, TEXT = b"the old text", "a fresh start"


def _keeps_looking(name: str) -> Iterator[str]:
    m = posix.mmap(None, SIZE, posix.PROT_READ, posix.MAP_SHARED, posix.shm_open(name, posix.O_RDONLY))
    while True:
        seen = bytes(m.buf[:12]).decode("latin-1")
        yield seen


def judge_restart(program: Any) -> Verdict:
    """Exercise 07-b: a new object in place of one that may be left over, whose users keep it (F05, F42)."""
    found = program_of(program, "restart")
    if isinstance(found, Verdict):
        return found
    with absent("check") as name:
        complaint = _misstarted(found, name, "with a name that nobody has")
    if complaint is not None:
        return complaint
    with existing("check", SIZE, OLD) as name, Process(_keeps_looking, name) as user:
        user.step(PATIENCE / 5)
        before = observe.object_entry(name)
        complaint = _misstarted(found, name, "with a name that is left over")
        if complaint is not None:
            return complaint
        state = user.step(PATIENCE / 5)
        after = observe.object_entry(name)
        if state.kind == "ended":
            return Verdict(
                False,
                f"a process that used the old object was {state.outcome}.",
                "You took its bytes away. Leave the old object alone: take its name from it, and create "
                "another.",
            )
        if state.at != OLD.decode() or before is None or after is None or before.inode == after.inode:
            return Verdict(
                False,
                f"a process that uses the old object sees '{_clean(state.at)}' now: it's the same object.",
                "Opening what exists makes nothing new. shm_unlink takes its name away, and its users "
                "keep it.",
            )
    return Verdict(
        True, "a fresh object each time, and whoever used the old one still reads 'the old text' in it."
    )


def _misstarted(program: Program, name: str, where: str) -> Verdict | None:
    with Process(program, name, TEXT, label=program.name) as process:
        outcome = run_to_end(process)
    if outcome is None or not outcome.ok:
        return Verdict(False, f"{where}, it {how(outcome)}.", _help_to_restart(str(outcome)))
    try:
        now = observe.Sampler(name).read()
    except FileNotFoundError:
        return Verdict(
            False, f"{where}, there is no object afterwards.", "Unlink before you create, not after."
        )
    if len(now) != SIZE:
        return Verdict(
            False, f"{where}, the object has {len(now)} bytes.", f"ftruncate(fd, {SIZE}) after creating it."
        )
    if now.rstrip(b"\0") != TEXT.encode():
        return Verdict(
            False,
            f"{where}, the object reads '{_clean(now[:20].rstrip(bytes(1)).decode('latin-1'))}'.",
            "Store text.encode() from offset 0 on, with MAP_SHARED, and nothing else.",
        )
    return None


def _help_to_restart(said: str) -> str:
    if "FileExistsError" in said:
        return "The name is taken, by somebody who may be dead. shm_unlink it first."
    if "FileNotFoundError" in said:
        return "Unlinking an absent name fails with ENOENT: try: … except FileNotFoundError: pass."
    if "SIGBUS" in said:
        return "A new object has 0 bytes: ftruncate before you touch."
    if "missing" in said or "positional" in said:
        return "It's called with two arguments: the name and the text."
    return "Run it yourself: Process(restart, own_name('try'), 'text').run().wait()."


# --- 07-c: two strangers without roles ---------------------------------------------------------------------

ROUNDS = 5


def judge_meet(program: Any) -> Verdict:
    """Exercise 07-c: of two processes that run the same program one creates, the other waits (D70, F02)."""
    found = program_of(program, "meet")
    if isinstance(found, Verdict):
        return found
    for judge in (_one_after_the_other, _unsized, _never_sized, _at_once):
        if (complaint := judge(found)) is not None:  # a verdict that isn't right is false, too
            return complaint
    return Verdict(
        True, f"alone, too early, too late, and {ROUNDS} times at once: always one first and one second."
    )


def _one_after_the_other(program: Program) -> Verdict | None:
    with absent("check") as name:
        for number, word in enumerate(("first", "second")):
            with Process(program, name, label=program.name) as process:
                outcome, said = run_to_end(process), process.output.strip()
            where = f"one after the other, the {word} one"
            if outcome is None or not outcome.ok:
                return Verdict(False, f"{where} {how(outcome)}.", _help_to_meet(str(outcome)))
            if said != word:
                return Verdict(
                    False,
                    f"{where} printed '{_clean(said)}'.",
                    "O_CREAT | O_EXCL succeeds for one only: print first then, and second on "
                    "FileExistsError.",
                )
            entry = observe.object_entry(name)
            if entry is None or entry.size != SIZE:
                has = "is gone" if entry is None else f"has {entry.size} bytes"
                return Verdict(
                    False,
                    f"after the {word} one, the object {has}.",
                    f"The first sizes it to {SIZE} bytes, and it stays, for others.",
                )
            if observe.Sampler(name).read(number, 1)[0] != number + 1:
                return Verdict(
                    False,
                    f"after the {word} one, byte {number} isn't {number + 1}.",
                    "The first stores 1 at m.buf[0], the second 2 at m.buf[1].",
                )
    return None


def _unsized(program: Program) -> Verdict | None:
    with existing("check", 0) as name, Process(program, name, label=program.name) as process:
        for _ in range(5):
            process.step(0.2)
        where = "with an object that its creator has not sized yet"
        if process.outcome is not None or process.output:
            waited = process.outcome is None or process.outcome.ok
            did = "didn't wait" if waited else how(process.outcome)
            return Verdict(False, f"{where}, the second {did}.", _help_to_meet(str(process.outcome)))
        fd = posix.shm_open(name, posix.O_RDWR)
        posix.ftruncate(fd, SIZE)
        posix.close(fd)
        outcome = run_to_end(process)
        if outcome is None or not outcome.ok or process.output.strip() != "second":
            return Verdict(
                False,
                f"{where} and then does, the second {how(outcome)} and printed '{_clean(process.output)}'.",
                "Ask os.fstat(fd).st_size again in each round.",
            )
    return None


def _never_sized(program: Program) -> Verdict | None:
    with existing("check", 0) as name, Process(program, name, label=program.name) as process:
        outcome = run_to_end(process)
    if outcome is None or "TimeoutError" not in str(outcome):
        return Verdict(
            False,
            f"when the creator died before sizing the object, the second {how(outcome)}.",
            "for _ in range(1000): … and behind it raise TimeoutError. Nobody should wait for ever.",
        )
    return None


def _at_once(program: Program) -> Verdict | None:
    for _ in range(ROUNDS):
        with absent("check") as name:
            both = [Process(program, name, label=label) for label in "AB"]
            try:
                start(*both)
                for process in both:
                    process.run(speed=1000)  # so that a thousand tries outlast a busy machine
                outcomes = [ended(process) for process in both]
            finally:
                for process in both:
                    process.stop()
        said = sorted(process.output.strip() for process in both)
        if said != ["first", "second"] or not all(each and each.ok for each in outcomes):
            did = " and ".join(how(each) for each in outcomes)
            return Verdict(
                False,
                f"both at once: they printed {_clean(' and '.join(said))}; they {did}.",
                "Only O_CREAT | O_EXCL in one call decides: to look first and then create leaves a gap.",
            )
    return None


def _help_to_meet(said: str) -> str:
    if "SIGBUS" in said:
        return (
            "Between shm_open and ftruncate the object has 0 bytes: wait for its size, os.fstat(fd).st_size."
        )
    if "TimeoutError" in said:
        return "It gave up at once. Let it try a thousand times, with a yield after each try."
    if "FileExistsError" in said:
        return "except FileExistsError: you are the second; open it without O_CREAT."
    if "FileNotFoundError" in said:
        return "Somebody has to create it: try O_CREAT | O_EXCL | O_RDWR first."
    if "missing" in said or "positional" in said:
        return "It's called with one argument: the name."
    return "The second waits until the object has its size; it must not set the size itself."


# --- Objects and processes to try things on ----------------------------------------------------------------


def _clean(text: str) -> str:
    return "".join(each if each.isprintable() else "·" for each in text.strip())[:60]


EXERCISES = (
    Exercise("07-a", ("the umask",), judge_umask),
    Exercise("07-b", ("the program",), judge_restart),
    Exercise("07-c", ("the program",), judge_meet),
)
