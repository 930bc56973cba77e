"""Every schedule: as many as there are, each once, with what arithmetic says; deadlocks, spinning, bounds."""

import os
from collections import Counter
from itertools import permutations
from time import monotonic

import pytest

from shmlab import Process, Shared, every_schedule, in_c, own_name, posix, run_schedule
from shmlab.processes import Interleaving
from shmlab.processes.schedule_table import ScheduleTable
from shmlab.programs import find_compiler
from shmlab.programs.increment import increment
from shmlab.programs.increment_posix_semaphore import increment_posix_semaphore
from shmlab.programs.two_semaphores import two_semaphores
from shmlab.programs.two_semaphores_ordered import two_semaphores_ordered

needs_cc = pytest.mark.skipif(find_compiler() is None, reason="no C compiler")


@pytest.fixture
def counter(memory):
    numbers = memory.buf.cast("Q")
    yield numbers
    numbers.release()


@pytest.fixture
def mutexes():
    names = [own_name(word) for word in ("one", "other")]
    for name in names:
        posix.sem_close(posix.sem_open(name, os.O_CREAT | os.O_EXCL, 0o600, 1))
    yield names
    for name in names:
        posix.sem_unlink(name)


def orders(steps):
    """Every order of so many steps of each process, by the standard library: the oracle."""
    return {"".join(each) for each in permutations("".join(who * n for who, n in steps.items()))}


def arithmetic(schedule):
    """What a counter holds after load, store, load, store, … of each process in this order."""
    value, local, steps = 0, {}, Counter()
    for who in schedule:
        if steps[who] % 2 == 0:
            local[who] = value
        else:
            value = local[who] + 1
        steps[who] += 1
    return value


def verdict(run):
    return "right" if run.memory["page"] == 2 else "lost update"


def posts_at_the_end(counter, name):
    """Its last act comes after its last yield, and is one that others see."""
    sem = posix.sem_open(name, 0)
    posix.sem_wait(sem)
    counter[0] += 1
    yield "wait and add"
    posix.sem_post(sem)


def raises_flag(flag):
    flag[0] = 1
    yield "raise"


def awaits_flag(flag):
    while not flag[0]:
        yield "look"
    yield "seen"


def forever(counter):
    while True:
        counter[0] += 1
        yield "on"


def fickle(counter, path):
    with open(path) as file:
        other = len(file.read()) > 1
    with open(path, "a") as file:
        file.write("x")
    yield "other" if other else "one"
    yield "end"


class TestEverySchedule:
    def test_two_increments(self, counter, memory):
        counter[0] = 0
        two = [Process(increment, Shared(memory.name), 1), Process(increment, Shared(memory.name), 1)]
        every = every_schedule(two, outcome=verdict)
        assert (every.runs, every.progress, every.bound, every.complete) == ([], 0.0, 0, False)
        begin, seen = monotonic(), []
        for number, _ in enumerate(every, 1):
            assert len(every.runs) == number
            seen.append(every.progress)
        assert monotonic() - begin < 3
        assert seen == sorted(seen)
        assert seen[-1] == 1.0
        assert all(share < 1 for share in seen[:-1])
        assert every.complete
        assert every.repeatable
        assert every.bound == 6
        assert {run.schedule: run.memory["page"] for run in every.runs} == {
            schedule: arithmetic(schedule) for schedule in orders({"A": 2, "B": 2})
        }
        assert len(every.runs) == 6
        assert every.table.counts == {"lost update": 4, "right": 2}
        assert counter[0] == 0

    @needs_cc
    def test_c_and_python(self, counter, memory):
        mixed = [Process(in_c(increment), Shared(memory.name), 1), Process(increment, Shared(memory.name), 1)]
        assert every_schedule(mixed, outcome=verdict).all().counts == {"lost update": 4, "right": 2}

    def test_twice_two_increments(self, counter, memory):
        two = [Process(increment, Shared(memory.name), times) for times in (2, 1)]
        table = every_schedule(two).all()
        assert {run.schedule: run.memory["page"] for run in table} == {
            schedule: arithmetic(schedule) for schedule in orders({"A": 4, "B": 2})
        }
        assert len(table) == 15

    def test_a_semaphore_makes_every_schedule_right(self, counter, memory, mutexes):
        two = [Process(increment_posix_semaphore, Shared(memory.name), mutexes[0], 1) for _ in "AB"]
        table = every_schedule(two, outcome=verdict).all()
        assert table.counts == {"right": 8}
        assert len({run.schedule for run in table}) == 8

    def test_deadlocks(self, mutexes):
        two = [Process(two_semaphores, *mutexes), Process(two_semaphores, *reversed(mutexes))]
        every = every_schedule(two, outcome=lambda run: "right")
        table = every.all()
        assert sorted(run.schedule for run in table.where("deadlock")) == ["ABAB", "ABBA", "BAAB", "BABA"]
        assert table.counts.keys() == {"deadlock", "right"}
        assert {str(run.deadlock) for run in table.where("deadlock")} == {
            "deadlock: A waits for other, held by B; B waits for one, held by A",
            "deadlock: B waits for one, held by A; A waits for other, held by B",
        }
        replayed = run_schedule(two, table.where("deadlock")[0].schedule, setup=lambda: None, complete=False)
        assert replayed.result == "deadlock"
        for name in mutexes:  # every run began with 1 each; the last replay left them at 0
            sem = posix.sem_open(name, 0)
            posix.sem_post(sem)
            posix.sem_close(sem)

    def test_an_order_for_all_and_nobody_deadlocks(self, mutexes):
        two = [Process(two_semaphores_ordered, *mutexes), Process(two_semaphores_ordered, *reversed(mutexes))]
        assert every_schedule(two).all().counts == {"ended": 8}

    def test_an_end_that_others_see_is_a_choice(self, counter, memory, mutexes):
        two = [Process(posts_at_the_end, Shared(memory.name), mutexes[0]) for _ in "AB"]
        table = every_schedule(two).all()
        assert sorted(run.schedule for run in table) == ["AABB", "ABAB", "BABA", "BBAA"]
        assert {run.result for run in table} == {"page = 2"}

    def test_who_spins_is_not_chosen_until_something_has_changed(self, counter, memory):
        two = [Process(awaits_flag, Shared(memory.name)), Process(raises_flag, Shared(memory.name))]
        every = every_schedule(two)
        table = every.all()
        assert every.complete
        assert sorted(run.schedule for run in table) == ["AABA", "ABA", "BA"]
        assert all(run.ok for run in table)

    @needs_cc
    @pytest.mark.parametrize("program", [two_semaphores, two_semaphores_ordered])
    def test_twins_go_through_the_same_turns(self, mutexes, program):
        told = []
        for each in (program, in_c(program)):
            two = [Process(each, *mutexes), Process(each, *reversed(mutexes))]
            told.append([[str(turn) for turn in run.turns] for run in every_schedule(two)])
        assert told[0] == told[1]

    def test_bounds(self, counter, memory):
        every = every_schedule([Process(forever, Shared(memory.name))], most_turns=5)
        run = next(every)
        assert (run.result, len(run.turns), every.complete) == ("not ended", 5, True)
        two = [Process(increment, Shared(memory.name), 1) for _ in "AB"]
        every = every_schedule(two, limit=3)
        assert len(every.all()) == 3
        assert not every.complete
        assert "not all: 3 of at most 6 schedules" in repr(every.table)
        assert next(every, None) is None
        with pytest.raises(ValueError, match="at least 1"):
            every_schedule(two, limit=0)

    def test_left_before_its_end_nothing_waits(self, counter, memory):
        two = [Process(increment, Shared(memory.name), 1) for _ in "AB"]
        with every_schedule(two) as every:
            next(every)
        assert next(every, None) is None
        assert counter[0] == 0

    def test_programs_that_do_something_else_each_time_are_noticed(self, memory, tmp_path):
        file = tmp_path / "times"
        file.write_text("")
        two = [Process(fickle, Shared(memory.name), str(file)), Process(increment, Shared(memory.name), 1)]
        every = every_schedule(two)
        every.all()
        assert not every.repeatable
        assert "the same order did not always do the same" in repr(every.table)


@needs_cc
@pytest.mark.slow
def test_a_forced_schedule_loses_every_time_of_a_thousand_and_the_semaphore_never(counter, memory, mutexes):
    bare = [Process(in_c(increment), Shared(memory.name), 1) for _ in "AB"]
    guarded = [Process(in_c(increment_posix_semaphore), Shared(memory.name), mutexes[0], 1) for _ in "AB"]
    for models, expected in ((bare, 1), (guarded, 2)):
        with Interleaving(models, ahead=True) as stage:
            results = Counter(stage.replay("ABAB", finish=True).memory["page"] for _ in range(1000))
            assert results == {expected: 1000}
            stage.put_back()


class TestTable:
    def test_text_and_html(self, counter, memory):
        two = [Process(increment, Shared(memory.name), 1, colour=each) for each in ("#123456", None)]
        table = every_schedule(two, outcome=verdict).all()
        lines = repr(table).splitlines()
        assert lines[0].split() == ["schedule", "page", "result"]
        assert lines[1] == "AABB         2  right"
        assert lines[-1] == "6 schedules: 4 lost update, 2 right"
        html = table._repr_html_()
        assert html.count("<tr>") == 7
        assert html.count("#123456") == 12
        assert "exited" not in html

    def test_empty(self):
        assert repr(ScheduleTable()).splitlines()[-1] == "no schedule has been run"
        assert ScheduleTable().counts == {}
