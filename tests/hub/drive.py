"""A JupyterHub with eight users on one machine, driven from here; prints what was seen, as JSON.

Run by test_hub.py as root in mount, IPC and pid namespaces of its own, so that accounts, objects and
processes are nobody else's: ``python drive.py FOLDER PROXY NOTEBOOK …`` gives each user a notebook to run.
"""

import asyncio
import json
import os
import pwd
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from struct import unpack_from
from typing import Any

from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

USERS = [f"student{number}" for number in range(1, 9)]
FIRST_UID = 23001
TOKEN = uuid.uuid4().hex

HOLD = """
import os
from shmlab import Process, own_key, own_name, posix, sysv
def waits():
    yield "in the middle"
    yield "one more"
    yield "end"
m = posix.create(own_name("held"), 4096)
m.buf[:4] = os.getuid().to_bytes(4, "little")
sem = posix.sem_open(own_name("held"), posix.O_CREAT | posix.O_EXCL, 0o600, 1)
shmid = sysv.shmget(own_key("held"), 4096, sysv.IPC_CREAT | sysv.IPC_EXCL | 0o600)
semid = sysv.semget(own_key("held"), 1, sysv.IPC_CREAT | sysv.IPC_EXCL | 0o600)
process = Process(waits)
assert process.step().kind == "paused"
"""
"""Everything that the lab makes, and a process that is in the middle of its program."""

TRESPASS = """
import json, os
from shmlab import observe, posix, sysv
def tried(call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        return type(error).__name__
    return "came in"
me = os.getuid()
names = [e for e in os.listdir("/dev/shm") if os.stat(f"/dev/shm/{e}").st_uid != me]
objects = {tried(posix.shm_open, f"/{e}", posix.O_RDWR) for e in names if not e.startswith("sem.")}
semaphores = {tried(posix.sem_open, f"/{e[4:]}", 0) for e in names if e.startswith("sem.")}
rows = [row for row in observe.segments() if row.uid != me]
segments = {tried(sysv.shmat, row.id) for row in rows}
removed = {tried(sysv.shmctl, row.id, sysv.IPC_RMID) for row in rows}
unlinked = {tried(posix.shm_unlink, f"/{e}") for e in names if not e.startswith("sem.")}
sets = {tried(sysv.semctl, row.id, 0, sysv.SETVAL, 5) for row in observe.semaphore_sets() if row.uid != me}
print(json.dumps({"names": len(names), "rows": len(rows), "objects": sorted(objects), "sets": sorted(sets),
    "semaphores": sorted(semaphores), "segments": sorted(segments), "removed": sorted(removed),
    "unlinked": sorted(unlinked)}))
"""

STILL = """
held = int.from_bytes(m.buf[:4], "little"), process.step().kind, posix.sem_getvalue(sem)
print(held == (os.getuid(), "paused", 1) and sysv.shmctl(shmid, sysv.IPC_STAT).shm_nattch == 0)
"""


# --- The machine --------------------------------------------------------------------------------------------


def open_up(path: Path) -> None:
    """Let everybody get to *path*, in this mount namespace: a closed folder above it becomes an empty one."""
    closed = [each for each in path.parents if not each.stat().st_mode & stat.S_IXOTH]
    if not closed:
        return
    kept = Path("/mnt") / uuid.uuid4().hex
    kept.mkdir()
    mount("--bind", path, kept)
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", closed[-1])
    path.mkdir(parents=True)
    mount("--bind", kept, path)


def mount(*arguments: object) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True)


def make_users(folder: Path) -> None:
    """Add the users to this namespace's password file: the machine's own stays as it is."""
    accounts = Path("/etc/passwd").read_text(), Path("/etc/group").read_text()
    for number, name in enumerate(USERS):
        uid, home = FIRST_UID + number, folder / name
        home.mkdir(mode=0o700)
        os.chown(home, uid, uid)
        accounts = (
            f"{accounts[0].rstrip()}\n{name}:x:{uid}:{uid}::{home}:/bin/sh\n",
            f"{accounts[1].rstrip()}\n{name}:x:{uid}:\n",
        )
    for file, text in zip(("passwd", "group"), accounts, strict=True):
        own = folder / file
        own.write_text(text)
        mount("--bind", own, f"/etc/{file}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def processes_of(uid: int) -> list[int]:
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            state = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[0]
            if os.stat(f"/proc/{entry}").st_uid == uid and state != "Z":  # nobody here waits for orphans
                found.append(int(entry))
        except OSError:
            continue
    return found


def left_of(uid: int) -> dict[str, int]:
    """How many objects and semaphores, segments, sets and processes a user has."""
    tables = {}
    for word, column in (("shm", 7), ("sem", 4)):
        rows = Path(f"/proc/sysvipc/{word}").read_text().splitlines()[1:]
        tables[word] = sum(int(row.split()[column]) == uid for row in rows)
    entries = sum(entry.stat().st_uid == uid for entry in os.scandir("/dev/shm"))
    return {
        "entries": entries,
        "segments": tables["shm"],
        "sets": tables["sem"],
        "processes": len(processes_of(uid)),
    }


def wait_for(what: Callable[[], Any], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


# --- The hub ------------------------------------------------------------------------------------------------


class Hub:
    """A JupyterHub with a proxy of its own, and its REST API."""

    def __init__(self, folder: Path, proxy: str) -> None:
        ports = [free_port() for _ in range(3)]
        self.url = f"http://127.0.0.1:{ports[0]}"
        (folder / "config.py").write_text(
            f"c.JupyterHub.bind_url = {self.url!r}\n"
            f"c.JupyterHub.hub_port = {ports[1]}\n"
            f"c.ConfigurableHTTPProxy.api_url = 'http://127.0.0.1:{ports[2]}'\n"
            f"c.ConfigurableHTTPProxy.command = [{proxy!r}]\n"
            "c.JupyterHub.authenticator_class = 'dummy'\n"
            "c.Authenticator.allow_all = True\n"
            f"c.JupyterHub.services = [{{'name': 'driver', 'api_token': {TOKEN!r}, 'admin': True}}]\n"
            "c.JupyterHub.load_roles = [{'name': 'driver', 'services': ['driver'],"
            " 'scopes': ['admin:users', 'admin:servers', 'access:servers']}]\n"
            f"c.Spawner.cmd = [{sys.executable!r}, '-m', 'jupyterhub.singleuser']\n"
            "c.Spawner.start_timeout = 180\n"
            "c.Spawner.http_timeout = 120\n"
            "c.JupyterHub.concurrent_spawn_limit = 4\n"
        )
        with (folder / "hub.log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jupyterhub", "-f", "config.py"],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        if not wait_for(self.answers, 60):
            raise TimeoutError((folder / "hub.log").read_text()[-3000:])

    def answers(self) -> bool:
        try:
            return bool(self.api("GET", "/hub/api/info"))
        except OSError:
            return False

    def api(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            f"{self.url}{path}",
            method=method,
            headers={"Authorization": f"token {TOKEN}", "Content-Type": "application/json"},
            data=None if body is None else json.dumps(body).encode(),
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            said = answer.read()
        return json.loads(said) if said else None

    def start(self, user: str) -> None:
        self.api("POST", f"/hub/api/users/{user}")
        try:
            self.api("POST", f"/hub/api/users/{user}/server")
        except urllib.error.HTTPError as error:
            if error.code not in (201, 202, 400):
                raise
        ready = lambda: (self.api("GET", f"/hub/api/users/{user}")["servers"].get("") or {}).get("ready")  # noqa: E731
        if not wait_for(ready, 180):
            raise TimeoutError(f"{user}'s server isn't ready")


class Kernel:
    """A kernel of a user's, in which cells are run one after the other."""

    def __init__(self, hub: Hub, user: str) -> None:
        self.hub, self.user = hub, user
        self.id = hub.api("POST", f"/user/{user}/api/kernels", {"name": "python3"})["id"]

    async def run(self, cells: list[str]) -> list[str]:
        """Run cells; return what each printed. Raises RuntimeError for one that raised."""
        address = f"{self.hub.url.replace('http', 'ws')}/user/{self.user}/api/kernels/{self.id}/channels"
        channel = await websocket_connect(HTTPRequest(address, headers={"Authorization": f"token {TOKEN}"}))
        printed = []
        for cell in cells:
            message = uuid.uuid4().hex
            await channel.write_message(json.dumps(_execute(message, cell)))
            said = ""
            while True:
                text = await asyncio.wait_for(channel.read_message(), 120)
                if text is None:
                    raise RuntimeError(f"{self.user}'s kernel hung up at {cell[:60]!r}")
                answer = json.loads(_words(text))
                if answer["parent_header"].get("msg_id") != message:
                    continue
                kind, content = answer["msg_type"], answer["content"]
                if kind == "stream":
                    said += content["text"]
                if kind == "error":
                    raise RuntimeError(
                        f"{self.user}: {content['ename']}: {content['evalue']} in {cell[:200]!r}"
                    )
                if kind == "status" and content["execution_state"] == "idle":
                    break
            printed.append(said)
        channel.close()
        return printed


def _words(frame: str | bytes) -> str | bytes:
    """Return the JSON of a message: one with buffers is binary, and begins with a table of offsets."""
    if isinstance(frame, str):
        return frame
    _, begin, end = unpack_from(">3I", frame)
    return frame[begin:end]


def _execute(message: str, cell: str) -> dict[str, Any]:
    header = {
        "msg_id": message,
        "msg_type": "execute_request",
        "username": "",
        "session": "driver",
        "version": "5.3",
    }
    content = {
        "code": cell,
        "silent": False,
        "store_history": True,
        "user_expressions": {},
        "allow_stdin": False,
    }
    return {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}


async def together(kernels: list[Kernel], cells: list[list[str]]) -> list[Any]:
    runs = [kernel.run(each) for kernel, each in zip(kernels, cells, strict=True)]
    return await asyncio.gather(*runs, return_exceptions=True)


def cells_of(notebook: str) -> list[str]:
    cells = json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def as_user(user: str, *arguments: str) -> str:
    """Run the lab's command line as a user, and return what it printed."""
    uid = str(pwd.getpwnam(user).pw_uid)
    identity = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    done = subprocess.run(
        [*identity, sys.executable, "-m", "shmlab", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd="/",
        env={"PATH": os.environ["PATH"], "HOME": pwd.getpwnam(user).pw_dir},
    )
    return done.stdout + done.stderr


@contextmanager
def stage(name: str) -> Iterator[None]:
    begin = time.monotonic()
    yield
    print(f"{name}: {time.monotonic() - begin:.1f} s", file=sys.stderr, flush=True)


def main(folder: Path, proxy: str, notebooks: list[str]) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for path in (Path(sys.base_prefix), Path(__file__).resolve().parents[2], Path(proxy).parent, folder):
        open_up(path)
    make_users(folder)
    with stage("hub"):
        hub = Hub(folder, proxy)
    with stage("eight servers"):
        for user in USERS:
            hub.start(user)
    kernels = [Kernel(hub, user) for user in USERS]
    with stage("lessons"):
        ended = asyncio.run(together(kernels, [cells_of(each) for each in notebooks]))
    seen["lessons"] = {
        f"{user}, {Path(notebook).name[:2]}": repr(end) if isinstance(end, Exception) else "ran"
        for user, notebook, end in zip(USERS, notebooks, ended, strict=True)
    }
    with stage("held"):
        failed = [end for end in asyncio.run(together(kernels, 8 * [[HOLD]])) if isinstance(end, Exception)]
        seen["held"] = [repr(end) for end in failed]
        seen["names"] = sorted(os.listdir("/dev/shm"))
        seen["bytes of /dev/shm"] = sum(entry.stat().st_blocks * 512 for entry in os.scandir("/dev/shm"))
        tried = asyncio.run(together(kernels, 8 * [[TRESPASS]]))
        seen["trespass"] = [json.loads(end[0]) if isinstance(end, list) else repr(end) for end in tried]
        seen["clean"] = [as_user(user, "clean", "--json") for user in USERS]
        still = asyncio.run(together(kernels, 8 * [[STILL]]))
        seen["still"] = [end[0].strip() if isinstance(end, list) else repr(end) for end in still]
    with stage("killed"):
        uids = [pwd.getpwnam(user).pw_uid for user in USERS]
        children = [
            int(each)
            for each in Path(f"/proc/{hub.process.pid}/task/{hub.process.pid}/children").read_text().split()
        ]
        proxies = [pid for pid in children if os.stat(f"/proc/{pid}").st_uid == 0]
        for pid in (hub.process.pid, *proxies):
            os.kill(pid, signal.SIGKILL)
        hub.process.wait(10)
        seen["servers outlive the hub"] = all(processes_of(uid) for uid in uids)
        # One user's processes all at once, the supervisor too: as when a manager kills a control group.
        *others, last = uids
        for pid in processes_of(last):
            os.kill(pid, signal.SIGKILL)
        # The others' servers alone: their kernels notice.
        for uid in others:
            for pid in processes_of(uid):
                if b"singleuser" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)
        gone = wait_for(lambda: not any(any(left_of(uid).values()) for uid in others), 30)
        seen["left of those whose server was killed"] = [left_of(uid) for uid in others]
        seen["still running"] = [
            Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")[:200]
            for uid in others
            for pid in processes_of(uid)
        ]
        seen["gone by themselves"] = gone
        seen["left of the one killed whole"] = left_of(last)
        seen["cleaned"] = as_user(USERS[-1], "clean")
        seen["left after clean"] = left_of(last)
    return seen


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])))
