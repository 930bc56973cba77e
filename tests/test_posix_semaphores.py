"""shmlab.posix semaphores: /dev/shm and /proc are the oracle, and libc called directly answers as well."""

import ctypes
import errno
import math
import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import posix_ipc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shmlab import names, posix

RAW = ctypes.CDLL(None, use_errno=True)
RAW.sem_open.restype = ctypes.c_void_p
RAW.sem_close.argtypes = (ctypes.c_void_p,)
CREATE = posix.O_CREAT | posix.O_EXCL


def backing(name: str) -> Path:
    return Path(f"/dev/shm/sem.{name.lstrip('/')}")


def python(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def failing(call: Callable, *arguments) -> OSError:
    with pytest.raises(OSError) as caught:  # noqa: PT011
        call(*arguments)
    return caught.value


def mapped(name: str) -> bool:
    """Whether this process maps the semaphore: found by inode, for glibc maps it under a passing name."""
    inode = str(os.stat(backing(name)).st_ino)
    return any(line.split()[4] == inode for line in Path("/proc/self/maps").read_text().splitlines())


def until_blocked(thread_id: int) -> None:
    """Return when the kernel says that the thread sleeps in futex."""
    deadline = time.monotonic() + 10
    numbers = ("202 ", "98 ", "240 ")  # x86-64, arm64, arm
    while not Path(f"/proc/self/task/{thread_id}/syscall").read_text().startswith(numbers):
        assert time.monotonic() < deadline
        os.sched_yield()


@pytest.fixture
def name() -> Iterator[str]:
    chosen = names.name("s")
    yield chosen
    backing(chosen).unlink(missing_ok=True)


@pytest.fixture
def sem(name) -> Iterator[posix.Semaphore]:
    """A semaphore of value 0."""
    opened = posix.sem_open(name, CREATE)
    yield opened
    with suppress(OSError):
        posix.sem_close(opened)


# What the calls do


def test_f65_a_semaphore_is_32_bytes_with_the_mode_less_the_umask(name):
    before = os.umask(0o027)
    try:
        sem = posix.sem_open(name, CREATE, 0o666, 3)
    finally:
        os.umask(before)
    seen = os.stat(backing(name))
    assert (seen.st_size, stat.S_IMODE(seen.st_mode)) == (32, 0o640)
    assert posix.sem_getvalue(sem) == 3
    posix.sem_close(sem)


def test_f65_an_existing_one_keeps_its_value(name, sem):
    for flags in (0, posix.O_CREAT, posix.O_EXCL):
        again = posix.sem_open(name, flags, 0o600, 9)
        assert posix.sem_getvalue(again) == 0
        posix.sem_close(again)


def test_wait_takes_and_post_gives(sem):
    for value in (1, 2, 3):
        posix.sem_post(sem)
        assert posix.sem_getvalue(sem) == value
    posix.sem_wait(sem)
    posix.sem_trywait(sem)
    posix.sem_timedwait(sem, 1)
    assert posix.sem_getvalue(sem) == 0


def test_two_processes_meet_by_name(name, sem):
    code = f"""
        from shmlab import posix
        sem = posix.sem_open({name!r}, 0)
        posix.sem_post(sem)
        posix.sem_timedwait(posix.sem_open({name + "2"!r}, 0), 30)
    """
    with other(name + "2") as second:
        child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)])
        posix.sem_timedwait(sem, 30)
        posix.sem_post(second)
        assert child.wait(30) == 0


@contextmanager
def other(name: str) -> Iterator[posix.Semaphore]:
    sem = posix.sem_open(name, CREATE)
    try:
        yield sem
    finally:
        posix.sem_unlink(name)
        posix.sem_close(sem)


def test_with_waits_and_posts(sem):
    posix.sem_post(sem)
    with sem as same:
        assert same is sem
        assert posix.sem_getvalue(sem) == 0
    assert posix.sem_getvalue(sem) == 1
    with pytest.raises(ZeroDivisionError), sem:
        1 / 0  # noqa: B018
    assert posix.sem_getvalue(sem) == 1


def test_repr(name, sem):
    assert repr(sem) == f"<Semaphore '{name}'>"
    posix.sem_close(sem)
    assert repr(sem) == f"<Semaphore '{name}', closed>"


# Failures


def test_a_refused_wait_is_eagain(name, sem):
    error = failing(posix.sem_trywait, sem)
    assert (type(error), error.errno, error.filename) == (BlockingIOError, errno.EAGAIN, name)
    assert error.strerror == os.strerror(errno.EAGAIN)


@pytest.mark.parametrize("seconds", [0.05, 0, -1, -math.inf])
def test_an_expired_wait_is_etimedout(name, sem, seconds):
    started = time.monotonic()
    error = failing(posix.sem_timedwait, sem, seconds)
    assert time.monotonic() - started >= min(seconds, 0.049)
    assert (type(error), error.errno, error.filename) == (TimeoutError, errno.ETIMEDOUT, name)


def test_an_expired_deadline_still_takes_what_is_there(sem):
    posix.sem_post(sem)
    posix.sem_timedwait(sem, -1)
    assert posix.sem_getvalue(sem) == 0


def test_seconds_that_are_none(sem):
    with pytest.raises(ValueError, match="NaN"):
        posix.sem_timedwait(sem, math.nan)
    for seconds in (math.inf, 1e300, 10**400, 2**63):
        with pytest.raises(OverflowError):
            posix.sem_timedwait(sem, seconds)
    for seconds in (None, "1"):
        with pytest.raises(TypeError):
            posix.sem_timedwait(sem, seconds)


def test_a_very_long_wait_is_a_wait(sem):
    """2**62 seconds don't wrap into the past."""
    poster = threading.Thread(
        target=lambda: (until_blocked(threading.main_thread().native_id), posix.sem_post(sem))
    )
    poster.start()
    posix.sem_timedwait(sem, 2.0**61)
    poster.join()


def test_post_at_the_limit_is_eoverflow(name):
    sem = posix.sem_open(name, CREATE, 0o600, posix.SEM_VALUE_MAX)
    error = failing(posix.sem_post, sem)
    assert (error.errno, error.filename) == (errno.EOVERFLOW, name)
    posix.sem_close(sem)


def test_open_and_unlink_failures_name_the_semaphore(name, sem):
    assert isinstance(failing(posix.sem_open, name, CREATE), FileExistsError)
    posix.sem_unlink(name)
    for error in (failing(posix.sem_open, name, 0), failing(posix.sem_unlink, name)):
        assert (type(error), error.filename) == (FileNotFoundError, name)
    too_large = failing(posix.sem_open, name, CREATE, 0o600, posix.SEM_VALUE_MAX + 1)
    assert (too_large.errno, too_large.filename) == (errno.EINVAL, name)
    assert not backing(name).exists()


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to become somebody else")
def test_another_users_semaphore(name, sem):
    code = f"""
        import os
        from shmlab import posix
        os.setresuid(65534, 65534, 65534)
        for call in (lambda: posix.sem_open({name!r}, 0), lambda: posix.sem_unlink({name!r})):
            try:
                call()
            except PermissionError as error:
                print(error.errno, error.filename)
    """
    assert python(code).stdout == f"13 {name}\n13 {name}\n"


@pytest.mark.parametrize(
    "arguments", [(2**31,), (-(2**31) - 1,), (64, -1), (64, 2**32), (64, 384, -1), (64, 384, 2**32)]
)
def test_integers_outside_the_c_type(name, arguments):
    """posix_ipc would take the value modulo 2**32."""
    with pytest.raises(OverflowError):
        posix.sem_open(name, *arguments)
    assert not backing(name).exists()


def test_what_is_no_semaphore():
    calls = (posix.sem_wait, posix.sem_trywait, posix.sem_post, posix.sem_getvalue, posix.sem_close)
    for call in (*calls, lambda sem: posix.sem_timedwait(sem, 1)):
        with pytest.raises(TypeError, match="a Semaphore from sem_open is needed, not str"):
            call("/name")
    for name in (None, b"/x", 5):
        with pytest.raises(TypeError, match="a name must be a string"):
            posix.sem_open(name, CREATE)
        with pytest.raises(TypeError, match="a name must be a string"):
            posix.sem_unlink(name)


@given(
    slashes=st.integers(0, 3),
    tail=st.one_of(
        st.text(st.sampled_from("a./ é\n%"), max_size=6), st.integers(215, 260).map(lambda n: "x" * n)
    ),
    flags=st.sampled_from([0, posix.O_CREAT, CREATE, posix.O_EXCL, posix.O_RDWR]),
)
@settings(max_examples=150, deadline=None)
def test_names_and_flags_get_libcs_own_answer(slashes, tail, flags):
    check_against_libc("/" * slashes + names.name("q").lstrip("/") + tail, flags)


@pytest.mark.parametrize("name", ["", "/", "//", "a/b", "/a/"])
@pytest.mark.parametrize("flags", [0, CREATE])
def test_odd_names_get_libcs_own_answer(name, flags):
    check_against_libc(name, flags)


def check_against_libc(name: str, flags: int) -> None:
    encoded = os.fsencode(name)

    def raw() -> tuple[int, int]:
        handle = RAW.sem_open(encoded, flags, 0o600, 1)
        opened = 0 if handle else ctypes.get_errno()
        if handle:
            RAW.sem_close(handle)
        return opened, ctypes.get_errno() if RAW.sem_unlink(encoded) == -1 else 0

    def ours(call: Callable, *arguments) -> int:
        try:
            call(*arguments)
        except OSError as error:
            return error.errno if error.filename == name else -1
        return 0

    opened = ours(lambda: posix.sem_close(posix.sem_open(name, flags, 0o600, 1)))
    assert (opened, ours(posix.sem_unlink, name)) == raw()


# Closing


def test_a_closed_semaphore_is_einval_everywhere(name, sem):
    posix.sem_close(sem)
    assert not mapped(name)
    calls = (posix.sem_wait, posix.sem_trywait, posix.sem_post, posix.sem_getvalue, posix.sem_close)
    for call in (*calls, lambda it: posix.sem_timedwait(it, 1)):
        error = failing(call, sem)
        assert (error.errno, error.filename) == (errno.EINVAL, name)


def test_closing_under_a_waiting_thread_is_refused(name, sem):
    """C leaves it undefined; the waiter would wake up in unmapped memory."""
    started, taken = threading.Event(), []

    def waiter() -> None:
        started.set()
        posix.sem_timedwait(sem, 30)
        taken.append(True)

    thread = threading.Thread(target=waiter)
    thread.start()
    try:
        started.wait(10)
        until_blocked(thread.native_id)
        error = failing(posix.sem_close, sem)
        assert (error.errno, error.filename) == (errno.EBUSY, name)
        assert mapped(name)
    finally:
        posix.sem_post(sem)
        thread.join(10)
    assert taken == [True]
    posix.sem_close(sem)
    assert not mapped(name)


def test_a_forgotten_semaphore_is_closed_and_keeps_its_name(name):
    posix.sem_post(posix.sem_open(name, CREATE))
    assert not mapped(name)
    again = posix.sem_open(name, 0)
    assert posix.sem_getvalue(again) == 1
    posix.sem_close(again)


def test_one_name_opened_twice_is_closed_twice(name, sem):
    again = posix.sem_open(name, 0)
    posix.sem_close(again)
    posix.sem_post(sem)
    assert mapped(name)


# The traps of posix_ipc 1.3.2, by their numbers in the fact ledger


def test_p01_a_nul_in_a_name_is_a_value_error(name):
    """posix_ipc.Semaphore("/a\\0b") dies of SIGSEGV."""
    for call in (lambda: posix.sem_open(name + "\0x", CREATE), lambda: posix.sem_unlink(name + "\0x")):
        with pytest.raises(ValueError, match="embedded null character"):
            call()
    assert not backing(name).exists()


def test_p05_unlink_after_close(name, sem):
    """posix_ipc.Semaphore.unlink() after close() raises, and the semaphore stays."""
    posix.sem_close(sem)
    posix.sem_unlink(name)
    assert not backing(name).exists()


@contextmanager
def alarms(handler: Callable, first: float, then: float = 0.0) -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, first, then)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_p06_signals_do_not_end_or_lengthen_a_timed_wait(sem):
    """posix_ipc raises SignalError at the first one."""
    seen = []

    def handler(*_) -> None:
        seen.append(1)
        if len(seen) == 200:  # four seconds: a wait that starts anew at every signal has to end too
            signal.setitimer(signal.ITIMER_REAL, 0)

    with alarms(handler, 0.02, 0.02):
        started = time.monotonic()
        assert failing(posix.sem_timedwait, sem, 0.3).errno == errno.ETIMEDOUT
        waited = time.monotonic() - started
    assert len(seen) > 3
    assert 0.3 <= waited + 0.001 < 3


def test_p06_signals_do_not_end_a_wait(sem):
    seen = []

    def handler(*_) -> None:
        seen.append(1)
        if len(seen) == 3:
            posix.sem_post(sem)

    with alarms(handler, 0.02, 0.02):
        posix.sem_wait(sem)
    assert len(seen) >= 3
    assert posix.sem_getvalue(sem) == 0


@pytest.mark.parametrize("wait", [posix.sem_wait, lambda sem: posix.sem_timedwait(sem, 30)])
def test_p06_a_keyboard_interrupt_ends_a_wait(sem, wait):
    class Expired(KeyboardInterrupt):
        pass

    for kind in (KeyboardInterrupt, Expired):

        def handler(*_, kind=kind) -> None:
            raise kind("from the handler")

        with alarms(handler, 0.05), pytest.raises(kind, match="from the handler"):
            wait(sem)
    assert sem._waiting == {}


def test_p06_any_other_exception_of_a_handler_is_lost(sem):
    """What the docstring admits. When posix_ipc stops clearing it, this fails: then the docstring may go."""
    seen = []

    def handler(*_) -> None:
        seen.append(1)
        raise RuntimeError

    with alarms(handler, 0.05):
        assert failing(posix.sem_timedwait, sem, 0.2).errno == errno.ETIMEDOUT
    assert seen == [1]


def test_timeouts_are_compiled_in():
    """Without sem_timedwait posix_ipc would wait for ever (the wheels of sysv_ipc have that flaw, P07)."""
    assert posix_ipc.SEMAPHORE_TIMEOUT_SUPPORTED
