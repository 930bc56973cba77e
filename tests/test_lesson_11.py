"""Lesson 11: its programs in Python and in C, a cure under every schedule, deaths, what its judges say."""

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from shmlab import (
    Process,
    Shared,
    check,
    every_schedule,
    in_c,
    observe,
    own_key,
    own_name,
    posix,
    run_schedule,
    sysv,
)
from shmlab.processes import start
from shmlab.programs import find_compiler
from shmlab.programs.increment_posix_semaphore import increment_posix_semaphore
from shmlab.programs.increment_sysv_semaphore import increment_sysv_semaphore
from shmlab.programs.pairs import WAYS, pairs
from shmlab.programs.record_reader import READS, TORN, record_reader
from shmlab.programs.sequence_reader import REFUSED, sequence_reader
from shmlab.programs.sequence_writer import SEQUENCE, sequence_writer
from shmlab.programs.two_semaphores import two_semaphores
from shmlab.programs.two_semaphores_ordered import two_semaphores_ordered

needs_cc = pytest.mark.skipif(find_compiler() is None, reason="no C compiler")
LANGUAGES = [pytest.param("Python"), pytest.param("C", marks=needs_cc)]


@pytest.fixture(params=LANGUAGES)
def language(request: pytest.FixtureRequest) -> str:
    spoken: str = request.param
    return spoken


class Memory:
    """An object of 64-bit words, a semaphore of either kind, and two more."""

    def __init__(self) -> None:
        self.mapping = posix.create(own_name("counter"), 4096)
        self.name = self.mapping.name or ""
        self.words = self.mapping.buf.cast("Q")
        self.semaphores = [
            posix.sem_open(own_name(word), posix.O_CREAT | posix.O_EXCL, 0o600, 1)
            for word in ("mutex", "one", "two")
        ]
        self.mutex, self.one, self.two = self.semaphores
        self.key = own_key("mutex")
        self.set = sysv.semget(self.key, 1, sysv.IPC_CREAT | sysv.IPC_EXCL | 0o600)
        sysv.semctl(self.set, 0, sysv.SETVAL, 1)

    def fresh(self) -> None:
        for place in range(len(self.words)):
            self.words[place] = 0
        for semaphore in self.semaphores:
            while not posix.sem_getvalue(semaphore):
                posix.sem_post(semaphore)
        sysv.semctl(self.set, 0, sysv.SETVAL, 1)

    def process(self, language: str, program: Any, *arguments: Any, label: str | None = None) -> Process:
        """A process that works on its words: Python's gets these, C's the name."""
        if language == "C":
            return Process(in_c(program), self.name, *map(str, arguments), label=label)
        return Process(program, Shared(self.name), *arguments, label=label)

    def remove(self) -> None:
        self.words.release()
        posix.munmap(self.mapping)
        posix.shm_unlink(self.name)
        for semaphore in self.semaphores:
            posix.sem_unlink(semaphore.name)
        sysv.semctl(self.set, 0, sysv.IPC_RMID)


@pytest.fixture
def memory() -> Iterator[Memory]:
    made = Memory()
    yield made
    made.remove()


# --- a cure, and a deadlock, under every schedule (D03, D04) ------------------------------------------------


@pytest.mark.parametrize("kind", ["POSIX", "System V", "System V, SEM_UNDO"])
def test_no_schedule_of_guarded_increments_loses_one(language: str, kind: str, memory: Memory) -> None:
    if kind == "POSIX":
        pair = [memory.process(language, increment_posix_semaphore, memory.mutex.name, 1) for _ in "AB"]
    else:
        flags = sysv.SEM_UNDO if "UNDO" in kind else 0
        pair = [memory.process(language, increment_sysv_semaphore, memory.key, 1, flags) for _ in "AB"]
    table = every_schedule(pair, setup=memory.fresh, watch={"count": lambda: memory.words[0]}).all()
    assert len(table) == 8
    assert {run.memory["count"] for run in table} == {2}
    assert all(run.ok for run in table)


@pytest.mark.parametrize(("program", "stuck"), [(two_semaphores, 4), (two_semaphores_ordered, 0)])
def test_who_takes_them_crosswise_may_deadlock(
    language: str, program: Any, stuck: int, memory: Memory
) -> None:
    said = in_c(program) if language == "C" else program
    crossed = [
        Process(said, first.name, second.name)
        for first, second in ((memory.one, memory.two), (memory.two, memory.one))
    ]
    table = every_schedule(crossed, setup=memory.fresh).all()
    assert len(table.where("deadlock")) == stuck
    assert all(run.ok for run in table if run.deadlock is None)


# --- the crash clinic (F66, F67, F70) -----------------------------------------------------------------------


@pytest.mark.parametrize(("flags", "comes"), [(0, False), (sysv.SEM_UNDO, True)])
def test_a_killed_holder_of_a_set(language: str, flags: int, comes: bool, memory: Memory) -> None:
    pair = [memory.process(language, increment_sysv_semaphore, memory.key, 1, flags) for _ in "AB"]
    run = run_schedule(pair, "AA!AB", setup=memory.fresh, timeout=1.0)
    assert (run.outcomes["B"] is not None) == comes
    assert (run.deadlock is None) == comes
    assert memory.words[0] == comes  # A never stored, B did or did not come to it


def test_a_killed_holder_of_a_posix_semaphore_keeps_it(language: str, memory: Memory) -> None:
    pair = [memory.process(language, increment_posix_semaphore, memory.mutex.name, 1) for _ in "AB"]
    run = run_schedule(pair, "AA!AB", setup=memory.fresh, timeout=1.0)
    assert run.outcomes["B"] is None
    assert posix.sem_getvalue(memory.mutex) == 0


@needs_cc
@pytest.mark.parametrize(
    ("kind", "said", "status"),
    [
        ("robust", "EOWNERDEAD\nfound paid 1, received 0\nleft paid 2, received 2\n", 0),
        ("plain", "ETIMEDOUT\n", 1),
    ],
)
def test_a_mutex_whose_owner_dies(kind: str, said: str, status: int, memory: Memory) -> None:
    first, after = (Process(in_c("robust_mutex"), memory.name, kind, role) for role in ("first", "next"))
    with first, after:
        assert first.step().at == "paid"
        os.kill(first.pid or 0, signal.SIGKILL)
        assert first.wait(5).signal == signal.SIGKILL
        outcome = after.run().wait(10)
        assert (outcome.kind, outcome.status) == ("exited", status)
        assert after.output == said


@needs_cc
@pytest.mark.parametrize("kind", ["robust", "plain"])
def test_a_mutex_whose_owner_lives(kind: str, memory: Memory) -> None:
    for role, left in (("first", 1), ("next", 2)):
        with Process(in_c("robust_mutex"), memory.name, kind, role) as process:
            assert process.run().wait(10).ok
            assert process.output == f"it's mine\nleft paid {left}, received {left}\n"


# --- costs --------------------------------------------------------------------------------------------------


def test_each_way_is_timed_and_left_as_it_was(language: str, memory: Memory) -> None:
    name = () if language == "C" else (memory.name,)
    arguments = *name, memory.mutex.name, memory.key, 3, 50
    with memory.process(language, pairs, *arguments) as process:
        outcome = process.run().wait(20)
        assert outcome.ok, f"{outcome}: {process.output}"
    timed = len(WAYS) if language == "C" else len(WAYS) - 1
    for turn in range(3):
        figures = memory.words[turn * len(WAYS) : (turn + 1) * len(WAYS)].tolist()
        assert all(figures[:timed])
        assert not any(figures[timed:])
    assert not any(memory.words[3 * len(WAYS) : 64])
    assert posix.sem_getvalue(memory.mutex) == sysv.semctl(memory.set, 0, sysv.GETVAL) == 1


# --- the sequence lock --------------------------------------------------------------------------------------


def test_no_schedule_makes_the_sequence_lock_accept_a_torn_record(language: str, memory: Memory) -> None:
    pair = [
        memory.process(language, sequence_writer, 2, 1, label="W"),
        memory.process(language, sequence_reader, 2, 1, label="R"),
    ]
    watch = {"found": lambda: tuple(memory.words[place] for place in (READS, TORN, REFUSED))}
    table = every_schedule(pair, setup=memory.fresh, watch=watch).all()
    assert len(table) == 35  # three steps of the reader's among seven
    found = [run.memory["found"] for run in table]
    assert set(found) == {(1, 0, 0), (0, 0, 1)}
    assert found.count((1, 0, 0)) == 2


def test_at_full_speed_it_accepts_no_torn_record_either(language: str, memory: Memory) -> None:
    writer = memory.process(language, sequence_writer, 8, 10**9, 50)
    with writer, memory.process(language, sequence_reader, 8, 50_000) as reader:
        start(writer, reader)
        writer.run(), reader.run()
        assert reader.wait(30).ok
    assert memory.words[TORN] == 0
    assert memory.words[READS] > 0
    assert memory.words[READS] + memory.words[REFUSED] == 50_000


def test_a_reader_that_does_not_look_at_the_sequence_is_torn(language: str, memory: Memory) -> None:
    """What the tests before would not show if nobody read in the middle of a version."""
    pair = [
        memory.process(language, sequence_writer, 2, 1, label="W"),
        memory.process(language, record_reader, 2, 1, label="R"),
    ]
    run_schedule(pair, "WWR", setup=memory.fresh)
    assert (memory.words[READS], memory.words[TORN]) == (1, 1)


def test_a_killed_writer_leaves_it_odd(language: str, memory: Memory) -> None:
    with memory.process(language, sequence_writer, 2, 1) as writer:
        writer.step()
    with memory.process(language, sequence_reader, 2, 3) as reader:
        assert reader.run().wait(10).ok
    assert memory.words[SEQUENCE] % 2 == 1
    assert (memory.words[READS], memory.words[REFUSED]) == (0, 3)


# --- 11-a, 11-b ---------------------------------------------------------------------------------------------


def test_nothing_is_done_at_first() -> None:
    verdict = check.exercise("11-a", 0)
    assert verdict, verdict
    assert "all 3 schedules" in verdict.message


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (1, "by the schedule AABB, A reads 0 before B"),
        (3, "before B has stored"),
        (-1, "never below 0"),
        (1 << 31, "SEM_VALUE_MAX"),
        ("0", "a value of type str"),
        (True, "a value of type bool"),
        (None, "None"),
    ],
)
def test_a_wrong_first_value_is_told_why(value: Any, message: str) -> None:
    verdict = check.exercise("11-a", value)
    assert not verdict
    assert message in verdict.message
    assert verdict.hint


@pytest.mark.parametrize("schedule", ["ABC", "CAB", "b c a", ["A", "C", "B"], "ABCA"])
def test_a_circle_of_three(schedule: Any) -> None:
    verdict = check.exercise("11-b", schedule)
    assert verdict, verdict
    assert "held by B" in verdict.message


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ("", "all three came through"),
        ("AB", "all three came through"),
        ("AABBCC", "all three came through"),
        ("AB!C", "nobody needs to be killed"),
        ("ABX", "'X'"),
        (13 * "A", "13 steps"),
        (3, "a value of type int"),
    ],
)
def test_no_circle_is_told_why(schedule: Any, message: str) -> None:
    verdict = check.exercise("11-b", schedule)
    assert not verdict
    assert message in verdict.message


# --- 11-c ---------------------------------------------------------------------------------------------------


def both(memory: Any, giver: int, taker: int, first: str, second: str) -> Iterator[str]:
    one, other = posix.sem_open(first, 0), posix.sem_open(second, 0)
    posix.sem_wait(one)
    yield "sem_wait first"
    posix.sem_wait(other)
    yield "sem_wait second"
    memory[giver] -= 1
    yield "take"
    memory[taker] += 1
    yield "put"
    posix.sem_post(other)
    yield "sem_post second"
    posix.sem_post(one)
    yield "sem_post first"


def in_order(memory: Any, giver: int, taker: int, mine: str, theirs: str) -> Iterator[str]:
    one, other = (posix.sem_open(name, 0) for name in sorted([mine, theirs]))
    posix.sem_wait(one)
    yield "sem_wait first"
    posix.sem_wait(other)
    yield "sem_wait second"
    memory[giver] -= 1
    yield "take"
    memory[taker] += 1
    yield "put"
    posix.sem_post(one)
    posix.sem_post(other)
    yield "sem_post"


def gives_way(memory: Any, giver: int, taker: int, mine: str, theirs: str) -> Iterator[str]:
    one, other = posix.sem_open(mine, 0), posix.sem_open(theirs, 0)
    while True:
        posix.sem_wait(one)
        yield "sem_wait mine"
        try:
            posix.sem_trywait(other)
            break
        except BlockingIOError:
            posix.sem_post(one)
            yield "gives back"
    yield "sem_trywait theirs"
    memory[giver] -= 1
    memory[taker] += 1
    yield "both"
    posix.sem_post(other)
    posix.sem_post(one)
    yield "sem_post"


def unguarded(memory: Any, giver: int, taker: int, mine: str, theirs: str) -> Iterator[str]:
    memory[giver] -= 1
    yield "take"
    memory[taker] += 1
    yield "put"


def half_guarded(memory: Any, giver: int, taker: int, mine: str, theirs: str) -> Iterator[str]:
    one = posix.sem_open(mine, 0)
    posix.sem_wait(one)
    yield "sem_wait"
    memory[giver] -= 1
    memory[taker] += 1
    yield "both"
    posix.sem_post(one)


def in_one_go(memory: Any, giver: int, taker: int, mine: str, theirs: str) -> Iterator[str]:
    one, other = posix.sem_open(mine, 0), posix.sem_open(theirs, 0)
    posix.sem_wait(one)
    posix.sem_wait(other)
    memory[giver] -= 1
    memory[taker] += 1
    posix.sem_post(other)
    posix.sem_post(one)
    yield "all"


def keeps_one(memory: Any, giver: int, taker: int, mine: str, theirs: str) -> Iterator[str]:
    one, other = (posix.sem_open(name, 0) for name in sorted([mine, theirs]))
    posix.sem_wait(one)
    yield "sem_wait first"
    posix.sem_wait(other)
    yield "sem_wait second"
    memory[giver] -= 1
    memory[taker] += 1
    posix.sem_post(other)
    yield "sem_post one only"


def endless(memory: Any, giver: int, taker: int, mine: str, theirs: str) -> Iterator[str]:
    while True:
        yield "again"


def never_yields(memory: Any, giver: int, taker: int, mine: str, theirs: str) -> Iterator[str]:
    while True:
        pass
    yield "never"


def one_argument(memory: Any) -> Iterator[str]:
    yield "once"


def test_a_transfer_that_is_right_under_every_schedule() -> None:
    verdict = check.exercise("11-c", in_order)
    assert verdict, verdict
    assert "right under all" in verdict.message


@pytest.mark.parametrize(
    ("program", "message", "hint"),
    [
        (both, "by the schedule ABAB: deadlock: A waits for", "agree on an order"),
        (unguarded, "somebody else has account 0's semaphore", "both semaphores"),
        (half_guarded, "somebody else has account 1's semaphore", "both semaphores"),
        (in_one_go, "no yield between its two waits", "behind each sem_wait"),
        (gives_way, "AAAA…: it asks again and again", "sleeps"),
        (keeps_one, "alone: the semaphores are at", "needs its sem_post"),
        (endless, "alone: A has not ended", "end by itself"),
        (never_yields, "alone: A has not ended", "end by itself"),
        (one_argument, "alone: A raised TypeError", "two accounts' numbers"),
        (7, "a value of type int", "transfer"),
    ],
)
def test_a_transfer_that_is_not_is_told_why(program: Any, message: str, hint: str) -> None:
    verdict = check.exercise("11-c", program)
    assert not verdict
    assert message in verdict.message
    assert hint in verdict.hint
    assert not observe.objects(own_name("check*"))


@pytest.mark.parametrize("id_", ["11-a", "11-b", "11-c"])
def test_a_judge_never_raises(id_: str) -> None:
    for value in (object(), [], b"", print, lambda: None, os):
        assert not check.exercise(id_, value)
