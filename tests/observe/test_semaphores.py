"""Values of semaphores and who waits, against ipcs(1), semctl(2) and what the processes did."""

import errno
import os
import subprocess

import posix_ipc
import pytest

from shmlab import names, observe, sysv

SEMOP = """
import sys
from shmlab import sysv
number, by = int(sys.argv[2]), int(sys.argv[3])
print("ready", flush=True)
sysv.semop(int(sys.argv[1]), [(number, by, 0)])
"""

SEM_WAIT = """
import posix_ipc, sys
semaphore = posix_ipc.Semaphore(sys.argv[1])
print("ready", flush=True)
semaphore.acquire()
"""

SEM_WAIT_IN_A_THREAD = """
import posix_ipc, sys, threading
semaphore = posix_ipc.Semaphore(sys.argv[1])
threading.Thread(target=semaphore.acquire, daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def group():
    semid = sysv.semget(sysv.IPC_PRIVATE, 3, 0o600)
    yield semid
    sysv.semctl(semid, 0, sysv.IPC_RMID)


def by_ipcs(semid):
    """Return (number, value, ncount, zcount, pid) of each semaphore, as ``ipcs -s -i`` prints them."""
    command = ["ipcs", "-s", "-i", str(semid)]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout
    return [
        tuple(map(int, line.split())) for line in text.split("semnum")[1].splitlines()[1:] if line.strip()
    ]


def as_tuples(rows):
    return [(row.number, row.semval, row.semncnt, row.semzcnt, row.sempid) for row in rows]


def test_a_set_is_what_ipcs_says(group, launch, eventually):
    sysv.semctl(group, 0, sysv.SETALL, (5, 0, 7))
    launch(SEMOP, str(group), "1", "-1")
    launch(SEMOP, str(group), "2", "0")
    launch(SEMOP, str(group), "0", "-2").wait(10)
    rows = eventually(
        lambda: [r for r in [observe.semaphores(group)] if (r[1].semncnt, r[2].semzcnt) == (1, 1)]
    )[0]
    assert as_tuples(rows) == by_ipcs(group)
    assert [row.semval for row in rows] == [3, 0, 7]
    assert rows.columns == ("number", "semval", "semncnt", "semzcnt", "sempid")


def test_looking_leaves_no_trace(group):
    before = next(each for each in observe.semaphore_sets() if each.id == group)
    observe.semaphores(group)
    assert next(each for each in observe.semaphore_sets() if each.id == group) == before
    assert [row.sempid for row in observe.semaphores(group)] == [0, 0, 0]


def test_a_set_that_is_not_there(group):
    gone = sysv.semget(sysv.IPC_PRIVATE, 1, 0o600)
    sysv.semctl(gone, 0, sysv.IPC_RMID)
    with pytest.raises(OSError, match=f"id {gone}") as refused:
        observe.semaphores(gone)
    assert refused.value.errno == errno.EINVAL


def test_an_ordinary_user_may_not_read_what_has_no_permission(as_nobody, group, semaphore):
    name = semaphore("closed")

    def look():
        said = []
        for ask in (lambda: observe.semaphores(group), lambda: observe.named_semaphore(name)):
            with pytest.raises(PermissionError) as refused:
                ask()
            said.append(refused.value.filename or str(refused.value))
        return said

    first, second = as_nobody(look)
    assert f"id {group}" in first
    assert second == name


def test_a_named_semaphore_has_the_value_that_posix_says(semaphore):
    name = semaphore("counted")
    opened = posix_ipc.Semaphore(name)
    try:
        for _ in range(3):
            opened.release()
        opened.acquire()
        assert (
            observe.named_semaphore(name) == observe.NamedState(opened.value, 0) == observe.NamedState(2, 0)
        )
    finally:
        opened.close()


@pytest.mark.parametrize("code", [SEM_WAIT, SEM_WAIT_IN_A_THREAD])
def test_who_waits_is_asked_of_the_kernel(semaphore, launch, eventually, code):
    name = semaphore("awaited")
    waiters = [launch(code, name) for _ in range(2)]

    def blocked():
        return observe.blocked_on(name, observe.mappers(name, "semaphore"))

    assert eventually(lambda: blocked() == 2)
    assert observe.named_semaphore(name).waiting == 2
    waiters[0].kill()
    waiters[0].wait(10)
    # The C library's count is for ever: nobody took the killed one off it.
    assert observe.named_semaphore(name).waiting == 2
    assert blocked() == 1


def test_a_semaphore_that_is_not_there():
    with pytest.raises(FileNotFoundError) as refused:
        observe.named_semaphore(names.name("nothing"))
    assert refused.value.filename == names.name("nothing")


def test_a_file_that_is_no_semaphore():
    path = f"/dev/shm/sem.{names.name('short')[1:]}"
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        assert observe.named_semaphore(names.name("short")) is None
        assert observe.blocked_on(names.name("short"), ()) == 0
    finally:
        os.unlink(path)
