"""What every test shares: proof that it left nothing behind."""

import os
import signal
from collections.abc import Collection, Iterator
from pathlib import Path
from time import monotonic, sleep

import pytest

from shmlab import cleanup, names, observe, progress
from shmlab.processes import sweep

# What a kernel of a test's is asked isn't the tester's own progress.
os.environ[progress.VARIABLE] = ""

# What a shell runs in the background ignores Ctrl-C, and so does what that starts: tests would press in vain.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _table(path: str) -> set[str]:
    """The keys, ids and owners of a System V table: what says that a row is there, not how it fares."""
    try:
        rows = Path(path).read_text().splitlines()[1:]
    except OSError:
        return set()
    return {" ".join(row.split()[:2]) for row in rows}


def _children() -> set[str]:
    """Every process of ours, by /proc: a child of this one, or one that carries its session's token."""
    mark = f"{names.SESSION_VARIABLE}={names.session()}".encode()
    found = set()
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            parent = int(Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[1])
            marked = mark in Path(f"/proc/{entry}/environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if parent == os.getpid() or marked:
            found.add(entry)
    return found


def _made() -> set[int]:
    """Ids of the segments that any process of this session made: known until its ledger goes."""
    return {
        each.id
        for remains in sweep.sessions(os.getuid())
        if remains.token == names.session()
        for each in remains.segments
    }


def _machine(made: Collection[int] = ()) -> dict[str, set[str]]:
    """What a test may have left. On a machine that is ours alone (``CI=true``) that is everything there is;
    elsewhere somebody else may be at work: then what carries this session's name or key or hangs on this
    process, and the segments of the processes that it had.
    """
    found = {"processes": _children()}
    if os.environ.get("CI"):
        found["System V segments"] = _table("/proc/sysvipc/shm")
        found["System V semaphore sets"] = _table("/proc/sysvipc/sem")
        found["/dev/shm"] = set(os.listdir("/dev/shm"))
    else:
        prefix = names.prefix().strip("/")
        found["/dev/shm"] = {each for each in os.listdir("/dev/shm") if prefix in each}
        mine = names.session()
        found["System V segments"] = {
            f"{each.key} {each.id}"
            for each in observe.segments()
            if each.id in made or each.cpid == os.getpid() or names.parse_key(each.key) == mine
        }
        found["System V semaphore sets"] = {
            f"{each.key} {each.id}" for each in observe.semaphore_sets() if names.parse_key(each.key) == mine
        }
    return found


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves an object, a segment, a semaphore or a process; end the session it began."""
    before = _machine()
    yield
    made = _made()
    cleanup()
    deadline = monotonic() + 2.0
    while left := {key: now - before[key] for key, now in _machine(made).items() if now - before[key]}:
        if monotonic() > deadline:
            pytest.fail(f"{request.node.name} left behind: {left}")
        sleep(0.01)
