"""A JupyterHub with eight users on one machine, driven from here; prints what was seen, as JSON.

Run by test_hub.py as root in mount, IPC and pid namespaces of its own, so that accounts, objects and
processes are nobody else's: ``python drive.py FOLDER PROXY NOTEBOOK …``. The users go in four pairs, and each
pair runs a quarter of the notebooks, both one after the other at the same time.
"""

import asyncio
import json
import os
import pwd
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hub import Hub, Kernel
from machine import (
    USERS,
    Gauge,
    as_user,
    left_of,
    make_users,
    memory_of,
    open_up,
    processes_of,
    shmlab,
    wait_for,
)

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
private = sysv.shmget(sysv.IPC_PRIVATE, 4096, sysv.IPC_CREAT | 0o600)
semid = sysv.semget(own_key("held"), 1, sysv.IPC_CREAT | sysv.IPC_EXCL | 0o600)
process = Process(waits)
assert process.step().kind == "paused"
"""
"""Everything that the lab makes, a segment that only its creator marks as his, and a process that is in the
middle of its program."""

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
objects |= {tried(posix.shm_open, f"/{e}", posix.O_RDONLY) for e in names if not e.startswith("sem.")}
semaphores = {tried(posix.sem_open, f"/{e[4:]}", 0) for e in names if e.startswith("sem.")}
rows = [row for row in observe.segments() if row.uid != me]
segments = {tried(sysv.shmat, row.id, None, flags) for row in rows for flags in (0, sysv.SHM_RDONLY)}
removed = {tried(sysv.shmctl, row.id, sysv.IPC_RMID) for row in rows}
unlinked = {tried(posix.shm_unlink, f"/{e}") for e in names if not e.startswith("sem.")}
unlinked |= {tried(posix.sem_unlink, f"/{e[4:]}") for e in names if e.startswith("sem.")}
sets = {tried(sysv.semctl, row.id, 0, sysv.SETVAL, 5) for row in observe.semaphore_sets() if row.uid != me}
pids = [int(e) for e in os.listdir("/proc") if e.isdigit() and os.stat(f"/proc/{e}").st_uid not in (0, me)]
signalled = {tried(os.kill, pid, 0) for pid in pids}
tables = [observe.mappings(pid) for pid in pids]
print(json.dumps({"names": len(names), "rows": len(rows), "objects": sorted(objects), "sets": sorted(sets),
    "semaphores": sorted(semaphores), "segments": sorted(segments), "removed": sorted(removed),
    "unlinked": sorted(unlinked), "pids": len(pids), "signalled": sorted(signalled),
    "mappings": sum(map(len, tables)), "unseen": sum(table.unseen for table in tables)}))
"""

STILL = """
held = int.from_bytes(m.buf[:4], "little"), process.step().kind, posix.sem_getvalue(sem)
rows = [sysv.shmctl(each, sysv.IPC_STAT).shm_nattch for each in (shmid, private)]
print(held == (os.getuid(), "paused", 1) and rows == [0, 0])
"""

NEXT = "from shmlab import own_name; own_name('next'); input()"
"""A session begins, and goes on until it's told to end."""


async def run_lessons(hub: Hub, user: str, notebooks: list[str]) -> dict[str, str]:
    """Run one after the other, each in a kernel of its own, which is ended; return how each went."""
    uid = pwd.getpwnam(user).pw_uid
    went = {}
    for notebook in notebooks:
        kernel = await asyncio.to_thread(Kernel, hub, user)
        try:
            await kernel.run(cells_of(notebook))
            said = "ran"
        except (RuntimeError, TimeoutError) as error:
            said = repr(error)
        await asyncio.to_thread(kernel.end)
        if not await asyncio.to_thread(wait_for, lambda: not things_of(uid), 10):
            said += f", and left {things_of(uid)}"
        went[f"{user}, {Path(notebook).name[:2]}"] = said
    return went


def things_of(uid: int) -> dict[str, int]:
    """What a user has, apart from processes: his server goes on."""
    return {word: count for word, count in left_of(uid).items() if count and word != "processes"}


def cells_of(notebook: str) -> list[str]:
    cells = json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


async def everybody(kernels: list[Kernel], cell: str) -> list[Any]:
    """Run a cell in every kernel at once; return what each printed, or the error."""
    ended = await asyncio.gather(*(kernel.run([cell]) for kernel in kernels), return_exceptions=True)
    return [end[0].strip() if isinstance(end, list) else repr(end) for end in ended]


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
    with stage("lessons"):
        gauge = Gauge()
        went = asyncio.run(lessons(hub, notebooks))
        seen["lessons"] = {lesson: said for each in went for lesson, said in each.items()}
        seen["most at once"] = gauge.stop()
    with stage("held"):
        # The first has two kernels at work.
        seen.update(hold([Kernel(hub, user) for user in (*USERS, USERS[0])]))
    with stage("ended"):
        seen.update(end(hub))
    return seen


async def lessons(hub: Hub, notebooks: list[str]) -> list[dict[str, str]]:
    runs = [run_lessons(hub, user, notebooks[number // 2 :: 4]) for number, user in enumerate(USERS)]
    return await asyncio.gather(*runs)


def hold(kernels: list[Kernel]) -> dict[str, Any]:
    """Let everybody have things and a process, try to get at the others', clean up, and look at his own."""
    seen: dict[str, Any] = {"held": asyncio.run(everybody(kernels, HOLD))}
    seen["names"] = sorted(os.listdir("/dev/shm"))
    seen["bytes held"] = sum(entry.stat().st_blocks * 512 for entry in os.scandir("/dev/shm"))
    seen["memory"] = [memory_of(pwd.getpwnam(user).pw_uid) for user in USERS]
    seen["trespass"] = asyncio.run(everybody(kernels, TRESPASS))
    seen["ls"] = [shmlab(user, "ls", "--all", "--json") for user in USERS[:2]]
    seen["clean"] = [shmlab(user, "clean", "--json") for user in USERS]
    seen["still"] = asyncio.run(everybody(kernels, STILL))
    return seen


def end(hub: Hub) -> dict[str, Any]:
    """End the users' servers in every way that there is; return what was left each time."""
    stopped, told, *others, followed, last = USERS
    uids = {user: pwd.getpwnam(user).pw_uid for user in USERS}
    seen: dict[str, Any] = {}

    hub.stop(stopped)
    wait_for(lambda: not any(left_of(uids[stopped]).values()), 30)
    seen["left of the one whom the hub stopped"] = left_of(uids[stopped])

    children = Path(f"/proc/{hub.process.pid}/task/{hub.process.pid}/children").read_text().split()
    proxies = [int(pid) for pid in children if os.stat(f"/proc/{pid}").st_uid == 0]
    for pid in (hub.process.pid, *proxies):
        os.kill(pid, signal.SIGKILL)
    hub.process.wait(10)
    seen["servers outlive the hub"] = all(processes_of(uids[user]) for user in (told, *others, last))

    # What systemd does when it stops a unit, and needn't do it a second time.
    signal_all(uids[told], signal.SIGTERM)
    wait_for(lambda: not any(left_of(uids[told]).values()), 30)
    seen["left of the one who was told to end"] = left_of(uids[told])

    # The servers alone: their kernels notice.
    for user in others:
        for pid in processes_of(uids[user]):
            if b"singleuser" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not any(any(left_of(uids[user]).values()) for user in others), 30)
    seen["left of those whose server was killed"] = [left_of(uids[user]) for user in others]

    # Everything of a user's at once, the supervisor too: as when a whole control group is killed.
    for user in (followed, last):
        signal_all(uids[user], signal.SIGKILL)
        wait_for(lambda: not processes_of(uids[user]), 10)  # noqa: B023
    seen["left of those killed whole"] = [left_of(uids[user]) for user in (followed, last)]
    following = as_user(followed, "-c", NEXT)
    one_board = {"entries": 1}
    wait_for(lambda: things_of(uids[followed]) == one_board, 10)
    seen["while the next session lives"] = things_of(uids[followed])
    following.communicate("\n", timeout=20)
    wait_for(lambda: not any(left_of(uids[followed]).values()), 10)
    seen["after the next session"] = left_of(uids[followed])
    seen["cleaned"] = shmlab(last, "clean")
    seen["after clean"] = left_of(uids[last])
    return seen


def signal_all(uid: int, number: int) -> None:
    for pid in processes_of(uid):
        with suppress(ProcessLookupError):
            os.kill(pid, number)


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])))
