"""Who is attached how often, and shared memory without a name: against ipcs(1), stat(2) and /proc."""

import contextlib
import mmap
import os
import subprocess

import psutil
import pytest

from shmlab import names, observe, sysv

ATTACH = """
import sys
from shmlab import sysv
attached = [sysv.shmat(int(sys.argv[1])) for _ in range(int(sys.argv[2]))]
print("ready", flush=True)
sys.stdin.read()
"""

MAP_ANONYMOUS = """
import mmap, os, sys
shared = mmap.mmap(-1, 8192)
shared[0] = 1
private = mmap.mmap(-1, 8192, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
child = os.fork()
if not child:
    sys.stdin.read()
    os._exit(0)
print("ready", flush=True)
print(child, flush=True)
sys.stdin.read()
"""

MEMORY_FILE = """
import mmap, os, sys
descriptor = os.memfd_create("scratch")
os.ftruncate(descriptor, 5000)
if sys.argv[1] == "map":
    memory = mmap.mmap(descriptor, 5000)
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def segment():
    shmid = sysv.shmget(sysv.IPC_PRIVATE, 3 * 4096, 0o640)
    yield shmid
    with contextlib.suppress(OSError):
        sysv.shmctl(shmid, sysv.IPC_RMID)


def nattch(shmid):
    lines = subprocess.run(["ipcs", "-m"], capture_output=True, text=True, check=True, timeout=10).stdout
    return next(int(line.split()[5]) for line in lines.splitlines() if line.split()[1:2] == [str(shmid)])


def attaches(shmid):
    return {row.pid: row.mappings for row in observe.attachments(shmid)}


def test_attaches_are_counted_process_by_process(launch, segment):
    assert attaches(segment) == {}
    one, two = launch(ATTACH, str(segment), "1"), launch(ATTACH, str(segment), "2")
    with sysv.shmat(segment):
        assert attaches(segment) == {one.pid: 1, two.pid: 2, os.getpid(): 1}
        assert nattch(segment) == 4
    two.kill()
    two.wait(10)
    assert attaches(segment) == {one.pid: 1}
    (row,) = observe.attachments(segment)
    assert (row.mapped, row.perms, row.open_fds) == (3 * 4096, ("rw-s",), 0)
    assert row.user == psutil.Process(one.pid).username()
    sysv.shmctl(segment, sysv.IPC_RMID)
    # The old key stays in the maps, and so does the id (FACTS F54): marked, it's still found.
    assert attaches(segment) == {one.pid: 1}
    one.kill()
    one.wait(10)
    assert observe.attachments(segment) == ()


def test_a_forked_child_is_attached_as_often_as_its_parent(segment):
    with sysv.shmat(segment), sysv.shmat(segment):
        readable, writable = os.pipe()
        child = os.fork()
        if not child:
            os.close(writable)
            os.read(readable, 1)
            os._exit(0)
        os.close(readable)
        try:
            assert attaches(segment) == {os.getpid(): 2, child: 2}
            assert nattch(segment) == 4
        finally:
            os.close(writable)
            os.waitpid(child, 0)


def test_nattch_counts_mappings_and_so_do_we(launch, segment):
    # FACTS F43: mprotect of the middle page makes three of one attach, though nobody attached again.
    code = """
import ctypes, sys
from shmlab import sysv
attached = sysv.shmat(int(sys.argv[1]))
assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(attached.address + 4096), ctypes.c_size_t(4096), 1) == 0
print("ready", flush=True)
sys.stdin.read()
"""
    child = launch(code, str(segment))
    assert attaches(segment) == {child.pid: 3}
    assert nattch(segment) == 3
    (row,) = observe.attachments(segment)
    assert (row.mapped, row.perms) == (3 * 4096, ("r--s", "rw-s"))


def test_a_stranger_to_the_segment_is_told_how_many_processes_were_not_seen(as_nobody, launch, segment):
    launch(ATTACH, str(segment), "2")
    seen, unseen, attached = as_nobody(
        lambda: [
            len(observe.attachments(segment)),
            observe.attachments(segment).unseen,
            [row.attached for row in observe.segments() if row.id == segment],
        ]
    )
    assert (seen, attached) == (0, [2])
    assert unseen >= 2


def test_anonymous_memory_and_who_shares_it(launch):
    parent = launch(MAP_ANONYMOUS)
    child = int(parent.stdout.readline())
    (row,) = [row for row in observe.unnamed() if row.pids == (parent.pid, child)]
    assert (row.kind, row.name, row.size) == ("anonymous", "", 8192)
    (line,) = [
        line for line in observe.mappings(child) if line.inode == row.inode and line.path == "/dev/zero"
    ]
    assert (line.perms, line.device, line.deleted) == ("rw-s", row.device, True)
    if os.getuid() == 0:
        assert row.allocated == 4096
    else:
        assert row.allocated in (None, 4096)
    assert [each.perms for each in row.mappers] == [("rw-s",)] * 2


@pytest.mark.parametrize("how", ["map", "open"])
def test_a_memory_file(launch, how):
    child = launch(MEMORY_FILE, how)
    (row,) = [row for row in observe.unnamed() if row.kind == "memory file" and row.pids == (child.pid,)]
    assert (row.name, row.size, row.allocated) == ("scratch", 5000, 0)
    (mapper,) = row.mappers
    assert (mapper.mappings, mapper.mapped) == ((1, 8192) if how == "map" else (0, 0))
    assert mapper.open_fds == (2 if how == "map" else 1), "Python's mmap keeps a copy of the descriptor"
    status = os.stat(f"/proc/{child.pid}/fd/3")
    assert (status.st_ino, status.st_size) == (row.inode, row.size)


def test_an_unlinked_object_is_found_until_nobody_has_it(shared):
    name = shared("gone", 9000, b"x")
    descriptor = os.open(f"/dev/shm{name}", os.O_RDWR)
    with mmap.mmap(descriptor, 9000):
        assert name not in [row.name for row in observe.unnamed()], "it has a name"
        os.unlink(f"/dev/shm{name}")
        (row,) = [row for row in observe.unnamed() if row.name == name]
        assert (row.kind, row.size, row.allocated, row.pids) == ("object", 9000, 4096, (os.getpid(),))
        assert observe.mappers(name)[0].mappings == 1
        os.close(descriptor)
        (row,) = [row for row in observe.unnamed() if row.name == name]
        assert row.size == 9000
    assert name not in [row.name for row in observe.unnamed()]


def test_a_semaphore_that_exists_is_not_taken_for_an_unlinked_one(launch, semaphore):
    name = semaphore("kept")
    code = """
import posix_ipc, sys
semaphore = posix_ipc.Semaphore(sys.argv[1])
print("ready", flush=True)
sys.stdin.read()
"""
    child = launch(code, name)
    with open(f"/proc/{child.pid}/maps") as file:
        assert "/dev/shm/sem." in file.read()
    # glibc's temporary file marks the mapping as deleted while the semaphore exists (FACTS F55).
    assert [row for row in observe.unnamed() if child.pid in row.pids] == []
    os.unlink(f"/dev/shm/sem.{name[1:]}")
    (row,) = [row for row in observe.unnamed() if child.pid in row.pids]
    assert (row.kind, row.size) == ("semaphore", 32 if os.getuid() == 0 else 4096)


def test_one_look_gives_everything(launch, shared, semaphore, segment):
    name, other = shared("seen"), semaphore("too")
    semid = sysv.semget(sysv.IPC_PRIVATE, 1, 0o600)
    try:
        child = launch(ATTACH, str(segment), "2")
        with open(f"/dev/shm{name}", "rb"):
            seen = observe.survey()
        ours = [(each.kind, each.name) for each in seen.objects if each.name.startswith(names.prefix())]
        assert ours == [("object", name), ("semaphore", other)]
        (entry,) = [each for each in seen.objects if each.name == name]
        assert [each.pid for each in seen.mappers[entry]] == [os.getpid()]
        (row,) = [each for each in seen.segments if each.id == segment]
        assert [(each.pid, each.mappings) for each in seen.mappers[row]] == [(child.pid, 2)]
        assert semid in [each.id for each in seen.sets]
    finally:
        sysv.semctl(semid, 0, sysv.IPC_RMID)


def test_looking_allocates_nothing_and_opens_nothing(launch):
    child = launch(MEMORY_FILE, "map")
    fds = sorted(os.listdir("/proc/self/fd"))
    for _ in range(3):
        (row,) = [row for row in observe.unnamed() if row.pids == (child.pid,) and row.kind == "memory file"]
        assert row.allocated == 0
    assert sorted(os.listdir("/proc/self/fd")) == fds
