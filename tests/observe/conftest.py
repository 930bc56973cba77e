"""What the tests of observation share: other processes to look at, and waiting with a deadline."""

import contextlib
import ctypes
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import posix_ipc
import pytest

from shmlab import names

NOBODY = 65534
PR_SET_DUMPABLE = 4


@pytest.fixture
def eventually() -> Callable[..., Any]:
    """Call a function until it returns something true, and return that; fail after *timeout* seconds."""

    def wait_for(predicate: Callable[[], Any], timeout: float = 10.0) -> Any:
        deadline = time.monotonic() + timeout
        while True:
            answer = predicate()
            if answer:
                return answer
            assert time.monotonic() < deadline, f"still {answer!r} after {timeout} s"
            time.sleep(0.002)

    return wait_for


@pytest.fixture
def launch() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start Python processes that have said they are ready; they are killed after the test."""
    started = []

    def start(code: str, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.communicate(timeout=10)


@pytest.fixture
def shared() -> Iterator[Callable[..., str]]:
    """Create objects of a given size, all zeros; they're unlinked after the test if they still exist."""
    created = []

    def create(word: str, size: int = 4096, content: bytes = b"") -> str:
        name = names.name(word)
        memory = posix_ipc.SharedMemory(name, posix_ipc.O_CREX, mode=0o600, size=size)
        created.append(name)
        if content:
            os.pwrite(memory.fd, content, 0)
        memory.close_fd()
        return name

    yield create
    for name in created:
        with contextlib.suppress(posix_ipc.ExistentialError):
            posix_ipc.unlink_shared_memory(name)


@pytest.fixture
def semaphore() -> Iterator[Callable[..., str]]:
    """Create named semaphores of value 0; they're unlinked after the test if they still exist."""
    created = []

    def create(word: str) -> str:
        name = names.name(word)
        posix_ipc.Semaphore(name, posix_ipc.O_CREX, mode=0o600, initial_value=0).close()
        created.append(name)
        return name

    yield create
    for name in created:
        with contextlib.suppress(posix_ipc.ExistentialError):
            posix_ipc.unlink_semaphore(name)


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
                os.close(readable)
                os.setgroups([])
                os.setresgid(NOBODY, NOBODY, NOBODY)
                os.setresuid(NOBODY, NOBODY, NOBODY)
                # Changing user hides a process's own /proc files from it; one that was launched has them.
                ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
                answer = {"answer": function()}
            except BaseException:
                answer = {"error": traceback.format_exc()}
            os.write(writable, json.dumps(answer).encode())
            os._exit(0)
        os.close(writable)
        with os.fdopen(readable) as pipe:
            outcome = json.loads(pipe.read())
        os.waitpid(child, 0)
        assert "answer" in outcome, outcome.get("error")
        return outcome["answer"]

    return run
