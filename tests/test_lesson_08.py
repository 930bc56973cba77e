"""Lesson 08: the four calls do what the text says of them, in both languages; judges see through."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shmlab import Process, check, in_c, observe, own_key, posix, sysv
from shmlab.processes import Walk
from shmlab.programs import find_compiler
from shmlab.programs.attachments import attachments
from shmlab.programs.bequest import bequest
from shmlab.programs.first_id import first_id
from shmlab.programs.four_calls import four_calls
from shmlab.programs.guest import guest
from shmlab.programs.poke import poke
from shmlab.programs.stranger import said
from shmlab.programs.tenant import tenant

PAGE = posix.PAGE_SIZE
NEW = sysv.IPC_CREAT | sysv.IPC_EXCL
NOBODY = 65534
LESSON = Path(__file__).parent.parent / "notebooks" / "08-from-shmget-to-shmctl.ipynb"

LANGUAGES = [
    pytest.param(lambda program: program, id="Python"),
    pytest.param(in_c, id="C", marks=pytest.mark.skipif(find_compiler() is None, reason="no C compiler")),
]
both = pytest.mark.parametrize("language", LANGUAGES)
Language = Callable[[Any], Any]


@pytest.fixture
def key() -> Iterator[int]:
    """A key that nothing has, and that nothing has afterwards."""
    each = own_key("l8")
    yield each
    with suppress(FileNotFoundError):
        sysv.shmctl(sysv.shmget(each, 0, 0), sysv.IPC_RMID)


@pytest.fixture
def shmid() -> Iterator[int]:
    """A segment of 8192 bytes that nobody has attached."""
    made = sysv.shmget(sysv.IPC_PRIVATE, 8192, NEW | 0o600)
    yield made
    with suppress(OSError):
        sysv.shmctl(made, sysv.IPC_RMID)


def row(shmid: int) -> observe.Segment | None:
    return next((each for each in observe.segments() if each.id == shmid), None)


def answers(process: Process) -> dict[str, str]:
    outcome = process.run().wait()
    assert outcome.ok, f"{outcome} {process.output}"
    return dict(line.split(": ") for line in process.output.splitlines())


def step(process: Process) -> Any:
    """Take a step; while a child does its part, the parent is blocked in waitpid."""
    state = process.step()
    for _ in range(100):
        if state.kind != "blocked":
            break
        state = process.pause()
    return state


# --- the walk ----------------------------------------------------------------------------------------------


@both
def test_what_each_of_the_four_calls_leaves(language: Language, key: int) -> None:
    """D25 to D28, D38, D46, D53, D54, D61: segment, attachments and memory after each step."""
    expected = {
        "shmget": (10_000, 0, 0, 0),
        "shmat": (10_000, 1, 0, -(-10_000 // PAGE) * PAGE),
        "store": (10_000, 1, PAGE, -(-10_000 // PAGE) * PAGE),
        "shmctl IPC_STAT": (10_000, 1, PAGE, -(-10_000 // PAGE) * PAGE),
        "shmdt": (10_000, 0, PAGE, 0),
        "shmctl IPC_RMID": None,
    }
    with Walk(language(four_calls), key, "hello", trace=False) as walk:
        for label, wanted in expected.items():
            moment = walk.step()
            assert moment.label == label
            assert not moment.changed.descriptors
            mapped = sum(each.length for each in moment.view.mappings if each.path.startswith("/SYSV"))
            seen = [(each.size, each.attached, each.resident, mapped) for each in moment.view.segments]
            assert seen == ([wanted] if wanted else []), label
        assert walk.step().state.outcome.ok


@both
def test_the_system_calls_have_the_calls_names(language: Language, key: int) -> None:
    with Walk(language(four_calls), key, "hello") as walk:
        walk.run()
        if walk.history[0].calls_missing:
            pytest.skip(walk.history[0].calls_missing)
        made = {each.label: [call.name for call in each.calls] for each in walk.history[:6]}
    # Python's shmat asks IPC_STAT how much it got.
    assert made.pop("shmat") in (["shmat"], ["shmat", "shmctl"])
    assert made == {
        "shmget": ["shmget"],
        "store": [],
        "shmctl IPC_STAT": ["shmctl"],
        "shmdt": ["shmdt"],
        "shmctl IPC_RMID": ["shmctl"],
    }


@both
def test_a_walk_back_makes_the_segment_anew(language: Language, key: int) -> None:
    """With IPC_EXCL it would fail if the segment of the first time were still there."""
    with Walk(language(four_calls), key, "hello", trace=False) as walk:
        first = [walk.step() for _ in range(3)][-1].view.segments[0].id
        again = walk.undo()
        assert (again.label, again.state.kind) == ("shmat", "paused")
        assert again.view.segments[0].id != first
        walk.reset()
        assert not observe.segments()


def test_a_walk_leaves_segments_of_others_alone(key: int, shmid: int) -> None:
    with Walk(tenant, shmid, "x", trace=False) as walk:
        walk.step()
        walk.undo()
        walk.reset()
    assert row(shmid) is not None


# --- the other programs ------------------------------------------------------------------------------------


@both
def test_attachments_in_every_way(language: Language, shmid: int) -> None:
    """D47, D49 to D52, D55, F47."""
    with Process(language(attachments), shmid) as process:
        assert answers(process) == {
            "NULL, twice": "two addresses, hello",
            "an address in use": "EINVAL",
            "an address that's free": "there",
            "within a page": "EINVAL",
            "within a page, SHM_RND": "the page's first byte",
            "over a mapping": "EINVAL",
            "over a mapping, SHM_REMAP": "hello",
            "NULL, SHM_REMAP": "EINVAL",
            "no such id": "EINVAL",
            "shmdt one byte further": "EINVAL",
            "shmdt one page further": "EINVAL",
            "shmdt NULL": "EINVAL",
            "shmdt, a second time": "EINVAL",
        }


@both
@pytest.mark.parametrize(
    ("shmflg", "offset", "dies"),
    [(0, 6000, False), (0, 8191, False), (0, 8192, True), (sysv.SHM_RDONLY, 0, True)],
)
def test_a_store_past_the_size_lands_and_past_the_page_kills(
    language: Language, shmflg: int, offset: int, dies: bool
) -> None:
    """D38, F47."""
    small = sysv.shmget(sysv.IPC_PRIVATE, 5000, NEW | 0o600)
    try:
        with Process(language(poke), small, shmflg, offset) as process:
            outcome = process.run().wait()
        assert ("SIGSEGV" in str(outcome)) == dies == (not outcome.ok)
    finally:
        sysv.shmctl(small, sysv.IPC_RMID)


@both
@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to become somebody else")
def test_another_user_reads_and_no_more(language: Language, key: int) -> None:
    """D43, D60: the table that the lesson has stored, for machines without a second user."""
    stored = "".join(next(each["source"] for each in cells() if each["id"] == "guest"))
    names: dict[str, Any] = {}
    exec(stored[: stored.index("def ")], names)
    shmid = sysv.shmget(key, 4096, NEW | 0o644)
    with Process(language(guest), key, NOBODY) as process:
        assert answers(process) == names["READS"]
    with Process(language(guest), key, os.getuid()) as process:
        assert set(answers(process).values()) == {"yes"}
    assert row(shmid) is None
    shmid = sysv.shmget(key, 4096, NEW | 0o600)
    with Process(language(guest), key, NOBODY) as process:
        assert answers(process) == names["STORED"]


def bare(uid: int) -> Iterator[str]:
    sysv.shmctl(sysv.shmget(sysv.IPC_PRIVATE, 4096, 0o600), sysv.IPC_RMID)  # loads what root alone may read
    os.setresuid(uid, uid, uid)
    shmid = sysv.shmget(sysv.IPC_PRIVATE, 4096, 0)
    print("its owner's shmat:", said(sysv.shmat, shmid))
    sysv.shmctl(shmid, sysv.IPC_RMID)
    yield "removed"


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to become somebody else")
def test_a_mode_of_0_keeps_its_owner_out() -> None:
    """D40."""
    with Process(bare, NOBODY) as process:
        assert answers(process) == {"its owner's shmat": "EACCES"}


@both
def test_the_first_ids_of_a_namespace(language: Language, shmid: int) -> None:
    """D44, F73."""
    with Process(language(first_id), shmid) as process:
        found = answers(process)
    if "not permitted" in found:
        pytest.skip(f"no IPC namespace of its own: {found['not permitted']}")
    assert found == {"the id from outside": "EINVAL", "ids": "0 1", "shmat(0)": "yes"}


@both
def test_fork_attaches_and_exec_detaches(language: Language, shmid: int) -> None:
    """F31, F33."""
    seen = []
    with Process(language(bequest), shmid) as process:
        for _ in range(4):
            at, stat = step(process).at, sysv.shmctl(shmid, sysv.IPC_STAT)
            seen.append((at, stat.shm_nattch, stat.shm_lpid == process.pid))
    assert seen == [
        ("shmat", 1, True),
        ("fork", 2, True),
        ("exec", 1, False),
        ("the child ended", 1, False),
    ]
    with sysv.shmat(shmid) as m:
        assert bytes(m.buf[:5]) == b"child"


@both
def test_removed_it_lives_on_for_who_has_it_and_for_who_knows_the_id(
    language: Language, key: int, shmid: int
) -> None:
    """D28, D61, F42, F45, F71."""
    old = sysv.shmget(key, 4096, NEW | 0o600)
    with Process(language(tenant), old, "after") as a, Process(tenant, old, "later") as b:
        a.step()
        sysv.shmctl(old, sysv.IPC_RMID)
        assert sysv.shmctl(old, sysv.IPC_STAT).shm_perm.mode == 0o600 | sysv.SHM_DEST
        with pytest.raises(FileNotFoundError):
            sysv.shmget(key, 0, 0)
        assert sysv.shmget(key, 4096, NEW | 0o600) != old
        assert b.step().at == "shmat"
        assert [a.step().at, b.step().at] == ["store", "store"]
        with sysv.shmat(old) as m:
            assert bytes(m.buf[:5]) == b"later"
        a.stop()
        assert row(old) is not None
        b.stop()
    with pytest.raises(OSError, match="Invalid argument"):
        sysv.shmat(old)


def test_what_the_text_says_of_the_other_commands_and_flags(key: int, shmid: int) -> None:
    """D39, D49, D64, F37, F39, F46, F49."""
    assert sysv.shmctl(0, sysv.IPC_INFO)[0] >= 0
    assert sysv.shmctl(0, sysv.SHM_INFO)[0] >= 0
    if os.getuid() == 0:
        sysv.shmctl(shmid, sysv.SHM_LOCK)
        assert sysv.shmctl(shmid, sysv.IPC_STAT).shm_perm.mode & sysv.SHM_LOCKED
    assert posix.O_CREAT & 0o777 == posix.O_CREAT  # one of shmget's mode bits
    assert sysv.ftok(os.__file__, 65) == sysv.ftok(os.__file__, 321)
    assert all(sysv.ftok(os.__file__, number) < 0 for number in (128, 255))
    semid = sysv.semget(key, 1, NEW | 0o600)
    try:
        assert row(sysv.shmget(key, 4096, NEW | 0o600)) is not None  # one number is the key of both
    finally:
        sysv.semctl(semid, 0, sysv.IPC_RMID)


# --- what the lesson has stored ----------------------------------------------------------------------------


def cells() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(LESSON.read_text("utf-8"))["cells"]
    return found


def test_the_figure_is_of_what_was_observed() -> None:
    """F44: after each call those fields have changed that the text says, and no others."""
    (shown,) = [each["outputs"][0]["data"]["text/plain"] for each in cells() if each["id"] == "life"]
    title, *events = "".join(shown).replace(": after", "; after", 1).rstrip(".").split("; ")
    changed = {}
    for event in events:
        call, _, fields = event.removeprefix("after ").partition(": ")
        changed[call] = {each.split()[0] for each in fields.split(", ")}
    assert title == "The life of one segment, told by IPC_STAT"
    assert changed.pop("notebook's shmget") == {"nattch", "mode", "cpid", "lpid", "atime", "dtime", "ctime"}
    assert changed == {
        "A's shmat": {"nattch", "lpid", "atime"},
        "B's shmat": {"nattch", "lpid", "atime"},
        "A's store": {"nothing"},
        "notebook's IPC_SET": {"mode", "ctime"},
        "A's shmdt": {"nattch", "lpid", "dtime"},
        "B's kill -9": {"nattch", "lpid", "dtime"},
        "notebook's IPC_RMID": {"gone:"},
    }


# --- 08-a: the flags ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "message", "hint"),
    [
        (sysv.IPC_CREAT | 0o600, "mode is 0600", "Three digits"),
        (sysv.IPC_CREAT | 0o644, "somebody else's", "insists on a new one"),
        (NEW | 0o666, "mode is 0666", "2 is to write"),
        (0o644, "ENOENT", "makes a segment"),
        (sysv.IPC_EXCL | 0o644, "ENOENT", "makes a segment"),
        (posix.O_CREAT | posix.O_EXCL | 0o644, "ENOENT", "makes a segment"),
        (NEW | 644, "mode is 0204", "octal"),
        (NEW | sysv.SHM_HUGETLB | 0o644, "holds more", "octal"),
        (-1, "holds more", "octal"),
        ("0644", "of type str", "Join them"),
        (None, "None", "Join them"),
    ],
)
def test_wrong_flags_are_told_why(flags: Any, message: str, hint: str) -> None:
    verdict = check.exercise("08-a", flags)
    assert not verdict
    assert message in verdict.message
    assert hint in verdict.hint
    assert not observe.segments()


def test_the_right_flags_whatever_the_umask() -> None:
    before = os.umask(0o077)
    try:
        assert check.exercise("08-a", NEW | 0o644)
    finally:
        os.umask(before)


# --- 08-b: publish -----------------------------------------------------------------------------------------


def good_publish(shmid: int, text: str) -> Iterator[str]:
    with sysv.shmat(shmid) as m:
        m.buf[: len(text)] = text.encode("ascii")
    stat = sysv.shmctl(shmid, sysv.IPC_STAT)
    sysv.shmctl(shmid, sysv.IPC_SET, replace(stat, shm_perm=replace(stat.shm_perm, mode=0o444)))
    yield "done"


def attached_publish(shmid: int, text: str) -> Iterator[str]:
    m = sysv.shmat(shmid)
    m.buf[: len(text)] = text.encode("ascii")
    yield "done"


def private_publish(shmid: int, text: str) -> Iterator[str]:
    with sysv.shmat(shmid) as m:
        m.buf[: len(text)] = text.encode("ascii")
    yield "done"


def empty_publish(shmid: int, text: str) -> Iterator[str]:
    stat = sysv.shmctl(shmid, sysv.IPC_STAT)
    sysv.shmctl(shmid, sysv.IPC_SET, replace(stat, shm_perm=replace(stat.shm_perm, mode=0o444)))
    yield "done"


def frozen_publish(shmid: int, text: str) -> Iterator[str]:
    stat = sysv.shmctl(shmid, sysv.IPC_STAT)
    stat.shm_perm.mode = 0o444
    yield "done"


def removing_publish(shmid: int, text: str) -> Iterator[str]:
    yield from good_publish(shmid, text)
    sysv.shmctl(shmid, sysv.IPC_RMID)


def giving_publish(shmid: int, text: str) -> Iterator[str]:
    stat = sysv.shmctl(shmid, sysv.IPC_STAT)
    perm = replace(stat.shm_perm, mode=0o444, gid=stat.shm_perm.gid + 1)
    sysv.shmctl(shmid, sysv.IPC_SET, replace(stat, shm_perm=perm))
    yield "done"


def silent_publish(shmid: int, text: str) -> Iterator[str]:
    if shmid < 0:
        yield "never"


def endless_publish(shmid: int, text: str) -> Iterator[str]:
    while True:
        yield "still at it"


@pytest.mark.parametrize(
    ("program", "message", "hint"),
    [
        (attached_publish, "nattch is 1", "Detach"),
        (private_publish, "mode is 0600", "IPC_SET"),
        (empty_publish, "begins with", "encode"),
        (frozen_publish, "raised", "replace makes another"),
        (removing_publish, "removed", "IPC_RMID"),
        (giving_publish, "another owner or group", "only the mode"),
        (silent_publish, "never yields", "yield"),
        (endless_publish, "has not ended", "endless"),
        ("publish", "of type str", "without parentheses"),
    ],
)
def test_a_program_that_publishes_badly_is_told_why(program: Any, message: str, hint: str) -> None:
    verdict = check.exercise("08-b", program)
    assert not verdict
    assert message in verdict.message
    assert hint in verdict.hint
    assert not observe.segments()


def test_a_program_that_publishes_well_passes() -> None:
    verdict = check.exercise("08-b", good_publish)
    assert verdict, verdict


# --- 08-c: a new edition -----------------------------------------------------------------------------------


def fill(shmid: int, text: str) -> None:
    with sysv.shmat(shmid) as m:
        m.buf[: len(text)] = text.encode("ascii")


def good_replace(key: int, text: str) -> Iterator[str]:
    try:
        sysv.shmctl(sysv.shmget(key, 0, 0), sysv.IPC_RMID)
    except FileNotFoundError:
        yield "the first"
    fill(sysv.shmget(key, len(text), NEW | 0o600), text)
    yield "done"


def overwriting_replace(key: int, text: str) -> Iterator[str]:
    fill(sysv.shmget(key, len(text), sysv.IPC_CREAT | 0o600), text)
    yield "done"


def exclusive_replace(key: int, text: str) -> Iterator[str]:
    fill(sysv.shmget(key, len(text), NEW | 0o600), text)
    yield "done"


def second_only_replace(key: int, text: str) -> Iterator[str]:
    sysv.shmctl(sysv.shmget(key, 0, 0), sysv.IPC_RMID)
    fill(sysv.shmget(key, len(text), NEW | 0o600), text)
    yield "done"


def removing_replace(key: int, text: str) -> Iterator[str]:
    sysv.shmctl(sysv.shmget(key, 0, 0), sysv.IPC_RMID)
    yield "done"


def idle_replace(key: int, text: str) -> Iterator[str]:
    yield "done"


def paging_replace(key: int, text: str) -> Iterator[str]:
    with suppress(FileNotFoundError):
        sysv.shmctl(sysv.shmget(key, 0, 0), sysv.IPC_RMID)
    fill(sysv.shmget(key, PAGE, NEW | 0o600), text)
    yield "done"


def empty_replace(key: int, text: str) -> Iterator[str]:
    with suppress(FileNotFoundError):
        sysv.shmctl(sysv.shmget(key, 0, 0), sysv.IPC_RMID)
    sysv.shmget(key, len(text), NEW | 0o600)
    yield "done"


def closed_replace(key: int, text: str) -> Iterator[str]:
    with suppress(FileNotFoundError):
        sysv.shmctl(sysv.shmget(key, 0, 0), sysv.IPC_RMID)
    sysv.shmget(key, len(text), NEW)
    yield "done"


@pytest.mark.parametrize(
    ("program", "message", "hint"),
    [
        (overwriting_replace, "half of each", "IPC_RMID first"),
        (exclusive_replace, "FileExistsError", "remove that segment first"),
        (second_only_replace, "where no segment had the key", "FileNotFoundError"),
        (removing_replace, "no segment has the key", "make a new one"),
        (idle_replace, "still leads to the old", "Remove that"),
        (paging_replace, f"has {PAGE} bytes", "len(text)"),
        (empty_replace, "the new segment holds", "encode"),
        (closed_replace, "not even its owner", "0o600"),
        (7, "of type int", "without parentheses"),
    ],
)
def test_a_program_that_replaces_badly_is_told_why(program: Any, message: str, hint: str) -> None:
    verdict = check.exercise("08-c", program)
    assert not verdict
    assert message in verdict.message
    assert hint in verdict.hint
    assert not observe.segments()


def test_a_program_that_replaces_well_passes() -> None:
    verdict = check.exercise("08-c", good_replace)
    assert verdict, verdict
