"""shmlab.sysv's semaphore sets: /proc/sysvipc/sem is the oracle, and libc called directly answers as well."""

import ctypes
import errno
import math
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
import sysv_ipc
from hypothesis import given, settings
from hypothesis import strategies as st

from shmlab import names, observe, sysv

RAW = ctypes.CDLL(None, use_errno=True)
NEW = sysv.IPC_CREAT | sysv.IPC_EXCL
SEMVMX = 32767


def python(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def failing(call: Callable, *arguments) -> OSError:
    with pytest.raises(OSError) as caught:  # noqa: PT011
        call(*arguments)
    return caught.value


def row(semid: int) -> observe.SemaphoreSet | None:
    """What /proc/sysvipc/sem says of a set; None when it isn't there."""
    return next((each for each in observe.semaphore_sets() if each.id == semid), None)


def value(semid: int, semnum: int = 0) -> int:
    return sysv.semctl(semid, semnum, sysv.GETVAL)


def until_waiting(semid: int, cmd: int = sysv.GETNCNT, how_many: int = 1) -> None:
    """Until the kernel counts that many waiters."""
    end = time.monotonic() + 10
    while sysv.semctl(semid, 0, cmd) != how_many:
        assert time.monotonic() < end
        time.sleep(0.001)


@contextmanager
def alarms(handler: Callable, first: float, then: float = 0.0) -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, first, then)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture
def key() -> int:
    return names.key("semaphores")


@pytest.fixture
def sem(key) -> Iterator[int]:
    """The id of a set of three semaphores of value 0."""
    made = sysv.semget(key, 3, NEW | 0o600)
    yield made
    with suppress(OSError):
        sysv.semctl(made, 0, sysv.IPC_RMID)


# semget


def test_a_new_set_is_what_the_kernel_says(sem, key):
    seen = row(sem)
    assert (seen.key, seen.nsems, seen.mode, seen.otime) == (key, 3, 0o600, None)
    assert sysv.semctl(sem, 0, sysv.GETALL) == (0, 0, 0)
    assert sysv.semget(key, 0, 0) == sem == sysv.semget(key & 0xFFFFFFFF, 3, 0o600)


def test_p08_a_set_that_exists_keeps_its_values(sem, key):
    """sysv_ipc's IPC_CREAT sets it to its initial value."""
    sysv.semctl(sem, 1, sysv.SETVAL, 7)
    assert sysv.semget(key, 3, sysv.IPC_CREAT | 0o600) == sem
    assert sysv.semctl(sem, 0, sysv.GETALL) == (0, 7, 0)


def test_d37_the_spaces_of_keys_are_separate(sem, key):
    segment = sysv.shmget(key, 1, NEW | 0o600)
    sysv.shmctl(segment, sysv.IPC_RMID)


def test_failures_carry_errno_and_the_key(sem, key):
    spelled = f"key {key & 0xFFFFFFFF:#010x}"
    expected = {
        (key, 3, NEW): (FileExistsError, errno.EEXIST),
        (key, 4, 0): (OSError, errno.EINVAL),
        (key ^ 1, 0, 0): (FileNotFoundError, errno.ENOENT),
    }
    for arguments, (kind, number) in expected.items():
        error = failing(sysv.semget, *arguments)
        assert (type(error), error.errno) == (kind, number)
    assert failing(sysv.semget, key, 3, NEW).filename == spelled
    error = failing(sysv.semget, sysv.IPC_PRIVATE, -1, 0o600)
    assert (error.errno, error.filename) == (errno.EINVAL, "key 0x00000000")
    for wrong in ((2**32, 1, 0), (5, 2**31, 0), (5, 1, 2**31)):
        with pytest.raises(OverflowError):
            sysv.semget(*wrong)


# semop


def test_operations_are_added_all_or_none(sem):
    sysv.semop(sem, [sysv.sembuf(0, 2), (1, 5), (2, 1, sysv.IPC_NOWAIT)])
    assert sysv.semctl(sem, 0, sysv.GETALL) == (2, 5, 1)
    error = failing(sysv.semop, sem, [(0, -1), (1, -6, sysv.IPC_NOWAIT)])
    assert (type(error), error.errno, error.filename) == (BlockingIOError, errno.EAGAIN, f"id {sem}")
    assert sysv.semctl(sem, 0, sysv.GETALL) == (2, 5, 1)
    sysv.semop(sem, ((0, -2), (0, 0)))
    assert value(sem) == 0
    assert sysv.semctl(sem, 0, sysv.GETPID) == os.getpid()
    assert row(sem).otime is not None


def test_a_sembuf_is_a_tuple_with_cs_names():
    one = sysv.sembuf(1, -1, sysv.SEM_UNDO | sysv.IPC_NOWAIT | 1)
    assert one == (1, -1, 0o14001)
    assert (one.sem_num, one.sem_op, one.sem_flg) == one
    copied = pickle.loads(pickle.dumps(one))
    assert (type(copied), copied) == (sysv.sembuf, one)
    assert repr(one) == "sembuf(sem_num=1, sem_op=-1, sem_flg=IPC_NOWAIT | SEM_UNDO | 0o1)"
    assert repr(sysv.sembuf(sem_num=0, sem_op=1)) == "sembuf(sem_num=0, sem_op=1, sem_flg=0)"


def test_it_waits_until_somebody_gives(sem):
    code = f"from shmlab import sysv\nsysv.semop({sem}, [(0, -1)])\nprint('taken')"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    until_waiting(sem)
    assert child.poll() is None
    sysv.semop(sem, [(0, 1)])
    assert child.communicate(timeout=30)[0] == "taken\n"
    assert (value(sem), sysv.semctl(sem, 0, sysv.GETPID)) == (0, child.pid)


def test_others_run_while_a_thread_waits(sem):
    """For zero, this time. A wait that kept the interpreter to itself would never let this thread go on."""
    sysv.semctl(sem, 0, sysv.SETVAL, 1)
    thread = threading.Thread(target=sysv.semtimedop, args=(sem, [(0, 0)], 30))
    thread.start()
    until_waiting(sem, sysv.GETZCNT)
    sysv.semop(sem, [(0, -1)])
    thread.join(10)
    assert not thread.is_alive()


def test_f69_removal_wakes_with_eidrm(sem):
    caught: list[OSError] = []
    thread = threading.Thread(target=lambda: caught.append(failing(sysv.semtimedop, sem, [(0, -1)], 30)))
    thread.start()
    until_waiting(sem)
    sysv.semctl(sem, 0, sysv.IPC_RMID)
    thread.join(10)
    assert [(each.errno, each.filename) for each in caught] == [(errno.EIDRM, f"id {sem}")]


def test_f66_sem_undo_is_undone_at_the_end(sem):
    sysv.semctl(sem, 0, sysv.SETALL, (1, 1, 0))
    code = f"""
        import os
        from shmlab import sysv
        sysv.semop({sem}, [(0, -1, sysv.SEM_UNDO), (1, -1)])
        print(sysv.semctl({sem}, 0, sysv.GETALL), flush=True)
        os.kill(os.getpid(), 9)
    """
    assert python(code).stdout == "(0, 0, 0)\n"
    assert sysv.semctl(sem, 0, sysv.GETALL) == (1, 0, 0)


SHORT = {"sem_num": (-1, 2**16), "sem_op": (-(2**15) - 1, 2**15), "sem_flg": (-(2**15) - 1, 2**15)}


@pytest.mark.parametrize("field", SHORT)
@pytest.mark.parametrize("timed", [False, True])
def test_what_a_short_cannot_hold_is_refused(sem, field, timed):
    for wrong in SHORT[field]:
        operation = sysv.sembuf(**{"sem_num": 0, "sem_op": 1, field: wrong})
        with pytest.raises(OverflowError, match=f"{field} is {wrong}"):
            sysv.semtimedop(sem, [operation], 0) if timed else sysv.semop(sem, [operation])
    assert value(sem) == 0


@pytest.mark.parametrize("sops", [[(0,)], [(0, 1, 0, 0)], [5], 5, [("0", 1)], [(0, 1.5)], None])
def test_what_is_no_operation(sem, sops):
    with pytest.raises(TypeError):
        sysv.semop(sem, sops)
    assert value(sem) == 0


def test_the_kernels_refusals_carry_the_id(sem):
    expected = {
        errno.EFBIG: [(3, 1)],
        errno.EINVAL: [],
        errno.E2BIG: [(0, 0)] * 501,
        errno.ERANGE: [(0, SEMVMX), (0, 1)],
    }
    for number, sops in expected.items():
        for call in (sysv.semop, lambda *arguments: sysv.semtimedop(*arguments, 5)):
            error = failing(call, sem, sops)
            assert (error.errno, error.filename) == (number, f"id {sem}")
    assert failing(sysv.semop, -1, [(0, 1)]).errno == errno.EINVAL
    with pytest.raises(OverflowError):
        sysv.semop(2**31, [(0, 1)])


@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(-4, 4), st.sampled_from([sysv.IPC_NOWAIT])),
        max_size=5,
    )
)
@settings(max_examples=100, deadline=None)
def test_operations_get_libcs_own_answer(sops):
    class Raw(ctypes.Structure):
        _fields_ = (("num", ctypes.c_ushort), ("op", ctypes.c_short), ("flg", ctypes.c_short))

    def direct(semid: int) -> None:
        array = (Raw * len(sops))(*sops)
        if RAW.semop(semid, array, ctypes.c_size_t(len(sops))) == -1:
            raise OSError(ctypes.get_errno(), "")

    def answer(call: Callable[[int], None]) -> tuple[int | None, tuple[int, ...]]:
        made = sysv.semget(sysv.IPC_PRIVATE, 3, 0o600)
        try:
            sysv.semctl(made, 0, sysv.SETALL, (1, 2, 3))
            try:
                call(made)
            except OSError as error:
                return error.errno, sysv.semctl(made, 0, sysv.GETALL)
            return None, sysv.semctl(made, 0, sysv.GETALL)
        finally:
            sysv.semctl(made, 0, sysv.IPC_RMID)

    expected = answer(direct)
    assert answer(lambda semid: sysv.semop(semid, sops)) == expected
    assert answer(lambda semid: sysv.semtimedop(semid, sops, 1)) == expected


# Time-outs and signals


@pytest.mark.parametrize("seconds", [0.2, 0.05, 0, -3, -math.inf])
def test_p07_a_time_out_is_obeyed(sem, seconds):
    """The wheel of sysv_ipc waits for ever, whatever it is told."""
    started = time.monotonic()
    error = failing(sysv.semtimedop, sem, [(0, -1)], seconds)
    waited = time.monotonic() - started
    assert (type(error), error.errno, error.filename) == (BlockingIOError, errno.EAGAIN, f"id {sem}")
    assert max(seconds, 0) <= waited + 0.001 < max(seconds, 0) + 3


def test_p07_sysv_ipc_cannot():
    """When its wheels can, this fails: then P07 is history."""
    found = subprocess.run(["grep", "-c", "semtimedop", sysv_ipc.__file__], capture_output=True, timeout=30)
    assert (found.returncode == 0) == sysv_ipc.SEMAPHORE_TIMEOUT_SUPPORTED


def test_what_is_there_is_taken_whatever_the_time(sem):
    sysv.semctl(sem, 0, sysv.SETVAL, 5)
    for seconds in (0, -1, 1e-12, 0.5, 2.0**62, None):
        if seconds is None:
            assert value(sem) == 0
            sysv.semop(sem, [(0, 1)])
        sysv.semtimedop(sem, [(0, -1)], seconds)
    assert value(sem) == 0


def test_seconds_that_are_none(sem):
    for wrong in (math.inf, 2.0**63, 10**400):
        with pytest.raises(OverflowError):
            sysv.semtimedop(sem, [(0, -1)], wrong)
    with pytest.raises(ValueError, match="NaN"):
        sysv.semtimedop(sem, [(0, -1)], math.nan)
    with pytest.raises(TypeError):
        sysv.semtimedop(sem, [(0, -1)], "1")


def test_f69_signals_do_not_end_or_lengthen_a_timed_wait(sem):
    """In C each ends it with EINTR."""
    seen = []

    def handler(*_) -> None:
        seen.append(1)
        if len(seen) == 200:  # four seconds: a wait that starts anew at every signal has to end too
            signal.setitimer(signal.ITIMER_REAL, 0)

    with alarms(handler, 0.02, 0.02):
        started = time.monotonic()
        assert failing(sysv.semtimedop, sem, [(0, -1)], 0.3).errno == errno.EAGAIN
        waited = time.monotonic() - started
    assert len(seen) > 3
    assert 0.3 <= waited + 0.001 < 3


def test_f69_signals_do_not_end_a_wait(sem):
    seen = []

    def handler(*_) -> None:
        seen.append(1)
        if len(seen) == 3:
            sysv.semop(sem, [(0, 1)])

    with alarms(handler, 0.02, 0.02):
        sysv.semop(sem, [(0, -1)])
    assert len(seen) >= 3
    assert value(sem) == 0


@pytest.mark.parametrize("kind", [KeyboardInterrupt, RuntimeError, TimeoutError, InterruptedError])
@pytest.mark.parametrize("seconds", [None, 30])
def test_what_a_handler_raises_ends_the_wait(sem, seconds, kind):
    """Also if it is an OSError, as what a wait fails with; with posix_ipc it is lost (P06)."""

    def handler(*_) -> None:
        raise kind("from the handler")

    with alarms(handler, 0.05), pytest.raises(kind, match="from the handler"):
        sysv.semtimedop(sem, [(0, -1)], seconds)
    assert sysv.semctl(sem, 0, sysv.GETNCNT) == 0


@pytest.mark.parametrize("seconds", [None, 0.3])
def test_a_failure_in_a_handler_is_not_the_waits(sem, seconds):
    """It leaves its errno where the wait's would be looked for."""
    seen = []

    def handler(*_) -> None:
        seen.append(failing(sysv.shmget, names.key("absent"), 0, 0).errno)
        if len(seen) == 3:
            sysv.semop(sem, [(0, 1)])

    with alarms(handler, 0.02, 0.02):
        sysv.semtimedop(sem, [(0, -1)], seconds)
    assert set(seen) == {errno.ENOENT}
    assert value(sem) == 0


# semctl


def test_values_are_set_and_told(sem):
    assert sysv.semctl(sem, 1, sysv.SETVAL, 9) is None
    assert (value(sem, 1), sysv.semctl(sem, 0, sysv.GETALL)) == (9, (0, 9, 0))
    assert sysv.semctl(sem, 0, sysv.SETALL, [SEMVMX, 0, 1]) is None
    assert sysv.semctl(sem, 0, sysv.GETALL) == (SEMVMX, 0, 1)
    assert [sysv.semctl(sem, 0, cmd) for cmd in (sysv.GETNCNT, sysv.GETZCNT)] == [0, 0]


def test_values_that_do_not_fit(sem):
    for number in (-1, SEMVMX + 1):
        assert failing(sysv.semctl, sem, 0, sysv.SETVAL, number).errno == errno.ERANGE
    assert failing(sysv.semctl, sem, 0, sysv.SETALL, (1, SEMVMX + 1, 1)).errno == errno.ERANGE
    for arguments in ((sysv.SETVAL, 2**31), (sysv.SETALL, (0, -1, 0)), (sysv.SETALL, (0, 0, 2**16))):
        with pytest.raises(OverflowError):
            sysv.semctl(sem, 0, *arguments)
    for wrong in ((), (1, 2), (1, 2, 3, 4)):
        with pytest.raises(ValueError, match=f"id {sem} has 3 semaphores, not {len(wrong)}"):
            sysv.semctl(sem, 0, sysv.SETALL, wrong)
    for cmd, arg in ((sysv.SETVAL, None), (sysv.SETVAL, "1"), (sysv.SETVAL, 1.5), (sysv.SETALL, 5)):
        with pytest.raises(TypeError):
            sysv.semctl(sem, 0, cmd, arg)
    for cmd in (sysv.GETVAL, sysv.GETALL, sysv.IPC_STAT, sysv.IPC_RMID):
        with pytest.raises(TypeError, match="arg is for"):
            sysv.semctl(sem, 0, cmd, 1)
    assert sysv.semctl(sem, 0, sysv.GETALL) == (0, 0, 0)


def test_ipc_stat_is_what_proc_says(sem, key):
    sysv.semop(sem, [(0, 1)])
    ours, seen = sysv.semctl(sem, 0, sysv.IPC_STAT), row(sem)
    perm = ours.sem_perm
    assert type(ours) is sysv.semid_ds
    assert (perm.key, perm.mode, perm.uid, perm.gid, perm.cuid, perm.cgid) == (
        *(key, 0o600, seen.uid, seen.gid, seen.cuid, seen.cgid),
    )
    assert perm.seq == sem // 32768
    assert (ours.sem_nsems, ours.sem_otime, ours.sem_ctime) == (3, seen.otime, seen.ctime)
    assert seen.otime is not None
    assert "mode=0o600" in repr(ours)
    assert "sem_perm.cuid" in ours._repr_html_()
    index = sem % 32768
    for cmd in (sysv.SEM_STAT, sysv.SEM_STAT_ANY):
        assert sysv.semctl(index, 0, cmd) == (sem, ours)
    error = failing(sysv.semctl, 32767, 0, sysv.SEM_STAT)
    assert (error.errno, error.filename) == (errno.EINVAL, "index 32767")


def test_ipc_set_changes_the_mode_and_the_owner(sem):
    before = sysv.semctl(sem, 0, sysv.IPC_STAT)
    wanted = replace(before, sem_perm=replace(before.sem_perm, mode=0o7640, key=1), sem_nsems=9)
    assert sysv.semctl(sem, 0, sysv.IPC_SET, wanted) is None
    after = sysv.semctl(sem, 0, sysv.IPC_STAT)
    assert after == replace(before, sem_perm=replace(before.sem_perm, mode=0o640), sem_ctime=after.sem_ctime)
    with pytest.raises(TypeError, match="IPC_SET needs a semid_ds"):
        sysv.semctl(sem, 0, sysv.IPC_SET, before.sem_perm)


def test_the_two_infos(sem):
    highest, limits = sysv.semctl(0, 0, sysv.IPC_INFO)
    again, used = sysv.semctl(0, 0, sysv.SEM_INFO)
    assert highest == again >= sem % 32768
    semmsl, semmns, semopm, semmni = map(int, Path("/proc/sys/kernel/sem").read_text().split())
    assert (limits.semmsl, limits.semmns, limits.semopm, limits.semmni) == (semmsl, semmns, semopm, semmni)
    assert limits.semvmx == SEMVMX
    everybodys = observe.semaphore_sets()
    assert (used.semusz, used.semaem) == (len(everybodys), sum(each.nsems for each in everybodys))


def test_ipc_rmid_removes_at_once(sem):
    assert sysv.semctl(sem, 0, sysv.IPC_RMID) is None
    assert row(sem) is None
    for arguments in ((0, sysv.IPC_RMID), (0, sysv.GETVAL), (0, sysv.GETALL), (0, sysv.SETALL, (1,))):
        error = failing(sysv.semctl, sem, *arguments)
        assert (error.errno, error.filename) == (errno.EINVAL, f"id {sem}")


def test_the_kernels_refusals_of_numbers(sem):
    for arguments in ((sem, 3, sysv.GETVAL), (sem, -1, sysv.GETVAL), (sem, 0, 999), (-1, 0, sysv.GETVAL)):
        error = failing(sysv.semctl, *arguments)
        assert (error.errno, error.filename) == (errno.EINVAL, f"id {arguments[0]}")
    for arguments in ((2**31, 0, sysv.GETVAL), (sem, 2**31, sysv.GETVAL), (sem, 0, 2**31)):
        with pytest.raises(OverflowError):
            sysv.semctl(*arguments)


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to become somebody else")
def test_another_users_set(key):
    made = sysv.semget(key, 2, NEW | 0o644)
    code = f"""
        import os
        from shmlab import sysv
        from shmlab.sysv import records  # while its files can be read
        ours = sysv.semctl({made}, 0, sysv.IPC_STAT)
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
        print(sysv.semctl({made}, 0, sysv.GETALL), sysv.semctl({made}, 0, sysv.IPC_STAT) == ours)
        for call in (lambda: sysv.semop({made}, [(0, 1)]),
                     lambda: sysv.semctl({made}, 0, sysv.SETVAL, 1),
                     lambda: sysv.semctl({made}, 0, sysv.SETALL, (1, 1)),
                     lambda: sysv.semctl({made}, 0, sysv.IPC_SET, ours),
                     lambda: sysv.semctl({made}, 0, sysv.IPC_RMID)):
            try:
                call()
            except PermissionError as error:
                print(error.errno, error.filename == "id {made}")
    """
    said = python(code)
    sysv.semctl(made, 0, sysv.IPC_RMID)
    assert said.stdout.splitlines() == ["(0, 0) True", *["13 True"] * 3, *["1 True"] * 2], said.stderr
