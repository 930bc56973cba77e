"""Lesson 13: its programs measure what they say, its figure shows it, and its judges can tell."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from shmlab import Process, Shared, check, figures, in_c, observe, own_key, own_name, posix, sysv
from shmlab.programs import find_compiler, set_up, transports
from shmlab.programs.channel import channel
from shmlab.programs.two_numbers import two_numbers
from shmlab.ring import Ring

needs_cc = pytest.mark.skipif(find_compiler() is None, reason="no C compiler")
LANGUAGES = [pytest.param(lambda program: program, id="Python"), pytest.param(in_c, id="C", marks=needs_cc)]
both = pytest.mark.parametrize("language", LANGUAGES)
Language = Callable[[Any], Any]

NEW = sysv.IPC_CREAT | sysv.IPC_EXCL


@pytest.fixture
def shmid() -> Iterator[int]:
    made = sysv.shmget(sysv.IPC_PRIVATE, 4096, 0o600)
    yield made
    with suppress(OSError):
        sysv.shmctl(made, sysv.IPC_RMID)


@pytest.fixture
def board() -> Iterator[memoryview]:
    """Numbers that a program stores what it measured in."""
    with posix.create(own_name("result"), 4096) as memory:
        numbers = memory.buf.cast("Q")
        yield numbers
        numbers.release()


# --- programs ----------------------------------------------------------------------------------------------


@both
def test_an_id_means_the_same_everywhere_and_a_descriptor_does_not(language: Language, shmid: int) -> None:
    with posix.create(own_name("n"), 4096) as memory:
        fd = posix.shm_open(memory.name or "", posix.O_RDWR)
        with Process(language(two_numbers), int(fd), shmid) as process:
            assert process.run().wait().ok
        posix.close(fd)
    assert process.output.splitlines() == ["mmap: EBADF", "shmat: yes"]


@both
def test_an_id_of_nothing_is_refused(language: Language, shmid: int) -> None:
    sysv.shmctl(shmid, sysv.IPC_RMID)
    with Process(language(two_numbers), 99, shmid) as process:
        assert process.run().wait().ok
    assert process.output.splitlines() == ["mmap: EBADF", "shmat: EINVAL"]


@needs_cc
def test_the_twin_says_how_it_is_called() -> None:
    with Process(in_c(two_numbers)) as process:
        assert process.run().wait().status == 2
    assert process.output.startswith("usage: ")


@pytest.mark.parametrize("way", transports.WAYS)
@pytest.mark.parametrize("size", [1, 64, 200_000])
def test_messages_arrive_by_every_way(way: str, size: int, board: memoryview) -> None:
    with Process(channel, Shared(own_name("result")), way, 30, size, own_name("ring")) as process:
        outcome = process.run().wait(20)
        assert outcome.ok, f"{outcome}\n{outcome.traceback}\n{process.output}"
        assert not [row for row in observe.segments() if row.cpid == process.pid]
    assert board[0] > 0
    assert not observe.objects(own_name("ring*"))


def test_every_way_is_timed_in_every_round_of_every_size(board: memoryview) -> None:
    sizes, rounds, ways = (64, 70_000), 2, len(transports.WAYS)
    arguments = Shared(own_name("result")), sizes, rounds, own_name("ring")
    with Process(transports.transports, *arguments) as process:
        assert process.run().wait(30).ok
    measured = board.tolist()[: len(sizes) * rounds * ways + 1]
    assert all(measured[:-1])
    assert measured[-1] == 0
    assert not observe.objects(own_name("ring*"))


def test_every_life_is_timed_and_leaves_nothing(board: memoryview) -> None:
    arguments = Shared(own_name("result")), 3, 5, 4096, own_name("life")
    with Process(set_up.set_up, *arguments) as process:
        outcome = process.run().wait(20)
        assert outcome.ok, f"{outcome}\n{outcome.traceback}\n{process.output}"
        assert not [row for row in observe.segments() if row.cpid == process.pid]
    assert process.output == ""
    assert all(board[: 3 * len(set_up.WAYS)])
    assert not observe.objects(own_name("life"))


def test_a_ring_may_lie_in_a_segment() -> None:
    def segment(_name: str, size: int) -> sysv.Attachment:
        shmid = sysv.shmget(sysv.IPC_PRIVATE, size, 0o600)
        made.append(shmid)
        return sysv.shmat(shmid)

    made: list[int] = []
    with Ring.create(own_name("ring"), 4, 100, segment) as ring:
        assert not observe.objects(own_name("ring"))
        for word in (b"one", b"two"):
            ring.put(word)
        with sysv.shmat(made[0]) as memory:
            assert b"one" in bytes(memory.buf)
        assert [ring.take(), ring.take()] == [b"one", b"two"]
        assert sysv.shmctl(made[0], sysv.IPC_STAT).shm_nattch == 1
    assert sysv.shmctl(made[0], sysv.IPC_STAT).shm_nattch == 0
    sysv.shmctl(made[0], sysv.IPC_RMID)


# --- multiprocessing's shared memory (P16, P17) -------------------------------------------------------------

VISITS = [
    pytest.param("", "", False, id="as it is"),
    pytest.param("", "resource_tracker.unregister(m._name, 'shared_memory')", True, id="unregistered"),
    pytest.param(
        ", track=False",
        "",
        True,
        id="not tracked",
        marks=pytest.mark.skipif(sys.version_info < (3, 13), reason="track is new in Python 3.13"),
    ),
]


@pytest.mark.parametrize(("option", "then", "stays"), VISITS)
def test_whether_a_visitor_destroys(option: str, then: str, stays: bool) -> None:
    lines = "from multiprocessing import resource_tracker, shared_memory", "m.close()", then
    script = "\n".join([lines[0], "m = shared_memory.SharedMemory({!r}{})", *lines[1:]])
    with posix.create(own_name("visited"), 4096) as memory:
        command = [sys.executable, "-c", script.format((memory.name or "")[1:], option)]
        subprocess.run(command, check=True, capture_output=True, timeout=30)
        assert (observe.object_entry(memory.name or "") is not None) == stays
        memory.buf[0] = 1  # who has it mapped keeps it


# --- the figure --------------------------------------------------------------------------------------------

RATIOS = {
    "shared memory": {64: [0.5, 0.6, 0.9], 1024: [0.3, 0.4, 0.5]},
    "pipe": {64: [1.0, 1.0, 1.0], 1024: [1.0, 1.0, 1.0]},
    "queue": {64: [4.0, 5.0, 6.0], 1024: [2.0, 3.0, 9.0]},
}


def test_ratios_are_lines_with_bands_and_the_reference_is_dashed() -> None:
    canvas, ax = figures.figure(1000, 520)
    figures.draw_ratios(ax, RATIOS, "pipe", "Time per message", "size", "time / the pipe's")
    canvas.draw()
    lines = {line.get_label(): line for line in ax.lines}
    assert list(lines) == ["pipe", "shared memory", "queue"]
    assert lines["pipe"].get_linestyle() == "--"
    assert list(lines["queue"].get_ydata()) == [5.0, 3.0]
    assert len({line.get_marker() for line in ax.lines}) == len({line.get_color() for line in ax.lines}) == 3
    assert len(ax.collections) == 2
    assert [label.get_text() for label in ax.get_xticklabels()] == ["64 bytes", "1 KiB"]
    assert {"1", "3"} <= {label.get_text() for label in ax.get_yticklabels()}
    (legend,) = ax.figure.legends
    assert legend.get_window_extent().x1 <= 1000
    assert legend.get_window_extent().x0 >= ax.get_window_extent().x1
    assert ax.get_xlabel() == "size"
    assert ax.get_ylabel() == "time / the pipe's"


def test_ratios_are_told_in_a_sentence() -> None:
    said = figures.describe_ratios(RATIOS, "pipe", "Time per message")
    assert said == (
        "Time per message, as multiples of pipe: shared memory 0.6 at 64 bytes, 0.4 at 1 KiB; "
        "queue 5 at 64 bytes, 3 at 1 KiB."
    )


# --- 13-a --------------------------------------------------------------------------------------------------

RIGHT = {"grows": "POSIX", "umask": "POSIX", "read": "POSIX", "number": "System V", "killed": "both"}


def test_the_right_properties_whatever_the_umask() -> None:
    mask = os.umask(0)
    try:
        verdict = check.exercise("13-a", RIGHT)
    finally:
        os.umask(mask)
    assert verdict, verdict


@pytest.mark.parametrize(
    ("answers", "message", "hint"),
    [
        (RIGHT | {"grows": "both"}, "4 of 5 are right; 'grows' isn't", "ftruncate"),
        (RIGHT | {"killed": "neither"}, "'killed' isn't", "Who should remove it?"),
        (dict.fromkeys(RIGHT, "neither"), "0 of 5", ""),
        ({"grows": "POSIX"}, "nothing is said of 'umask'", "5 entries"),
        (RIGHT | {"read": "Posix"}, "'read' can't be answered like that", "neither, POSIX, System V, both"),
        (RIGHT | {"read": []}, "can't be answered", ""),
        ("both", "a value of type str", "{"),
    ],
)
def test_wrong_properties_are_told_why(answers: Any, message: str, hint: str) -> None:
    verdict = check.exercise("13-a", answers)
    assert not verdict
    assert message in verdict.message
    assert hint in verdict.hint


# --- 13-b --------------------------------------------------------------------------------------------------


def made(where: Any, text: str, mode: int = 0o600, more: int = 0, exclusive: bool = True) -> Any:
    """Make either; what every version below begins with."""
    size = len(text) + more
    if isinstance(where, str):
        flags = posix.O_CREAT | posix.O_RDWR | (posix.O_EXCL if exclusive else 0)
        fd = posix.shm_open(where, flags, mode)
        posix.ftruncate(fd, size)
        return posix.mmap(None, size, posix.PROT_READ | posix.PROT_WRITE, posix.MAP_SHARED, fd)
    flags = sysv.IPC_CREAT | (sysv.IPC_EXCL if exclusive else 0)
    return sysv.shmat(sysv.shmget(where, size, flags | mode))


def removed(where: Any) -> None:
    if isinstance(where, str):
        posix.shm_unlink(where)
    else:
        sysv.shmctl(sysv.shmget(where, 0, 0), sysv.IPC_RMID)


def good(where: Any, text: str) -> Iterator[str]:
    m = made(where, text)
    m.buf[:] = text.encode()
    yield "stored"
    removed(where)


def with_more_steps(where: Any, text: str) -> Iterator[str]:
    m = made(where, text)
    m.buf[:] = text.encode()
    yield "stored"
    yield "still there"
    removed(where)
    yield "removed"


def names_alone(where: Any, text: str) -> Iterator[str]:
    posix.shm_open(where, posix.O_CREAT | posix.O_RDWR, 0o600)
    yield "made"


def keys_alone(where: Any, text: str) -> Iterator[str]:
    sysv.shmget(where, len(text), sysv.IPC_CREAT | 0o600)
    yield "made"


def left_there(where: Any, text: str) -> Iterator[str]:
    m = made(where, text)
    m.buf[:] = text.encode()
    yield "stored"


def too_large(where: Any, text: str) -> Iterator[str]:
    m = made(where, text, more=1)
    m.buf[: len(text)] = text.encode()
    yield "stored"
    removed(where)


def for_all(where: Any, text: str) -> Iterator[str]:
    m = made(where, text, 0o640)
    m.buf[:] = text.encode()
    yield "stored"
    removed(where)


def for_nobody(where: Any, text: str) -> Iterator[str]:
    made(where, text, 0)
    yield "stored"
    removed(where)


def empty(where: Any, text: str) -> Iterator[str]:
    made(where, text)
    yield "stored"
    removed(where)


def over_the_old(where: Any, text: str) -> Iterator[str]:
    there = isinstance(where, str) and observe.object_entry(where) is not None
    m = made(where, text, exclusive=False)
    m.buf[:] = text.encode()
    yield "stored"
    if not there:
        removed(where)


def clears_the_way(where: Any, text: str) -> Iterator[str]:
    with suppress(FileNotFoundError):
        removed(where)
    m = made(where, text)
    m.buf[:] = text.encode()
    yield "stored"
    removed(where)


def looks_away(where: Any, text: str) -> Iterator[str]:
    try:
        m = made(where, text)
    except FileExistsError:
        return
    m.buf[:] = text.encode()
    yield "stored"
    removed(where)


def never_yields(where: Any, text: str) -> Iterator[str]:
    made(where, text)
    removed(where)
    return
    yield


def no_bytes(where: Any, text: str) -> Iterator[str]:
    fd = posix.shm_open(where, posix.O_CREAT | posix.O_RDWR, 0o600)
    m = posix.mmap(None, 4096, posix.PROT_READ | posix.PROT_WRITE, posix.MAP_SHARED, fd)
    m.buf[0] = 1
    yield "stored"


def one_argument(where: Any) -> Iterator[str]:
    yield "made"


@pytest.mark.parametrize("program", [good, with_more_steps])
def test_either_does_both(program: Any) -> None:
    verdict = check.exercise("13-b", program)
    assert verdict, verdict


@pytest.mark.parametrize(
    ("program", "message", "hint"),
    [
        (names_alone, "the object has 0 bytes", "len(text)"),
        (keys_alone, "it raised", "A name is for shm_open"),
        (left_there, "the object is still there", "shm_unlink"),
        (too_large, "bytes, the text", "len(text)"),
        (for_all, "mode is 0640", "0o600"),
        (for_nobody, "mode is 0000", "0o600"),
        (empty, "doesn't hold the text", "before the yield"),
        (over_the_old, "other bytes now", "O_EXCL"),
        (clears_the_way, "was there before is gone", "O_EXCL says who"),
        (looks_away, "when the name is taken, it exited with status 0", "FileExistsError"),
        (never_yields, "it never yields", "yield"),
        (no_bytes, "SIGBUS", "ftruncate"),
        (one_argument, "it raised TypeError", "two arguments"),
        (None, "that's None", "either"),
    ],
)
def test_either_that_does_not_is_told_why(program: Any, message: str, hint: str) -> None:
    verdict = check.exercise("13-b", program)
    assert not verdict
    assert message in verdict.message
    assert hint in verdict.hint
    assert not observe.objects(own_name("check"))
    assert not [row for row in observe.segments() if row.key == own_key("check")]


# --- 13-c --------------------------------------------------------------------------------------------------


def opened(key: int) -> Any:
    shmid = sysv.shmget(key, 0, 0)
    return shmid, sysv.shmctl(shmid, sysv.IPC_STAT), sysv.shmat(shmid)


def copied(name: str, old: Any, length: int) -> int:
    fd = posix.shm_open(name, posix.O_CREAT | posix.O_EXCL | posix.O_RDWR, 0o600)
    posix.ftruncate(fd, length)
    with posix.mmap(None, length, posix.PROT_READ | posix.PROT_WRITE, posix.MAP_SHARED, fd) as new:
        new.buf[: len(old.buf)] = old.buf
    return int(fd)


def moves(key: int, name: str) -> Iterator[str]:
    shmid, stat, old = opened(key)
    fd = copied(name, old, stat.shm_segsz)
    yield "copied"
    os.fchmod(fd, stat.shm_perm.mode & 0o777)
    yield "fchmod"
    sysv.shmctl(shmid, sysv.IPC_RMID)
    yield "IPC_RMID"


def removes_first(key: int, name: str) -> Iterator[str]:
    shmid, stat, old = opened(key)
    with suppress(FileNotFoundError):
        posix.close(posix.shm_open(name, posix.O_RDWR))
        raise FileExistsError(17, "taken", name)
    sysv.shmctl(shmid, sysv.IPC_RMID)
    yield "IPC_RMID"
    os.fchmod(copied(name, old, stat.shm_segsz), 0o666)
    yield "copied"


def rmid_before_o_excl(key: int, name: str) -> Iterator[str]:
    shmid, stat, old = opened(key)
    sysv.shmctl(shmid, sysv.IPC_RMID)
    yield "IPC_RMID"
    copied(name, old, stat.shm_segsz)
    yield "copied"


def mode_last(key: int, name: str) -> Iterator[str]:
    shmid, stat, old = opened(key)
    fd = copied(name, old, stat.shm_segsz)
    yield "copied"
    sysv.shmctl(shmid, sysv.IPC_RMID)
    yield "IPC_RMID"
    os.fchmod(fd, stat.shm_perm.mode & 0o777)
    yield "fchmod"


def no_mode(key: int, name: str) -> Iterator[str]:
    _, stat, old = opened(key)
    copied(name, old, stat.shm_segsz)
    yield "copied"
    yield "done"


def whole_pages(key: int, name: str) -> Iterator[str]:
    _, _, old = opened(key)
    copied(name, old, 8192)
    yield "copied"


def as_text(key: int, name: str) -> Iterator[str]:
    _, stat, old = opened(key)
    fd = posix.shm_open(name, posix.O_CREAT | posix.O_EXCL | posix.O_RDWR, 0o600)
    posix.ftruncate(fd, stat.shm_segsz)
    os.pwrite(fd, bytes(old.buf).partition(b"\0")[0], 0)
    os.fchmod(fd, 0o666)
    yield "copied"


def keeps_the_segment(key: int, name: str) -> Iterator[str]:
    _, stat, old = opened(key)
    os.fchmod(copied(name, old, stat.shm_segsz), 0o666)
    yield "copied"
    yield "done"


def in_one_go(key: int, name: str) -> Iterator[str]:
    shmid, stat, old = opened(key)
    os.fchmod(copied(name, old, stat.shm_segsz), 0o666)
    sysv.shmctl(shmid, sysv.IPC_RMID)
    yield "done"


def into_what_is_there(key: int, name: str) -> Iterator[str]:
    _, _, old = opened(key)
    fd = posix.shm_open(name, posix.O_CREAT | posix.O_RDWR, 0o600)
    posix.ftruncate(fd, old.length)
    os.pwrite(fd, old.buf, 0)
    yield "copied"


def makes_nothing(key: int, name: str) -> Iterator[str]:
    posix.close(posix.shm_open(name, posix.O_CREAT | posix.O_EXCL | posix.O_RDWR, 0o600))
    posix.shm_unlink(name)
    yield "done"


def endless(key: int, name: str) -> Iterator[str]:
    posix.shm_open(name, posix.O_CREAT | posix.O_EXCL | posix.O_RDWR, 0o600)
    while True:
        yield "again"


def test_a_move_that_loses_nothing() -> None:
    verdict = check.exercise("13-c", moves)
    assert verdict, verdict


@pytest.mark.parametrize(
    ("program", "message", "hint"),
    [
        (removes_first, "killed at 'IPC_RMID', it leaves no whole copy", "Remove the segment last"),
        (rmid_before_o_excl, "when the name is taken, something is lost", "IPC_RMID last"),
        (mode_last, "killed at 'IPC_RMID', it leaves no whole copy", "last"),
        (no_mode, "the object's mode is 0600", "fchmod"),
        (whole_pages, "the object has 8192 bytes", "shm_segsz"),
        (as_text, "other bytes", "zero bytes"),
        (keeps_the_segment, "the key still leads to the segment", "IPC_RMID"),
        (in_one_go, "it has 1 yield", "behind each call"),
        (into_what_is_there, "something is lost", "O_EXCL"),
        (makes_nothing, "there is no object", "shm_open"),
        (endless, "more than 12 steps", "A yield"),
        (one_argument, "it raised TypeError", ""),
        (42, "a value of type int", "move"),
    ],
)
def test_a_move_that_does_not_is_told_why(program: Any, message: str, hint: str) -> None:
    verdict = check.exercise("13-c", program)
    assert not verdict
    assert message in verdict.message
    assert hint in verdict.hint
    assert not observe.objects(own_name("check"))
    assert not [row for row in observe.segments() if row.key == own_key("check")]


@pytest.mark.parametrize("id_", ["13-a", "13-b", "13-c"])
def test_a_judge_never_raises(id_: str) -> None:
    for value in (object(), [], b"", print, lambda: None, os):
        assert not check.exercise(id_, value)
