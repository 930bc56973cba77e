"""Lesson 05: programs that fork and exec, in both languages; the drawing of a family; the judges."""

import ast
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from shmlab import Process, check, figures, in_c, observe, own_name, posix
from shmlab.processes import State
from shmlab.programs import c_program, find_compiler
from shmlab.programs.family import family
from shmlab.programs.heir import heir
from shmlab.programs.latecomer import latecomer
from shmlab.programs.stutter import stutter
from shmlab.programs.successor import successor

READ_WRITE = posix.PROT_READ | posix.PROT_WRITE

Twin = Callable[[Any], Any]


@pytest.fixture(params=["Python", "C"])
def twin(request: pytest.FixtureRequest) -> Twin:
    """The program itself, or its twin in C."""
    if request.param == "C" and find_compiler() is None:
        pytest.skip("no C compiler")
    return in_c if request.param == "C" else lambda program: program


@pytest.fixture
def memory() -> Iterator[posix.OwnedMapping]:
    with posix.create(own_name("mymem"), 4096) as mapping:
        yield mapping


def step(process: Process) -> State:
    """One step, however long the child takes for its part of it."""
    state = process.step()
    deadline = monotonic() + 20
    while state.kind == "blocked" and monotonic() < deadline:
        state = process.pause()
    return state


def said(process: Process, word: str) -> Any:
    return ast.literal_eval(dict(process.state.locals)[word])


def state_of(pid: int) -> str:
    """The kernel's letter: R, S, T (stopped), Z; empty when there's no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def segments_of(process: Process) -> list[int]:
    """How often each segment that the process made is attached."""
    return [each.attached for each in observe.segments() if each.cpid == process.pid]


# --- programs --------------------------------------------------------------------------------------------


def test_heir_shares_the_object_and_not_its_own_memory(memory: posix.OwnedMapping, twin: Twin) -> None:
    name = memory.name or ""
    with Process(twin(heir), name) as parent:
        assert step(parent).at == "mmap"
        where = said(parent, "_addresses")
        assert bytes(memory.buf[:6]) == b"parent"
        assert step(parent).at == "fork"
        child = said(parent, "child")
        assert state_of(child) == "T"
        assert observe.mappings(child, name) == observe.mappings(parent.pid or 0, name) != ()
        assert observe.mappings(child, name)[0].start == where[0]

        def together() -> list[bool]:
            pages = [[observe.pages(pid, at, 1)[0] for at in where] for pid in (parent.pid or 0, child)]
            told = [figures.one_page(*pair) for pair in zip(*pages, strict=True)]
            # What an ordinary user sees leads to the same answer.
            hidden = [[replace(page, frame=None) for page in those] for those in pages]
            assert [figures.one_page(*pair) for pair in zip(*hidden, strict=True)] == told
            return told

        assert together() == [True, True]
        assert step(parent).at == "the child stored"
        assert together() == [True, False]
        assert bytes(memory.buf[:6]) == b"child!"
        assert step(parent).at == "the child ended"
        assert state_of(child) == ""
        assert parent.output == "the child finds b'parent' b'parent'\nthe parent finds b'child!' b'parent'\n"
        assert parent.run().wait().ok


def test_family_shares_three_of_five_and_the_offset(memory: posix.OwnedMapping, twin: Twin) -> None:
    with Process(twin(family), memory.name) as parent:
        seen = []
        for _ in range(4):
            seen.append((step(parent).at, bytes(memory.buf[:2]), segments_of(parent)))
        assert seen == [
            ("before the fork", b"..", [1]),
            ("the child stored", b".C", [2]),
            ("the parent stored", b"PC", [2]),
            ("both looked", b"PC", [1]),
        ]
        assert parent.output == "PC PC PC .C .C 77\nPC PC PC P. P. 77\n"
        assert parent.run().wait().ok
        assert segments_of(parent) == []


def test_the_segment_of_a_killed_family_is_gone(memory: posix.OwnedMapping, twin: Twin) -> None:
    with Process(twin(family), memory.name) as parent:
        step(parent), step(parent)
        assert segments_of(parent) == [2]
    assert segments_of(parent) == []


@pytest.mark.parametrize("turn", range(5))
def test_latecomer_dies_where_only_its_child_has_a_mapping(
    memory: posix.OwnedMapping, twin: Twin, turn: int
) -> None:
    name = memory.name or ""
    with Process(twin(latecomer), name) as parent:
        step(parent)
        child, address = said(parent, "child"), said(parent, "address")
        assert [line.start for line in observe.mappings(child, name)] == [address]
        assert not observe.mappings(parent.pid or 0, name)
        outcome = step(parent).outcome
        assert outcome is not None
        assert (outcome.kind, outcome.signal) == ("killed", 11)
        assert state_of(child) == "T"
    assert state_of(child) in ("", "Z"), "the stopped child of a dead parent was left"


@pytest.mark.parametrize("keep", [0, 1])
def test_successor_drops_everything_but_what_it_was_told_to_keep(
    memory: posix.OwnedMapping, twin: Twin, keep: int
) -> None:
    name = memory.name or ""
    with Process(twin(successor), name, keep) as parent:
        assert (step(parent).at, segments_of(parent)) == ("before the fork", [1])
        assert (step(parent).at, segments_of(parent)) == ("fork", [2])
        child = said(parent, "child")
        assert observe.mappings(child, name) == observe.mappings(parent.pid or 0, name) != ()
        assert (step(parent).at, segments_of(parent)) == ("exec", [1])
        assert Path(f"/proc/{child}/cmdline").read_bytes().startswith(b"sh\0-c\0")
        assert not observe.mappings(child, name)
        assert [each.number for each in observe.descriptors(child)] == [0, 1, 2, *[3] * keep]
        step(parent)
        assert ("inherited\n" in parent.output) == bool(keep)
        assert parent.run().wait().ok


@pytest.mark.parametrize(("care", "times"), [("nothing", 2), ("fflush", 1), ("_exit", 1)])
def test_stutter_says_twice_what_it_did_not_take_care_of(twin: Twin, care: str, times: int) -> None:
    with Process(twin(stutter), care) as parent:
        assert parent.run().wait().ok
        assert parent.output.split() == ["once"] * times


# --- the drawing -----------------------------------------------------------------------------------------


def page(frame: int | None, *, present: bool = True, exclusive: bool = False) -> observe.Page:
    return observe.Page(0, present, False, True, exclusive, frame)


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        (page(7), page(7), True),
        (page(7), page(8), False),
        (page(None), page(None), True),
        (page(None, exclusive=True), page(None), False),
        (page(None), page(None, present=False), False),
        (page(7), None, False),
    ],
)
def test_one_page_or_two(one: observe.Page | None, other: observe.Page | None, together: bool) -> None:
    assert figures.one_page(one, other) is figures.one_page(other, one) is together


def member(label: str, *texts: str, frames: tuple[int, ...] = (1, 2)) -> figures.FamilyMember:
    ranges = zip(("MAP_SHARED", "MAP_PRIVATE"), texts, map(page, frames), strict=False)
    return figures.FamilyMember(label, tuple(figures.FamilyRange(*each) for each in ranges))


PARENT = member("parent", "both", "mine")


@pytest.mark.parametrize(
    ("child", "shown", "sentence"),
    [
        (
            member("child", "both", "mine"),
            ["both", "mine"],
            "T: MAP_SHARED: one page, where the parent reads both and the child both; "
            "MAP_PRIVATE: one page, where the parent reads mine and the child mine.",
        ),
        (
            member("child", "both", "own", frames=(1, 3)),
            ["both", "mine", "own"],
            "T: MAP_SHARED: one page, where the parent reads both and the child both; "
            "MAP_PRIVATE: a page each, where the parent reads mine and the child own.",
        ),
        (
            figures.FamilyMember("child", note="another\nprogram"),
            ["another\nprogram", "both", "mine"],
            "T: MAP_SHARED: only the parent has it, and reads both; MAP_PRIVATE: only the parent has it, "
            "and reads mine; in the child's box stands “another program”.",
        ),
    ],
)
def test_a_family_is_drawn_and_told(child: figures.FamilyMember, shown: list[str], sentence: str) -> None:
    canvas = figures.draw_family(PARENT, child, "T")
    texts = canvas.figure.axes[0].texts
    labels = {"T", "parent", "child", "pages of memory", "MAP_SHARED", "MAP_PRIVATE"}
    assert sorted(text.get_text() for text in texts if text.get_text() not in labels) == shown
    assert min(text.get_fontsize() for text in texts) >= figures.TYPE
    assert figures.describe_family(PARENT, child, "T") == sentence
    assert figures.png(canvas).startswith(b"\x89PNG")


# --- exercise 05-a: flags --------------------------------------------------------------------------------


def test_the_flags_of_a_family() -> None:
    verdict = check.exercise("05-a", posix.MAP_SHARED | posix.MAP_ANONYMOUS)
    assert verdict, verdict


@pytest.mark.parametrize(
    ("flags", "message", "hint"),
    [
        (posix.MAP_PRIVATE | posix.MAP_ANONYMOUS, "found 0", "makes a copy"),
        (posix.MAP_SHARED, "EBADF|Bad file descriptor", "MAP_ANONYMOUS asks"),
        (posix.MAP_ANONYMOUS, "Invalid argument", "either MAP_SHARED or MAP_PRIVATE"),
        (0, "raised", "MAP_ANONYMOUS asks"),
        (2**40, "no int", "|"),
        (None, "None, not flags", "|"),
        ("MAP_SHARED", "type str", "|"),
        (True, "type bool", "|"),
    ],
)
def test_other_flags_are_told_why_not(flags: Any, message: str, hint: str) -> None:
    verdict = check.exercise("05-a", flags)
    assert not verdict
    assert any(each in verdict.message for each in message.split("|")), verdict
    assert hint in verdict.hint


# --- exercise 05-b: the child stores, the parent waits ---------------------------------------------------


def numbers_in(name: str) -> memoryview:
    fd = posix.shm_open(name, posix.O_RDWR)
    return posix.mmap(None, 4096, READ_WRITE, posix.MAP_SHARED, fd).buf.cast("Q")


def delegate(name: str) -> Iterator[str]:
    numbers = numbers_in(name)
    child = os.fork()
    if child == 0:
        numbers[0] = os.getpid()
        os._exit(0)
    os.waitpid(child, 0)
    numbers[1] = os.getpid()
    yield "stored"


def alone(name: str) -> Iterator[str]:
    numbers = numbers_in(name)
    numbers[0] = numbers[1] = os.getpid()
    yield "stored"


def too_late(name: str) -> Iterator[str]:
    yield "begun"
    yield from list(delegate(name))[:0]


def hasty(name: str) -> Iterator[str]:
    numbers = numbers_in(name)
    if os.fork() == 0:
        numbers[0] = os.getpid()
        os._exit(0)
    while not numbers[0]:  # the child has stored, and nobody has waited for its end
        pass
    numbers[1] = os.getpid()
    yield "stored"


def childless(name: str) -> Iterator[str]:
    numbers_in(name)[1] = os.getpid()
    yield "stored"


def silent(name: str) -> Iterator[str]:
    os.waitpid(os.fork() or os._exit(0), 0)
    yield "waited"


def half(name: str) -> Iterator[str]:
    numbers = numbers_in(name)
    child = os.fork()
    if child == 0:
        numbers[0] = os.getpid()
        os._exit(0)
    os.waitpid(child, 0)
    yield "waited"


def private(name: str) -> Iterator[str]:
    fd = posix.shm_open(name, posix.O_RDWR)
    numbers = posix.mmap(None, 4096, READ_WRITE, posix.MAP_PRIVATE, fd).buf.cast("Q")
    child = os.fork()
    if child == 0:
        numbers[0] = os.getpid()
        os._exit(0)
    os.waitpid(child, 0)
    numbers[1] = os.getpid()
    yield "stored"


def falls_through(name: str) -> Iterator[str]:
    numbers = numbers_in(name)
    os.fork()
    os.wait()
    numbers[1] = os.getpid()
    yield "stored"


def wrong_number(name: str) -> Iterator[str]:
    numbers = numbers_in(name)
    numbers[1] = 7
    yield "stored"


def never_lets_go(name: str) -> Iterator[str]:
    child = os.fork()
    while child == 0:
        pass
    os.waitpid(child, 0)
    yield "waited"


@pytest.mark.parametrize(
    ("program", "message", "hint"),
    [
        (alone, "one process stored both", "fork returns twice"),
        (too_late, "ended in the step that stored", "yield after the last store"),
        (hasty, "its child is still there", "os.waitpid(child, 0) returns when"),
        (childless, "its child has not", "os.waitpid"),
        (silent, "both numbers are 0", "MAP_SHARED"),
        (half, "offset 0 is set, offset 8 is 0", "the parent"),
        (private, "both numbers are 0", "MAP_SHARED"),
        (falls_through, "the parent has stored, and its child has not", "os.waitpid"),
        (wrong_number, "at offset 8 stands 7", "os.getpid()"),
        (None, "None, not a program", "delegate"),
        ("delegate", "type str", "delegate"),
        (7, "not a program", "without"),
    ],
)
def test_one_who_does_not_delegate_is_told_why(program: Any, message: str, hint: str) -> None:
    verdict = check.exercise("05-b", program)
    assert not verdict
    assert message in verdict.message, verdict
    assert hint in verdict.hint, verdict


def test_one_who_delegates_passes() -> None:
    verdict = check.exercise("05-b", delegate)
    assert verdict, verdict


@pytest.mark.slow
def test_a_child_that_never_ends_is_judged_in_bounded_time() -> None:
    assert "has not ended" in check.exercise("05-b", never_lets_go).message


# --- exercise 05-c: a command with its output in the object ----------------------------------------------

TEXT = b"and so was the parent"


def into(name: str, command: list[str]) -> Iterator[str]:
    fd = posix.shm_open(name, posix.O_RDWR)
    child = os.fork()
    if child == 0:
        os.dup2(fd, 1)
        os.execvp(command[0], command)
    os.waitpid(child, 0)
    os.write(fd, TEXT)
    yield "written"


def to_the_notebook(name: str, command: list[str]) -> Iterator[str]:
    fd = posix.shm_open(name, posix.O_RDWR)
    child = os.fork()
    if child == 0:
        os.execvp(command[0], command)
    os.waitpid(child, 0)
    os.write(fd, TEXT)
    yield "written"


def closed_by_exec(name: str, command: list[str]) -> Iterator[str]:
    fd = posix.shm_open(name, posix.O_RDWR)
    child = os.fork()
    if child == 0:
        os.execvp("sh", ["sh", "-c", f"echo x >&{fd}"])
    os.waitpid(child, 0)
    yield "waited"


def opens_twice(name: str, command: list[str]) -> Iterator[str]:
    child = os.fork()
    fd = posix.shm_open(name, posix.O_RDWR)
    if child == 0:
        os.dup2(fd, 1)
        os.execvp(command[0], command)
    os.waitpid(child, 0)
    os.write(fd, TEXT)
    yield "written"


def becomes_it(name: str, command: list[str]) -> Iterator[str]:
    os.dup2(posix.shm_open(name, posix.O_RDWR), 1)
    os.execvp(command[0], command)
    yield "never"


def writes_first(name: str, command: list[str]) -> Iterator[str]:
    fd = posix.shm_open(name, posix.O_RDWR)
    os.write(fd, TEXT)
    child = os.fork()
    if child == 0:
        os.dup2(fd, 1)
        os.execvp(command[0], command)
    os.waitpid(child, 0)
    yield "waited"


def writes_something_else(name: str, command: list[str]) -> Iterator[str]:
    os.write(posix.shm_open(name, posix.O_RDWR), b"hello")
    yield "written"


def only_writes(name: str, command: list[str]) -> Iterator[str]:
    os.write(posix.shm_open(name, posix.O_RDWR), TEXT)
    yield "written"


def does_nothing(name: str, command: list[str]) -> Iterator[str]:
    yield "nothing"


def waits_without_a_child(name: str, command: list[str]) -> Iterator[str]:
    os.wait()
    yield "never"


def takes_one(name: str) -> Iterator[str]:
    yield "never"


@pytest.mark.parametrize(
    ("program", "message", "hint"),
    [
        (to_the_notebook, "went where this process prints", "os.dup2(fd, 1)"),
        (closed_by_exec, "the command says", "closed by exec"),
        (opens_twice, "lies over", "one offset"),
        (becomes_it, "the parent's text is missing", "Or did the parent call exec?"),
        (writes_first, "the parent was first", "os.waitpid(child, 0) first"),
        (writes_something_else, "the object reads 'hello'", "First what the command prints"),
        (only_writes, "nothing of the command", "os.fork"),
        (does_nothing, "empty", "os.execvp"),
        (waits_without_a_child, "ChildProcessError", "Only the parent has a child"),
        (takes_one, "takes 1 positional", "called with"),
    ],
)
def test_one_who_does_not_redirect_is_told_why(program: Any, message: str, hint: str) -> None:
    verdict = check.exercise("05-c", program)
    assert not verdict
    assert message in verdict.message, verdict
    assert hint in verdict.hint, verdict


def test_one_who_redirects_passes() -> None:
    verdict = check.exercise("05-c", into)
    assert verdict, verdict


@pytest.mark.skipif(find_compiler() is None, reason="no C compiler")
def test_who_redirects_may_be_in_c() -> None:
    text = """
        #include <fcntl.h>
        #include <sys/mman.h>
        #include <sys/wait.h>
        #include "step.h"
        int main(int argc, char **argv)
        {
            (void)argc;
            int fd = shm_open(argv[1], O_RDWR, 0);
            pid_t child = fork();
            if (child == 0) {
                dup2(fd, 1);
                execvp(argv[2], argv + 2);
                _exit(127);
            }
            waitpid(child, NULL, 0);
            return write(fd, "and so was the parent", 21) != 21;
        }
    """
    verdict = check.exercise("05-c", c_program("into", text))
    assert verdict, verdict


def test_nothing_of_a_judged_family_is_left() -> None:
    for program in (delegate, hasty, into):
        check.exercise("05-c" if program is into else "05-b", program)
    assert not observe.objects(own_name("check"))
    with suppress(ChildProcessError):
        assert os.waitpid(-1, os.WNOHANG)[0] in (0,)
