"""What lesson 08 asks: six predictions, and three exercises that are judged on real segments and processes.

Imported by :mod:`shmlab.questions` alone. The facts are FACTS.md's D25 to D64, F37 to F49, F71, F72.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from shmlab import observe, sysv
from shmlab.processes import Outcome, Process
from shmlab.questions import Exercise, Question, Verdict, right, wrong
from shmlab.questions.judging import how, kind_of, program_of, run_to_end, unused_key

NEW = sysv.IPC_CREAT | sysv.IPC_EXCL

QUESTIONS = (
    Question(
        "08-returns",
        "A process makes a segment: shmget(key, 10000, IPC_CREAT | IPC_EXCL | 0600), and that succeeds. What "
        "does C's shmget return?",
        (
            wrong(
                "0, for success",
                "0 may be among the answers, but not for success. To what would the next call, shmat, refer?",
            ),
            wrong(
                "3, a file descriptor",
                "shm_open returns one, and each process gets its own. System V has no descriptors here: what "
                "could stand in their place?",
            ),
            wrong(
                "The address of the memory",
                "That comes with shmat. After shmget alone the segment is attached nowhere.",
            ),
            right(
                "An id: a number that means this segment in every process",
                "The kernel's own number for it, the same for everybody. Whoever knows it can attach without "
                "shmget and without the key, if the mode permits. -1 is the failure, and 0 is an id like "
                "any other.",
            ),
        ),
    ),
    Question(
        "08-private",
        "The document wants a key that isn't 0. A process has called shmget with key 0, which C calls "
        "IPC_PRIVATE, and has a segment. Now another process calls shmget with key 0, without IPC_CREAT. "
        "What does it get?",
        (
            wrong(
                "EINVAL: 0 isn't a key",
                "The document says so. But the first process has a segment already.",
            ),
            wrong(
                "The segment of the first process",
                "So it is with any other key. What could be private about it then?",
            ),
            right(
                "A segment of its own",
                "IPC_PRIVATE makes a new one at each call, with IPC_CREAT or without. Nobody will ever find "
                "it by its key: only the id leads to it.",
            ),
            wrong(
                "ENOENT: without IPC_CREAT nothing is made",
                "So it is with any other key that nothing has. This one is the exception.",
            ),
        ),
    ),
    Question(
        "08-past",
        "A segment has been made with 5000 bytes; a page has 4096. A process attaches it, and stores a byte "
        "at offset 6000; another process does so at offset 8192. What happens?",
        (
            wrong(
                "Both die: 5000 is where the segment ends",
                "The size is counted in bytes. But what does the kernel attach, when it attaches memory?",
            ),
            right(
                "The first store succeeds, the second process dies of SIGSEGV",
                "Whole pages are attached: two of them, up to 8191. Nobody watches the rest of the last "
                "page. Behind it nothing is attached at all.",
            ),
            wrong(
                "The first store succeeds, the second process dies of SIGBUS",
                "SIGBUS was for a page that is mapped and isn't in the object (lesson 03). Is the page at "
                "8192 attached?",
            ),
            wrong(
                "Both stores succeed: the segment grows",
                "A segment never grows: its size is settled when it's made. There is no ftruncate for it.",
            ),
        ),
    ),
    Question(
        "08-umask",
        "The umask is 077. A process makes an object with shm_open(name, O_CREAT | O_RDWR, 0666), and a "
        "segment with shmget(key, 4096, IPC_CREAT | 0666). Which modes have they got?",
        (
            wrong(
                "Both 0600",
                "For the object that's right (lesson 07). A segment is no file, and no file system makes it.",
            ),
            wrong(
                "Both 0666",
                "The umask takes away what it names: for files at any rate, and an object is one on Linux.",
            ),
            wrong(
                "The object 0666, the segment 0600",
                "Which of the two is made by open(2), to which the umask belongs?",
            ),
            right(
                "The object 0600, the segment 0666",
                "shmget's mode is taken as it's given. The document says that it works like the one of open; "
                "that's where it doesn't. What you write there is what others may do.",
            ),
        ),
    ),
    Question(
        "08-rmid",
        "Process A and the notebook have a segment attached. Now the notebook calls "
        "shmctl(shmid, IPC_RMID, NULL), and it returns 0. What is gone?",
        (
            right(
                "The key alone: the segment stays for those who have it",
                "It's marked for destruction, and shmget finds nothing by its key any more. The bytes and "
                "both attachments are as they were; the last detach takes them along.",
            ),
            wrong(
                "The segment: A's next touch is SIGSEGV",
                "Nobody can take memory out of another process's addresses. What happens in A must be done "
                "by A.",
            ),
            wrong(
                "All attachments but the notebook's own",
                "The document says that shmctl disconnects the users. Then A would lose it and we wouldn't? "
                "Ask A.",
            ),
            wrong(
                "Nothing: the call only succeeds when nobody is attached",
                "There's no EBUSY among its errors, and it has returned 0. Something can be seen to have "
                "changed.",
            ),
        ),
    ),
    Question(
        "08-after",
        "The segment is marked for destruction, and A is still attached. Process B knows the id, and calls "
        "shmat with it. What does it get?",
        (
            wrong(
                "EINVAL: there is no such segment any more",
                "So it will be after the last detach. Until then the id is in the kernel's table.",
            ),
            wrong(
                "EIDRM: it has been removed",
                "It's the errno for that, and other systems do refuse. What this one does is in the NOTES of "
                "shmctl(2).",
            ),
            wrong(
                "A new segment with the same id",
                "shmat makes no segment, ever. And ids aren't used again at once.",
            ),
            right(
                "The segment, as before",
                "Linux lets you in by the id as long as somebody is attached. Don't count on it elsewhere: "
                "other systems refuse.",
            ),
        ),
    ),
)

# --- 08-a --------------------------------------------------------------------------------------------------


def judge_flags(shmflg: Any) -> Verdict:
    """Exercise 08-a: the flags that make a segment of mode 0644, and refuse a key that is taken."""
    if type(shmflg) is not int:
        hint = "Join them: sysv.IPC_CREAT | 0o600"
        return Verdict(False, f"that's {kind_of(shmflg)}, not flags.", hint)
    if shmflg < 0 or shmflg & ~(NEW | 0o777):
        hint = "These will do: IPC_CREAT, IPC_EXCL, and nine bits of mode, in octal: 0o…"
        return Verdict(False, f"{shmflg:#o} holds more than the flags of this lesson.", hint)
    with unused_key("check") as key:
        try:
            shmid = sysv.shmget(key, 4096, shmflg)
        except OSError as error:
            message = f"a key that nothing has gives {_errno(error)}."
            return Verdict(False, message, "Which flag makes a segment?")
        mode = _row(shmid).mode & 0o777
        if mode != 0o644:
            hint = "Three digits, in octal (0o…): you, your group, the others. 4 is to read, 2 is to write."
            return Verdict(False, f"the segment's mode is {mode:04o}.", hint)
        try:
            sysv.shmget(key, 4096, shmflg)
        except FileExistsError:
            return Verdict(
                True, "a segment of mode 0644, whatever the umask; for a key that's taken, EEXIST."
            )
        except OSError as error:
            return Verdict(False, f"a key that is taken gives {_errno(error)}, not EEXIST.")
        hint = "IPC_CREAT alone finds what there is. Which flag insists on a new one?"
        return Verdict(False, "for a key that is taken it returns the id of somebody else's segment.", hint)


# --- 08-b --------------------------------------------------------------------------------------------------

STEPS = 200
SIZE = 5000
TEXT = "to be read by everybody, and written by nobody"


def judge_publish(program: Any) -> Verdict:
    """Exercise 08-b: a program that stores a text, detaches, and makes the segment read-only (D60)."""
    found = program_of(program, "publish")
    if isinstance(found, Verdict):
        return found
    with _segment(sysv.IPC_PRIVATE, SIZE) as shmid:
        before = _row(shmid)
        with Process(found, shmid, TEXT, label=found.name) as process:
            attached, outcome = _watched(process, shmid)
        complaint = _unpublished(before, attached, outcome)
        if complaint:
            return Verdict(False, *complaint)
        content = _content(shmid, len(TEXT))
        if content != TEXT.encode():
            hint = "m.buf[: len(text)] = text.encode('ascii')"
            return Verdict(False, f"the segment begins with {content[:20]!r}, not with the text.", hint)
    return Verdict(True, "everybody may read it, nobody may write, and the rest is as it was.")


def _watched(process: Process, shmid: int) -> tuple[int | None, Outcome | None]:
    """Step *process* to its end; return nattch at its last yield (None: it had none), and how it ended."""
    attached = None
    for _ in range(STEPS):
        state = process.step()
        if state.kind != "paused":
            return attached, state.outcome
        row = _found(shmid)
        attached = row.attached if row else 0
    return attached, None


def _unpublished(
    before: observe.Segment, attached: int | None, outcome: Outcome | None
) -> tuple[str, str] | tuple[()]:
    row = _found(before.id)
    if row is None or row.dest:
        return "the segment has been removed.", "Leave out IPC_RMID: others are to read it."
    if outcome is None or not outcome.ok:
        return f"it {how(outcome)}.", _help(outcome)
    if attached is None:
        return "it never yields.", 'Its last line is yield "done".'
    if attached:
        return f"at its last yield nattch is {attached}.", "Detach before that: sysv.shmdt(m)."
    if row.mode & 0o777 != 0o444:
        hint = "IPC_STAT first; then dataclasses.replace, twice, for the mode is in shm_perm; then IPC_SET."
        return f"the mode is {row.mode & 0o777:04o}, not 0444.", hint
    if (row.uid, row.gid) != (before.uid, before.gid):
        return "the segment has another owner or group now.", "Change what IPC_STAT gave, and only the mode."
    return ()


# --- 08-c --------------------------------------------------------------------------------------------------

OLD, EDITION = b"the old edition, which somebody is still reading", "the new one"


def judge_replace(program: Any) -> Verdict:
    """Exercise 08-c: a program that puts a new segment behind a key, and leaves the old one alone (F42)."""
    found = program_of(program, "replace")
    if isinstance(found, Verdict):
        return found
    with unused_key("check") as key, _segment(key, len(OLD)) as old, sysv.shmat(old) as m:
        m.buf[:] = OLD
        with Process(found, key, EDITION, label=found.name) as process:
            outcome = run_to_end(process)
        if bytes(m.buf) != OLD:
            message = "the old segment's bytes have changed: a reader sees half of each."
            return Verdict(False, message, "The same key needn't lead to the same segment: IPC_RMID first.")
        if outcome is None or not outcome.ok:
            return Verdict(False, f"it {how(outcome)}.", _help(outcome))
        now = _looked_up(key)
        if now is None:
            return Verdict(False, "no segment has the key afterwards.", "After IPC_RMID, make a new one.")
        if now.id == old:
            return Verdict(
                False, "the key still leads to the old segment.", "Remove that, then make a new one."
            )
        if complaint := _misprinted(now):
            return Verdict(False, *complaint)
    with unused_key("check") as key:
        with Process(found, key, EDITION) as process:
            outcome = run_to_end(process)
        now = _looked_up(key)
        if outcome is None or not outcome.ok or now is None or _misprinted(now):
            message = f"where no segment had the key yet, it {how(outcome)}."
            hint = "shmget(key, 0, 0) raises FileNotFoundError then: nothing to remove, go on."
            return Verdict(False, message, hint)
    return Verdict(True, "who had the old one reads on undisturbed, who asks for the key gets the new one.")


def _misprinted(segment: observe.Segment) -> tuple[str, str] | tuple[()]:
    if segment.size != len(EDITION):
        return (
            f"the new segment has {segment.size} bytes, the text {len(EDITION)}.",
            "shmget(key, len(text), …): any size will do.",
        )
    if segment.mode & 0o400 == 0:
        return "not even its owner may read the new segment.", "The mode belongs to the flags: | 0o600"
    content = _content(segment.id, len(EDITION))
    if content != EDITION.encode():
        return f"the new segment holds {content!r}.", "m.buf[:] = text.encode('ascii')"
    return ()


# --- Segments to try things on -----------------------------------------------------------------------------


@contextmanager
def _segment(key: int, size: int) -> Iterator[int]:
    """Make a segment that only its owner may use; yield its id; remove it, if that hasn't been done."""
    shmid = sysv.shmget(key, size, NEW | 0o600)
    try:
        yield shmid
    finally:
        with suppress(OSError):
            sysv.shmctl(shmid, sysv.IPC_RMID)


def _found(shmid: int) -> observe.Segment | None:
    """What the kernel's table says of a segment, whatever its mode; None when it isn't there."""
    return next((row for row in observe.segments() if row.id == shmid), None)


def _row(shmid: int) -> observe.Segment:
    row = _found(shmid)
    assert row is not None, shmid
    return row


def _looked_up(key: int) -> observe.Segment | None:
    return next((row for row in observe.segments() if row.key == key), None)


def _content(shmid: int, length: int) -> bytes:
    with sysv.shmat(shmid, None, sysv.SHM_RDONLY) as m:
        return bytes(m.buf[:length])


def _help(outcome: Outcome | None) -> str:
    said = str(outcome)
    if outcome is None:
        return "It takes a few calls and one store: no endless loop."
    if "SIGSEGV" in said:
        return "It touched memory that isn't attached."
    if "FileExistsError" in said:
        return "The key is taken, and IPC_EXCL says so: remove that segment first."
    if "FileNotFoundError" in said:
        return "Nothing has the key: IPC_CREAT makes a segment; or IPC_RMID came too early."
    if "PermissionError" in said:
        return "Without its mode a segment is nobody's to attach: | 0o600."
    if "Errno 22" in said:
        return "shmget says so when the segment that has the key is smaller; shmat, when there's no such id."
    if "FrozenInstanceError" in said or "cannot assign to field" in said:
        return "What IPC_STAT returns can't be changed: dataclasses.replace makes another."
    if "BufferError" in said:
        return "shmdt refuses while a view of the memory exists: use m.buf itself, or release the view."
    if "missing" in said or "positional" in said:
        return "It's called with two arguments."
    if "structures" in said or "assign" in said or "bytes-like" in said:
        return "m.buf takes bytes, as many as the slice is long: m.buf[: len(text)] = text.encode('ascii')."
    return "Run it yourself, with a segment of your own, and look at the outcome that wait() returns."


def _errno(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, str(error))


EXERCISES = (
    Exercise("08-a", ("the flags",), judge_flags),
    Exercise("08-b", ("the program",), judge_publish),
    Exercise("08-c", ("the program",), judge_replace),
)
