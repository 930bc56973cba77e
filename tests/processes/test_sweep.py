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

from shmlab import names, observe, own_name, posix, sysv
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
def segment():
    """Make segments by key; what is left of them goes when the test ends."""
    with ExitStack() as stack:

        def segment(key):
            made = sysv.shmget(key, 4096, sysv.IPC_CREAT | sysv.IPC_EXCL | 0o600)
            stack.callback(lambda: made in segments() and sysv.shmctl(made, sysv.IPC_RMID))
            return made

        yield segment


@pytest.fixture
def group():
    """Make semaphore sets of two by key; what is left of them goes when the test ends."""
    with ExitStack() as stack:

        def group(key):
            made = sysv.semget(key, 2, sysv.IPC_CREAT | sysv.IPC_EXCL | 0o600)
            stack.callback(lambda: made in sets() and sysv.semctl(made, 0, sysv.IPC_RMID))
            return made

        yield group


def segments():
    return {each.id for each in observe.segments()}


def sets():
    return {each.id for each in observe.semaphore_sets()}


def called(word, made, token=DEAD):
    return f"{names.key(word, token) & 0xFFFFFFFF:#010x} id {made}"


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


def test_system_v_goes_with_a_dead_session(made, segment, group):
    made(f"/shmlab-{UID}-{DEAD}-board")
    ours, its_set = segment(names.key("seg", DEAD)), group(names.key("set", DEAD))
    private, next_door = segment(sysv.IPC_PRIVATE), segment(names.key("seg", LIVE))
    listed = {
        f"segment {called('seg', ours)}": False,
        f"set {called('set', its_set)}": False,
        f"object /shmlab-{UID}-{DEAD}-board": False,
    }
    assert mine(sweep.clean(UID, dry_run=True), DEAD) == listed
    assert {ours, private, next_door} <= segments()
    assert its_set in sets()
    (remains,) = [each for each in sweep.sessions(UID) if each.token == DEAD]
    assert [each.id for each in remains.segments] == [ours]
    assert [each.id for each in remains.sets] == [its_set]

    assert mine(sweep.clean(UID), DEAD) == dict.fromkeys(listed, True)
    assert {ours, private, next_door} & segments() == {private, next_door}
    assert its_set not in sets()


def test_system_v_of_a_living_session_is_spared(made, segment, group):
    made(f"/shmlab-{UID}-{LIVE}-board")
    dies = living(f"/shmlab-{UID}-{LIVE}-board")
    made_here = segment(names.key("seg", LIVE)), group(names.key("set", LIVE))
    found = [each for each in sweep.clean(UID) if each.session == LIVE]
    assert [each.kind for each in found] == ["segment", "set", "object"]
    assert {(each.removed, each.reason) for each in found} == {(False, "its session is alive")}
    assert made_here[0] in segments()
    assert made_here[1] in sets()
    dies()
    assert set(mine(sweep.clean(UID), LIVE).values()) == {True}


def test_keys_alone_are_nobodys(made, segment, group):
    # Most keys of strangers look like keys of some session: only a session that is known can claim one.
    strangers = segment(names.key("seg", DEAD)), group(names.key("set", DEAD))
    assert [each for each in sweep.clean(UID, everything=True, dry_run=True) if each.session == DEAD] == []
    sweep.clean(UID)
    # And without a board nobody can tell whether it lives.
    made(f"/shmlab-{UID}-{DEAD}-mymem")
    found = [each for each in sweep.clean(UID) if each.session == DEAD]
    assert {(each.removed, each.reason) for each in found} == {(False, "its session may be alive")}
    assert len(found) == 3
    assert strangers[0] in segments()
    assert strangers[1] in sets()


def as_another(function):
    """Call a function in a child that has become user 12345; return its answer, a text."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setresgid(12345, 12345, 12345)
            os.setresuid(12345, 12345, 12345)
            os.write(writable, function().encode())
        finally:
            os._exit(0)
    os.close(writable)
    with os.fdopen(readable) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said


@pytest.mark.skipif(UID != 0, reason="only root can be another user")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_what_another_users_process_uses_is_spared():
    # An ordinary user can't look at it: that a segment is attached is all that can be seen.
    prefix = f"/shmlab-12345-{DEAD}-"

    def leaves():
        os.close(posix.shm_open(prefix + "board", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        return str(sysv.shmget(names.key("seg", DEAD), 4096, sysv.IPC_CREAT | 0o600))

    def cleans():
        found = [each for each in sweep.clean(12345) if each.session == DEAD]
        return "\n".join(f"{each.kind} {each.removed} {each.reason}" for each in found)

    theirs = int(as_another(leaves))
    with sysv.shmat(theirs):
        assert as_another(cleans).splitlines() == [
            "segment False in use by a process that can't be looked at",
            "object False something of its session is left",
        ]
        assert theirs in segments()
    assert as_another(cleans).splitlines() == ["segment True ", "object True "]
    assert theirs not in segments()


@pytest.mark.skipif(UID != 0, reason="only root can be another user")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_another_users_segment_under_our_key_is_left_alone(made):
    made(f"/shmlab-{UID}-{DEAD}-board")
    key = names.key("seg", DEAD)

    def makes():
        sysv.shmget(key, 4096, sysv.IPC_CREAT | 0o600)
        return str(sysv.semget(key, 1, sysv.IPC_CREAT | 0o600))

    assert as_another(makes)
    (theirs,) = [each for each in observe.segments() if each.key == key]
    (their_set,) = [each for each in observe.semaphore_sets() if each.key == key]
    try:
        assert mine(sweep.clean(UID), DEAD) == {f"object /shmlab-{UID}-{DEAD}-board": True}
        sweep.remove_session(DEAD, UID)
        assert theirs.id in segments()
        assert their_set.id in sets()
    finally:
        sysv.shmctl(theirs.id, sysv.IPC_RMID)
        sysv.semctl(their_set.id, 0, sysv.IPC_RMID)


USES = f"import sys; sys.path[:0] = {sys.path!r}; from shmlab import sysv; n = int(sys.argv[1]); "


def test_a_segment_that_somebody_outside_uses_is_spared(made, segment, start):
    made(f"/shmlab-{UID}-{DEAD}-board")
    used, unused, inside = (segment(names.key(word, DEAD)) for word in ("used", "unused", "inside"))
    dies = living(f"/shmlab-{UID}-{DEAD}-board")
    outside = start(None, USES + "a = sysv.shmat(n)", str(used))
    orphan = start(DEAD, USES + "a = sysv.shmat(n)", str(inside))
    dies()
    reason = f"in use by {sweep._command(outside.pid)} ({outside.pid})"
    foreseen = {each.name: each.reason for each in sweep.clean(UID, dry_run=True) if each.session == DEAD}
    assert (foreseen[called("used", used)], foreseen[called("inside", inside)]) == (reason, "")
    found = {each.name: (each.removed, each.reason) for each in sweep.clean(UID) if each.session == DEAD}
    assert found[called("used", used)] == (False, reason)
    assert found[called("unused", unused)] == found[called("inside", inside)] == (True, "")
    assert found[f"/shmlab-{UID}-{DEAD}-board"] == (False, "something of its session is left")
    assert orphan.wait(5) == -9
    assert {used, unused, inside} & segments() == {used}
    outside.communicate(b"\n", timeout=5)
    assert mine(sweep.clean(UID), DEAD)[f"segment {called('used', used)}"]
    assert objects(DEAD) == []
    assert used not in segments()


def test_a_set_that_somebody_outside_waits_for_is_spared(made, group):
    made(f"/shmlab-{UID}-{DEAD}-board")
    awaited = group(names.key("set", DEAD))
    waits = subprocess.Popen(
        [sys.executable, "-c", USES + "sysv.semop(n, [(1, -1, 0)])", str(awaited)], env=os.environ
    )
    try:
        deadline = monotonic() + 10
        while not sysv.semctl(awaited, 1, sysv.GETNCNT):
            assert monotonic() < deadline
        found = {each.name: (each.removed, each.reason) for each in sweep.clean(UID) if each.session == DEAD}
        assert found[called("set", awaited)] == (False, "in use by a process that waits for it")
        sysv.semop(awaited, [(1, 1, 0)])
        assert waits.wait(10) == 0
    finally:
        waits.kill()
        waits.wait(5)
    assert mine(sweep.clean(UID), DEAD)[f"set {called('set', awaited)}"]
    assert awaited not in sets()


def test_a_set_that_its_own_process_waits_for_goes(made, group):
    made(f"/shmlab-{UID}-{DEAD}-board")
    dies = living(f"/shmlab-{UID}-{DEAD}-board")
    awaited = group(names.key("set", DEAD))
    waits = subprocess.Popen(
        [sys.executable, "-c", USES + "sysv.semop(n, [(1, -1, 0)])", str(awaited)],
        env={**os.environ, names.SESSION_VARIABLE: DEAD},
    )
    try:
        deadline = monotonic() + 10
        while not sysv.semctl(awaited, 1, sysv.GETNCNT):
            assert monotonic() < deadline
        dies()
        foreseen = {each.name: each.reason for each in sweep.clean(UID, dry_run=True) if each.session == DEAD}
        assert foreseen[called("set", awaited)] == ""
        assert mine(sweep.clean(UID), DEAD)[f"set {called('set', awaited)}"]
        assert waits.wait(10) == -9
        assert awaited not in sets()
    finally:
        waits.kill()
        waits.wait(5)


def test_a_segment_marked_by_its_user_is_not_found(made, segment):
    made(f"/shmlab-{UID}-{DEAD}-board")
    with sysv.shmat(segment(names.key("seg", DEAD))) as attached:
        sysv.shmctl(attached.shmid, sysv.IPC_RMID)
        assert mine(sweep.clean(UID), DEAD) == {f"object /shmlab-{UID}-{DEAD}-board": True}


@pytest.mark.skipif(UID != 0, reason="needs another IPC namespace")
def test_another_ipc_namespace_is_not_reached(made, segment):
    made(f"/shmlab-{UID}-{DEAD}-board")
    ours = segment(names.key("seg", DEAD))
    text = USES.replace("n = int", "_ = str") + (
        f"import os; from shmlab.processes import sweep; print(sweep.remove_session({DEAD!r}, 0))"
    )
    said = subprocess.run(
        ["unshare", "--ipc", sys.executable, "-c", text, ""],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert "segment" not in said.stdout
    assert "board" in said.stdout
    assert ours in segments()
