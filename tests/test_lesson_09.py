"""What lesson 09 asks and plays: judges on real segments and dead processes; the programs of its scene."""

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from shmlab import Process, check, in_c, observe, own_key, sysv
from shmlab.programs import Program, as_program, find_compiler
from shmlab.programs.keeper import keeper
from shmlab.programs.killer import killer
from shmlab.programs.mess import mess
from shmlab.programs.remover import remover

LANGUAGES = [
    pytest.param(as_program, id="Python"),
    pytest.param(in_c, id="C", marks=pytest.mark.skipif(find_compiler() is None, reason="no C compiler")),
]
Language = Callable[[Any], Program]


def made_by(*pids: int | None) -> list[observe.Segment]:
    return [row for row in observe.segments() if row.cpid in pids]


def with_key(word: str) -> list[observe.Segment]:
    return [row for row in observe.segments() if row.key == own_key(word)]


# --- the scene ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_scene_plays_as_the_lesson_tells_it(language: Language) -> None:
    a, b, k = (Process(language(each), own_key("scene")) for each in (keeper, remover, killer))
    try:
        a.step()
        (made,) = with_key("scene")
        assert (made.attached, made.size, made.cpid) == (0, 10_000, a.pid)
        assert [a.step().at for _ in range(2)] == ["shmat", "shmat again"]
        assert b.step().at == "shmat"
        assert with_key("scene")[0].attached == 3
        assert sorted(each.mappings for each in observe.attachments(made.id)) == [1, 2]
        assert k.step().at == f"its creator is {a.pid}"
        k.step()
        assert a.wait().signal == signal.SIGKILL
        assert (with_key("scene")[0].attached, with_key("scene")[0].lpid) == (1, a.pid)
        assert b.step().at == "IPC_RMID"
        (marked,) = made_by(a.pid)
        assert (marked.key, marked.dest, marked.attached) == (0, True, 1)
        assert b.step().at == "shmdt"
        assert not made_by(a.pid)
    finally:
        for each in (a, b, k):
            each.stop()


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_mess_is_made_by_one_who_dies_and_misleads(language: Language) -> None:
    shmid = sysv.shmget(own_key("other"), 4096, sysv.IPC_CREAT | sysv.IPC_EXCL | 0o600)
    with Process(language(mess), own_key("other")) as process:
        assert process.run().wait().signal == signal.SIGKILL
    left = made_by(process.pid)
    assert 3 <= len(left) <= 6
    assert all((row.attached, row.key) == (0, 0) for row in left)
    (visited,) = (row for row in observe.segments() if row.id == shmid)
    assert (visited.lpid, visited.cpid) == (process.pid, os.getpid())


# --- 09-a --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 4, "3", None, 3.0, True])
def test_a_wrong_count_is_not_taken(count: object) -> None:
    verdict = check.exercise("09-a", count)
    assert not verdict.passed
    assert "3" not in verdict.message.replace("kind", "")


def test_the_right_count_is_taken_and_nothing_stays() -> None:
    assert check.exercise("09-a", 3).passed
    assert not with_key("check")


# --- 09-b --------------------------------------------------------------------------------------------------


def tidy(size: int) -> Iterator[str]:
    shmid = sysv.shmget(sysv.IPC_PRIVATE, size, 0o600)
    m = sysv.shmat(shmid)
    sysv.shmctl(shmid, sysv.IPC_RMID)
    yield "attached"
    m.buf[0] = 1
    yield "stored"


def late(size: int) -> Iterator[str]:
    shmid = sysv.shmget(sysv.IPC_PRIVATE, size, 0o600)
    m = sysv.shmat(shmid)
    yield "attached"
    m.buf[0] = 1
    sysv.shmctl(shmid, sysv.IPC_RMID)
    yield "removed"


def early(size: int) -> Iterator[str]:
    shmid = sysv.shmget(sysv.IPC_PRIVATE, size, 0o600)
    sysv.shmctl(shmid, sysv.IPC_RMID)
    yield "removed"


def leaky(size: int) -> Iterator[str]:
    shmid = sysv.shmget(sysv.IPC_PRIVATE, size, 0o600)
    m = sysv.shmat(shmid)
    sysv.shmctl(shmid, sysv.IPC_RMID)
    yield "attached"
    m.buf[0] = 1
    sysv.shmget(sysv.IPC_PRIVATE, size, 0o600)


def silent(size: int) -> None:
    sysv.shmctl(sysv.shmget(sysv.IPC_PRIVATE, size, 0o600), sysv.IPC_RMID)


def other_size(size: int) -> Iterator[str]:
    shmid = sysv.shmget(sysv.IPC_PRIVATE, 4096, 0o600)
    _m = sysv.shmat(shmid)
    sysv.shmctl(shmid, sysv.IPC_RMID)
    yield "attached"


def endless(size: int) -> Iterator[str]:
    shmid = sysv.shmget(sysv.IPC_PRIVATE, size, 0o600)
    _m = sysv.shmat(shmid)
    sysv.shmctl(shmid, sysv.IPC_RMID)
    while True:
        yield "again"


def test_a_tidy_program_is_taken() -> None:
    verdict = check.exercise("09-b", tidy)
    assert verdict.passed, verdict
    assert "2 steps" in verdict.message


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (late, "killed at 'attached', it left"),
        (early, "no segment of 5000 bytes attached"),
        (leaky, "its segment is still there"),
        (silent, "never yields"),
        (other_size, "no segment of 5000 bytes attached"),
        (endless, "more than 12 steps"),
        (None, "None, not a program"),
        (7, "not a program"),
    ],
)
def test_a_program_that_leaves_something_is_told_so(program: object, message: str) -> None:
    verdict = check.exercise("09-b", program)
    assert not verdict.passed
    assert message in verdict.message
    assert verdict.hint


# --- 09-c --------------------------------------------------------------------------------------------------


@pytest.fixture
def hunt() -> Iterator[tuple[Process, list[int]]]:
    with Process(keeper, own_key("bystander")) as keeping:
        for _ in range(3):
            keeping.step()
        ours = sysv.shmget(own_key("ours"), 4096, sysv.IPC_CREAT | sysv.IPC_EXCL | 0o600)
        culprit = Process(mess, own_key("bystander")).run()
        culprit.wait()
        yield culprit, [ours, *(row.id for row in made_by(keeping.pid))]


def test_the_hunt_is_over_when_just_the_mess_is_gone(hunt: tuple[Process, list[int]]) -> None:
    culprit, bystanders = hunt
    left = made_by(culprit.pid)
    assert (
        f"{len(left)} segments of the dead process are" in check.exercise("09-c", culprit, bystanders).message
    )
    for row in left[1:]:
        sysv.shmctl(row.id, sysv.IPC_RMID)
    assert "1 segment of the dead process is" in check.exercise("09-c", culprit, bystanders).message
    sysv.shmctl(left[0].id, sysv.IPC_RMID)
    assert check.exercise("09-c", culprit, bystanders).passed


def test_who_is_misled_by_lpid_is_told_so(hunt: tuple[Process, list[int]]) -> None:
    culprit, bystanders = hunt
    for row in observe.segments():
        if row.lpid == culprit.pid or row.cpid == culprit.pid:
            sysv.shmctl(row.id, sysv.IPC_RMID)
    verdict = check.exercise("09-c", culprit, bystanders)
    assert not verdict.passed
    assert "somebody else's was removed" in verdict.message


@pytest.mark.parametrize("culprit", [None, "culprit", 5])
def test_without_a_culprit_there_is_no_hunt(culprit: object) -> None:
    assert "there is no culprit" in check.exercise("09-c", culprit, [1]).message


def test_a_living_culprit_is_no_culprit_yet() -> None:
    with Process(mess, own_key("bystander")) as culprit:
        culprit.step()
        assert "isn't dead yet" in check.exercise("09-c", culprit, [1]).message
        assert "no bystanders" in check.exercise("09-c", culprit, []).message
