"""The ledger: what any process of a session made is found, by its creator; what a stranger made never is."""

import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from time import time

import pytest

from shmlab import Process, c_program, cleanup, names, observe, own_key, own_name, posix, sysv
from shmlab.processes import board, session, sweep
from shmlab.processes.ledger import Ledger
from shmlab.programs import find_compiler

UID = os.getuid()
ROOT = Path(__file__).parents[2]

needs_cc = pytest.mark.skipif(find_compiler() is None, reason="no C compiler")


def makes():
    """Make five segments: its own, those of two children and a grandchild, and once more its own."""
    print(sysv.shmget(sysv.IPC_PRIVATE, 4096, sysv.IPC_CREAT | 0o600), flush=True)
    yield "own"
    for depth in range(2):
        if (child := os.fork()) == 0:
            print(sysv.shmget(sysv.IPC_PRIVATE, 4096, sysv.IPC_CREAT | 0o600), flush=True)
            if depth and (grandchild := os.fork()) != 0:
                os.waitpid(grandchild, 0)
            elif depth:
                print(sysv.shmget(sysv.IPC_PRIVATE, 4096, sysv.IPC_CREAT | 0o600), flush=True)
            os._exit(0)
        os.waitpid(child, 0)
    yield "children's"
    print(sysv.shmget(sysv.IPC_PRIVATE, 4096, sysv.IPC_CREAT | 0o600), flush=True)


MAKES = """
#include "step.h"
#include <sys/shm.h>
#include <sys/wait.h>

static void make(void)
{
    printf("%d\\n", shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600));
    fflush(stdout);
}

int main(void)
{
    make();
    step("own");
    for (int depth = 0; depth < 2; depth++) {
        if (fork() == 0) {
            make();
            if (depth && fork() == 0)
                make();
            while (wait(NULL) > 0)
                ;
            _exit(0);
        }
        wait(NULL);
    }
    step("children's");
    make();
}
"""


def closes_and_forks(path):
    """Close whatever is open, open a file under every number the lab may use, and fork."""
    os.closerange(3, 400)
    file = os.open(path, os.O_RDWR)
    for number in range(200, 260):
        os.dup2(file, number)
    if (child := os.fork()) == 0:
        os._exit(0)
    os.waitpid(child, 0)
    yield


def endless():
    while True:
        yield "on"


def ids():
    return {each.id for each in observe.segments()}


def found():
    """The ids of the segments that the session of this process knows as its own."""
    return {
        each.id
        for remains in sweep.sessions(UID)
        if remains.token == names.session()
        for each in remains.segments
    }


def make(key=sysv.IPC_PRIVATE):
    return sysv.shmget(key, 4096, sysv.IPC_CREAT | 0o600)


@pytest.fixture
def stranger():
    """Let a process that isn't the lab's make a segment, and wait for leave to end; give (process, id)."""
    text = f"import sys; sys.path[:0] = {sys.path!r}; from shmlab import sysv\n" + (
        "print(sysv.shmget(sysv.IPC_PRIVATE, 4096, sysv.IPC_CREAT | 0o600), flush=True); input()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    made = int(process.stdout.readline())
    yield process, made
    process.kill()
    process.communicate(timeout=5)
    with suppress(OSError):
        sysv.shmctl(made, sysv.IPC_RMID)


@pytest.fixture
def forged(tmp_path):
    """A ledger whose lines a test writes itself."""
    file = tmp_path / "board"
    file.write_bytes(bytes(board.SIZE))
    descriptor = os.open(file, os.O_RDWR | os.O_APPEND)

    def forged(*lines):
        with file.open("ab") as at_its_end:
            at_its_end.write("".join(lines).encode())
        return Ledger(descriptor)

    yield forged
    os.close(descriptor)


def here():
    return f"in {os.readlink('/proc/self/ns/ipc')} {os.readlink('/proc/self/ns/pid')}\n"


def of(ledger):
    return {each.id for each in observe.segments() if ledger.has_made(each)}


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_the_kernels_own_and_its_childrens():
    own_name("x")
    before = ids()
    make()
    for _ in range(2):
        child = os.fork()
        if child == 0:
            make()
            grandchild = os.fork()
            if grandchild == 0:
                make()
            else:
                os.waitpid(grandchild, 0)
            os._exit(0)
        os.waitpid(child, 0)
    assert len(ids() - before) == 5
    assert found() == ids() - before
    removed = [each for each in cleanup() if each.startswith("segment 0x00000000 id ")]
    assert len(removed) == 5
    assert ids() == before


@pytest.mark.parametrize("program", [makes, pytest.param(c_program("makes", MAKES), marks=needs_cc)])
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_process_and_its_descendants(launch, program, steps):
    before = ids()
    process = launch(program)
    for _ in range(steps):
        process.step(timeout=10)
    made = ids() - before
    assert len(made) == (1, 4, 5)[steps - 1], process.output
    assert {int(line) for line in process.output.split()} == made
    assert found() == made, "while it lives"
    process.stop()
    assert found() == made, "when it is gone"
    cleanup()
    assert ids() == before


def test_what_was_made_before_the_session_is_none_of_its(stranger):
    _, made = stranger
    own_name("x")
    assert made in ids() - found()
    cleanup()
    assert made in ids()


def test_a_segment_changed_after_its_creator_ended_is_still_its(launch):
    # IPC_SET dates a segment anew (FACTS F44): of the time it was made nothing is left.
    process = launch(makes)
    process.step()
    (made,) = found()
    process.stop()
    now = sysv.shmctl(made, sysv.IPC_STAT)
    sysv.shmctl(made, sysv.IPC_SET, now)
    assert found() == {made}


def test_a_strangers_pid_that_was_ours_before(forged, stranger):
    process, made = stranger
    long_ago = int(time()) - 1000
    assert of(forged(here(), f"begin {process.pid} {long_ago}\n")) == set(), "it began after ours had"
    assert of(forged(f"end {process.pid}\n")) == set()
    process.communicate("\n", timeout=5)
    assert of(forged()) == set(), "what ours had made was noted at its end: nothing"
    assert made in ids()


def test_a_strangers_pid_is_noted_as_gone(forged, stranger):
    process, made = stranger
    ledger = forged(here(), f"begin {process.pid} {int(time()) - 1000}\n")
    ledger.settle()
    process.communicate("\n", timeout=5)
    assert of(ledger) == set()
    assert made in ids()


def test_a_process_of_ours_by_the_same_line(forged, stranger):
    # The two before would pass if nothing at all were found.
    process, made = stranger
    ledger = forged(here(), f"begin {process.pid} {int(time()) - 1}\n")
    assert of(ledger) == {made}
    process.communicate("\n", timeout=5)
    assert of(ledger) == {made}
    ledger.settle()
    assert forged() is not ledger
    assert of(ledger) == of(forged()) == {made}, "by its id"


def test_another_containers_pids_mean_nothing(forged, stranger):
    process, _ = stranger
    began = f"begin {process.pid} {int(time()) - 1}\n"
    assert of(forged(began)) == set(), "a ledger that doesn't say where"
    assert of(forged("in ipc:[1] pid:[2]\n", began)) == set()


@pytest.mark.skipif(UID != 0, reason="only root can become another user")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_what_a_child_made_as_another_user_is_not_ours():
    own_name("x")
    before = ids()
    child = os.fork()
    if child == 0:
        os.setresuid(12345, 12345, 12345)
        make()
        os._exit(0)
    os.waitpid(child, 0)
    (made,) = ids() - before
    with written() as ledger:
        assert of(ledger) == {made}, "a process of ours made it"
    assert found() == set()
    cleanup()
    assert made in ids()
    sysv.shmctl(made, sysv.IPC_RMID)


@contextmanager
def written():
    """The ledger of this process's session, as whoever sweeps reads it."""
    descriptor = posix.shm_open(session.current().board_name, os.O_RDONLY)
    yield Ledger(descriptor)
    os.close(descriptor)


@pytest.mark.parametrize(
    "rest",
    ["begin 1", "begin", "begin x y\n", "end\n", "\n\n", "nonsense 1 2 3\n", "begin 1 2 3\n", "\xff\n"],
)
def test_what_is_no_line_is_passed_over(forged, stranger, rest):
    process, made = stranger
    ledger = forged(here(), rest if rest.endswith("\n") else "")
    assert of(ledger) == set()
    forged(f"begin {process.pid} {int(time()) - 1}\n", "" if rest.endswith("\n") else rest)
    assert of(ledger) == {made}
    if not rest.endswith("\n"):
        forged(" 5\n" if rest == "begin" else "\n")
        assert of(ledger) == {made}


def test_lines_of_many_writers_stay_whole(python_forks):
    lines, pids = python_forks
    assert len(lines) == len(set(lines)) == 1 + 1 + 8 + len(pids)
    assert all(re.fullmatch(r"in ipc:\[\d+\] pid:\[\d+\]|begin \d+ \d+", line) for line in lines)
    assert {int(line.split()[1]) for line in lines[1:]} >= pids


@pytest.fixture
def python_forks():
    """400 children, forked by eight processes at once, each of which notes itself; give (lines, pids)."""
    text = """
import os, sys
from shmlab import names, own_name
own_name("x")
print(names.prefix(), flush=True)
for _ in range(8):
    if os.fork() == 0:
        for _ in range(49):
            if (pid := os.fork()) == 0:
                os.write(1, b"%d\\n" % os.getpid())
                os._exit(0)
        while True:
            try:
                os.wait()
            except ChildProcessError:
                os._exit(0)
for _ in range(8):
    os.wait()
print("end", flush=True)
sys.stdin.read()
"""
    script = subprocess.Popen(
        [sys.executable, "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        prefix = script.stdout.readline().strip()
        pids = {int(line) for line in iter(script.stdout.readline, "end\n")}
        assert len(pids) == 8 * 49
        tail = Path(f"/dev/shm{prefix}board").read_bytes()[board.SIZE :]
        yield tail.decode().splitlines(), pids
    finally:
        script.communicate("", timeout=10)


@needs_cc
def test_what_a_process_of_ours_starts_with_the_lab_is_handed_over(launch):
    # A worker that uses the lab itself has a board of its own, which goes when the worker is done with it.
    before = ids()
    process = launch(nested)
    assert process.step(timeout=20).at == "cleaned up", process.output
    assert len(ids() - before) == 1
    assert not os.path.exists(f"/dev/shm{names.prefix()}board2")
    assert found() == ids() - before


def nested():
    inner = Process(c_program("makes_one", MAKES_ONE))
    inner.step()
    assert os.path.exists(f"/dev/shm{names.prefix()}board2")
    cleanup()
    yield "cleaned up"
    yield


MAKES_ONE = """
#include "step.h"
#include <sys/shm.h>

int main(void)
{
    shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
    step("made");
}
"""


def test_a_program_that_closed_our_descriptors_writes_to_no_other_file(launch, tmp_path):
    file = tmp_path / "students"
    file.write_text("untouched")
    launch(closes_and_forks, str(file)).run().wait()
    assert file.read_text() == "untouched"


def test_on_a_full_dev_shm_a_process_still_starts(launch, monkeypatch):
    process = launch(endless)
    own_name("x")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(session.current().ledger, "_append", full)
    assert process.step().step == 1
    process.stop()


def test_the_board_keeps_its_descriptor_out_of_the_way(launch):
    def opens(name):
        descriptor = posix.shm_open(name, os.O_RDWR | os.O_CREAT, 0o600)
        print(
            descriptor,
            sorted(int(each) for each in os.listdir("/proc/self/fd") if int(each) > descriptor + 1),
        )
        yield "opened"

    process = launch(opens, own_name("first"))
    process.step()
    first, others = process.output.split(" ", 1)
    assert first == "3"
    assert all(number >= 200 for number in eval(others))


def test_own_key():
    before = ids()
    key = own_key("seg")
    assert key == names.key("seg") == own_key("seg")
    made = make(key)
    group = sysv.semget(own_key("sem"), 1, sysv.IPC_CREAT | 0o600)
    removed = cleanup()
    shown = f"{key & 0xFFFFFFFF:#010x}"
    assert f"segment {shown} id {made}" in removed
    assert f"set {names.key('sem') & 0xFFFFFFFF:#010x} id {group}" in removed
    assert ids() == before


def test_two_words_of_one_key():
    words = {}
    for number in range(10**5):
        if (other := words.setdefault(names.key(str(number)), str(number))) != str(number):
            break
    own_key(other)
    with pytest.raises(ValueError, match=f"'{number}' has the same key as '{other}', 0x"):
        own_key(str(number))


def test_a_marked_segment_is_not_removed_twice():
    made = make(own_key("seg"))
    with sysv.shmat(made):
        sysv.shmctl(made, sysv.IPC_RMID)
        assert made in ids()
        assert found() == set()
        assert cleanup() == []


def test_a_killed_process_between_semget_and_setval(launch):
    def half(key):
        sysv.semget(key, 1, sysv.IPC_CREAT | sysv.IPC_EXCL | 0o600)
        yield "semget"
        yield "SETVAL"

    key = own_key("half")
    process = launch(half, key)
    process.step()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    (group,) = [each for each in observe.semaphore_sets() if each.key == key]
    assert sysv.semctl(group.id, 0, sysv.GETVAL) == 0
    assert f"set {key & 0xFFFFFFFF:#010x} id {group.id}" in cleanup()
    assert not [each for each in observe.semaphore_sets() if each.key == key]
