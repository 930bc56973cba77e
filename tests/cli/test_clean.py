"""``shmlab clean``: dead sessions, real ones.

It runs in this process and sees only the sessions that a test made: somebody else's orphans on this machine
aren't the tests' to remove.
"""

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from shmlab import names, observe
from shmlab.__main__ import main
from shmlab.observe.table import key
from shmlab.processes import sweep
from tests.cli.commands import ROOT, printed, row

SCRIPT = """
import json, os, sys
from shmlab import Process, own_name, posix, names

def stay(name):
    yield "here"

name = own_name("mymem")
descriptor = posix.shm_open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
posix.ftruncate(descriptor, 100)
posix.sem_open(own_name("mutex"), os.O_CREAT | os.O_EXCL, 0o600, 1)
worker = Process(stay, name).start()
# MORE
print(json.dumps({"token": names.session(), "worker": worker.pid}), flush=True)
sys.stdin.read()
"""

SYSTEM_V = """
from shmlab import own_key, sysv
attached = sysv.shmat(sysv.shmget(own_key("segment"), 100, sysv.IPC_CREAT | 0o600))
sysv.shmget(sysv.IPC_PRIVATE, 100, sysv.IPC_CREAT | 0o600)
sysv.semget(own_key("set"), 2, sysv.IPC_CREAT | 0o600)
"""


def system_v() -> tuple[dict[str, int], dict[str, int]]:
    """The segments and the semaphore sets there are: key and id as ``clean`` writes them, and the id."""
    tables = observe.segments(), observe.semaphore_sets()
    segments, sets = ({f"{key(each.key)} id {each.id}": each.id for each in rows} for rows in tables)
    return segments, sets


@dataclass
class Session:
    """A session of somebody who works with the lab in another process."""

    kernel: "subprocess.Popen[str]"
    token: str
    worker: int

    def name(self, word: str) -> str:
        return f"{names.prefix(self.token)}{word}"

    def die(self) -> None:
        """Kill the kernel and, first, the supervisor, which would otherwise clean up: kill -9 for both."""
        children = [
            each.pid for each in psutil.Process(self.kernel.pid).children() if each.pid != self.worker
        ]
        assert len(children) == 1
        watched = [os.pidfd_open(pid) for pid in [*children, self.kernel.pid]]
        for descriptor in watched:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        for descriptor in watched:
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            assert poll.poll(5000)
            os.close(descriptor)
        self.kernel.wait(5)

    def objects(self) -> set[str]:
        return {each.removeprefix("sem.") for each in os.listdir("/dev/shm") if f"-{self.token}-" in each}

    def worker_lives(self) -> bool:
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self.worker).status() != psutil.STATUS_ZOMBIE
        return False

    def worker_ends(self) -> bool:
        """Whether it's gone, in a moment at most: one that was killed has no environment before it ends."""
        deadline = time.monotonic() + 5
        while self.worker_lives() and time.monotonic() < deadline:
            time.sleep(0.01)
        return not self.worker_lives()


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Session]]:
    """Begin sessions; they are all that ``clean`` in this process sees."""
    script = tmp_path / "lesson.py"
    begun: list[Session] = []

    def start(more: str = "") -> Session:
        script.write_text(SCRIPT.replace("# MORE", more))
        kernel = subprocess.Popen(
            [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert kernel.stdout is not None
        said = json.loads(kernel.stdout.readline())
        begun.append(Session(kernel, said["token"], said["worker"]))
        return begun[-1]

    every = sweep.sessions
    monkeypatch.setattr(
        sweep,
        "sessions",
        lambda uid: [each for each in every(uid) if each.token in {session.token for session in begun}],
    )
    yield start
    for session in begun:
        session.kernel.kill()
        session.kernel.communicate(timeout=5)
        sweep.remove_session(session.token, os.getuid())
        assert session.worker_ends()
        assert not session.objects()


Clean = Callable[..., tuple[int, str]]


@pytest.fixture
def clean(capsys: pytest.CaptureFixture[str]) -> Clean:
    """Run ``shmlab clean`` and return its exit status and what it printed."""

    def run(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        return main(["clean", *arguments]), capsys.readouterr().out

    return run


class TestClean:
    def test_nothing_to_remove(self, begin: Callable[[], Session], clean: Clean) -> None:
        assert clean() == (0, "nothing to remove\n")
        assert clean("--dry-run") == (0, "nothing to remove\n")
        status, said = clean("--json")
        assert (status, json.loads(said)) == (0, {"dry_run": False, "found": []})

    def test_a_dead_session_is_removed(self, begin: Callable[[], Session], clean: Clean) -> None:
        session = begin()
        session.die()
        assert len(session.objects()) == 3
        status, said = clean()
        assert status == 0
        assert f"removed object {session.name('mymem')}\n" in said
        assert f"removed semaphore {session.name('mutex')}\n" in said
        assert f"removed object {session.name('board')}\n" in said
        last = said.splitlines()[-1]
        assert last in ("removed 1 process, 2 objects, 1 semaphore", "removed 2 objects, 1 semaphore")
        assert (f"removed process {session.worker} " in said) == ("1 process" in last)
        assert session.objects() == set()
        assert session.worker_ends()
        assert clean() == (0, "nothing to remove\n")

    def test_a_process_that_it_left_is_killed(self, begin: Callable[[], Session], clean: Clean) -> None:
        session = begin()
        stray = subprocess.Popen(["sleep", "60"], env={**os.environ, names.SESSION_VARIABLE: session.token})
        try:
            session.die()
            assert f"would remove process {stray.pid} sleep\n" in clean("--dry-run")[1]
            assert stray.poll() is None
            assert f"removed process {stray.pid} sleep\n" in clean()[1]
            assert stray.wait(5) == -signal.SIGKILL
        finally:
            stray.kill()
            stray.wait(5)

    def test_a_dry_run_removes_nothing(self, begin: Callable[[], Session], clean: Clean) -> None:
        session = begin()
        session.die()
        before = session.objects()
        status, said = clean("--dry-run")
        assert status == 0
        assert f"would remove object {session.name('mymem')}\n" in said
        assert said.splitlines()[-1].startswith("would remove ")
        assert "nothing" not in said
        found = json.loads(clean("--dry-run", "--json")[1])
        assert found["dry_run"]
        assert {each["name"] for each in found["found"] if each["kind"] != "process"} == {
            session.name(word) for word in ("board", "mymem", "mutex")
        }
        assert {each["outcome"] for each in found["found"]} == {"would remove"}
        assert session.objects() == before

    def test_a_living_session_is_left(self, begin: Callable[[], Session], clean: Clean) -> None:
        session = begin()
        before = session.objects()
        status, said = clean()
        assert status == 0
        assert f"left object {session.name('mymem')}: its session is alive\n" in said
        assert said.splitlines()[-1] == (
            "nothing to remove; left 2 objects, 1 semaphore (--everything removes these, too)"
        )
        assert session.objects() == before
        assert session.worker_lives()

    def test_everything_is_living_sessions_too(self, begin: Callable[[], Session], clean: Clean) -> None:
        alive, dead = begin(), begin()
        dead.die()
        status, said = clean("--everything", "--json")
        assert status == 0
        found = json.loads(said)["found"]
        assert {each["outcome"] for each in found} == {"removed"}
        assert {each["session"] for each in found} == {alive.token, dead.token}
        assert alive.worker in {int(each["name"].split()[0]) for each in found if each["kind"] == "process"}
        assert alive.objects() | dead.objects() == set()
        assert alive.worker_ends()
        assert alive.kernel.poll() is None

    def test_an_orphan_in_use_is_left(self, begin: Callable[[], Session], clean: Clean) -> None:
        session = begin()
        with open(f"/dev/shm{session.name('mymem')}", "rb") as file:
            user = subprocess.Popen(["sleep", "60"], stdin=file)
        try:
            session.die()
            said = clean()[1]
            assert f"left object {session.name('mymem')}: in use by sleep" in said
            assert f"({user.pid})\n" in said
            # And the board with it, which shows that the session is dead.
            assert session.objects() == {session.name(word)[1:] for word in ("mymem", "board")}
            assert "left 2 objects (--everything removes these, too)" in said.splitlines()[-1]
            assert clean("--everything")[1].splitlines()[-1] == "removed 2 objects"
            assert session.objects() == set()
        finally:
            user.kill()
            user.wait(5)

    def test_what_cannot_be_removed_fails(
        self, begin: Callable[[], Session], clean: Clean, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        session = begin()
        session.die()
        with monkeypatch.context() as context:
            context.setattr(sweep, "_remove", lambda thing: False)
            status, said = clean()
        assert status == 1
        assert f"could not remove object {session.name('mymem')}\n" in said
        assert f"left object {session.name('board')}: something of its session is left\n" in said
        assert "could not remove 1 object, 1 semaphore" in said.splitlines()[-1]

    def test_segments_and_sets_of_a_dead_session(self, begin: Callable[..., Session], clean: Clean) -> None:
        before = system_v()
        session = begin(SYSTEM_V)
        segments, sets = (
            {k: v for k, v in now.items() if k not in was}
            for now, was in zip(system_v(), before, strict=True)
        )
        assert (len(segments), len(sets)) == (2, 1)
        assert sum(each.startswith("0x00000000 id ") for each in segments) == 1, "one is by its creator alone"
        said = clean()[1]
        assert all(f"left segment {each}: its session is alive\n" in said for each in segments)
        assert "left 2 objects, 1 semaphore, 2 segments, 1 set" in said

        session.die()
        lines = {f"segment {each}" for each in segments} | {f"set {each}" for each in sets}
        said = clean("--dry-run")[1].splitlines()
        assert {f"would remove {each}" for each in lines} <= set(said)
        assert "2 objects, 1 semaphore, 2 segments, 1 set" in said[-1]
        found = json.loads(clean("--dry-run", "--json")[1])["found"]
        assert {f"{each['kind']} {each['name']}" for each in found} >= lines
        said = clean()[1].splitlines()
        assert {f"removed {each}" for each in lines} <= set(said)
        assert said[-1].endswith("2 objects, 1 semaphore, 2 segments, 1 set")
        assert system_v() == before
        assert clean() == (0, "nothing to remove\n")

    def test_an_attached_segment_of_a_dead_session(self, begin: Callable[..., Session], clean: Clean) -> None:
        before = system_v()
        session = begin(SYSTEM_V)
        ((name, id_),) = [
            (each, id_)
            for each, id_ in system_v()[0].items()
            if names.parse_key(int(each[:10], 16)) == session.token
        ]
        text = f"import sys; sys.path[:0] = {sys.path!r}; from shmlab import sysv; a = sysv.shmat({id_})"
        user = subprocess.Popen(
            [sys.executable, "-c", text + "; print(flush=True); input()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            assert user.stdout is not None
            user.stdout.readline()
            session.die()
            said = clean()[1]
            assert f"left segment {name}: in use by python" in said
            assert f"({user.pid})\n" in said
            assert f"left object {session.name('board')}: something of its session is left\n" in said
            assert set(system_v()[0]) - set(before[0]) == {name}
            user.communicate(b"\n", timeout=5)
            assert f"removed segment {name}\n" in clean()[1]
            assert system_v() == before
        finally:
            user.kill()
            user.communicate(timeout=5)

    def test_ls_knows_the_living_from_the_dead(self, begin: Callable[[], Session]) -> None:
        alive, dead = begin(), begin()
        # Held open, so that a lab that somebody starts this moment doesn't sweep it away: it's in use.
        held = [os.open(f"/dev/shm{dead.name(word)}", os.O_RDONLY) for word in ("mymem", "board")]
        try:
            dead.die()
            lines = printed("ls")
            assert " orphan" in row(lines, dead.name("mymem"))
            assert " alive" in row(lines, alive.name("mymem"))
            assert re.search(r"^\d+ orphans of dead sessions: shmlab clean$", lines, re.MULTILINE)
            worker = row(lines, alive.name("board"))
            assert f"{alive.worker} python" in worker
        finally:
            for descriptor in held:
                os.close(descriptor)

    def test_ls_knows_whose_segments_and_sets_they_are(self, begin: Callable[..., Session]) -> None:
        session = begin(SYSTEM_V)

        def theirs() -> list[tuple[str, str]]:
            found = json.loads(printed("ls", "--json"))["entries"]
            return sorted(
                (each["kind"], each["session"]["state"])
                for each in found
                if each["id"] is not None and (each["session"] or {}).get("token") == session.token
            )

        assert theirs() == [("segment", "alive"), ("segment", "alive"), ("set", "alive")]
        session.die()
        assert theirs() == [("segment", "orphan"), ("segment", "orphan"), ("set", "orphan")]
        lines = printed("ls")
        assert re.search(r"^\d+ orphans of dead sessions: shmlab clean$", lines, re.MULTILINE)
