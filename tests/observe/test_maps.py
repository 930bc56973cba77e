"""Mappings and mappers, against psutil and against what the processes did."""

import contextlib
import mmap
import os

import psutil
import pytest
import sysv_ipc

from shmlab import names, observe

MAP_AND_WAIT = """
import mmap, os, sys
fd = os.open("/dev/shm" + sys.argv[1], os.O_RDWR)
memory = mmap.mmap(fd, int(sys.argv[2]))
os.close(fd)
print("ready", flush=True)
sys.stdin.read()
"""

OPEN_AND_WAIT = """
import os, sys
fds = [os.open("/dev/shm" + sys.argv[1], os.O_RDONLY) for _ in range(2)]
print("ready", flush=True)
sys.stdin.read()
"""


def test_mappings_are_what_psutil_says(launch, shared):
    name = shared("mapped", 8192)
    child = launch(MAP_AND_WAIT, name, "8192")
    ours = {
        (line.start, line.end, line.perms, line.path) for line in observe.mappings(child.pid) if line.path
    }
    theirs = {
        (*(int(end, 16) for end in region.addr.split("-")), region.perms, region.path)
        for region in psutil.Process(child.pid).memory_maps(grouped=False)
        if region.path != "[anon]"
    }
    assert ours == theirs


def test_the_lines_of_one_object(launch, shared):
    name = shared("mine", 8192)
    child = launch(MAP_AND_WAIT, name, "5000")
    (line,) = observe.mappings(child.pid, name)
    entry = observe.object_entry(name)
    assert (line.perms, line.offset, line.length) == ("rw-s", 0, 8192)
    assert line.inode == entry.inode
    assert line.device == f"{os.major(entry.device):02x}:{os.minor(entry.device):02x}"
    assert (line.path, line.deleted) == (f"/dev/shm{name}", False)
    assert observe.mappings("self", name) == ()


def test_an_unlinked_object_is_still_mapped(launch, shared):
    name = shared("gone")
    child = launch(MAP_AND_WAIT, name, "4096")
    before = observe.object_entry(name)
    os.unlink(f"/dev/shm{name}")
    (line,) = observe.mappings(child.pid, name)
    assert (line.inode, line.path, line.deleted) == (before.inode, f"/dev/shm{name}", True)
    assert [row.pid for row in observe.mappers(name)] == [child.pid]
    shared("gone")
    assert observe.mappings(child.pid, name) == (), "the new object isn't the one that is mapped"
    assert observe.mappers(name) == ()
    assert [line.deleted for line in observe.mappings(child.pid) if line.path == f"/dev/shm{name}"] == [True]


def test_mappers_are_those_who_map_it_and_those_who_have_it_open(launch, shared):
    name, other = shared("watched", 8192), shared("other")
    mapper, opener = launch(MAP_AND_WAIT, name, "8192"), launch(OPEN_AND_WAIT, name)
    launch(MAP_AND_WAIT, other, "4096")
    rows = {row.pid: row for row in observe.mappers(name)}
    assert rows.keys() == {mapper.pid, opener.pid}
    assert (rows[mapper.pid].perms, rows[mapper.pid].mapped, rows[mapper.pid].open_fds) == (
        ("rw-s",),
        8192,
        1,
    ), "Python's mmap keeps a descriptor of its own"
    assert (rows[opener.pid].perms, rows[opener.pid].mapped, rows[opener.pid].open_fds) == ((), 0, 2)
    assert rows[mapper.pid].user == psutil.Process(mapper.pid).username()
    assert name in rows[mapper.pid].command
    mapper.kill()
    mapper.wait()
    assert [row.pid for row in observe.mappers(name)] == [opener.pid]


def test_this_process_counts_its_mappings_and_descriptors(shared):
    name = shared("self", 16384)
    fd = os.open(f"/dev/shm{name}", os.O_RDWR)
    try:
        with mmap.mmap(fd, 16384) as whole, mmap.mmap(fd, 4096, prot=mmap.PROT_READ) as part:
            (row,) = observe.mappers(name)
            assert (row.pid, row.mapped) == (os.getpid(), len(whole) + len(part))
            assert row.perms == ("r--s", "rw-s")
            assert row.open_fds == 3, "ours, and the copy that each of Python's mmaps keeps"
    finally:
        os.close(fd)
    assert observe.mappers(name) == ()


def test_looking_maps_opens_and_allocates_nothing(launch, shared):
    name = shared("untouched", 1 << 20)
    launch(MAP_AND_WAIT, name, str(1 << 20))
    fds = sorted(os.listdir("/proc/self/fd"))
    for _ in range(3):
        observe.mappers(name)
        observe.mappings("self")
    assert sorted(os.listdir("/proc/self/fd")) == fds
    assert observe.object_entry(name).allocated == 0


def test_names_with_spaces_and_deleted_in_them(shared):
    name = shared("a (deleted)")
    fd = os.open(f"/dev/shm{name}", os.O_RDWR)
    with mmap.mmap(fd, 4096):
        os.close(fd)
        assert [row.pid for row in observe.mappers(name)] == [os.getpid()]
        assert [line.length for line in observe.mappings("self", name)] == [4096]


def test_a_semaphore_is_found_though_its_path_is_another(launch, semaphore):
    name = semaphore("word")
    code = """
import posix_ipc, sys
semaphore = posix_ipc.Semaphore(sys.argv[1])
print("ready", flush=True)
sys.stdin.read()
"""
    child = launch(code, name)
    assert [row.pid for row in observe.mappers(name, "semaphore")] == [child.pid]
    assert observe.mappers(name) == ()


def test_segments_and_objects_in_one_look(launch, shared):
    name = shared("together")
    child = launch(MAP_AND_WAIT, name, "4096")
    segment = sysv_ipc.SharedMemory(None, sysv_ipc.IPC_CREX, size=8192, init_character=b"\0")
    try:
        entry = observe.object_entry(name)
        (row,) = (row for row in observe.segments() if row.id == segment.id)
        who = observe.mappers_of([entry, row])
        assert [mapper.pid for mapper in who[entry]] == [child.pid]
        assert [(mapper.pid, mapper.mapped) for mapper in who[row]] == [(os.getpid(), 8192)]
        segment.detach()
        assert observe.mappers_of([row])[row] == ()
    finally:
        with contextlib.suppress(sysv_ipc.Error):
            segment.detach()
        segment.remove()


def test_two_names_of_one_object(shared):
    name = shared("first")
    second = names.name("second")
    os.link(f"/dev/shm{name}", f"/dev/shm{second}")
    try:
        entries = observe.objects(names.prefix() + "*")
        assert len(observe.mappers_of(entries)) == len(entries) == 2
    finally:
        os.unlink(f"/dev/shm{second}")


def test_a_process_that_is_gone_has_no_mappings(launch):
    child = launch("print('ready', flush=True)")
    child.wait(timeout=10)
    assert observe.mappings(child.pid) == ()
    assert observe.mappings(2**22 + 1) == ()


def test_a_pid_is_a_number():
    with pytest.raises(ValueError, match="invalid literal"):
        observe.mappings("../self")


def test_an_ordinary_user_is_told_how_many_processes_were_not_seen(as_nobody, launch, shared):
    name = shared("rootonly")
    child = launch(MAP_AND_WAIT, name, "4096")

    def look():
        rows, lines = observe.mappers(name), observe.mappings(child.pid)
        return [len(rows), rows.unseen, len(lines), lines.unseen, "not permitted" in repr(rows)]

    seen, unseen, lines, lines_unseen, said = as_nobody(look)
    assert (seen, lines, lines_unseen, said) == (0, 0, 1, True)
    assert unseen >= 2
