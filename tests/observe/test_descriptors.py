"""What processes have open, against what they opened and psutil."""

import contextlib
import fcntl
import os
import socket
import subprocess
import sys

import psutil
import pytest

from shmlab import observe


@pytest.fixture
def opened():
    """Open things; they're closed after the test."""
    with contextlib.ExitStack() as stack:

        def keep(fd):
            def close():
                with contextlib.suppress(OSError):
                    os.close(fd)

            stack.callback(close)
            return fd

        yield keep


def of(number):
    (row,) = (row for row in observe.descriptors() if row.number == number)
    return row


def test_a_descriptor_of_an_object(shared, opened):
    name = shared("held", 100, b"abcdef")
    fd = opened(os.open(f"/dev/shm{name}", os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC))
    os.read(fd, 4)
    row = of(fd)
    assert (row.kind, row.offset, row.target) == (f"object '{name}'", 4, f"/dev/shm{name}")
    assert row.flags == ("O_RDWR", "O_NOFOLLOW", "O_CLOEXEC")
    assert row.inode == observe.object_entry(name).inode
    os.set_inheritable(fd, True)
    assert of(fd).flags == ("O_RDWR", "O_NOFOLLOW")
    os.unlink(f"/dev/shm{name}")
    assert of(fd).kind == f"object '{name}', unlinked"


def test_a_name_that_ends_in_deleted(shared, opened):
    name = shared("a (deleted)")
    fd = opened(os.open(f"/dev/shm{name}", os.O_RDONLY))
    assert of(fd).kind == f"object '{name}'"
    os.unlink(f"/dev/shm{name}")
    assert of(fd).kind == f"object '{name}', unlinked"


def test_a_descriptor_of_a_semaphore(semaphore, opened):
    name = semaphore("gate")
    assert of(opened(os.open(f"/dev/shm/sem.{name[1:]}", os.O_RDONLY))).kind == f"semaphore '{name}'"


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        (os.O_RDONLY, ("O_RDONLY",)),
        (os.O_WRONLY | os.O_APPEND, ("O_WRONLY", "O_APPEND")),
        (os.O_RDWR | os.O_SYNC, ("O_RDWR", "O_SYNC")),
        (os.O_RDWR | os.O_DSYNC, ("O_RDWR", "O_DSYNC")),
        (os.O_RDWR | os.O_NONBLOCK | os.O_CREAT | os.O_TRUNC, ("O_RDWR", "O_NONBLOCK")),
        (os.O_PATH, ("O_RDONLY", "O_PATH")),
    ],
)
def test_flags(tmp_path, opened, flags, names):
    file = tmp_path / "file"
    file.write_text("x")
    fd = opened(os.open(file, flags))
    row = of(fd)
    assert row.flags == (*names, "O_CLOEXEC")
    assert row.kind == "file"
    assert row.target == str(file)
    assert row.inode in (None, file.stat().st_ino)


def test_flags_nobody_knows_are_shown_in_octal():
    from importlib import import_module

    decode = import_module("shmlab.observe.descriptors").decode_flags
    assert decode(os.O_RDWR | 0o10000000000) == ("O_RDWR", "010000000000")
    assert decode(os.O_TMPFILE | os.O_RDWR) == ("O_RDWR", "O_TMPFILE")
    assert decode(os.O_DIRECTORY) == ("O_RDONLY", "O_DIRECTORY")


def test_kinds(tmp_path, opened):
    readable, writable = map(opened, os.pipe())
    assert [of(readable).kind, of(writable).kind] == ["pipe", "pipe"]
    assert (of(readable).flags[0], of(writable).flags[0]) == ("O_RDONLY", "O_WRONLY")
    assert of(readable).inode == of(writable).inode == os.fstat(readable).st_ino
    a, b = socket.socketpair()
    with a, b:
        assert of(a.fileno()).kind == "socket"
    assert of(opened(os.open("/dev/null", os.O_RDWR))).kind == "device"
    assert of(opened(os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY))).kind == "directory"
    assert of(opened(os.memfd_create("x"))).kind == "memory file"
    _, terminal = map(opened, os.openpty())
    assert of(terminal).kind == "terminal"
    import select

    with select.epoll() as epoll:
        assert of(epoll.fileno()).kind == "eventpoll"


def test_another_process_against_psutil(launch, shared):
    name = shared("theirs")
    code = """
import fcntl, os, sys
fd = os.open("/dev/shm" + sys.argv[1], os.O_RDONLY)
fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 250)
print("ready", flush=True)
sys.stdin.read()
"""
    child = launch(code, name)
    rows = observe.descriptors(child.pid)
    theirs = {(file.path, file.fd, file.position) for file in psutil.Process(child.pid).open_files()}
    assert {(row.target, row.number, row.offset) for row in rows if row.kind.startswith("object")} == theirs
    assert len(theirs) == 2
    assert len(rows) == psutil.Process(child.pid).num_fds()
    assert [row.number for row in rows] == sorted(row.number for row in rows)
    assert [row.number for row in observe.descriptors(child.pid, below=200)] == [
        row.number for row in rows if row.number < 200
    ]
    assert len(observe.descriptors(child.pid, below=200)) == len(rows) - 1


def test_looking_leaves_nothing_open():
    before = sorted(os.listdir("/proc/self/fd"))
    first = observe.descriptors()
    assert observe.descriptors() == first
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_what_a_program_inherits(shared, opened):
    name = shared("passed")
    fd = opened(os.open(f"/dev/shm{name}", os.O_RDWR))
    code = "from shmlab import observe; print([row.kind for row in observe.descriptors() if row.number > 2])"
    command = [sys.executable, "-c", code]
    alone = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout
    passed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20, pass_fds=[fd])
    assert name not in alone
    assert f"object '{name}'" in passed.stdout
    assert fcntl.fcntl(fd, fcntl.F_GETFD) == fcntl.FD_CLOEXEC
