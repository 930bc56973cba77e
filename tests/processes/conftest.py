"""What the tests of processes share: polling with a deadline, objects, and an end to everything."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from shmlab import Process, own_name, posix


@pytest.fixture
def until() -> Callable[..., Any]:
    """Poll until a condition holds and return what it gave; fail when it doesn't in time."""

    def until(condition: Callable[[], Any], timeout: float = 5.0) -> Any:
        deadline = monotonic() + timeout
        while not (answer := condition()):
            if monotonic() > deadline:
                pytest.fail(f"did not happen within {timeout:g} s: {condition.__code__.co_names}")
            sleep(0.005)
        return answer

    return until


@pytest.fixture
def launch() -> Iterator[Callable[..., Process]]:
    """Make a process that is stopped, whatever happens, when the test ends."""
    made = []

    def launch(program: Any, *arguments: Any, **options: Any) -> Process:
        made.append(Process(program, *arguments, **options))
        return made[-1]

    yield launch
    for process in made:
        process.stop()


@pytest.fixture
def memory() -> Iterator[Any]:
    """One page of shared memory, mapped here: a mapping whose ``name`` a process can open."""
    name = own_name("page")
    descriptor = posix.shm_open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    os.ftruncate(descriptor, 4096)
    mapping = posix.mmap(None, 4096, posix.PROT_READ | posix.PROT_WRITE, posix.MAP_SHARED, descriptor)
    os.close(descriptor)
    yield mapping
    posix.munmap(mapping)
    if Path("/dev/shm" + name).exists():
        posix.shm_unlink(name)


@pytest.fixture
def semaphore() -> Iterator[posix.Semaphore]:
    """A semaphore of value 0."""
    name = own_name("sem")
    sem = posix.sem_open(name, os.O_CREAT | os.O_EXCL, 0o600, 0)
    yield sem
    posix.sem_unlink(name)
    posix.sem_close(sem)


@pytest.fixture
def alive() -> Callable[[int], bool]:
    """Whether a process exists and is no zombie, by /proc."""

    def alive(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
        except OSError:
            return False

    return alive
