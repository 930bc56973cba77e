"""The command line, run as people run it: real objects, dead sessions, a JupyterLab that serves.

What it lists is checked against ls(1), stat(1) and ipcs(1). ``clean`` runs in this process and sees only the
sessions that a test made: somebody else's orphans on this machine aren't the tests' to remove.
"""

import contextlib
import ctypes
import io
import json
import os
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import traceback
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import sysv_ipc

from shmlab import __version__, names, observe, own_name, posix
from shmlab.__main__ import COMMANDS, main
from shmlab.cli import checks, doctor, lab, lessons, listing, ls
from shmlab.processes import sweep

ROOT = Path(__file__).parents[1]
PYTHON = [sys.executable, "-m", "shmlab"]
NOBODY = 65534
PR_SET_DUMPABLE = 4
HEAVY = {"numpy", "matplotlib", "IPython", "ipywidgets", "anywidget", "jupyterlab", "traitlets"}
ENVIRONMENT = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "CC")}


@pytest.fixture(autouse=True)
def unlimited_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is cut in what commands print in this process either, however wide the tester's terminal."""
    monkeypatch.delenv("COLUMNS", raising=False)


def shmlab(*arguments: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    options = {
        "capture_output": True,
        "text": True,
        "timeout": 20,
        "env": ENVIRONMENT,
        "check": False,
    } | options
    return subprocess.run([*PYTHON, *arguments], **options)


def answer(*arguments: str, **options: Any) -> Any:
    done = shmlab(*arguments, "--json", **options)
    assert done.stderr == ""
    return json.loads(done.stdout)


def tool(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout


def row(lines: str, word: str) -> str:
    (line,) = [line for line in lines.splitlines() if word in line]
    return line


class TestEveryCommand:
    def test_the_entry_point_is_the_module(self, tmp_path: Path) -> None:
        script = Path(sysconfig.get_path("scripts")) / "shmlab"
        by_script = subprocess.run(
            [script, "--version"], capture_output=True, text=True, timeout=20, check=True, cwd=tmp_path
        )
        by_module = shmlab("--version", cwd=tmp_path)
        assert by_script.stdout == by_module.stdout == f"shmlab {__version__}\n"
        assert shmlab("ls", cwd=tmp_path).returncode == 0

    @pytest.mark.parametrize("arguments", [(), ("-h",)])
    def test_help_has_a_line_and_an_example_for_each(self, arguments: tuple[str, ...]) -> None:
        done = shmlab(*arguments)
        assert (done.returncode, done.stderr) == (0, "")
        for name, (what, example) in COMMANDS.items():
            assert example.startswith(f"shmlab {name}")
            assert re.search(rf"^ +{re.escape(example)} +{re.escape(what)}$", done.stdout, re.MULTILINE)
            assert example in shmlab(name, "-h").stdout

    def test_every_example_is_understood(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("shmlab.__main__.import_module", lambda name: SimpleNamespace(run=lambda _: 0))
        for _, example in COMMANDS.values():
            assert main(example.split()[1:]) == 0

    @pytest.mark.parametrize(
        "arguments", [("sl",), ("ls", "-x"), ("lab", "--port", "65536"), ("lab", "--port", "a")]
    )
    def test_a_wrong_command_line_is_refused(self, arguments: tuple[str, ...]) -> None:
        done = shmlab(*arguments)
        assert done.returncode == 2
        assert "usage: shmlab" in done.stderr
        assert "Traceback" not in done.stderr

    @pytest.mark.parametrize("command", [("ls",), ("doctor",), ("clean", "--dry-run"), ()])
    def test_a_closed_pipe_is_no_error(self, command: tuple[str, ...]) -> None:
        readable, writable = os.pipe()
        os.close(readable)
        done = shmlab(*command, capture_output=False, stdout=writable, stderr=subprocess.PIPE)
        os.close(writable)
        assert (done.stderr, done.returncode) == ("", 141)

    def test_help_into_a_closed_pipe_is_silent(self) -> None:
        readable, writable = os.pipe()
        os.close(readable)
        done = shmlab("--help", capture_output=False, stdout=writable, stderr=subprocess.PIPE)
        os.close(writable)
        # argparse itself swallows the error where output isn't buffered.
        assert done.stderr == ""
        assert done.returncode in (0, 141)

    def test_an_interrupt_is_no_traceback(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupted(_: object) -> int:
            raise KeyboardInterrupt

        monkeypatch.setattr("shmlab.cli.ls.run", interrupted)
        assert main(["ls"]) == 130

    @pytest.mark.parametrize(
        "command", [("--version",), ("ls", "--all"), ("doctor",), ("clean", "--dry-run")]
    )
    def test_it_starts_at_once_without_the_scientific_libraries(self, command: tuple[str, ...]) -> None:
        own_name("here")
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "shmlab", *command],
            capture_output=True, text=True, timeout=20, check=True,
        )  # fmt: skip
        loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
        assert "shmlab" in loaded
        assert not loaded & HEAVY
        assert any(self.seconds_of_cpu(command) < 0.2 for _ in range(5))

    def seconds_of_cpu(self, command: tuple[str, ...]) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert shmlab(*command).returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime

    @pytest.mark.parametrize("command", ["ls", "doctor", "clean"])
    def test_no_colour_and_no_letter_that_the_terminal_lacks(self, command: str) -> None:
        options = ["--dry-run"] if command == "clean" else []
        done = shmlab(command, *options, env={**ENVIRONMENT, "PYTHONIOENCODING": "latin-1", "COLUMNS": "70"})
        assert (done.returncode, done.stderr) == (0, "")
        assert "\x1b" not in done.stdout
        assert all(len(line) <= 70 for line in done.stdout.splitlines())


@pytest.fixture
def thing() -> Iterator[str]:
    """An object of 5000 bytes whose first page exists, mapped by this process."""
    name = own_name("mymem")
    descriptor = posix.shm_open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o640)
    try:
        os.fchmod(descriptor, 0o640)
        posix.ftruncate(descriptor, 5000)
        mapping = posix.mmap(None, 5000, posix.PROT_READ | posix.PROT_WRITE, posix.MAP_SHARED, descriptor)
        mapping.buf[0] = 1
        yield name
        posix.munmap(mapping)
    finally:
        os.close(descriptor)
        posix.shm_unlink(name)


@pytest.fixture
def semaphore() -> Iterator[str]:
    name = own_name("mutex")
    opened = posix.sem_open(name, os.O_CREAT | os.O_EXCL, 0o600, 1)
    yield name
    posix.sem_close(opened)
    posix.sem_unlink(name)


@pytest.fixture
def segment() -> Iterator[sysv_ipc.SharedMemory]:
    made = sysv_ipc.SharedMemory(None, sysv_ipc.IPC_CREX, mode=0o640, size=6000, init_character=b"\0")
    yield made
    made.detach()
    with contextlib.suppress(sysv_ipc.ExistentialError):
        made.remove()


@pytest.fixture
def semaphore_set() -> Iterator[sysv_ipc.Semaphore]:
    made = sysv_ipc.Semaphore(None, sysv_ipc.IPC_CREX, mode=0o600)
    yield made
    made.remove()


@pytest.fixture
def as_nobody() -> Callable[[Callable[[], Any]], Any]:
    """Run a function in a child that has become an ordinary user, and return its answer (through JSON)."""
    if os.getuid() != 0:
        pytest.skip("only root can become another user")

    def run(function: Callable[[], Any]) -> Any:
        readable, writable = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.setgroups([])
                os.setresgid(NOBODY, NOBODY, NOBODY)
                os.setresuid(NOBODY, NOBODY, NOBODY)
                ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
                said = {"answer": function()}
            except BaseException:
                said = {"error": traceback.format_exc()}
            os.write(writable, json.dumps(said).encode())
            os._exit(0)
        os.close(writable)
        with os.fdopen(readable) as pipe:
            said = json.loads(pipe.read())
        os.waitpid(child, 0)
        assert "answer" in said, said.get("error")
        return said["answer"]

    return run


def printed(*arguments: str) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main(arguments) == 0
    return out.getvalue()


class TestLs:
    def entry(self, found: Any, **wanted: Any) -> Any:
        (entry,) = [each for each in found["entries"] if wanted.items() <= each.items()]
        return entry

    def test_an_object_is_what_ls_and_stat_say(self, thing: str) -> None:
        entry = self.entry(answer("ls"), name=thing)
        mode, _, owner, _, length, *_ = row(tool("ls", "-l", "/dev/shm"), thing[1:]).split()
        assert mode == "-rw-r-----"
        assert entry["mode"] == "0640"
        assert (entry["kind"], entry["owner"], entry["size"]) == ("object", owner, int(length))
        blocks, uid = tool("stat", "-c", "%b %u", f"/dev/shm{thing}").split()
        assert (entry["allocated"], entry["uid"]) == (int(blocks) * 512, int(uid))
        assert entry["allocated"] == 4096
        (mapper,) = entry["mapped_by"]
        assert (mapper["pid"], mapper["mapped"], mapper["perms"]) == (os.getpid(), 8192, ["rw-s"])
        assert mapper["command"].split()[0].startswith("py")
        line = row(shmlab("ls").stdout, thing)
        cells = re.split(r" {2,}", line)
        assert cells[:7] == ["object", thing, "5,000 B", "4 KiB", "0640", owner, "alive"]
        assert cells[7].startswith(f"{os.getpid()} py")

    def test_a_semaphore_has_its_own_name(self, semaphore: str) -> None:
        entry = self.entry(answer("ls"), kind="semaphore", name=semaphore)
        assert f"sem.{semaphore[1:]}" in tool("ls", "/dev/shm").split()
        assert entry["size"] == int(tool("stat", "-c", "%s", f"/dev/shm/sem.{semaphore[1:]}"))
        assert [each["pid"] for each in entry["mapped_by"]] == [os.getpid()]
        assert entry["session"] == {"token": names.session(), "state": "alive"}
        assert row(shmlab("ls").stdout, semaphore).startswith("semaphore")

    def test_a_segment_is_what_ipcs_says(self, segment: sysv_ipc.SharedMemory) -> None:
        entry = self.entry(answer("ls"), kind="segment", id=segment.id)
        line = row(tool("ipcs", "-m"), f" {segment.id} ")
        key, _, owner, perms, length, *_ = line.split()
        assert (entry["key"], entry["owner"], entry["mode"]) == (key, owner, "0" + perms)
        assert (entry["size"], entry["status"], entry["session"]) == (int(length), "", None)
        assert [each["pid"] for each in entry["mapped_by"]] == [os.getpid()]
        shown = row(shmlab("ls").stdout, f"{key} id {segment.id} ")
        assert shown.startswith("segment")
        assert f"{os.getpid()} py" in shown
        segment.remove()
        assert self.entry(answer("ls"), kind="segment", id=segment.id)["status"] == "dest"
        assert f" id {segment.id} dest " in shmlab("ls").stdout

    def test_a_set_is_what_ipcs_says(self, semaphore_set: sysv_ipc.Semaphore) -> None:
        entry = self.entry(answer("ls"), kind="set", id=semaphore_set.id)
        key, _, owner, perms, number = row(tool("ipcs", "-s"), f" {semaphore_set.id} ").split()
        assert (entry["key"], entry["owner"], entry["mode"]) == (key, owner, "0" + perms)
        assert (entry["semaphores"], entry["size"], entry["mapped_by"]) == (int(number), None, [])
        assert " 1 sem  " in row(shmlab("ls").stdout, f"{key} id {semaphore_set.id} ")

    def test_the_table_has_the_rows_of_the_json(
        self, thing: str, semaphore: str, segment: sysv_ipc.SharedMemory, semaphore_set: sysv_ipc.Semaphore
    ) -> None:
        ours = {thing, semaphore, segment.id, semaphore_set.id}
        listed = [each["name"] or each["id"] for each in answer("ls", "--all")["entries"]]
        assert ours <= set(listed)
        assert [each for each in listed if each in ours] == [thing, semaphore, segment.id, semaphore_set.id]
        lines = shmlab("ls", "--all").stdout
        for each in ours:
            assert row(lines, each if isinstance(each, str) else f" id {each} ")

    def test_nothing_is_said_to_be_nothing(self) -> None:
        assert ls.remarks(listing.Listing((), 0, 0)) == [
            "nothing here: no object, no semaphore, no segment, no set"
        ]
        assert ls.table((), 100) == []

    def test_an_ordinary_user_is_told_what_is_missing(self, as_nobody: Callable[..., Any]) -> None:
        thing = own_name("mymem")
        # Closed at once: a descriptor would make the child, which inherits it, one of its users.
        os.close(posix.shm_open(thing, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        assert thing not in as_nobody(lambda: printed("ls"))
        found = json.loads(as_nobody(lambda: printed("ls", "--json")))
        assert found["hidden"] >= 1  # the board counts as the child's: it inherited the mapping
        everybody = as_nobody(lambda: printed("ls", "--all"))
        # Not the same number: other users of this machine come and go.
        assert re.search(
            r"^\d+ more of other users: shmlab ls --all$", as_nobody(lambda: printed("ls")), re.M
        )
        assert "could not be looked at (not permitted)" in everybody
        # Whether a stranger's session lives is not an ordinary user's to see: neither alive nor orphan.
        entry = self.entry(json.loads(as_nobody(lambda: printed("ls", "--all", "--json"))), name=thing)
        assert entry["session"]["state"] == "unknown"
        assert entry["mapped_by"] == []
        posix.shm_unlink(thing)

    def test_another_users_object_that_this_user_maps_is_listed(
        self, thing: str, as_nobody: Callable[..., Any]
    ) -> None:
        os.chmod(f"/dev/shm{thing}", 0o644)

        def look() -> Any:
            held = os.open(f"/dev/shm{thing}", os.O_RDONLY)
            try:
                return json.loads(printed("ls", "--json"))
            finally:
                os.close(held)

        entry = self.entry(as_nobody(look), name=thing)
        assert [each["user"] for each in entry["mapped_by"]] == ["nobody"]

    @pytest.mark.parametrize("limit", [200, 100, 80, 60, 40, 10])
    def test_it_fits(self, limit: int) -> None:
        def mapper(pid: int) -> observe.Mapper:
            return observe.Mapper(pid, "python -m ipykernel", "student", ("rw-s",), 4096, 1)

        full = names.prefix("k3f9", 1234) + "w" * (30 - len(names.prefix("k3f9", 1234)))
        entry = listing.Entry(
            "semaphore", full, None, None, 1023, 4096, None, 0o600, 1234, "student", "", "k3f9", "orphan",
            tuple(map(mapper, range(1000, 1005))),
        )  # fmt: skip
        lines = ls.table([entry, replace(entry, kind="set", size=None, semaphores=1, mappers=())], limit)
        assert len(lines) == 3
        assert all(len(line) <= limit for line in lines)
        if limit == 200:
            assert full in lines[1]
            assert lines[1].endswith(", ".join(f"{pid} python" for pid in range(1000, 1005)))
        elif limit >= 40:
            assert "/shmlab-123" in lines[1]
            assert "orphan" in lines[1]
        if 200 > limit >= 60:
            assert lines[1].endswith(("python, +4", "python, +3", "python, +2"))
        if limit >= 100:
            assert lines[0].split("  ")[0] == "kind"
            assert re.split(r" {2,}", lines[0]) == [
                "kind", "name", "size", "allocated", "mode", "owner", "session", "mapped by",
            ]  # fmt: skip

    def test_a_name_cannot_write_to_the_terminal(self, thing: str) -> None:
        entry = listing.Entry("object", "/a\x1b[31m\n", None, None, 1, 0, None, 0o600, 0, "root")
        lines = ls.table([entry], 100)
        assert "/a\\x1b[31m\\x0a" in lines[1]


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
print(json.dumps({"token": names.session(), "worker": worker.pid}), flush=True)
sys.stdin.read()
"""


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


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Session]]:
    """Begin sessions; they are all that ``clean`` in this process sees."""
    script = tmp_path / "lesson.py"
    script.write_text(SCRIPT)
    begun: list[Session] = []

    def start() -> Session:
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
        assert not session.worker_lives()
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
        assert not session.worker_lives()
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
        assert not alive.worker_lives()
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
            context.setattr(sweep, "_unlink", lambda entry: False)
            status, said = clean()
        assert status == 1
        assert f"could not remove object {session.name('mymem')}\n" in said
        assert "could not remove 2 objects, 1 semaphore" in said.splitlines()[-1]

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


class TestDoctor:
    @pytest.fixture
    def bare(self, tmp_path: Path) -> dict[str, str]:
        """An environment whose PATH has no program."""
        (tmp_path / "bin").mkdir()
        return {**ENVIRONMENT, "PATH": str(tmp_path / "bin")}

    def check(self, found: Any, what: str) -> Any:
        (check,) = [each for each in found["checks"] if each["what"] == what]
        return check

    def test_the_facts_are_the_systems(self) -> None:
        found = answer("doctor")
        assert found["ready"]
        assert found["machine"]["uid"] == int(tool("id", "-u"))
        assert self.check(found, "Python")["value"] == sys.version.split()[0]
        df = int(tool("df", "--output=size", "-B1", "/dev/shm").split()[1])
        assert found["machine"]["shm_size"] == df
        compiler = self.check(found, "C compiler")
        assert compiler["have"] == bool(shutil.which("cc") or shutil.which("gcc"))
        assert self.check(found, "strace")["value"] == (shutil.which("strace") or "none")

    def test_the_table_has_the_rows_of_the_json(self) -> None:
        found = answer("doctor")
        lines = shmlab("doctor").stdout
        assert all(len(line) <= 100 for line in lines.splitlines())
        for check in found["checks"]:
            mark = "✓" if check["have"] else "–"  # noqa: RUF001
            assert re.search(rf"^{mark} {re.escape(check['what'])} +{re.escape(check['value'])}", lines, re.M)

    def test_without_programs_the_lab_still_runs(self, bare: dict[str, str]) -> None:
        done = shmlab("doctor", env=bare)
        assert done.returncode == 0
        text = " ".join(done.stdout.split())
        assert "– C compiler none C programs are greyed out: lessons 01" in text  # noqa: RUF001
        assert "to do: apt-get install gcc libc6-dev" in text
        assert "to do: apt-get install strace" in text
        assert "to do: apt-get install chromium" in text
        assert re.search(r"The lab runs here, without: .*C compiler, strace", text)
        found = answer("doctor", env=bare)
        assert not self.check(found, "C compiler")["have"]
        assert self.check(found, "C compiler")["lessons"][0] == 1
        assert found["machine"]["chromium"] is None

    def test_a_compiler_without_headers(self, bare: dict[str, str]) -> None:
        compiler = Path(bare["PATH"]) / "cc"
        compiler.write_text("#!/bin/sh\nexit 1\n")
        compiler.chmod(0o755)
        check = self.check(answer("doctor", env=bare), "C compiler")
        assert (check["have"], check["value"]) == (False, "without C headers")
        assert check["remedy"] == "apt-get install libc6-dev"

    @pytest.mark.parametrize(
        ("change", "what", "ready"),
        [
            ({"shm_size": None, "shm_free": None}, "/dev/shm", False),
            ({"shm_size": 1 << 20, "shm_free": 1 << 20}, "/dev/shm", True),
            ({"shm_size": 64 << 20, "shm_free": 1 << 20}, "/dev/shm", True),
            ({"shmmni": None}, "System V", True),
            ({"ptrace": "not permitted: Yama's ptrace_scope is 3"}, "ptrace", True),
            ({"others_maps": False}, "others' processes", True),
            ({"page_frames": False}, "page frames", True),
            ({"second_user": False}, "second user", True),
            ({"ipc_namespace": None}, "IPC namespace", True),
        ],
    )
    def test_what_a_machine_may_lack(
        self,
        change: dict[str, Any],
        what: str,
        ready: bool,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        machine = replace(observe.machine(), **change)
        monkeypatch.setattr(observe, "machine", lambda: machine)
        assert main(["doctor", "--json"]) == int(not ready)
        found = json.loads(capsys.readouterr().out)
        check = self.check(found, what)
        assert not check["have"]
        assert check["lessons"]
        assert found["ready"] is ready
        assert main(["doctor"]) == int(not ready)
        said = capsys.readouterr().out
        assert f"\n– {what} " in said  # noqa: RUF001
        assert ("The lab can't run here: /dev/shm." in said) is not ready

    def test_a_missing_package_is_fatal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(checks, "PACKAGES", ("json", "no_such_package"))
        found = list(checks.examine(observe.machine()))
        assert [each.value for each in checks.blockers(found)] == ["no no_such_package"]
        assert doctor.verdict(found) == "The lab can't run here: Python packages."

    @pytest.mark.parametrize("limit", [120, 100, 80, 60, 40])
    def test_it_fits(self, limit: int) -> None:
        machine = replace(
            observe.machine(),
            shm_size=1 << 20,
            strace=None,
            chromium=None,
            others_maps=False,
            second_user=False,
        )
        lines = doctor.table(list(checks.examine(machine)), limit)
        assert max(map(len, lines)) <= limit
        assert "remount,size=64M" in " ".join(lines)

    def test_lessons_are_written_short(self) -> None:
        assert checks.spans((7,)) == "lesson 07"
        assert checks.spans((1, 2, 3, 7, 13, 14)) == "lessons 01-03, 07, 13-14"


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of lessons, which the command takes for the checkout's."""
    folder = tmp_path / "a checkout" / "notebooks"
    folder.mkdir(parents=True)
    for stem in ("01-one-memory", "02-the-race", "10-the-race-again"):
        notebook(folder / f"{stem}.ipynb")
    (folder / "scratch.ipynb").write_text("{}")
    monkeypatch.setattr(lessons, "folder", lambda: folder)
    return folder


def notebook(path: Path) -> Path:
    path.write_text(json.dumps({"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    return path


class Started(Exception):  # noqa: N818
    """Raised in the place of becoming the server."""


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Run ``shmlab lab`` up to where it becomes the server; return what it printed, its command and token."""
    became: list[tuple[list[str], dict[str, str]]] = []

    def become(path: str, command: list[str], environment: dict[str, str]) -> None:
        assert path == sys.executable
        became.append((command, environment))
        raise Started

    monkeypatch.setattr(os, "execve", become)
    monkeypatch.delenv("JUPYTER_TOKEN", raising=False)

    def run(*arguments: str) -> Any:
        capsys.readouterr()
        with pytest.raises(Started):
            main(["lab", *arguments])
        command, environment = became.pop()
        return SimpleNamespace(
            out=capsys.readouterr().out, command=command, token=environment["JUPYTER_TOKEN"]
        )

    return run


def address_in(text: str) -> urllib.parse.SplitResult:
    (found,) = re.findall(r"^shmlab is at (\S+)$", text, re.MULTILINE)
    return urllib.parse.urlsplit(found)


class TestLab:
    @pytest.mark.parametrize(
        ("wanted", "stem"),
        [
            (None, "01-one-memory"),
            ("1", "01-one-memory"),
            ("02", "02-the-race"),
            ("10", "10-the-race-again"),
            ("again", "10-the-race-again"),
            ("One Memory", "01-one-memory"),
            ("02-the-race.ipynb", "02-the-race"),
        ],
    )
    def test_a_lesson_by_number_or_word(self, shelf: Path, wanted: str | None, stem: str) -> None:
        assert lessons.choose(wanted) == shelf / f"{stem}.ipynb"

    def test_00_comes_first(self, shelf: Path) -> None:
        first = notebook(shelf / "00-start-here.ipynb")
        assert lessons.choose(None) == first

    def test_a_notebook_by_its_path(
        self, shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: Callable[..., Any]
    ) -> None:
        mine = notebook(tmp_path / "mine.ipynb")
        monkeypatch.chdir(tmp_path)
        assert lessons.choose("mine.ipynb") == lessons.choose(str(mine)) == mine
        started = start("mine.ipynb")
        assert address_in(started.out).path == "/lab/tree/mine.ipynb"
        assert f"--ServerApp.root_dir={tmp_path}" in started.command

    @pytest.mark.parametrize(("wanted", "said"), [("7", "no lesson '7'"), ("race", "could be any of")])
    def test_an_unclear_wish_gets_the_list(self, shelf: Path, wanted: str, said: str) -> None:
        with pytest.raises(SystemExit, match=said) as refused:
            lessons.choose(wanted)
        assert "\n  02-the-race" in str(refused.value)
        assert ("01-one-memory" in str(refused.value)) == (wanted == "7")

    def test_the_package_without_lessons_says_where_they_are(self, tmp_path: Path) -> None:
        shutil.copytree(ROOT / "shmlab", tmp_path / "shmlab", ignore=shutil.ignore_patterns("__pycache__"))
        done = shmlab("lab", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (1, "")
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"shmlab: no lessons in {tmp_path / 'notebooks'}")
        assert "clone it and run make lab" in line
        assert "– lessons" in shmlab("doctor", cwd=tmp_path).stdout  # noqa: RUF001

    def test_the_address_is_printed_and_the_token_is_nobody_elses(
        self, shelf: Path, start: Callable[..., Any]
    ) -> None:
        started = start("--port", "0")
        address = address_in(started.out)
        assert address.path == "/lab/tree/notebooks/01-one-memory.ipynb"
        assert address.query == f"token={started.token}"
        assert len(started.token) >= 32
        # What stands on a command line, every user of the machine can read in /proc.
        assert not any(started.token in word for word in started.command)
        assert f"--ServerApp.port={address.port}" in started.command
        assert f"--ServerApp.root_dir={shelf.parent}" in started.command
        assert ("--allow-root" in started.command) == (os.geteuid() == 0)
        assert start("--port", "0").token != started.token

    def test_a_token_of_the_users_own(
        self, shelf: Path, start: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("JUPYTER_TOKEN", "a b")
        started = start("--port", "0")
        assert started.token == "a b"
        assert address_in(started.out).query == "token=a%20b"

    def test_a_busy_port_gives_the_next(self, shelf: Path, start: Callable[..., Any]) -> None:
        with socket.socket() as busy:
            busy.bind(("127.0.0.1", 0))
            busy.listen(1)
            port = busy.getsockname()[1]
            started = start("--port", str(port))
        taken = address_in(started.out).port
        assert taken is not None
        assert port < taken <= port + lab.PORTS
        assert f"note: port {port} is in use, {taken} is free\n" in started.out

    @pytest.mark.parametrize(
        ("ip", "host"),
        [("0.0.0.0", socket.gethostname()), ("localhost", "localhost"), ("", socket.gethostname())],
    )
    def test_an_ip_to_listen_on(self, shelf: Path, start: Callable[..., Any], ip: str, host: str) -> None:
        started = start("--ip", ip, "--port", "0")
        assert address_in(started.out).hostname == host.lower()
        assert f"--ServerApp.ip={ip}" in started.command

    def test_an_ip_of_another_machine(self, shelf: Path) -> None:
        # TEST-NET-1 of RFC 5737: nobody's.
        for ip in ("192.0.2.1", "no address"):
            with pytest.raises(SystemExit, match=f"^shmlab: .*'{ip}'"):
                main(["lab", "--ip", ip])

    @pytest.mark.parametrize(
        ("environment", "opens"),
        [({}, False), ({"BROWSER": "/bin/true"}, True)],
    )
    def test_a_machine_without_a_browser(
        self,
        shelf: Path,
        start: Callable[..., Any],
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        environment: dict[str, str],
        opens: bool,
    ) -> None:
        # w3m is a browser to Python, but one that would take the terminal that the server needs.
        text_browser = tmp_path / "w3m"
        text_browser.write_text("#!/bin/sh\n")
        text_browser.chmod(0o755)
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("PATH", str(tmp_path))
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        import webbrowser

        monkeypatch.setattr(webbrowser, "_tryorder", None)
        monkeypatch.setattr(webbrowser, "_browsers", {})
        assert ("--no-browser" not in start("--port", "0").command) == opens
        assert "--no-browser" in start("--port", "0", "--no-browser").command

    def test_what_is_missing_is_noted_first(
        self, shelf: Path, start: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        machine = replace(observe.machine(), strace=None, chromium=None, second_user=False)
        monkeypatch.setattr(observe, "machine", lambda: machine)
        monkeypatch.setattr("shmlab.programs.find_compiler", lambda: None)
        lines = start("--port", "0").out.splitlines()
        notes = [line for line in lines if line.startswith("note: ")]
        # Of what nobody can bring, and of what only tests want, nothing.
        assert len(notes) == 2
        assert notes == lines[:2]
        assert re.match(
            r"note: C compiler: .* greyed out: lessons .* \(apt-get install gcc libc6-dev\)$", notes[0]
        )
        assert notes[1].endswith("(apt-get install strace)")

    def test_what_the_lab_cannot_run_without_stops_it(
        self, shelf: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        machine = replace(observe.machine(), shm_size=None, shm_free=None)
        monkeypatch.setattr(observe, "machine", lambda: machine)
        with pytest.raises(SystemExit, match=r"^shmlab: /dev/shm: none; .*mount -t tmpfs"):
            main(["lab"])

    def test_it_serves_the_lesson_and_ends_at_the_first_ctrl_c(self, tmp_path: Path) -> None:
        checkout = tmp_path / "a checkout"
        shutil.copytree(ROOT / "shmlab", checkout / "shmlab", ignore=shutil.ignore_patterns("__pycache__"))
        (checkout / "notebooks").mkdir()
        notebook(checkout / "notebooks/01-öne memory.ipynb")
        folders = {f"JUPYTER_{word}_DIR": str(tmp_path / word) for word in ("CONFIG", "DATA", "RUNTIME")}
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        server = subprocess.Popen(
            [*PYTHON, "lab", "--no-browser", "--port", str(port)],
            cwd=checkout, env={**ENVIRONMENT, **folders}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, start_new_session=True,
        )  # fmt: skip
        try:
            assert server.stdout is not None
            lines = iter(server.stdout.readline, "")
            said = next(line for line in lines if line.startswith("shmlab is at "))
            address = address_in(said)
            page, status = self.get(address.geturl(), server)
            assert status == 200
            assert "jupyter-config-data" in page
            token = f"?{address.query}"
            home = f"http://{address.netloc}"
            path = address.path.removeprefix("/lab/tree/")
            content, status = self.get(f"{home}/api/contents/{path}{token}", server)
            assert (status, json.loads(content)["name"]) == (200, "01-öne memory.ipynb")
            assert self.get(f"{home}/api/contents/{path}?token=wrong", server)[1] == 403
            server.send_signal(signal.SIGINT)
            assert server.wait(10) == 0
            assert "Traceback" not in server.stdout.read()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
            server.communicate(timeout=5)
        with pytest.raises(urllib.error.URLError):
            urllib.request.urlopen(address.geturl(), timeout=2)

    def get(self, url: str, server: "subprocess.Popen[str]") -> tuple[str, int]:
        deadline = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(url, timeout=10) as reply:
                    return reply.read().decode(), reply.status
            except urllib.error.HTTPError as error:
                with error:
                    return "", error.code
            except OSError:
                assert server.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
