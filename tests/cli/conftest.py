"""What the tests of the command line share: no limit of width, an ordinary user, and real things to list."""

import contextlib
import ctypes
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sysv_ipc

from shmlab import own_name, posix

NOBODY = 65534
PR_SET_DUMPABLE = 4


@pytest.fixture(autouse=True)
def unlimited_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is cut in what commands print in this process either, however wide the tester's terminal."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture
def thing() -> Iterator[str]:
    """An object of 5000 bytes whose first page exists, mapped by this process."""
    name = own_name("mymem")
    descriptor = posix.shm_open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o640)
    try:
        os.fchmod(descriptor, 0o640)
        posix.ftruncate(descriptor, 5000)
        mapping = posix.mmap(None, 5000, posix.PROT_READ | posix.PROT_WRITE, posix.MAP_SHARED, descriptor)
        mapping.buf[0] = 1
        yield name
        posix.munmap(mapping)
    finally:
        os.close(descriptor)
        posix.shm_unlink(name)


@pytest.fixture
def semaphore() -> Iterator[str]:
    name = own_name("mutex")
    opened = posix.sem_open(name, os.O_CREAT | os.O_EXCL, 0o600, 1)
    yield name
    posix.sem_close(opened)
    posix.sem_unlink(name)


@pytest.fixture
def segment() -> Iterator[sysv_ipc.SharedMemory]:
    made = sysv_ipc.SharedMemory(None, sysv_ipc.IPC_CREX, mode=0o640, size=6000, init_character=b"\0")
    yield made
    with contextlib.suppress(sysv_ipc.NotAttachedError):
        made.detach()
    with contextlib.suppress(sysv_ipc.ExistentialError):
        made.remove()


@pytest.fixture
def semaphore_set() -> Iterator[sysv_ipc.Semaphore]:
    made = sysv_ipc.Semaphore(None, sysv_ipc.IPC_CREX, mode=0o600)
    yield made
    made.remove()


@pytest.fixture
def ready() -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Start Python processes that have said they are ready; they are killed after the test."""
    started = []

    def start(code: str, *arguments: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate(timeout=10)


@pytest.fixture
def as_nobody() -> Callable[[Callable[[], Any]], Any]:
    """Run a function in a child that has become an ordinary user, and return its answer (through JSON)."""
    if os.getuid() != 0:
        pytest.skip("only root can become another user")

    def run(function: Callable[[], Any]) -> Any:
        readable, writable = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.setgroups([])
                os.setresgid(NOBODY, NOBODY, NOBODY)
                os.setresuid(NOBODY, NOBODY, NOBODY)
                ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
                said = {"answer": function()}
            except BaseException:
                said = {"error": traceback.format_exc()}
            os.write(writable, json.dumps(said).encode())
            os._exit(0)
        os.close(writable)
        with os.fdopen(readable) as pipe:
            said = json.loads(pipe.read())
        os.waitpid(child, 0)
        assert "answer" in said, said.get("error")
        return said["answer"]

    return run
