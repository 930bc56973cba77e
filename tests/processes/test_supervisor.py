"""The supervisor, on a real Jupyter server: after whatever end of a cell, a kernel, a server or itself,
no process, no object, no segment and no semaphore set is left, and another session that lives is none the
wiser.
"""

import fcntl
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

import pytest

from shmlab import Process, names, observe, own_key, own_name, posix, sysv
from shmlab.processes import supervisor, sweep

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
UID = os.getuid()

LESSON = """
import os, time
from shmlab import Process, Shared, c_program, cleanup, in_c, names, own_key, own_name, posix, sysv
from shmlab.processes import start
from shmlab.programs.increment import increment

def create(word, size=4096):
    name = own_name(word)
    fd = posix.shm_open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    os.ftruncate(fd, size)
    os.close(fd)
    return name

def endless():
    while True:
        yield "on"

def spins():
    while True:
        pass
    yield

def make(key=sysv.IPC_PRIVATE):
    return sysv.shmget(key, 4096, sysv.IPC_CREAT | 0o600)

def forks():
    sysv.shmget(sysv.IPC_PRIVATE, 4096, sysv.IPC_CREAT | 0o600)
    os.fork()
    sysv.shmget(sysv.IPC_PRIVATE, 4096, sysv.IPC_CREAT | 0o600)
    yield "forked"
    os.fork()
    while True:
        time.sleep(60)

def half(key):
    group = sysv.semget(key, 1, sysv.IPC_CREAT | sysv.IPC_EXCL | 0o600)
    yield "semget"
    sysv.semctl(group, 0, sysv.SETVAL, 1)
    yield "SETVAL"

makes = '''
#include "step.h"
#include <sys/shm.h>
#include <sys/wait.h>

int main(void)
{
    shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
    if (fork() == 0) {
        shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
        _exit(0);
    }
    wait(NULL);
    for (;;)
        step("on");
}
'''

def leaves():
    if os.fork() == 0:
        os.setsid()
    while True:
        yield "away"

name = create("mymem")
sem = posix.sem_open(own_name("s"), os.O_CREAT | os.O_EXCL, 0o600, 0)
make(own_key("segment"))
sysv.semget(own_key("set"), 3, sysv.IPC_CREAT | 0o600)
attached = sysv.shmat(make())
child = os.fork()
if not child:
    make()
    os._exit(0)
os.waitpid(child, 0)
many = [Process(c_program("makes", makes)), Process(endless), Process(spins), Process(forks), Process(leaves),
        Process(half, own_key("half"))]
start(*many)
many[5].step()
for p in many[:-1]:
    p.run()
for p in (many[0], *many[3:5]):
    while p.state.step == 0:
        time.sleep(0.01)
from shmlab.processes import session
print("token", names.session(), "kernel", os.getpid(), "supervisor", session.current()._supervisor.pid)
"""

FORK = """
ready, tell = os.pipe()
child = os.fork()
if child == 0:
    os.setsid()  # Jupyter's restarter kills the kernel's group
    os.write(tell, b"!")
    time.sleep(60)
    os._exit(0)
os.close(tell)
os.read(ready, 1)  # not before: what stops it now finds it out of the group
print("child", child)
"""


class Server:
    """A Jupyter server of our own, and its kernels."""

    def __init__(self, folder):
        self.folder, self.token = folder, secrets.token_hex(16)
        environment = {k: v for k, v in os.environ.items() if k != names.SESSION_VARIABLE}
        paths = filter(None, [os.environ.get("PYTHONPATH")])
        environment |= {f"JUPYTER_{word}_DIR": str(folder / word) for word in ("CONFIG", "DATA", "RUNTIME")}
        environment |= {
            "IPYTHONDIR": str(folder),
            "JUPYTER_TOKEN": self.token,
            "PYTHONPATH": os.pathsep.join([str(ROOT), *paths]),
        }
        command = [sys.executable, "-m", "jupyter_server", "--ServerApp.port=0", "--ServerApp.ip=127.0.0.1"]
        if os.getuid() == 0:
            command.append("--allow-root")
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--no-browser", f"--ServerApp.root_dir={folder}"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=folder,
                env=environment,
            )
        self.url = ""

    def wait(self):
        deadline = monotonic() + 60
        while not self.url:
            assert self.process.poll() is None, self.log.read_text()
            assert monotonic() < deadline, self.log.read_text()
            sleep(0.05)
            for file in (self.folder / "RUNTIME").glob("jpserver-*.json"):
                try:
                    url = json.loads(file.read_text())["url"]
                    if self.ask("GET", "api/status", url=url):
                        self.url = url
                except (ValueError, OSError):
                    continue
        return self

    def ask(self, method, path, url=None, **body):
        request = urllib.request.Request(
            (url or self.url) + path,
            method=method,
            data=json.dumps(body).encode() if body else b"" if method == "POST" else None,
            headers={"Authorization": f"token {self.token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def close(self):
        try:
            for kernel in self.ask("GET", "api/kernels") if self.process.poll() is None else []:
                self.ask("DELETE", f"api/kernels/{kernel['id']}")
        finally:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)


class Kernel:
    """A kernel of the server, driven as a notebook drives it."""

    def __init__(self, server):
        self.server = server
        self.id = server.ask("POST", "api/kernels", name="python3")["id"]
        self.client = None
        self.connect()

    def connect(self):
        from jupyter_client import BlockingKernelClient

        self.disconnect()
        file = self.server.folder / "RUNTIME" / f"kernel-{self.id}.json"
        self.client = BlockingKernelClient(connection_file=str(file))
        self.client.load_connection_file()
        self.client.start_channels()
        deadline = monotonic() + 60
        while True:
            try:
                return self.client.wait_for_ready(timeout=10)
            except RuntimeError:  # on a busy machine a heart that does not beat yet is taken for a dead one
                if monotonic() > deadline:
                    raise

    def disconnect(self):
        if self.client is not None:
            self.client.stop_channels()

    def run(self, code, timeout=60):
        """Run a cell; return (status, what it printed, the error's name)."""
        printed = []

        def hear(message):
            if message["msg_type"] == "stream":
                printed.append(message["content"]["text"])

        reply = self.client.execute_interactive(code, output_hook=hear, timeout=timeout)["content"]
        return reply["status"], "".join(printed), reply.get("ename", "")

    def interrupt(self):
        self.server.ask("POST", f"api/kernels/{self.id}/interrupt")

    def restart(self):
        self.server.ask("POST", f"api/kernels/{self.id}/restart")

    def close(self):
        self.disconnect()
        deadline = monotonic() + 10
        while True:
            try:
                return self.server.ask("DELETE", f"api/kernels/{self.id}")
            except urllib.error.HTTPError as error:
                # The server may be busy replacing the kernel that the test has killed.
                if error.code != 500 or monotonic() > deadline:
                    raise
            sleep(0.05)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("server"))
    try:
        yield server.wait()
    finally:
        server.close()


@pytest.fixture
def kernel(server):
    kernel = Kernel(server)
    yield kernel
    kernel.close()


@pytest.fixture(autouse=True)
def neighbour():
    """Another session, ours, which has to live through it all."""
    name = own_name("kept")
    os.close(posix.shm_open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    made = {sysv.shmget(key, 4096, sysv.IPC_CREAT | 0o600) for key in (sysv.IPC_PRIVATE, own_key("kept"))}
    group = sysv.semget(own_key("kept"), 1, sysv.IPC_CREAT | 0o600)
    with Process(endless) as p:
        p.step()
        yield p
        assert p.step().step == 2
        assert os.path.exists("/dev/shm" + name)
        assert made <= segments()
        assert group in sets()


def endless():
    while True:
        yield "on"


def segments():
    """Ids of the segments there are, without those that are marked and go with the last who is attached."""
    return {each.id for each in observe.segments() if not each.dest}


def sets():
    return {each.id for each in observe.semaphore_sets()}


class Lesson:
    """What a kernel has on this machine, by its token; what of System V came while its lesson ran."""

    def __init__(self, printed, made):
        self.made = made
        found = dict(re.findall(r"(token|kernel|supervisor) (\w+)", printed))
        self.token, self.kernel, self.supervisor = (
            found["token"],
            int(found["kernel"]),
            int(found["supervisor"]),
        )

    def objects(self):
        return sorted(file for file in os.listdir("/dev/shm") if f"-{self.token}-" in file)

    def processes(self):
        """Whatever carries the token: in its environment, or the supervisor in its arguments."""
        found = []
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                environment = Path(f"/proc/{entry}/environ").read_bytes().split(b"\0")
                arguments = Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if f"SHMLAB_SESSION={self.token}".encode() in environment or self.token.encode() in arguments:
                found.append(f"{entry} {arguments[0]}")
        return found

    def segments(self):
        return self.made[0] & segments()

    def sets(self):
        return self.made[1] & sets()

    def nothing_is_left(self):
        return not (self.objects() or self.processes() or self.segments() or self.sets())


def begin(kernel):
    before = segments(), sets()
    status, printed, error = kernel.run(LESSON)
    deadline = monotonic() + 10
    while status == "aborted" and monotonic() < deadline:  # what was asked while an error was on its way
        status, printed, error = kernel.run(LESSON)
    assert status == "ok", (printed, error)
    while len(segments() - before[0]) < 8:
        assert monotonic() < deadline, "three of the kernel and its child, three of Python, two of C"
    lesson = Lesson(printed, (segments() - before[0], sets() - before[1]))
    assert len(lesson.sets()) == 2, "one of them without its first value"
    prefix = f"shmlab-{os.getuid()}-{lesson.token}"
    assert lesson.objects() == [f"sem.{prefix}-s", f"{prefix}-board", f"{prefix}-mymem"]
    while len(lesson.processes()) < 6 + 3 + 1 + 1:
        assert monotonic() < deadline, "six processes, four that they forked, and a supervisor"
    return lesson


def test_an_error_in_a_cell(kernel):
    lesson = begin(kernel)
    code = "with Process(endless, label='X') as x, Process(in_c(increment), Shared(name), 10**15) as y:\n"
    status, _, error = kernel.run(code + "    x.run(); y.run()\n    1 / 0")
    assert (status, error) == ("error", "ZeroDivisionError")
    assert kernel.run("print(x, y, many[1].state.kind)")[1] == (
        "<Process X: endless in Python, stopped> <Process increment: increment in C, stopped> running\n"
    )
    assert (len(lesson.segments()), len(lesson.sets())) == (8, 2)
    status, printed, _ = kernel.run("print(len(cleanup()))")
    assert int(printed) >= 17, printed
    assert (lesson.segments(), lesson.sets()) == (set(), set())


def test_an_interrupt(kernel, until):
    lesson = begin(kernel)
    kernel.client.execute("print('waiting', flush=True); many[1].wait(60)")
    until(lambda: "waiting" in str(kernel.client.get_iopub_msg(timeout=10)["content"]), timeout=10)
    kernel.interrupt()
    printed, error = "", ""
    deadline = monotonic() + 15
    while "Interrupted" not in printed or not error:
        assert monotonic() < deadline, printed
        message = kernel.client.get_iopub_msg(timeout=15)
        printed += message["content"].get("text", "") if message["msg_type"] == "stream" else ""
        error = message["content"].get("ename", error)
    assert error == "KeyboardInterrupt"
    assert re.search(
        r"Interrupted: the lab stopped \d+ processes and removed 2 objects, 8 segments, 2 sets\. To", printed
    )
    until(lesson.nothing_is_left)
    assert begin(kernel).kernel == lesson.kernel, "the lesson begins again in the same kernel"


def test_a_restart(kernel, until):
    lesson = begin(kernel)
    kernel.restart()
    until(lesson.nothing_is_left)
    kernel.connect()
    assert begin(kernel).token != lesson.token


def test_a_killed_kernel_whose_forked_child_lives_on(kernel, until, alive):
    # And keeps what it inherited, as the child of a fork in C does: the pipe never closes.
    lesson = begin(kernel)
    begun = monotonic()
    kernel.run("session._current.let_go = lambda: None")
    child = fork(kernel)
    try:
        # Its first look around is over; from now on it only waits.
        until(lambda: monotonic() > begun + supervisor.SETTLE + 1)
        os.kill(lesson.kernel, signal.SIGKILL)
        until(lesson.nothing_is_left)
        assert alive(child), "it is the student's, not ours"
    finally:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def fork(kernel):
    """Fork a child in the kernel, out of its group; return its pid. Python 3.12 prints a warning, too."""
    return int(re.search(r"^child (\d+)$", kernel.run(FORK)[1], re.M)[1])


def kill_both(lesson, until, alive):
    """Kill the supervisor, then the kernel; return when the kernel's files are closed: by its last thread."""
    # Its lock is held meanwhile: the supervisor of the neighbour may be looking for dead sessions just now.
    lock = os.open(f"/dev/shm/shmlab-{UID}-{lesson.token}-board", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_SH)
    os.kill(lesson.supervisor, signal.SIGKILL)
    os.kill(lesson.kernel, signal.SIGKILL)
    until(lambda: not alive(lesson.kernel))
    assert (len(lesson.objects()), len(lesson.segments()), len(lesson.sets())) == (3, 8, 2)
    assert lesson.processes()
    os.close(lock)
    until(lambda: lesson.token not in {each.token for each in sweep.sessions(UID) if each.alive})


def swept(lesson):
    """Sweep first. Not once, as a person would: a new session's supervisor may be at it, and goes first."""
    sweep.clean(UID)
    return lesson


def test_a_killed_supervisor_and_kernel_then_clean(kernel, until, alive):
    lesson = begin(kernel)
    kill_both(lesson, until, alive)
    until(lambda: swept(lesson).nothing_is_left())


def test_a_killed_supervisor_and_kernel_then_another_session(kernel, until, alive):
    lesson = begin(kernel)
    kill_both(lesson, until, alive)
    text = "from shmlab import own_name; own_name('x'); input()"
    following = subprocess.Popen([sys.executable, "-c", text], stdin=subprocess.PIPE, cwd=ROOT)
    try:
        until(lesson.nothing_is_left, timeout=10)
    finally:
        following.communicate(b"\n", timeout=10)


def test_a_killed_supervisor_and_kernel_whose_forked_child_lives_on(kernel, until, alive):
    # The child inherited the mapping of the semaphore and an attachment and uses them, for all we know.
    lesson = begin(kernel)
    child = fork(kernel)
    os.kill(child, signal.SIGSTOP)
    try:
        kill_both(lesson, until, alive)
        # And the board with it, by which the next sweep tells that the session is dead.
        prefix = f"shmlab-{UID}-{lesson.token}"
        until(lambda: swept(lesson).objects() == [f"sem.{prefix}-s", f"{prefix}-board"])
        assert lesson.processes() == []
        (spared,) = lesson.segments()
        assert [each.attached for each in observe.segments() if each.id == spared] == [1]
        assert lesson.sets() == set()
        assert alive(child)
    finally:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    until(lambda: swept(lesson).nothing_is_left())


def test_a_killed_server(tmp_path, until, alive):
    server = Server(tmp_path)
    try:
        kernel = Kernel(server.wait())
        lesson = begin(kernel)
        server.process.kill()
        server.process.wait(5)
        until(lambda: not alive(lesson.kernel), timeout=10)
        until(lesson.nothing_is_left)
        kernel.disconnect()
    finally:
        server.process.kill()
        server.process.wait(5)
