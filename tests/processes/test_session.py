"""The session: begun with the first name, ended by cleanup; what a fork or a dead supervisor does to it."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shmlab import Process, cleanup, names, own_name, posix
from shmlab.processes import session, sweep

ROOT = Path(__file__).parents[2]


def endless():
    while True:
        yield "on"


def create(name):
    os.close(posix.shm_open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    return name


def ours():
    return {file for file in os.listdir("/dev/shm") if names.prefix().strip("/") in file}


def supervisor():
    return session.current()._supervisor


@pytest.fixture
def python():
    """Run Python text in a process of its own, the checkout on its path; kill it if it's still there."""
    started = []

    def python(text, **environment):
        inherited = {k: v for k, v in os.environ.items() if k != names.SESSION_VARIABLE}
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", text],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=ROOT,
                env=inherited | environment,
            )
        )
        return started[-1]

    yield python
    for process in started:
        process.kill()
        process.communicate(timeout=5)


def test_a_name_begins_a_session_and_cleanup_ends_it(alive):
    assert ours() == set()
    name = own_name("mymem")
    assert name == names.prefix() + "mymem"
    assert ours() == {names.prefix().strip("/") + "board"}
    create(name)
    posix.sem_close(posix.sem_open(own_name("s"), os.O_CREAT | os.O_EXCL, 0o600, 0))
    p = Process(endless, label="A").run()
    pid = supervisor().pid
    removed = cleanup()
    assert removed == [f"process {p.pid} A", f"object {name}", f"semaphore {own_name('s')}"]
    assert not alive(pid)
    assert not alive(p.pid)
    assert str(p.outcome) == "stopped"
    cleanup()
    assert ours() == set()


def test_cleanup_of_nothing():
    assert cleanup() == []
    own_name("x")
    assert cleanup() == []
    assert cleanup() == []


def test_a_bad_name_begins_nothing():
    for word in ("", "a/b", "x" * 40):
        with pytest.raises(ValueError, match=r"name|long"):
            own_name(word)
    assert ours() == set()


def test_it_begins_again():
    p = Process(endless)
    p.step()
    cleanup()
    assert p.reset().step().step == 1
    assert len(ours()) == 1


def test_a_killed_supervisor_is_replaced(alive, until):
    own_name("x")
    first = supervisor().pid
    os.kill(first, signal.SIGKILL)
    until(lambda: not alive(first))
    own_name("y")
    second = supervisor().pid
    assert second != first
    assert alive(second)
    assert os.getsid(second) == second


def test_it_ignores_what_a_terminal_sends(alive, until):
    own_name("x")
    pid = supervisor().pid
    ignored = f"{(1 << signal.SIGINT - 1) | (1 << signal.SIGTERM - 1) | (1 << signal.SIGHUP - 1):x}"
    status = Path(f"/proc/{pid}/status")
    until(lambda: int(ignored, 16) & ~int(status.read_text().split("SigIgn:")[1].split()[0], 16) == 0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(pid, number)
    create(own_name("x"))
    assert alive(pid)


def test_the_board_is_locked_while_it_lives():
    own_name("x")
    descriptor = os.open(f"/dev/shm{session.current().board_name}", os.O_RDWR)
    with pytest.raises(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    cleanup()
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(descriptor)


def test_a_full_dev_shm(monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(session.posix, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        own_name("x")
    assert ours() == set()


def test_no_supervisor_no_session(monkeypatch):
    monkeypatch.setattr(session.sys, "executable", "/nowhere/python")
    with pytest.raises(FileNotFoundError):
        own_name("x")
    assert ours() == set()


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_is_not_the_session():
    create(own_name("x"))
    p = Process(endless)
    p.step()
    child = os.fork()
    if child == 0:
        # What a student's child does at its end must not touch what is its parent's.
        status = 1
        try:
            cleanup()
            session._at_exit()
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert p.step().step == 2
    assert len(ours()) == 2
    assert supervisor().poll() is None


def test_a_script_that_ends_leaves_nothing(python, until):
    text = (
        "import os\n"
        "from shmlab import own_name, posix, names\n"
        "posix.shm_open(own_name('x'), os.O_RDWR | os.O_CREAT, 0o600)\n"
        "print(names.prefix().strip('/'), flush=True)\n"
        "input()\n"
    )
    script = python(text)
    prefix = script.stdout.readline().strip()
    assert {file for file in os.listdir("/dev/shm") if prefix in file} == {prefix + "x", prefix + "board"}
    script.communicate("\n", timeout=10)
    assert script.returncode == 0
    until(lambda: not [file for file in os.listdir("/dev/shm") if prefix in file])


FORKING = """
import os, time
from shmlab import names, own_name, posix
from shmlab.processes import session
os.close(posix.shm_open(own_name("x"), os.O_RDWR | os.O_CREAT, 0o600))
child = os.fork()
if not child:
    time.sleep(60)
    os._exit(0)
print(names.session(), session.current()._supervisor.pid, child, flush=True)
time.sleep(60)
"""


def test_a_forked_child_does_not_keep_the_session_alive(python, until, alive):
    # Neither the lock nor the pipe may live on in it: the one would deceive `shmlab clean`, the other a
    # supervisor on a kernel without pidfds.
    script = python(FORKING)
    token, supervisor, child = script.stdout.readline().split()
    try:
        assert alive(int(child))
        pipe = os.readlink(f"/proc/{supervisor}/fd/0")
        open_there = Path(f"/proc/{child}/fd")

        def closed():
            try:
                return pipe not in [os.readlink(each) for each in open_there.iterdir()]
            except FileNotFoundError:  # one was just being closed
                return False

        until(closed)
        os.kill(int(supervisor), signal.SIGKILL)
        script.kill()
        script.wait(5)
        until(lambda: not alive(int(supervisor)))
        (remains,) = [each for each in sweep.sessions(os.getuid()) if each.token == token]
        assert not remains.alive
        assert alive(int(child))
        sweep.clean(os.getuid())
        assert [file for file in os.listdir("/dev/shm") if f"-{token}-" in file] == []
    finally:
        os.kill(int(child), signal.SIGKILL)


class Events(dict):
    def register(self, event, function):
        self[event] = function


def test_an_interrupted_cell(monkeypatch, capsys):
    from types import SimpleNamespace

    events = Events()
    monkeypatch.setitem(
        sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: SimpleNamespace(events=events))
    )
    session._hear_interrupts()
    p = Process(endless).run()
    create(own_name("x"))
    events["post_run_cell"](SimpleNamespace(error_in_exec=ValueError()))
    events["post_run_cell"](None)
    assert p.state.kind == "running"
    events["post_run_cell"](SimpleNamespace(error_in_exec=KeyboardInterrupt()))
    assert capsys.readouterr().out == (
        "Interrupted: the lab stopped 1 process and removed 1 object. "
        "To go on, run the lesson from its first cell.\n"
    )
    assert str(p.state) == "stopped"
    assert ours() == set()


@pytest.mark.parametrize("ending", ["os._exit(0)", "sys.exit(0)", "os.kill(os.getpid(), 9)"])
def test_a_forked_child_that_uses_the_lab_leaves_its_parents_session_alone(ending):
    # In a process of its own, which may fork: what a student writes who has just learned of fork.
    script = f"""
import os, sys
from shmlab import Process, Shared, own_name, posix
from shmlab.programs.increment import increment
name = own_name("parents")
posix.close(posix.shm_open(name, posix.O_CREAT | posix.O_RDWR))
posix.ftruncate(fd := posix.shm_open(name, posix.O_RDWR), 64)
process = Process(increment, Shared(name), 3)
process.step()
child = os.fork()
if child == 0:
    own_name("kid")
    other = Process(increment, Shared(name), 1)
    other.step()
    {ending}
os.waitpid(child, 0)
assert process.step().kind == "paused", process.state
assert os.path.exists("/dev/shm" + name)
print("untouched")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.stdout, done.returncode) == ("untouched\n", 0), done.stderr


def test_a_name_of_the_labs_own_is_refused():
    for word in ("board", "board2"):
        with pytest.raises(ValueError, match="its own board"):
            own_name(word)
    assert own_name("boarding").endswith("-boarding")
