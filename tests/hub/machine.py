"""The machine of the eight: accounts in a mount namespace, and what each has on it. Imported by drive.py."""

import os
import pwd
import stat
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

USERS = [f"student{number}" for number in range(1, 9)]
FIRST_UID = 23001


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


class Gauge:
    """The most that there was of something at once, looked at twenty times a second until :meth:`stop`."""

    def __init__(self) -> None:
        self.most = {"bytes of /dev/shm": 0, "segments": 0, "semaphore sets": 0, "processes": 0}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> dict[str, int]:
        self._stopped.set()
        self._thread.join()
        return self.most

    def _watch(self) -> None:
        while not self._stopped.wait(0.05):
            room = os.statvfs("/dev/shm")
            segments, sets = (
                Path(f"/proc/sysvipc/{word}").read_bytes().count(b"\n") - 1 for word in ("shm", "sem")
            )
            now = {
                "bytes of /dev/shm": (room.f_blocks - room.f_bfree) * room.f_frsize,
                "segments": segments,
                "semaphore sets": sets,
                "processes": sum(map(str.isdigit, os.listdir("/proc"))),
            }
            self.most = {word: max(now[word], most) for word, most in self.most.items()}


def memory_of(uid: int) -> int:
    """How many bytes a user's processes have, what several share divided among them."""
    total = 0
    for pid in processes_of(uid):
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


def as_user(user: str, *command: str) -> subprocess.Popen[str]:
    """Start this Python as a user, with a pipe on either side."""
    uid = str(pwd.getpwnam(user).pw_uid)
    return subprocess.Popen(
        ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", sys.executable, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd="/",
        env={"PATH": os.environ["PATH"], "HOME": pwd.getpwnam(user).pw_dir},
    )


def shmlab(user: str, *arguments: str) -> str:
    """Run the lab's command line as a user, and return what it printed."""
    return as_user(user, "-m", "shmlab", *arguments).communicate(timeout=60)[0]
