"""Sweeping: what dead sessions left goes, what lives stays, and nothing of anybody else's is ever touched."""

import fcntl
import os
import random
import subprocess
import sys
from contextlib import ExitStack
from functools import partial
from time import monotonic

import pytest

from shmlab import names, own_name, posix
from shmlab.processes import sweep

UID = os.getuid()
DEAD, LIVE = ("".join(random.sample("abcdefghjkmnpqrstuvwxyz", 3)) + digit for digit in "23")
"""Sessions of nobody: whatever the test made for them is removed by their names when it ends."""


def objects(*tokens):
    return sorted(file for file in os.listdir("/dev/shm") if any(f"-{token}-" in file for token in tokens))


@pytest.fixture
def made():
    """Make objects and semaphores by name, and remove them."""
    with ExitStack() as stack:

        def made(name, size=0):
            if name.startswith("/sem."):
                name = "/" + name.removeprefix("/sem.")
                posix.sem_close(posix.sem_open(name, os.O_CREAT | os.O_EXCL, 0o600, 1))
                path = "/dev/shm/sem." + name[1:]
            else:
                descriptor = posix.shm_open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
                os.ftruncate(descriptor, size)
                os.close(descriptor)
                path = "/dev/shm" + name
            stack.callback(lambda: os.path.exists(path) and os.unlink(path))
            return path

        yield made


@pytest.fixture
def start():
    """Start a command whose environment carries a session's token; it has said a line when this returns."""
    started = []

    def start(token, text, *arguments):
        environment = {k: v for k, v in os.environ.items() if k != names.SESSION_VARIABLE}
        if token:
            environment[names.SESSION_VARIABLE] = token
        started.append(
            subprocess.Popen(
                [sys.executable, "-I", "-c", text + "; print(flush=True); input()", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment,
            )
        )
        started[-1].stdout.readline()
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate(timeout=5)


def living(board):
    """Hold a session's lock until what is returned is called: nobody else's supervisor shall sweep early."""
    descriptor = posix.shm_open(board, os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return partial(os.close, descriptor)


def mine(found, *tokens):
    return {str(each).split(" (")[0]: each.removed for each in found if each.session in tokens}


def test_a_dead_session_goes_whole(made, start):
    for name in (f"/shmlab-{UID}-{DEAD}-board", f"/shmlab-{UID}-{DEAD}-mymem", f"/sem.shmlab-{UID}-{DEAD}-s"):
        made(name)
    dies = living(f"/shmlab-{UID}-{DEAD}-board")
    orphan = start(DEAD, "import signal; signal.signal(15, signal.SIG_IGN)")
    dies()
    before = objects(DEAD)
    assert len(before) == 3

    found = sweep.clean(UID, dry_run=True)
    listed = {
        f"process {orphan.pid} {sweep._command(orphan.pid)}": False,
        f"object /shmlab-{UID}-{DEAD}-board": False,
        f"object /shmlab-{UID}-{DEAD}-mymem": False,
        f"semaphore /shmlab-{UID}-{DEAD}-s": False,
    }
    assert mine(found, DEAD) == listed
    assert objects(DEAD) == before
    assert orphan.poll() is None, "a dry run touches nothing"

    assert mine(sweep.clean(UID), DEAD) == dict.fromkeys(listed, True)
    assert objects(DEAD) == []
    assert orphan.wait(5) == -9
    assert mine(sweep.clean(UID), DEAD) == {}


@pytest.mark.parametrize(
    "name",
    [
        f"/shmlab-12345-{DEAD}-mymem",
        f"/sem.shmlab-12345-{DEAD}-s",
        f"/foo-{DEAD}-x",
        f"/shmlab-{UID}-{DEAD}x-mymem",
        f"/shmlab-{UID}-{DEAD}-",
        f"/ashmlab-{UID}-{DEAD}-mymem",
        f"/shmlab-{UID}-{DEAD.upper()}-mymem",
        f"/psm_{DEAD}",
    ],
    ids=range(8),
)
def test_others_names_are_left_alone(made, name):
    path = made(name)
    found = sweep.clean(UID, everything=False)
    assert os.path.exists(path)
    assert name not in " ".join(map(str, found))
    sweep.remove_session(DEAD, UID + 1)
    assert os.path.exists(path)


@pytest.mark.skipif(UID != 0, reason="only root can make another user's object")
def test_another_users_object_under_our_name_is_left_alone(made):
    path = made(f"/shmlab-{UID}-{DEAD}-mymem")
    os.chown(path, 12345, 12345)
    sweep.clean(UID)
    sweep.remove_session(DEAD, UID)
    assert os.path.exists(path)


def test_a_living_session_is_spared(made):
    board = made(f"/shmlab-{UID}-{LIVE}-board")
    made(f"/shmlab-{UID}-{LIVE}-mymem")
    descriptor = os.open(board, os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    found = [each for each in sweep.clean(UID) if each.session == LIVE]
    assert {(each.removed, each.reason) for each in found} == {(False, "its session is alive")}
    assert len(objects(LIVE)) == len(found) == 2
    assert next(each for each in sweep.sessions(UID) if each.token == LIVE).alive
    os.close(descriptor)
    assert not next(each for each in sweep.sessions(UID) if each.token == LIVE).alive
    assert set(mine(sweep.clean(UID), LIVE).values()) == {True}
    assert objects(LIVE) == []


def test_ours_is_alive():
    own_name("x")
    assert next(each for each in sweep.sessions(UID) if each.token == names.session()).alive
    before = objects(names.session())
    sweep.clean(UID)
    assert objects(names.session()) == before


def test_without_a_board_nobody_can_tell_so_it_stays(made):
    # A script that uses the lab's names and nothing else of the lab is no session that anybody watches.
    made(f"/shmlab-{UID}-{DEAD}-mymem")
    (found,) = [each for each in sweep.clean(UID) if each.session == DEAD]
    assert (found.removed, found.reason) == (False, "its session may be alive")
    assert objects(DEAD) == [f"shmlab-{UID}-{DEAD}-mymem"]


def test_an_orphan_that_somebody_outside_uses_is_spared(made, start):
    path = made(f"/shmlab-{UID}-{DEAD}-mymem", 4096)
    made(f"/shmlab-{UID}-{DEAD}-board")
    made(f"/shmlab-{UID}-{DEAD}-other")
    text = "import mmap, sys; f = open(sys.argv[1], 'r+b'); m = mmap.mmap(f.fileno(), 4096); f.close()"
    dies = living(f"/shmlab-{UID}-{DEAD}-board")
    outside = start(None, text, path)
    inside = start(DEAD, text, made(f"/shmlab-{UID}-{DEAD}-inside", 4096))
    dies()
    foreseen = {each.name.rpartition("-")[2]: each for each in sweep.clean(UID, dry_run=True)}
    assert (bool(foreseen["mymem"].reason), foreseen["inside"].reason) == (True, "")
    found = {each.name.rpartition("-")[2]: each for each in sweep.clean(UID) if each.session == DEAD}
    assert (found["mymem"].removed, found["other"].removed) == (False, True)
    assert found["mymem"].reason == f"in use by {sweep._command(outside.pid)} ({outside.pid})"
    assert found["inside"].removed
    assert inside.wait(5) == -9
    # The board stays with what is spared: it's what shows, the next time, that the session is dead.
    assert objects(DEAD) == [f"shmlab-{UID}-{DEAD}-board", f"shmlab-{UID}-{DEAD}-mymem"]
    outside.communicate(b"\n", timeout=5)
    sweep.clean(UID)
    assert objects(DEAD) == []


def test_everything(made, start):
    board = made(f"/shmlab-{UID}-{LIVE}-board", 4096)
    descriptor = os.open(board, os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    others = {each.token for each in sweep.sessions(UID)} - {LIVE}
    found = sweep.clean(UID, everything=True, dry_run=True)
    assert {each.session for each in found} >= others | {LIVE}
    assert not any(each.removed or each.reason for each in found)
    os.close(descriptor)


def test_a_session_that_is_just_beginning_is_not_swept(made):
    # The lock is held from the look to the removal: whoever begins meanwhile takes another board.
    board = made(f"/shmlab-{UID}-{DEAD}-board")
    remains = next(each for each in sweep.sessions(UID) if each.token == DEAD)
    with sweep._claimed(remains) as ours:
        assert ours
        descriptor = os.open(board, os.O_RDWR)
        with pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        os.close(descriptor)


def test_who_forks_while_being_killed(start):
    text = "import os, time\nwhile os.fork(): time.sleep(0.001)\ntime.sleep(60)"
    environment = {**os.environ, names.SESSION_VARIABLE: DEAD}
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", text], env=environment):
        deadline = monotonic() + 10
        while len(sweep.processes_of(DEAD)) < 20:
            assert monotonic() < deadline
        sweep.remove_session(DEAD, UID)
    assert sweep.processes_of(DEAD) == []


def test_a_mark_is_whole(start):
    process = start(DEAD, "pass")
    assert sweep.processes_of(DEAD) == [process.pid]
    assert sweep.processes_of(DEAD[:-1]) == sweep.processes_of(DEAD[1:]) == []
