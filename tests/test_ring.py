"""The ring: messages between real processes, whole and in order; who waits is woken; refusals."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from time import monotonic
from typing import Any

import pytest

from shmlab import Process, observe, own_name, posix, ring
from shmlab.ring import Ring


@pytest.fixture
def made() -> Iterator[Ring]:
    with Ring.create(own_name("ring"), 4, 1000) as one:
        yield one


def sender(name: str, times: int) -> Iterator[str]:
    with Ring.open(name) as there:
        for number in range(times):
            there.put(number.to_bytes(8, "little") * (number % 100))
    yield "sent"


def slow_receiver(name: str, times: int) -> Iterator[str]:
    with Ring.open(name) as there:
        for _ in range(times):
            there.take()
            yield "took"


def echo(there: str, back: str, times: int) -> Iterator[str]:
    ours, theirs = Ring.open(there), Ring.open(back)
    for _ in range(times):
        theirs.put(ours.take())
    yield "echoed"


def test_first_in_first_out(made: Ring) -> None:
    for text in (b"one", b"", b"three" * 200):
        made.put(text)
    assert len(made) == 3
    assert [made.take() for _ in range(3)] == [b"one", b"", b"three" * 200]
    assert len(made) == 0


def test_round_and_round(made: Ring) -> None:
    for number in range(50):
        made.put(bytes([number]) * number)
        made.put(memoryview(bytearray(b"x")))
        assert (made.take(), made.take()) == (bytes([number]) * number, b"x")


def test_from_another_process_whole_and_in_order(made: Ring) -> None:
    times = 20_000
    with Process(sender, made.name, times) as process:
        process.run()
        for number in range(times):
            assert made.take() == number.to_bytes(8, "little") * (number % 100)
        assert process.wait().ok


def test_who_is_slow_is_waited_for(made: Ring) -> None:
    with Process(slow_receiver, made.name, 40) as process:
        process.run(speed=400)
        for _ in range(40):
            made.put(b"hello")
        assert process.wait().ok
    assert len(made) == 0


def test_there_and_back(made: Ring) -> None:
    with Ring.create(own_name("back"), 4, 1000) as back, Process(echo, made.name, back.name, 2000) as process:
        process.run()
        for number in range(2000):
            made.put(str(number).encode())
            assert back.take() == str(number).encode()
        assert process.wait().ok


def test_who_waits_long_sleeps_and_uses_no_processor(made: Ring) -> None:
    def taker(name: str) -> Iterator[str]:
        with Ring.open(name) as there:
            yield there.take().decode()

    with Process(taker, made.name) as process:
        process.step(timeout=0.3)
        deadline = monotonic() + 5
        while not str(observe.waiting(process.pid or 0)).startswith(f"sem_wait on '{made.name}.c'"):
            assert monotonic() < deadline
        before = cpu_seconds(process)
        posix_wait(0.3)
        assert cpu_seconds(process) - before < 0.1
        begin = monotonic()
        made.put(b"good morning")
        assert process.pause().at == "good morning"
        assert monotonic() - begin < 1


def posix_wait(seconds: float) -> None:
    """Let time pass: waiting on a semaphore that nobody posts."""
    gate = posix.sem_open(own_name("never"), posix.O_CREAT | posix.O_EXCL)
    posix.sem_unlink(gate.name)
    with pytest.raises(TimeoutError):
        posix.sem_timedwait(gate, seconds)


def cpu_seconds(process: Process) -> float:
    with open(f"/proc/{process.pid}/stat") as file:
        words = file.read().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def test_nobody_waits_for_ever(made: Ring) -> None:
    begin = monotonic()
    with pytest.raises(TimeoutError, match=r"no message in 0\.1 s") as caught:
        made.take(timeout=0.1)
    assert caught.value.filename == made.name
    for _ in range(4):
        made.put(b"x")
    with pytest.raises(TimeoutError, match=r"no room for a message in 0\.1 s"):
        made.put(b"x", timeout=0.1)
    assert monotonic() - begin < 3
    assert [made.take() for _ in range(4)] == [b"x"] * 4


def test_the_other_end_is_killed_and_the_ring_goes_on(made: Ring) -> None:
    """Whoever dies between storing a message and the tail has put nothing: nobody ever sees half of one."""
    with Process(sender, made.name, 10**9) as process:
        process.run()
        for number in range(1000):
            assert made.take() == number.to_bytes(8, "little") * (number % 100)
        os.kill(process.pid or 0, signal.SIGKILL)
        process.wait()
    for number in range(1000, 1000 + len(made)):
        assert made.take() == number.to_bytes(8, "little") * (number % 100)
    with pytest.raises(TimeoutError):
        made.take(timeout=0.05)
    made.put(b"somebody else")
    assert made.take() == b"somebody else"


def test_what_is_too_long_is_refused(made: Ring) -> None:
    with pytest.raises(ValueError, match=r"a message of 1001 bytes is longer than a slot of .*ring: 1000"):
        made.put(bytes(1001))
    made.put(bytes(1000))
    assert made.take() == bytes(1000)


@pytest.mark.parametrize(("slots", "size"), [(0, 1), (1, 0), (-1, 8)])
def test_no_ring_without_room(slots: int, size: int) -> None:
    with pytest.raises(ValueError, match="at least one slot of one byte"):
        Ring.create(own_name("none"), slots, size)


def test_one_slot_is_enough() -> None:
    with Ring.create(own_name("one"), 1, 1) as one:
        one.put(b"a")
        with pytest.raises(TimeoutError):
            one.put(b"b", timeout=0.01)
        assert one.take() == b"a"


def test_it_leaves_nothing_and_is_nobody_elses(made: Ring) -> None:
    with pytest.raises(FileExistsError):
        Ring.create(made.name, 1, 1)
    other = Ring.open(made.name)
    other.close(), other.close()
    assert len(observe.objects(made.name + "*")) == 3
    made.close()
    assert len(observe.objects(made.name + "*")) == 0
    with pytest.raises(FileNotFoundError):
        Ring.open(made.name)


@pytest.mark.parametrize("size", [100, 4096, 8192, 4097])
def test_what_is_no_ring_is_not_opened(size: int) -> None:
    name = own_name("other")
    with posix.create(name, size), pytest.raises(ValueError, match="is no ring"):
        Ring.open(name)
    assert observe.mappings(os.getpid(), name) == ()


def test_a_name_that_is_half_taken_leaves_nothing() -> None:
    name = own_name("half")
    gate: Any = posix.sem_open(f"{name}.p", posix.O_CREAT | posix.O_EXCL)
    with pytest.raises(FileExistsError):
        Ring.create(name, 1, 1)
    assert observe.object_entry(name) is None
    assert gate is not None


def test_who_opens_it_starts_in_milliseconds() -> None:
    probe = (
        "import sys, shmlab.ring; "
        "assert not {'typing', 'numpy', 'contextlib', 'inspect', 'subprocess', 'ctypes'} & set(sys.modules)"
    )
    subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}; {probe}"], check=True
    )


def test_it_says_whether_it_is_guaranteed_here() -> None:
    assert isinstance(ring.ORDERED, bool)
    assert "not guaranteed" in (ring.__doc__ or "")
