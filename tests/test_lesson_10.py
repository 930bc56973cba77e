"""Lesson 10: what its programs do, in Python and in C, by schedule and at full speed; what its judges say."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from time import monotonic
from typing import Any

import pytest

from shmlab import (
    Process,
    Shared,
    check,
    every_schedule,
    figures,
    in_c,
    own_key,
    own_name,
    posix,
    run_schedule,
    sysv,
)
from shmlab.processes import start
from shmlab.programs import find_compiler
from shmlab.programs.increment import increment
from shmlab.programs.racer import COUNT, CURE, CURES, OWN, racer
from shmlab.programs.record_reader import READS, TORN, record_reader
from shmlab.programs.record_writer import record_writer
from shmlab.programs.slow_reader import SEEN, slow_reader
from shmlab.programs.store_then_load import store_then_load

needs_cc = pytest.mark.skipif(find_compiler() is None, reason="no C compiler")
LANGUAGES = [pytest.param("Python"), pytest.param("C", marks=needs_cc)]
PROCESSORS = sorted(os.sched_getaffinity(0))


@pytest.fixture(params=LANGUAGES)
def language(request: pytest.FixtureRequest) -> str:
    spoken: str = request.param
    return spoken


class Memory:
    """An object of 64-bit words, and the semaphores of a race."""

    def __init__(self) -> None:
        self.mapping = posix.create(own_name("counter"), 4096)
        self.name = self.mapping.name or ""
        self.words = self.mapping.buf.cast("Q")
        self.mutex = posix.sem_open(own_name("mutex"), posix.O_CREAT | posix.O_EXCL, value=1)
        self.key = own_key("mutex")
        self.set = sysv.semget(self.key, 1, sysv.IPC_CREAT | sysv.IPC_EXCL | 0o600)
        sysv.semctl(self.set, 0, sysv.SETVAL, 1)

    def fresh(self) -> None:
        for place in range(len(self.words)):
            self.words[place] = 0

    def process(self, language: str, program: Any, *arguments: Any, label: str | None = None) -> Process:
        """A process that works on it: Python's gets the words, C's the name."""
        if language == "C":
            return Process(in_c(program), self.name, *map(str, arguments), label=label)
        first = self.name if program is racer else Shared(self.name)
        return Process(program, first, *arguments, label=label)

    def racers(self, language: str, count: int, times: int) -> list[Process]:
        return [
            self.process(language, racer, who, times, self.mutex.name, self.key)
            for who in range(1, count + 1)
        ]

    def remove(self) -> None:
        self.words.release()
        posix.munmap(self.mapping)
        posix.shm_unlink(self.name)
        posix.sem_unlink(self.mutex.name)
        sysv.semctl(self.set, 0, sysv.IPC_RMID)


@pytest.fixture
def memory() -> Iterator[Memory]:
    made = Memory()
    yield made
    made.remove()


def let_go(*processes: Process, seconds: float = 30) -> None:
    """Let processes run from a common start to their ends."""
    with ExitStack() as stack:
        for process in processes:
            stack.enter_context(process)
        start(*processes)
        for process in processes:
            process.run()
        for process in processes:
            outcome = process.wait(seconds)
            assert outcome.ok, f"{outcome}: {process.output}"


# --- the racer ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cure", CURES)
def test_a_racer_counts_in_its_own_word_and_every_cure_cures(
    language: str, cure: str, memory: Memory
) -> None:
    if (language, cure) == ("Python", "atomic"):
        pytest.skip("Python has no atomic addition")
    memory.words[CURE] = CURES.index(cure)
    let_go(*memory.racers(language, 3, 2000))
    assert [memory.words[OWN * who] for who in range(5)][1:] == [2000, 2000, 2000, 0]
    if cure == "none":
        assert 2 <= memory.words[COUNT] <= 6000
    else:
        assert memory.words[COUNT] == 6000


@pytest.mark.parametrize("cure", ["none", "POSIX semaphore", "System V semaphore", "flock"])
def test_a_racer_that_holds_a_guard_keeps_the_other_out(language: str, cure: str, memory: Memory) -> None:
    memory.words[CURE] = CURES.index(cure)
    a, b = memory.racers(language, 2, 1)
    with a, b:
        assert a.step().at == "load"
        state = b.step()
        if cure == "none":
            assert state.at == "load"
        else:
            assert state.kind == "blocked", state
            assert state.on.split()[0] in ("sem_wait", "semop", "semtimedop", "flock")


def test_the_switch_counts_from_the_next_increment_on(language: str, memory: Memory) -> None:
    a, b = memory.racers(language, 2, 2)
    with a, b:
        a.step(), a.step()
        memory.words[CURE] = 1
        assert a.step().at == "load"
        assert b.step().kind == "blocked"
        a.step(), a.step()
        assert b.pause().at == "load"
        b.step()
        assert memory.words[COUNT] == 3


def test_python_refuses_to_be_atomic_and_says_so(memory: Memory) -> None:
    memory.words[CURE] = CURES.index("atomic")
    (one,) = memory.racers("Python", 1, 1)
    with one:
        assert "that takes C" in str(one.run().wait())


def test_a_killed_holder_of_the_system_v_semaphore_gives_it_back(language: str, memory: Memory) -> None:
    memory.words[CURE] = 2
    a, b = memory.racers(language, 2, 1)
    with b:
        with a:
            a.step()
        assert b.step().at == "load"


# --- races at full speed -----------------------------------------------------------------------------------


def test_the_lessons_race_loses_as_a_rule_and_never_more_than_can_be(memory: Memory) -> None:
    results = []
    for _ in range(5):
        memory.fresh()
        let_go(*(memory.process("Python", increment, 100_000) for _ in range(2)))
        results.append(memory.words[0])
    assert all(2 <= result <= 200_000 for result in results)
    assert min(results) < 200_000


def test_the_worst_schedule_leaves_two(language: str, memory: Memory) -> None:
    pair = [memory.process(language, increment, 20, label=label) for label in "AB"]
    run_schedule(pair, "A" + 38 * "B" + "AB" + 38 * "A" + "B")
    assert memory.words[0] == 2


@needs_cc
@pytest.mark.parametrize(
    "processors", [PROCESSORS[:1] * 2, [PROCESSORS[0], PROCESSORS[-1]]], ids=["one", "two"]
)
def test_an_instruction_with_the_lock_prefix_loses_nothing(processors: list[int], memory: Memory) -> None:
    for how in ("plain", "lock"):
        memory.fresh()
        pair = [Process(in_c("instruction"), memory.name, "1000000", how) for _ in range(2)]
        start(*pair)
        for process, processor in zip(pair, processors, strict=True):
            os.sched_setaffinity(process.pid or 0, {processor})
        let_go(*pair)
        if how == "lock" or (processors[0] == processors[1] and os.uname().machine == "x86_64"):
            assert memory.words[0] == 2_000_000
        else:
            assert 2 <= memory.words[0] <= 2_000_000


# --- records -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stores", range(17))
def test_a_record_is_torn_when_it_is_read_in_the_middle_of_a_version(
    stores: int, language: str, memory: Memory
) -> None:
    writer = memory.process(language, record_writer, 8, 2, label="W")
    reader = memory.process(language, record_reader, 8, 1, label="R")
    run_schedule([writer, reader], stores * "W" + "R")
    assert memory.words[READS] == 1
    assert memory.words[TORN] == (stores % 8 > 0)


def test_a_single_number_is_never_torn(language: str, memory: Memory) -> None:
    with memory.process(language, record_writer, 1, 10**9) as writer:
        reader = memory.process(language, record_reader, 1, 50_000)
        writer.run()
        let_go(reader)
    assert (memory.words[READS], memory.words[TORN]) == (50_000, 0)


def test_eight_numbers_are_torn_at_full_speed(language: str, memory: Memory) -> None:
    """Until one is: on one processor a time slice may pass without."""
    deadline = monotonic() + 20
    with memory.process(language, record_writer, 8, 10**9) as writer:
        writer.run()
        while not memory.words[TORN]:
            assert monotonic() < deadline
            let_go(memory.process(language, record_reader, 8, 10_000))


def test_a_slow_reader_may_take_home_what_never_was(language: str, memory: Memory) -> None:
    writer = memory.process(language, record_writer, 3, 3, label="W")
    reader = memory.process(language, slow_reader, 3, label="R")
    run = run_schedule([writer, reader], "WRWWWWRWWWWR")
    assert list(memory.words[SEEN : SEEN + 3]) == [1, 2, 3]
    assert [turn.label for turn in run.turns if turn.who == "R" and turn.kind == "step"] == [
        "load 0",
        "load 1",
        "load 2",
    ]


@needs_cc
def test_a_record_of_a_hundred_numbers_is_refused(memory: Memory) -> None:
    with Process(in_c(record_reader), memory.name, "100", "1") as reader:
        assert not reader.run().wait().ok
        assert "1 to 16 words" in reader.output


# --- order -------------------------------------------------------------------------------------------------


def test_under_every_schedule_somebody_sees_the_other(language: str, memory: Memory) -> None:
    pair = [memory.process(language, store_then_load, who, label="AB"[who]) for who in (0, 1)]
    table = every_schedule(pair, watch={"read": lambda: (memory.words[2], memory.words[3])}).all()
    assert sorted({run.memory["read"] for run in table}) == [(0, 1), (1, 0), (1, 1)]
    assert len(table) == 6


@needs_cc
@pytest.mark.parametrize("fence", ["none", "fence"])
def test_rounds_are_counted_and_a_fence_leaves_none_in_which_neither_saw(fence: str, memory: Memory) -> None:
    let_go(*(Process(in_c("store_buffer"), memory.name, str(who), "5000", fence) for who in (0, 1)))
    rounds, neither = memory.words[6 * 8], memory.words[7 * 8]
    assert rounds == 5000
    assert 0 <= neither <= (0 if fence == "fence" else rounds)


@needs_cc
def test_whoever_waits_in_vain_for_the_other_ends(memory: Memory) -> None:
    with Process(in_c("store_buffer"), memory.name, "0", "1", "none") as one:
        assert str(one.run().wait(30)) == "exited with status 1"
        assert "doesn't come" in one.output


@needs_cc
@pytest.mark.parametrize(
    "name",
    [
        "racer",
        "record_writer",
        "record_reader",
        "slow_reader",
        "store_then_load",
        "store_buffer",
        "instruction",
    ],
)
def test_c_says_how_it_is_called(name: str) -> None:
    with Process(in_c(name)) as process:
        assert str(process.run().wait()) == "exited with status 2"
        assert "usage: " in process.output


# --- figures -----------------------------------------------------------------------------------------------


def test_what_survived_is_drawn_and_told() -> None:
    results = [20_000, 9_000, 15_000]
    canvas, ax = figures.figure(900, 420)
    figures.draw_survivors(ax, results, each=10_000)
    canvas.draw()
    assert [float(x) for x, _ in ax.collections[-1].get_offsets()] == results
    told = figures.describe_survivors(results, each=10_000)
    assert "between 9,000 and 20,000 survived; 1 of them lost nothing, and in 1 fewer survived" in told


def test_rates_are_drawn_on_a_logarithmic_axis_with_their_figures() -> None:
    rates = {"none": 3_440_000.0, "flock": 216_183.0, "atomic": None}
    canvas, ax = figures.figure(900, 300)
    figures.draw_rates(ax, rates, "flock", "Cost")
    canvas.draw()
    assert ax.get_xscale() == "log"
    assert [text.get_text() for text in ax.texts] == [
        "nothing: 3.44 million",
        "flock: 216,000",
        "atomic: not tried",
    ]
    assert "none 3.44 million, flock 216,000." in figures.describe_rates(rates, "Cost")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "0"),
        (7, "7"),
        (999.6, "1,000"),
        (45_678, "45,700"),
        (1_234_567, "1.23 million"),
        (2e9, "2 billion"),
    ],
)
def test_short_numbers(number: float, words: str) -> None:
    assert figures.short_number(number) == words


# --- exercises ---------------------------------------------------------------------------------------------


def test_the_right_number_of_schedules() -> None:
    verdict = check.exercise("10-a", 3)
    assert verdict, verdict
    assert "AAAABB, AABBAA, BBAAAA" in verdict.message


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (12, "in 12 of 15"),
        (4, "side by side"),
        (16, "there are 15"),
        (-1, "there are 15"),
        ("3", "whole number"),
        (True, "whole number"),
        (None, "whole number"),
    ],
)
def test_a_wrong_number_gets_help_that_fits(answer: Any, said: str) -> None:
    verdict = check.exercise("10-a", answer)
    assert not verdict
    assert said in repr(verdict)


@pytest.mark.parametrize("schedule", ["W R WWWW R WWWW R", "wrwwwwrwwwwr", [*"WRWWWWRWWWWR"]])
def test_a_schedule_that_mixes_three_versions(schedule: Any) -> None:
    verdict = check.exercise("10-b", schedule)
    assert verdict, verdict


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        ("WWW RRR WWWWWW", "took home [1, 1, 1]"),
        ("RRR", "took home [0, 0, 0]"),
        ("W R WWWW R R", "Its last load"),
        ("", "took home [3, 3, 3]"),
        ("WWRRRR", "R gets 4 steps"),
        (10 * "W", "W gets 10 steps"),
        ("AB", "no process 'A'"),
        ("W!R", "nobody needs to be killed"),
        (3, "not a text"),
        (None, "not a text"),
    ],
)
def test_another_schedule_is_played_and_told(schedule: Any, said: str) -> None:
    verdict = check.exercise("10-b", schedule)
    assert not verdict
    assert said in repr(verdict)


def own_word(memory, who, times):  # type: ignore[no-untyped-def]
    for _ in range(times):
        value = memory[who]
        yield "load"
        memory[who] = value + 1
        yield "store"


def own_word_at_once(memory, who, times):  # type: ignore[no-untyped-def]
    for _ in range(times):
        memory[who] += 1
        yield "added"


def common_word(memory, who, times):  # type: ignore[no-untyped-def]
    for _ in range(times):
        value = memory[1]
        yield "load"
        memory[1] = value + 1
        yield "store"


def common_word_without_a_yield(memory, who, times):  # type: ignore[no-untyped-def]
    for _ in range(times):
        memory[1] += 1
        yield "added"


def counts_once(memory, who, times):  # type: ignore[no-untyped-def]
    memory[who] += 1
    yield "added"


def counts_twice(memory, who, times):  # type: ignore[no-untyped-def]
    for _ in range(times):
        memory[who] += 2
        yield "added"


def never_ends(memory, who, times):  # type: ignore[no-untyped-def]
    while True:
        yield who


def many_steps(memory, who, times):  # type: ignore[no-untyped-def]
    for place in range(8, 20):
        memory[place + 100 * who] = 1
        yield "elsewhere"
    memory[who] += times
    yield "added"


def raises(memory, who, times):  # type: ignore[no-untyped-def]
    yield memory[10**9]


@pytest.mark.parametrize("program", [own_word, own_word_at_once])
def test_a_tally_in_ones_own_word(program: Any) -> None:
    verdict = check.exercise("10-c", program)
    assert verdict, verdict


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (common_word, "once each, by the schedule ABAB: words 1 and 2 are 1 and 0"),
        (common_word_without_a_yield, "both processes store into word 1"),
        (counts_once, "together 2 and not 6"),
        (counts_twice, "together 12 and not 6"),
        (never_ends, "has not ended"),
        (many_steps, "too many steps"),
        (raises, "raised IndexError"),
        (sum, "can't be sent"),
        (None, "not a program"),
        ("tally", "not a program"),
    ],
)
def test_a_tally_that_can_lose_is_caught(program: Any, said: str) -> None:
    begin = monotonic()
    verdict = check.exercise("10-c", program)
    assert not verdict
    assert said in repr(verdict)
    assert monotonic() - begin < 12


@pytest.mark.parametrize("id_", ["10-a", "10-b", "10-c"])
def test_a_judge_never_raises(id_: str) -> None:
    for value in (object(), [], b"", print, lambda: None, os):
        with suppress(KeyError):
            assert not check.exercise(id_, value)
