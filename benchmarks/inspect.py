"""What does a look at the System V table cost, and at who maps a segment?

The peers: ``ipcs -m``, run and read as a script would; and psutil, asked for the mappings of every process.
Both find the same as we do, which is checked before the clock runs. The 200 processes are copies of one
Python process; every tenth is attached to the segment.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from statistics import median

from benchmarks.measure import certainty, ratio, seconds, take_turns
from benchmarks.rows import Goal, Row
from shmlab import observe, own_key, sysv

SEGMENTS, PROCESSES, EVERY = 10, 200, 10

CROWD = """
import os, signal, sys
from shmlab import sysv
shmid, number, every = map(int, sys.argv[1:])
readable, writable = os.pipe()
children = []
for each in range(number):
    child = os.fork()
    if not child:
        if each % every == 0:
            attached = sysv.shmat(shmid)
        os.write(writable, b"r")
        sys.stdin.buffer.raw.read(1)
        os._exit(0)
    children.append(child)
there = 0
while there < number:
    there += len(os.read(readable, number))
print("ready", flush=True)
sys.stdin.buffer.raw.read(1)
for child in children:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""


def measure(quick: bool) -> Iterator[Row]:
    """Take turns; the goals are ≤ 0.05 times ipcs and ≤ 0.1 times psutil."""
    with ExitStack() as stack:
        made = [_segment(stack, number) for number in range(SEGMENTS)]
        assert set(made) <= {each.id for each in observe.segments()} == _by_ipcs()
        yield _table(quick)
        number = 20 if quick else PROCESSES
        _crowd(stack, made[0], number)
        yield _who(quick, made[0], number)


def _table(quick: bool) -> Row:
    rounds, times = (2, 2) if quick else (40, 5)
    ways = {
        "ours": partial(seconds, observe.segments, times * 10),
        "ipcs": partial(seconds, _by_ipcs, times),
    }
    take_turns(ways, 1)
    found = take_turns(ways, rounds)
    return Row(
        question=f"the System V table, {SEGMENTS} segments",
        goal=Goal("ratio", "≤", 0.05),
        ours=median(found["ours"]) * 1e6,
        unit="µs",
        peer=median(found["ipcs"]) * 1e6,
        peer_name="ipcs -m",
        ratio=ratio(found["ours"], found["ipcs"]),
        note=f"{rounds} rounds; a row that didn't change isn't parsed again. "
        f"{certainty(found['ours'], found['ipcs'])}",
    )


def _who(quick: bool, shmid: int, number: int) -> Row:
    rounds = 2 if quick else 10
    theirs = _by_psutil(shmid)
    assert len(theirs) == -(-number // EVERY)
    assert {each.pid for each in observe.attachments(shmid)} == theirs
    ways = {
        "ours": partial(seconds, partial(observe.attachments, shmid), 3),
        "psutil": partial(seconds, partial(_by_psutil, shmid), 1),
    }
    take_turns(ways, 1)
    found = take_turns(ways, rounds)
    return Row(
        question=f"who maps a segment, among {number} processes",
        goal=Goal("ratio", "≤", 0.1),
        ours=median(found["ours"]) * 1e3,
        unit="ms",
        peer=median(found["psutil"]) * 1e3,
        peer_name="psutil's memory_maps",
        ratio=ratio(found["ours"], found["psutil"]),
        note=f"{rounds} rounds; {len(theirs)} of them do. {certainty(found['ours'], found['psutil'])}",
    )


def _segment(stack: ExitStack, number: int) -> int:
    shmid = sysv.shmget(own_key(f"row {number}"), 4096 * (number + 1), sysv.IPC_CREAT | sysv.IPC_EXCL | 0o600)
    stack.callback(sysv.shmctl, shmid, sysv.IPC_RMID)
    return shmid


def _by_ipcs() -> set[int]:
    said = subprocess.run(["ipcs", "-m"], capture_output=True, text=True, check=True, timeout=10).stdout
    return {int(line.split()[1]) for line in said.splitlines() if line.startswith("0x")}


def _by_psutil(shmid: int) -> set[int]:
    """The kernel marks a segment's mappings with its key, and nothing in psutil's answer tells the id."""
    import psutil

    (key,) = [each.key for each in observe.segments() if each.id == shmid]
    path = f"/SYSV{key & 0xFFFFFFFF:08x}"
    found = set()
    for process in psutil.process_iter():
        try:
            if any(region.path.startswith(path) for region in process.memory_maps(grouped=False)):
                found.add(process.pid)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def _crowd(stack: ExitStack, shmid: int, number: int) -> None:
    """Start the processes; they end with the block, and with us: what they read from ends, too."""
    crowd = subprocess.Popen(
        [sys.executable, "-c", CROWD, str(shmid), str(number), str(EVERY)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )

    def end() -> None:
        os.killpg(crowd.pid, signal.SIGKILL)
        crowd.communicate(timeout=10)

    stack.callback(end)
    assert crowd.stdout is not None
    assert crowd.stdout.readline() == b"ready\n"
