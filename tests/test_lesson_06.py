"""Lesson 06: what its programs do, in Python and in C; its figures; and that its judges can tell."""

import os
import signal
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from shmlab import Process, check, figures, in_c, observe, own_name, posix
from shmlab.figures import Life, Moment, Span
from shmlab.processes import State
from shmlab.programs import find_compiler
from shmlab.programs.diary import diary
from shmlab.programs.ending import ending
from shmlab.programs.legacy import legacy
from shmlab.programs.roll_call import roll_call
from shmlab.programs.siblings import siblings
from shmlab.programs.stale import stale
from shmlab.programs.zombie import zombie

needs_cc = pytest.mark.skipif(find_compiler() is None, reason="no C compiler")


def as_it_is(program: Any) -> Any:
    return program


@pytest.fixture(params=[as_it_is, pytest.param(in_c, marks=needs_cc)], ids=["Python", "C"])
def spoken(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    """Turn a program into the one to be tested: itself, or its twin."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def memory() -> Iterator[posix.OwnedMapping]:
    with posix.create(own_name("mymem"), 4096) as mapping:
        yield mapping


@pytest.fixture
def gates() -> Iterator[list[posix.Semaphore]]:
    made = [posix.sem_open(own_name(word), posix.O_CREAT | posix.O_EXCL) for word in ("go", "done")]
    yield made
    for gate in made:
        posix.sem_unlink(gate.name)


def numbers(memory: posix.OwnedMapping, count: int = 9) -> list[int]:
    return list(struct.unpack(f"{count}q", memory.buf[: 8 * count]))


def seen_through(process: Process, seconds: float = 5) -> State:
    """Return where a process is when its step is over, however long a child kept it waiting."""
    deadline = monotonic() + seconds
    while process.pause().kind == "blocked" and monotonic() < deadline:
        pass
    return process.state


# --- programs ----------------------------------------------------------------------------------------------


def test_who_reads_before_waiting_finds_nothing(
    spoken: Any, memory: posix.OwnedMapping, gates: list[posix.Semaphore]
) -> None:
    go, done = gates
    with Process(spoken(legacy), memory.name, go.name, done.name, "read") as parent:
        assert parent.step().at == "fork"
        assert parent.step().at == "reads 0"
        for _ in range(2):
            posix.sem_post(go)
        assert parent.run().wait().ok
    assert numbers(memory, 2) == [42, 0]


def test_who_waits_is_blocked_until_the_child_ends_and_not_until_it_has_stored(
    spoken: Any, memory: posix.OwnedMapping, gates: list[posix.Semaphore]
) -> None:
    go, done = gates
    with Process(spoken(legacy), memory.name, go.name, done.name, "wait") as parent:
        parent.step()
        assert parent.step().on.startswith("wait4")
        posix.sem_post(go)
        posix.sem_timedwait(done, 5)
        assert numbers(memory, 2) == [42, 0]
        assert parent.step(timeout=0.2).kind == "blocked"
        posix.sem_post(go)
        assert parent.run().wait().ok
    assert numbers(memory, 2) == [42, 42]


@pytest.mark.parametrize("between", ["nothing", "a pause", "waitpid"])
def test_stale_reads_are_counted(spoken: Any, memory: posix.OwnedMapping, between: str) -> None:
    with Process(spoken(stale), memory.name, 30, between) as parent:
        assert parent.run().wait().ok
        assert parent.state.step == 30
    last, count = numbers(memory, 2)
    assert last == 30
    assert count == 0 if between == "waitpid" else 0 <= count <= 30


@pytest.mark.parametrize(("child", "parent"), [(30, 1), (1, 30)])
def test_a_diary_is_in_order(spoken: Any, memory: posix.OwnedMapping, child: int, parent: int) -> None:
    assert Process(spoken(diary), memory.name, child, parent).run().wait().ok
    number, early, late, fork, born, stored, called, returned, end = numbers(memory)
    assert (number, late) == (42, 42)
    assert early in (0, 42)
    assert fork <= born <= stored <= returned <= end
    assert fork <= called <= returned
    assert stored - born >= child * 1e6
    assert called - fork >= parent * 1e6


@pytest.mark.parametrize(
    ("how", "number", "status"),
    [
        ("exit", 3, 0x0300),
        ("exit", 261, 0x0500),
        ("exit", -1, 0xFF00),
        ("signal", signal.SIGKILL, 0x0009),
        ("signal", signal.SIGBUS, 0x0007),
        ("signal", signal.SIGSEGV, 0x000B),
        ("signal", signal.SIGSTOP, 0x137F),
    ],
)
def test_a_status(spoken: Any, memory: posix.OwnedMapping, how: str, number: int, status: int) -> None:
    """FACTS F34."""
    assert Process(spoken(ending), memory.name, how, int(number)).run().wait().ok
    assert numbers(memory, 1) == [status]


def test_a_zombie_has_a_number_and_a_status_and_nothing_else(
    spoken: Any, memory: posix.OwnedMapping, gates: list[posix.Semaphore]
) -> None:
    """FACTS F35."""

    def attached() -> int:
        (found,) = [each.attached for each in observe.segments() if each.id == segment]
        return found

    with Process(spoken(zombie), memory.name, gates[0].name) as parent:
        assert parent.step().at == "fork"
        child, segment = numbers(memory, 2)
        assert attached() == 2
        assert len(observe.mappings(child, memory.name)) == 1
        posix.sem_post(gates[0])
        parent.step()
        assert seen_through(parent).at == "waitid"
        assert Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        assert (attached(), len(observe.mappings(child, memory.name))) == (1, 0)
        os.kill(child, 0)
        parent.step()
        assert seen_through(parent).at == "waitpid"
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)
        assert numbers(memory, 3)[2] == 7 << 8
        assert parent.run().wait().ok
    assert segment not in [each.id for each in observe.segments()]


@pytest.mark.parametrize("times", [1, 1000])
def test_two_children_who_are_both_waited_for_lose_an_update(
    spoken: Any, memory: posix.OwnedMapping, times: int
) -> None:
    with Process(spoken(siblings), memory.name, times) as parent:
        parent.step()
        assert seen_through(parent).at == "both loaded"
        assert numbers(memory, 1) == [0]
        assert parent.run().wait().ok
    (count,) = numbers(memory, 1)
    assert count == 1 if times == 1 else 1 <= count < 2 * times


def test_wait_takes_whoever_ends_and_fails_when_nobody_is_left(
    spoken: Any, gates: list[posix.Semaphore]
) -> None:
    """FACTS F36."""
    labels = []
    with Process(spoken(roll_call), gates[0].name) as parent:
        for turn in range(4):
            if turn == 2:
                posix.sem_post(gates[0])
            parent.step()
            labels.append(seen_through(parent).at)
    assert labels == ["wait: quick, 2", "WNOHANG: 0, 0", "waitpid: slow, 1", "wait: No child processes"]


@needs_cc
@pytest.mark.parametrize("program", [legacy, stale, diary, ending, zombie, siblings, roll_call])
def test_a_twin_says_how_it_is_called(program: Any) -> None:
    with Process(in_c(program)) as process:
        outcome = process.run().wait()
    assert outcome.status == 2
    assert process.output.startswith("usage: ")


# --- figures -----------------------------------------------------------------------------------------------

PARENT = Life(
    "parent",
    (Span(0, 10, "running"), Span(10, 40, "waiting"), Span(40, 45, "running")),
    (Moment(10, "reads 0"), Moment(40, "reads 42")),
)
CHILD = Life("child", (Span(1, 39, "running"), Span(39, 40, "zombie")), (Moment(39, "stores 42"),))


def test_a_timeline_has_a_row_a_process_and_says_states_in_words() -> None:
    canvas, ax = figures.figure(1000, 330)
    figures.draw_timeline(ax, [PARENT, CHILD], "Two lives", until=60)
    canvas.draw()
    assert [label.get_text() for label in ax.get_yticklabels()] == ["parent", "child"]
    assert ax.get_xlim() == (0, 60)
    words = [text.get_text() for text in ax.texts]
    for word in ("running", "waiting", "dead", "reads 0", "reads 42", "stores 42"):
        assert word in words
    assert all(text.get_fontsize() >= figures.TYPE for text in ax.texts)
    assert "(ms)" in ax.get_xlabel()


def test_states_differ_by_more_than_colour() -> None:
    _, ax = figures.figure(1000, 330)
    long = Life("all", (Span(0, 20, "running"), Span(20, 40, "waiting"), Span(40, 60, "zombie")))
    figures.draw_timeline(ax, [long])
    assert len({patch.get_hatch() for patch in ax.patches}) == 3


def test_nothing_of_a_timeline_is_written_outside_of_it() -> None:
    canvas, ax = figures.figure(1000, 330)
    late = Life("x", (Span(0, 60, "running"),), (Moment(0.1, "began"), Moment(59.9, "reads 42")))
    figures.draw_timeline(ax, [late], until=60)
    canvas.draw()
    box = ax.get_window_extent()
    for text in ax.texts:
        extent = text.get_window_extent()
        assert box.x0 - 1 <= extent.x0
        assert extent.x1 <= box.x1 + 1


def test_a_timeline_in_a_sentence() -> None:
    said = figures.describe_timeline([PARENT, CHILD], "Two lives")
    assert said.startswith("Two lives: the parent is running from 0 to 10 ms, waiting from 10 to 40 ms")
    assert "the child is running from 1 to 39 ms, zombie from 39 to 40 ms, stores 42 at 39 ms." in said


@pytest.mark.parametrize("wrong", [(0, 1, "asleep"), (2, 1, "running")])
def test_a_span_that_cannot_be_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"no state of a process|ends after it began"):
        Span(*wrong)


def test_counts_are_written_beside_their_bars_zero_too() -> None:
    counts = {"Python": {"nothing": 199, "waitpid": 0}, "C": {"nothing": 200, "waitpid": 0}}
    _, ax = figures.figure()
    figures.draw_counts(ax, counts, 200, "Too early", "rounds, out of 200", "between")
    assert sorted(text.get_text() for text in ax.texts) == ["0", "0", "199", "200"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["nothing", "waitpid"]
    said = figures.describe_counts(counts, 200, "Too early")
    assert "Python, nothing: 199 of 200" in said
    assert "C, waitpid: 0 of 200" in said


# --- exercises ---------------------------------------------------------------------------------------------


def test_the_right_status() -> None:
    assert check.exercise("06-a", 0xE800)


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        (1000, "handed to exit"),
        (232, "WEXITSTATUS"),
        (256000, "eight bits"),
        (9, "signal"),
        (0xE8E8, "second byte"),
        ("0xe800", "whole number"),
        (True, "whole number"),
        (None, "whole number"),
    ],
)
def test_a_wrong_status_gets_help_that_fits(status: Any, hint: str) -> None:
    verdict = check.exercise("06-a", status)
    assert not verdict
    assert hint in verdict.hint.replace("Whole", "whole")


def children_that_store(name: str, gates: tuple[str, ...]) -> memoryview:
    fd = posix.shm_open(name, posix.O_RDWR)
    memory = posix.mmap(None, 4096, posix.PROT_READ | posix.PROT_WRITE, posix.MAP_SHARED, fd).buf.cast("q")
    for i, number in enumerate((40, 2)):
        if os.fork() == 0:
            posix.sem_wait(posix.sem_open(gates[i], 0))
            memory[i] = number
            os._exit(0)
    return memory


def sum_after_two_waits(name, gates):  # type: ignore[no-untyped-def]
    memory = children_that_store(name, gates)
    os.wait(), os.wait()
    memory[2] = memory[0] + memory[1]
    yield "added"


def sum_at_once(name, gates):  # type: ignore[no-untyped-def]
    memory = children_that_store(name, gates)
    memory[2] = memory[0] + memory[1]
    yield "added"


def sum_after_one_wait(name, gates):  # type: ignore[no-untyped-def]
    memory = children_that_store(name, gates)
    os.wait()
    memory[2] = memory[0] + memory[1]
    yield "added"


def sum_after_three_waits(name, gates):  # type: ignore[no-untyped-def]
    memory = children_that_store(name, gates)
    os.wait(), os.wait(), os.wait()
    memory[2] = memory[0] + memory[1]
    yield "added"


def sum_forgotten(name, gates):  # type: ignore[no-untyped-def]
    children_that_store(name, gates)
    os.wait(), os.wait()
    yield "waited"


def sum_by_turning(name, gates):  # type: ignore[no-untyped-def]
    children_that_store(name, gates)
    while os.waitpid(-1, os.WNOHANG) != (0, 1):
        yield "asked"


def sum_alone(name):  # type: ignore[no-untyped-def]
    yield name


def test_a_sum_that_waits() -> None:
    verdict = check.exercise("06-b", sum_after_two_waits)
    assert verdict, verdict


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (sum_at_once, "both children were still held"),
        (sum_after_one_wait, "one child was still held"),
        (sum_after_three_waits, "ECHILD"),
        (sum_forgotten, "not [40, 2, 42]"),
        (sum_by_turning, "neither waits nor ends"),
        (sum_alone, "two arguments"),
        (42, "not a program"),
        (None, "not a program"),
        (sum, "can't be sent"),
    ],
)
def test_a_sum_in_a_hurry_is_caught(program: Any, said: str) -> None:
    begin = monotonic()
    verdict = check.exercise("06-b", program)
    assert not verdict
    assert said in repr(verdict)
    assert monotonic() - begin < 12


def three_children(name: str, gates: tuple[str, ...]) -> tuple[memoryview, list[int]]:
    fd = posix.shm_open(name, posix.O_RDWR)
    memory = posix.mmap(None, 4096, posix.PROT_READ | posix.PROT_WRITE, posix.MAP_SHARED, fd).buf.cast("q")
    children = []
    for i, gate in enumerate(gates):
        children.append(os.fork())
        if children[i] == 0:
            posix.sem_wait(posix.sem_open(gate, 0))
            if i == 2:
                os.kill(os.getpid(), 9)
            os._exit(10 * (i + 1))
    return memory, children


def noted_as_they_end(name, gates):  # type: ignore[no-untyped-def]
    memory, children = three_children(name, gates)
    for place in range(3):
        child, status = os.wait()
        memory[2 * place] = children.index(child)
        memory[2 * place + 1] = os.waitstatus_to_exitcode(status)
        yield "noted"


def noted_in_their_order(name, gates):  # type: ignore[no-untyped-def]
    memory, children = three_children(name, gates)
    for place, child in enumerate(children):
        memory[2 * place], memory[2 * place + 1] = place, os.waitpid(child, 0)[1]
        yield "noted"


def noted_raw(name, gates):  # type: ignore[no-untyped-def]
    memory, children = three_children(name, gates)
    for place in range(3):
        child, status = os.wait()
        memory[2 * place], memory[2 * place + 1] = children.index(child), status
        yield "noted"


def noted_by_exit_status(name, gates):  # type: ignore[no-untyped-def]
    memory, children = three_children(name, gates)
    for place in range(3):
        child, status = os.wait()
        memory[2 * place], memory[2 * place + 1] = children.index(child), os.WEXITSTATUS(status)
        yield "noted"


def noted_by_place(name, gates):  # type: ignore[no-untyped-def]
    memory, _ = three_children(name, gates)
    for place in range(3):
        memory[2 * place], memory[2 * place + 1] = place, os.waitstatus_to_exitcode(os.wait()[1])
        yield "noted"


def noted_once(name, gates):  # type: ignore[no-untyped-def]
    memory, children = three_children(name, gates)
    child, status = os.wait()
    memory[0], memory[1] = children.index(child), os.waitstatus_to_exitcode(status)
    yield "noted"


def test_a_harvest_as_they_end() -> None:
    verdict = check.exercise("06-c", noted_as_they_end)
    assert verdict, verdict


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (noted_in_their_order, "waits for that child alone"),
        (noted_raw, "as waitpid gives it"),
        (noted_by_exit_status, "a child that exited"),
        (noted_by_place, "where in your list"),
        (noted_once, "Three waits"),
        (sum_alone, "two arguments"),
        ("harvest", "not a program"),
    ],
)
def test_a_harvest_out_of_order_is_caught(program: Any, said: str) -> None:
    verdict = check.exercise("06-c", program)
    assert not verdict
    assert said in repr(verdict)


@pytest.mark.parametrize("id_", ["06-a", "06-b", "06-c"])
def test_a_judge_never_raises(id_: str) -> None:
    for value in (object(), [], b"", print, lambda: None, os):
        with suppress(KeyError):
            assert not check.exercise(id_, value)
