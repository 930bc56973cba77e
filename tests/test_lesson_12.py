"""Lesson 12: what its programs do, in Python and in C, stepped and let go; and that its judges can tell."""

import os
import signal
from collections.abc import Iterator
from time import monotonic, sleep
from typing import Any

import pytest

from shmlab import Process, Shared, check, figures, in_c, observe, own_name, posix
from shmlab.processes import State, start
from shmlab.programs import find_compiler
from shmlab.programs.careless_consumer import careless_consumer
from shmlab.programs.careless_producer import careless_producer
from shmlab.programs.channel import channel
from shmlab.programs.consumer import consumer
from shmlab.programs.counting_producer import counting_producer
from shmlab.programs.lone_consumer import lone_consumer
from shmlab.programs.lone_producer import lone_producer
from shmlab.programs.producer import FIRST, HEAD, SLOTS, TAIL, producer

needs_cc = pytest.mark.skipif(find_compiler() is None, reason="no C compiler")
ALL = [
    careless_producer,
    careless_consumer,
    counting_producer,
    producer,
    consumer,
    lone_producer,
    lone_consumer,
]


def as_it_is(program: Any) -> Any:
    return program


MIXES = [
    pytest.param((as_it_is, as_it_is), id="Python"),
    pytest.param((in_c, in_c), id="C", marks=needs_cc),
    pytest.param((as_it_is, in_c), id="Python-C", marks=needs_cc),
    pytest.param((in_c, as_it_is), id="C-Python", marks=needs_cc),
]


@pytest.fixture(params=MIXES)
def mix(request: pytest.FixtureRequest) -> Any:
    """In which language producers and consumers are."""
    return request.param


class Buffer:
    """A bounded buffer of so many slots with its three semaphores."""

    def __init__(self, slots: int) -> None:
        self.mapping = posix.create(own_name("buffer"), 4096)
        self.words = self.mapping.buf.cast("Q")
        self.words[SLOTS] = slots
        flags = posix.O_CREAT | posix.O_EXCL
        self.empty = posix.sem_open(own_name("empty"), flags, value=slots)
        self.full = posix.sem_open(own_name("full"), flags, value=0)
        self.mutex = posix.sem_open(own_name("mutex"), flags, value=1)

    @property
    def shared(self) -> Shared:
        return Shared(self.mapping.name or "")

    @property
    def gates(self) -> list[str]:
        return [self.empty.name, self.full.name, self.mutex.name]

    @property
    def values(self) -> tuple[int, int, int]:
        empty, full, mutex = (posix.sem_getvalue(each) for each in (self.empty, self.full, self.mutex))
        return empty, full, mutex

    @property
    def items(self) -> list[int]:
        return list(self.words[FIRST : FIRST + self.words[SLOTS]])

    @property
    def ends(self) -> tuple[int, int]:
        return self.words[HEAD], self.words[TAIL]

    def remove(self) -> None:
        self.words.release()
        posix.munmap(self.mapping)
        posix.shm_unlink(self.mapping.name or "")
        for each in self.gates:
            posix.sem_unlink(each)


@pytest.fixture
def buffer() -> Iterator[Buffer]:
    made = Buffer(4)
    yield made
    made.remove()


def item(who: int, number: int) -> int:
    return who * 10**9 + number


def until_blocked(process: Process, gate: posix.Semaphore, seconds: float = 5) -> State:
    deadline = monotonic() + seconds
    while not (state := process.state).on.startswith(f"sem_wait on '{gate.name}'"):
        assert monotonic() < deadline, state
        sleep(0.002)
    return state


# --- the broken versions -----------------------------------------------------------------------------------


def test_who_does_not_look_overwrites_what_nobody_has_taken(mix: Any, buffer: Buffer) -> None:
    to_put, to_take = mix
    with (
        Process(to_put(careless_producer), buffer.shared, 1, 5) as one,
        Process(to_take(careless_consumer), buffer.shared, 5) as other,
    ):
        for _ in range(10):
            one.step()
        assert buffer.items == [item(1, 5), item(1, 2), item(1, 3), item(1, 4)]
        taken = [other.step().at for _ in range(10)][::2]
    assert taken == [f"took {item(1, number)}" for number in (5, 2, 3, 4, 5)]


def test_who_does_not_look_takes_what_nobody_has_put(mix: Any, buffer: Buffer) -> None:
    with Process(mix[1](careless_consumer), buffer.shared, 1) as other:
        assert other.step().at == "took 0"
        other.step()
    assert buffer.ends == (1, 0)


def test_two_producers_without_a_mutex_lose_an_item(mix: Any, buffer: Buffer) -> None:
    a = Process(mix[0](counting_producer), buffer.shared, 1, 1, *buffer.gates)
    b = Process(mix[1](counting_producer), buffer.shared, 2, 1, *buffer.gates)
    with a, b:
        for process in (a, a, b, b, a, b, a, b):
            process.step()
    assert buffer.items[0] == item(2, 1)
    assert buffer.ends == (0, 1)
    assert buffer.values == (2, 2, 1), "the semaphores believe in two items"


# --- the right one -----------------------------------------------------------------------------------------


def test_six_steps_put_an_item_and_six_take_it(mix: Any, buffer: Buffer) -> None:
    with (
        Process(mix[0](producer), buffer.shared, 1, 1, *buffer.gates) as one,
        Process(mix[1](consumer), buffer.shared, 1, *buffer.gates) as other,
    ):
        labels = [one.step().at for _ in range(6)]
        assert labels == [
            *("sem_wait(empty)", "sem_wait(mutex)", "store item"),
            *("store tail", "sem_post(mutex)", "sem_post(full)"),
        ]
        assert (buffer.values, buffer.ends, buffer.items[0]) == ((3, 1, 1), (0, 1), item(1, 1))
        labels = [other.step().at for _ in range(6)]
        assert labels == [
            *("sem_wait(full)", "sem_wait(mutex)", f"took {item(1, 1)}"),
            *("store head", "sem_post(mutex)", "sem_post(empty)"),
        ]
        assert (buffer.values, buffer.ends) == ((4, 0, 1), (1, 1))
        assert one.run().wait().ok
        assert other.run().wait().ok
        assert other.output == "1\n"


def test_what_blocks_when(mix: Any, buffer: Buffer) -> None:
    with (
        Process(mix[0](producer), buffer.shared, 1, 9, *buffer.gates) as one,
        Process(mix[1](consumer), buffer.shared, 9, *buffer.gates) as other,
    ):
        assert other.step().on == f"sem_wait on '{buffer.full.name}'"
        one.run()
        other.run()
        assert one.wait().ok
        assert other.wait().ok
        assert other.output == "45\n"
    assert buffer.values == (4, 0, 1)


def test_a_full_buffer_blocks_the_producer_and_not_in_the_mutex(mix: Any, buffer: Buffer) -> None:
    with Process(mix[0](producer), buffer.shared, 1, 9, *buffer.gates) as one:
        one.run()
        until_blocked(one, buffer.empty)
        assert (buffer.values, buffer.ends) == ((0, 4, 1), (0, 4))
        with Process(mix[1](consumer), buffer.shared, 1, *buffer.gates) as other:
            assert other.run().wait().ok
        deadline = monotonic() + 5
        while buffer.words[TAIL] < 5:
            assert monotonic() < deadline
        until_blocked(one, buffer.empty)


def test_nothing_is_lost_and_nothing_taken_twice(mix: Any, buffer: Buffer) -> None:
    """Two of either at full speed: each item's number is in the sums exactly once."""
    times = 2000
    producers = [Process(mix[0](producer), buffer.shared, who, times, *buffer.gates) for who in (1, 2)]
    consumers = [Process(mix[1](consumer), buffer.shared, times, *buffer.gates) for _ in range(2)]
    start(*producers, *consumers)
    for process in (*producers, *consumers):
        process.run()
    for process in (*producers, *consumers):
        assert process.wait(30).ok
    assert sum(int(each.output) for each in consumers) == times * (times + 1)
    assert buffer.ends == (2 * times, 2 * times)
    assert buffer.values == (4, 0, 1)


# --- a producer is killed ----------------------------------------------------------------------------------


def killed_after(steps: int, program: Any, buffer: Buffer) -> None:
    victim = Process(program, buffer.shared, 2, 9, *buffer.gates)
    for _ in range(steps):
        victim.step()
    os.kill(victim.pid or 0, signal.SIGKILL)
    assert victim.wait().signal == signal.SIGKILL


def test_killed_with_the_mutex_in_hand_it_blocks_everybody(mix: Any, buffer: Buffer) -> None:
    """FACTS F66: a POSIX semaphore has no owner."""
    killed_after(2, mix[0](producer), buffer)
    with (
        Process(mix[0](producer), buffer.shared, 1, 9, *buffer.gates) as one,
        Process(mix[1](consumer), buffer.shared, 9, *buffer.gates) as other,
    ):
        one.run()
        until_blocked(one, buffer.mutex)
        other.run()
        until_blocked(other, buffer.full)
        begin = monotonic()
        one.stop(), other.stop()
        assert monotonic() - begin < 1
    assert buffer.values == (2, 0, 0)


def test_killed_between_its_waits_it_costs_a_slot(mix: Any, buffer: Buffer) -> None:
    killed_after(1, mix[0](producer), buffer)
    with Process(mix[0](producer), buffer.shared, 1, 9, *buffer.gates) as one:
        one.run()
        until_blocked(one, buffer.empty)
        assert buffer.ends == (0, 3)
        assert buffer.values == (0, 3, 1)


def test_killed_before_it_posts_full_its_item_is_there_and_uncounted(mix: Any, buffer: Buffer) -> None:
    killed_after(5, mix[0](producer), buffer)
    assert buffer.ends == (0, 1)
    assert buffer.values == (3, 0, 1)
    with Process(mix[1](consumer), buffer.shared, 1, *buffer.gates) as other:
        assert other.step().on == f"sem_wait on '{buffer.full.name}'"


# --- one of either: no semaphore ---------------------------------------------------------------------------


def test_alone_they_look_and_look_again(mix: Any, buffer: Buffer) -> None:
    with (
        Process(mix[0](lone_producer), buffer.shared, 1, 5) as one,
        Process(mix[1](lone_consumer), buffer.shared, 5) as other,
    ):
        assert other.step().at == "empty: look again"
        for _ in range(8):
            one.step()
        assert buffer.ends == (0, 4)
        assert one.step().at == "full: look again"
        assert other.step().at == f"took {item(1, 1)}"
        assert one.step().at == "full: look again", "the slot is given back by the head, not by the load"
        other.step()
        assert one.step().at == "store item"


def test_alone_they_lose_nothing(mix: Any, buffer: Buffer) -> None:
    times = 20_000
    one = Process(mix[0](lone_producer), buffer.shared, 1, times)
    other = Process(mix[1](lone_consumer), buffer.shared, times)
    with one, other:
        start(one, other)
        one.run(), other.run()
        assert one.wait(30).ok
        assert other.wait(30).ok
        assert int(other.output) == times * (times + 1) // 2


@pytest.mark.parametrize("way", ["copy", "ring", "pipe", "socket pair", "queue"])
def test_messages_arrive_by_every_way(way: str, buffer: Buffer) -> None:
    with Process(channel, buffer.shared, way, 50, 5000, own_name("ring")) as process:
        outcome = process.run().wait()
        assert outcome.ok, f"{outcome}\n{outcome.traceback}\n{process.output}"
    assert buffer.words[0] > 0
    assert [each.name for each in observe.objects(own_name("ring*"))] == []


@needs_cc
@pytest.mark.parametrize("program", ALL)
def test_a_twin_says_how_it_is_called(program: Any) -> None:
    with Process(in_c(program)) as process:
        outcome = process.run().wait()
    assert outcome.status == 2
    assert process.output.startswith("usage: ")


# --- figures -----------------------------------------------------------------------------------------------


def test_durations_are_written_beside_their_bars_and_ours_stands_out_by_more_than_colour() -> None:
    times = {"ring": 3.74, "pipe": 45.2, "queue": 0.0}
    canvas, ax = figures.figure(1000, 380)
    figures.draw_durations(ax, times, "µs", "A message", "time per message", striking="ring")
    canvas.draw()
    assert [label.get_text() for label in ax.get_yticklabels()] == ["ring", "pipe", "queue"]
    assert [text.get_text() for text in ax.texts] == ["3.74 µs", "45.2 µs", "0 µs"]
    assert "(µs)" in ax.get_xlabel()
    assert len({patch.get_hatch() for patch in ax.patches}) == 2
    assert all(text.get_window_extent().x1 <= 1000 for text in ax.texts)
    said = figures.describe_durations(times, "µs", "A message")
    assert said == "A message: ring 3.74 µs, pipe 45.2 µs, queue 0 µs."
    figures.draw_durations(figures.figure()[1], {}, "µs", "Nothing", "time")


# --- exercises ---------------------------------------------------------------------------------------------


def test_the_right_values() -> None:
    verdict = check.exercise("12-a", (5, 3, 1))
    assert verdict, verdict


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((8, 0, 1), "8 items into 5 empty slots"),
        ((5, 0, 1), "took 5 of them"),
        ((5, 3, 0), "waits on it for ever"),
        ((5, 3, 2), "at the buffer at once"),
        ((3, 5, 1), "until 6 of 8 slots were full"),
        ((5, 8, 1), "full is still 5"),
        ((5, 3), "not three numbers"),
        ((5, -3, 1), "whole number"),
        ((5, True, 1), "whole number"),
        (None, "not three numbers"),
    ],
)
def test_wrong_values_get_help_that_fits(values: Any, said: str) -> None:
    begin = monotonic()
    verdict = check.exercise("12-a", values)
    assert not verdict
    assert said in repr(verdict)
    assert monotonic() - begin < 10


def open_all(gates: tuple[str, ...]) -> list[posix.Semaphore]:
    return [posix.sem_open(gate, 0) for gate in gates]


def take(buffer: memoryview) -> None:
    head = buffer[HEAD]
    item = buffer[FIRST + head % buffer[SLOTS]]
    buffer[HEAD] = head + 1
    print(item)


def right_order(buffer, times, *gates):  # type: ignore[no-untyped-def]
    empty, full, mutex = open_all(gates)
    for _ in range(times):
        posix.sem_wait(full)
        posix.sem_wait(mutex)
        take(buffer)
        posix.sem_post(mutex)
        posix.sem_post(empty)
        yield "taken"


def mutex_first(buffer, times, *gates):  # type: ignore[no-untyped-def]
    empty, full, mutex = open_all(gates)
    for _ in range(times):
        posix.sem_wait(mutex)
        posix.sem_wait(full)
        take(buffer)
        posix.sem_post(mutex)
        posix.sem_post(empty)
        yield "taken"


def no_mutex(buffer, times, *gates):  # type: ignore[no-untyped-def]
    empty, full, _ = open_all(gates)
    for _ in range(times):
        posix.sem_wait(full)
        take(buffer)
        posix.sem_post(empty)
        yield "taken"


def forgets_empty(buffer, times, *gates):  # type: ignore[no-untyped-def]
    _, full, mutex = open_all(gates)
    for _ in range(times):
        posix.sem_wait(full)
        posix.sem_wait(mutex)
        take(buffer)
        posix.sem_post(mutex)
        yield "taken"


def forgets_the_mutex(buffer, times, *gates):  # type: ignore[no-untyped-def]
    empty, full, mutex = open_all(gates)
    for _ in range(times):
        posix.sem_wait(full)
        posix.sem_wait(mutex)
        take(buffer)
        posix.sem_post(empty)
        yield "taken"


def does_not_wait(buffer, times, *gates):  # type: ignore[no-untyped-def]
    for _ in range(times):
        take(buffer)
        yield "taken"


def looks_and_looks(buffer, times, *gates):  # type: ignore[no-untyped-def]
    while buffer[HEAD] == buffer[8 - 7]:
        yield "looked"


def moves_nothing(buffer, times, *gates):  # type: ignore[no-untyped-def]
    empty, full, mutex = open_all(gates)
    for _ in range(times):
        posix.sem_wait(full)
        posix.sem_wait(mutex)
        print(buffer[FIRST])
        posix.sem_post(mutex)
        posix.sem_post(empty)
        yield "taken"


def of_two_arguments(buffer, times):  # type: ignore[no-untyped-def]
    yield times


def raises(buffer, times, *gates):  # type: ignore[no-untyped-def]
    yield 1 // 0


def test_a_right_consumer() -> None:
    verdict = check.exercise("12-b", right_order)
    assert verdict, verdict
    assert not check.exercise("12-b", consumer), "it prints a sum, not items"


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (mutex_first, "with the mutex in its hand"),
        (no_mutex, "somebody else held the mutex"),
        (forgets_empty, "empty is 3 of 4"),
        (forgets_the_mutex, "the mutex is 0"),
        (does_not_wait, "the buffer is empty, and it ended"),
        (looks_and_looks, "the buffer is empty, and it is running"),
        (moves_nothing, "the head is 0"),
        (of_two_arguments, "It's called as the one above"),
        (raises, "ZeroDivisionError"),
        (42, "not a program"),
        (None, "not a program"),
        (sum, "can't be sent"),
    ],
)
def test_a_wrong_consumer_is_caught(program: Any, said: str) -> None:
    begin = monotonic()
    verdict = check.exercise("12-b", program)
    assert not verdict
    assert said in repr(verdict)
    assert monotonic() - begin < 12


def pairs_by_turns(buffer, times, *gates):  # type: ignore[no-untyped-def]
    empty, full, mutex, turn = open_all(gates)
    for _ in range(times):
        posix.sem_wait(turn)
        posix.sem_wait(full)
        posix.sem_wait(full)
        posix.sem_wait(mutex)
        take(buffer), take(buffer)
        posix.sem_post(mutex)
        posix.sem_post(turn)
        posix.sem_post(empty)
        posix.sem_post(empty)
        yield "two"


def pairs_at_once(buffer, times, *gates):  # type: ignore[no-untyped-def]
    empty, full, mutex, _ = open_all(gates)
    for _ in range(times):
        posix.sem_wait(full)
        posix.sem_wait(full)
        posix.sem_wait(mutex)
        take(buffer), take(buffer)
        posix.sem_post(mutex)
        posix.sem_post(empty)
        posix.sem_post(empty)
        yield "two"


def pairs_by_mutex(buffer, times, *gates):  # type: ignore[no-untyped-def]
    _, full, mutex, _ = open_all(gates)
    posix.sem_wait(mutex)
    posix.sem_wait(full)
    posix.sem_wait(full)
    yield "two"


def pairs_that_keep_the_turn(buffer, times, *gates):  # type: ignore[no-untyped-def]
    empty, full, mutex, turn = open_all(gates)
    posix.sem_wait(turn)
    posix.sem_wait(full)
    posix.sem_wait(full)
    posix.sem_wait(mutex)
    take(buffer), take(buffer)
    posix.sem_post(mutex)
    posix.sem_post(empty)
    posix.sem_post(empty)
    yield "two"


def pairs_that_make_room_for_one(buffer, times, *gates):  # type: ignore[no-untyped-def]
    empty, full, mutex, turn = open_all(gates)
    posix.sem_wait(turn)
    posix.sem_wait(full)
    posix.sem_wait(full)
    posix.sem_wait(mutex)
    take(buffer), take(buffer)
    posix.sem_post(mutex)
    posix.sem_post(turn)
    posix.sem_post(empty)
    yield "two"


def test_pairs_by_turns() -> None:
    for _ in range(5):
        verdict = check.exercise("12-c", pairs_by_turns)
        assert verdict, verdict


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (pairs_at_once, "each has got one: a deadlock"),
        (pairs_by_mutex, "with the mutex in its hand"),
        (pairs_that_keep_the_turn, "3 and 4 were there, and it is blocked in sem_wait"),
        (pairs_that_make_room_for_one, "empty, full, mutex and turn are [2, 0, 1, 1]"),
        (does_not_wait, "the buffer is empty, and it ended"),
        (of_two_arguments, "It's called as the one above"),
        (raises, "ZeroDivisionError"),
        ("pairs", "not a program"),
    ],
)
def test_half_a_pair_is_caught_every_time(program: Any, said: str) -> None:
    for _ in range(5 if program is pairs_at_once else 1):
        begin = monotonic()
        verdict = check.exercise("12-c", program)
        assert not verdict
        assert said in repr(verdict)
        assert monotonic() - begin < 12


@pytest.mark.parametrize("id_", ["12-a", "12-b", "12-c"])
def test_a_judge_never_raises(id_: str) -> None:
    for value in (object(), [], b"", print, lambda: None, os):
        assert not check.exercise(id_, value)
