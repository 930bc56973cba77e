"""Limits and use of System V, against ipcs(1) and lsipc(1), and the IPC namespace they're of."""

import ctypes
import os
import re
import subprocess

import pytest

from shmlab import observe, sysv

CLONE_NEWIPC, CLONE_NEWUSER = 0x08000000, 0x10000000


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout


def numbers(text):
    """Read lines like ``max number of segments = 4096`` and ``pages resident  5`` back."""
    found = re.findall(r"^([a-z][a-z ()]*?)\s*[= ]\s*(\d+)$", text, re.MULTILINE)
    return {name: int(number) for name, number in found}


def lsipc():
    """Return LIMIT and USED of every resource, in bytes and numbers."""
    rows = [line.split() for line in output("lsipc", "--bytes", "--raw", "--noheadings").splitlines()]
    return {row[0]: (row[-3], row[-2]) for row in rows}


@pytest.fixture
def made():
    """Two segments, one touched and one marked, and a set of three."""
    touched, marked = (sysv.shmget(sysv.IPC_PRIVATE, 3 * 4096 + 1, 0o600) for _ in range(2))
    semid = sysv.semget(sysv.IPC_PRIVATE, 3, 0o600)
    with sysv.shmat(touched) as attached, sysv.shmat(marked):
        attached.buf[0] = attached.buf[4096] = 1
        sysv.shmctl(marked, sysv.IPC_RMID)
        yield
    sysv.shmctl(touched, sysv.IPC_RMID)
    sysv.semctl(semid, 0, sysv.IPC_RMID)


def test_limits_are_what_ipcs_says():
    limits = observe.limits()
    said = numbers(output("ipcs", "-l"))
    assert limits.shmmni == said["max number of segments"]
    assert limits.shmmin == said["min seg size (bytes)"]
    assert limits.shmmax // 1024 == said["max seg size (kbytes)"]
    assert limits.semmni == said["max number of arrays"]
    assert limits.semmsl == said["max semaphores per array"]
    assert limits.semmns == said["max semaphores system wide"]
    assert limits.semopm == said["max ops per semop call"]
    assert limits.semvmx == said["semaphore max value"]
    assert limits.shmall == int(output("sysctl", "-n", "kernel.shmall"))
    assert limits.shm_rmid_forced == bool(int(output("sysctl", "-n", "kernel.shm_rmid_forced")))
    assert (limits.shm_next_id, limits.sem_next_id) == (None, None)


def test_limits_and_use_are_what_lsipc_says(made):
    limits, usage, said = observe.limits(), observe.usage(), lsipc()
    assert said["SHMMNI"] == (str(limits.shmmni), str(usage.segments))
    # Of the pages used, lsipc (util-linux 2.38) loses each segment's last one when it isn't whole.
    whole = sum(each.size // 4096 for each in observe.segments())
    assert said["SHMALL"][0] == str(limits.shmall)
    assert whole <= int(said["SHMALL"][1]) <= usage.pages
    assert said["SHMMAX"][0] == str(limits.shmmax)
    assert said["SEMMNI"] == (str(limits.semmni), str(usage.sets))
    assert said["SEMMNS"] == (str(limits.semmns), str(usage.semaphores))
    assert said["SEMMSL"][0] == str(limits.semmsl)


def test_use_is_what_ipcs_says(made):
    usage = observe.usage()
    said = numbers(output("ipcs", "-u"))
    assert usage.segments == said["segments allocated"] >= 2
    assert usage.pages == said["pages allocated"] >= 8
    assert usage.resident == said["pages resident"] >= 2
    assert usage.swapped == said["pages swapped"]
    assert usage.sets == said["used arrays"] >= 1
    assert usage.semaphores == said["allocated semaphores"] >= 3
    # And what the kernel itself counts.
    _, info = sysv.shmctl(0, sysv.SHM_INFO)
    assert (usage.segments, usage.pages, usage.resident) == (info.used_ids, info.shm_tot, info.shm_rss)


def test_this_process_is_in_its_own_namespace():
    namespace = observe.ipc_namespace()
    assert os.readlink("/proc/self/ns/ipc") == f"ipc:[{namespace.inode}]"
    assert namespace.ours
    assert namespace == observe.ipc_namespace(os.getpid())
    assert namespace.initial == observe.machine().ipc_initial


def test_a_process_in_another_namespace(launch):
    code = f"""
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
done = libc.unshare({CLONE_NEWIPC} if os.getuid() == 0 else {CLONE_NEWIPC | CLONE_NEWUSER})
print("ready", flush=True)
print(done, flush=True)
sys.stdin.read()
"""
    child = launch(code)
    if child.stdout.readline() != "0\n":
        pytest.skip("no namespaces here")
    namespace = observe.ipc_namespace(child.pid)
    assert os.readlink(f"/proc/{child.pid}/ns/ipc") == f"ipc:[{namespace.inode}]"
    assert (namespace.ours, namespace.initial) == (False, False)


def test_a_process_that_is_gone_has_no_namespace(launch):
    child = launch("print('ready', flush=True)")
    child.wait(timeout=10)
    assert observe.ipc_namespace(child.pid) is None
    with pytest.raises(ValueError, match="invalid literal"):
        observe.ipc_namespace("../self")


def test_an_ordinary_user_may_not_ask_for_others_namespaces(as_nobody):
    parent = os.getpid()

    def look():
        try:
            observe.ipc_namespace(parent)
        except PermissionError:
            return observe.ipc_namespace().ours

    assert as_nobody(look) is True


def test_the_limits_of_a_new_namespace_are_its_own(as_nobody):
    """A child that left for a namespace of its own sees limits, and no use."""

    def look():
        if ctypes.CDLL(None).unshare(CLONE_NEWIPC | CLONE_NEWUSER):
            return None
        usage = observe.usage()
        return [observe.limits().shmmni, usage.segments, usage.sets]

    answer = as_nobody(look)
    if answer is None:
        pytest.skip("no user namespaces here")
    assert answer == [4096, 0, 0]
