"""Schedules on real processes: turns, undo, replay, blocked steps that go on by themselves, kills, stop."""

import os
import threading
from itertools import permutations
from time import monotonic

import pytest

from shmlab import Process, Shared, in_c, own_key, own_name, posix, run_schedule, sysv
from shmlab.processes import Interleaving
from shmlab.processes.turns import parse
from shmlab.programs import find_compiler
from shmlab.programs.increment import increment
from shmlab.programs.increment_posix_semaphore import increment_posix_semaphore
from shmlab.programs.increment_sysv_semaphore import increment_sysv_semaphore
from shmlab.programs.two_semaphores import two_semaphores

needs_cc = pytest.mark.skipif(find_compiler() is None, reason="no C compiler")


@pytest.fixture
def counter(memory):
    numbers = memory.buf.cast("Q")
    yield numbers
    numbers.release()


@pytest.fixture
def pair(memory):
    return [Process(increment, Shared(memory.name), 1), Process(increment, Shared(memory.name), 1)]


@pytest.fixture
def mutex(semaphore):
    posix.sem_post(semaphore)
    return semaphore


@pytest.fixture
def other():
    name = own_name("other")
    posix.sem_close(posix.sem_open(name, os.O_CREAT | os.O_EXCL, 0o600, 1))
    yield name
    posix.sem_unlink(name)


@pytest.fixture
def set_key():
    key = own_key("guard")
    semid = sysv.semget(key, 2, sysv.IPC_CREAT | sysv.IPC_EXCL | 0o600)
    sysv.semctl(semid, 0, sysv.SETALL, [1, 1])
    yield key
    sysv.semctl(semid, 0, sysv.IPC_RMID)


def lost(schedule):
    """What a counter holds after two increments in this order, by arithmetic: the oracle."""
    value, local, steps = 0, {}, {"A": 0, "B": 0}
    for who in schedule:
        if steps[who] == 0:
            local[who] = value
        else:
            value = local[who] + 1
        steps[who] += 1
    return value


def forever():
    while True:
        yield "on"


def spins():
    yield "first"
    while True:
        pass


def fails(counter):
    counter[0] += 1
    yield "added"
    raise ValueError("on purpose")


def waits_twice(name):
    sem = posix.sem_open(name, 0)
    posix.sem_wait(sem)
    yield "once"
    posix.sem_wait(sem)
    yield "twice"


def signals(name):
    sem = posix.sem_open(name, 0)
    yield "open"
    posix.sem_post(sem)
    yield "post"


def awaits(name):
    sem = posix.sem_open(name, 0)
    posix.sem_wait(sem)
    yield "wait"


def takes_member(key, first, second):
    semid = sysv.semget(key, 2, 0)
    sysv.semop(semid, [(first, -1)])
    yield "first"
    sysv.semop(semid, [(second, -1)])
    yield "second"


def makes(name):
    fd = posix.shm_open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    os.ftruncate(fd, 8)
    yield "made"


def reads(path):
    with open(path) as file:
        file.read()
    yield "read"


def waits_and_posts(one, other):
    first, second = posix.sem_open(one, 0), posix.sem_open(other, 0)
    posix.sem_wait(first)
    posix.sem_post(second)
    yield "both"


def posts_and_waits(one, other):
    first, second = posix.sem_open(one, 0), posix.sem_open(other, 0)
    posix.sem_post(first)
    posix.sem_wait(second)
    yield "both"


class TestOneSchedule:
    @pytest.mark.parametrize("schedule", sorted(set(map("".join, permutations("AABB")))))
    def test_the_memory_is_what_arithmetic_says(self, counter, pair, schedule):
        run = run_schedule(pair, schedule)
        assert counter[0] == run.memory["page"] == lost(schedule)
        assert run.schedule == schedule
        assert run.ok
        assert [str(turn) for turn in run.turns[:4]] == [
            f"{who}: {'load' if schedule[:at].count(who) == 0 else 'store'}"
            for at, who in enumerate(schedule)
        ]

    def test_a_turn_tells_line_locals_memory(self, counter, pair):
        counter[0] = 6
        run = run_schedule(pair, "AA", complete=False)
        load, store = run.turns
        assert (load.who, load.kind, load.label, load.line) == ("A", "step", "load", 4)
        assert load.locals["value"] == "6"
        assert (load.memory["page"], store.memory["page"]) == (6, 7)
        assert (load.changed, store.changed) == (False, True)
        assert [state.kind for state in run.states.values()] == ["paused", "paused"]
        assert run.outcomes == {"A": None, "B": None}
        assert run.result == "not ended"

    def test_the_rest_is_run_in_order(self, counter, pair):
        run = run_schedule(pair, "B")
        assert run.schedule == "BAAB"
        assert counter[0] == 1

    def test_setup_comes_before_and_watch_says_what_is_shown(self, counter, pair):
        counter[0] = 77
        run = run_schedule(
            pair,
            "AABB",
            setup=lambda: counter.__setitem__(0, 10),
            watch={"number": lambda: counter[0], "again": pair[0].arguments[0]},
            outcome=lambda run: f"came to {run.memory['number']}",
        )
        assert dict(run.memory) == {"number": 12, "again": 12}
        assert run.result == "came to 12"
        assert str(run) == "AABB: came to 12"

    @needs_cc
    def test_c_and_python_lose_the_same(self, counter, memory):
        mixed = [Process(in_c(increment), Shared(memory.name), 1), Process(increment, Shared(memory.name), 1)]
        run = run_schedule(mixed, "ABAB")
        assert (counter[0], run.ok, run.schedule) == (1, True, "ABAB")

    def test_labels_and_other_spellings(self, memory):
        two = [Process(increment, Shared(memory.name), 1, label=each) for each in ("left", "right")]
        run = run_schedule(two, ["left", "right"])
        assert run.schedule == "left right left right"
        assert parse("a b!a", "AB") == ["A", "B", "!A"]
        assert parse("left right !left", ["left", "right"]) == ["left", "right", "!left"]

    def test_unknown_label(self, pair, counter):
        with pytest.raises(ValueError, match="no process 'C' here: there is A, B"):
            run_schedule(pair, "ABC")
        assert counter[0] == 0

    def test_nobody_or_two_of_a_name(self, memory):
        with pytest.raises(ValueError, match="at least one process"):
            run_schedule([], "")
        with pytest.raises(ValueError, match="same label: x"):
            run_schedule([Process(forever, label="x"), Process(forever, label="x")], "")

    def test_a_program_that_raises(self, counter, memory, pair):
        run = run_schedule([Process(fails, Shared(memory.name)), pair[1]], "AAAB")
        assert [turn.kind for turn in run.turns] == ["step", "ended", "idle", "step", "step", "ended"]
        assert run.result == "A raised ValueError: on purpose"
        assert run.schedule == "AABB"

    def test_a_program_without_an_end(self):
        with Interleaving([Process(forever)]) as stage:
            run = stage.finish(most=20)
            assert len(run.turns) == 20
        assert run.result == "not ended"

    def test_a_step_without_an_end(self, pair):
        run = run_schedule([Process(spins), pair[1]], "AABB", timeout=0.2, complete=False)
        assert [turn.kind for turn in run.turns] == ["step", "running", "step", "step"]
        assert str(run.turns[1]) == "A: still running"


class TestBlocked:
    def test_a_waiter_goes_on_when_it_is_posted_and_before_anybody_is_chosen(self, counter, memory, mutex):
        two = [Process(increment_posix_semaphore, Shared(memory.name), mutex.name, 1) for _ in "AB"]
        run = run_schedule(two, "ABAAA", complete=False)
        told = [str(turn) for turn in run.turns]
        assert told == [
            "A: sem_wait",
            "B: blocked in sem_wait on sem",
            "A: load",
            "A: store",
            "A: sem_post",
            "B (let on): sem_wait",
        ]
        values = [(sem.value, sem.waiters, sem.holders) for turn in run.turns for sem in turn.semaphores]
        assert values == [
            (0, (), ("A",)),
            (0, ("B",), ("A",)),
            (0, ("B",), ("A",)),
            (0, ("B",), ("A",)),
            (0, (), ("B",)),
            (0, (), ("B",)),
        ]
        assert run.turns[1].on == f"sem_wait on '{mutex.name}'"
        assert run.schedule == "ABAAA"

    def test_a_step_asked_of_a_blocked_process(self, memory, mutex):
        two = [Process(increment_posix_semaphore, Shared(memory.name), mutex.name, 1) for _ in "AB"]
        run = run_schedule(two, "ABBBA")
        assert [turn.kind for turn in run.turns[:5]] == ["step", "blocked", "idle", "idle", "step"]
        assert str(run.turns[2]) == "B: no step: blocked in sem_wait on sem after step 0"
        assert (run.memory["page"], run.ok, run.schedule) == (2, True, "ABAAABBB")

    def test_system_v(self, counter, memory, set_key):
        two = [Process(increment_sysv_semaphore, Shared(memory.name), set_key, 1) for _ in "AB"]
        run = run_schedule(two, "AB")
        assert str(run.turns[1]) == "B: blocked in semop on guard[0]"
        assert (counter[0], run.ok) == (2, True)
        assert [(sem.name, sem.value) for sem in run.semaphores] == [("guard[0]", 1), ("guard[1]", 1)]

    @needs_cc
    def test_system_v_in_c(self, counter, memory, set_key):
        program = in_c(increment_sysv_semaphore)
        two = [Process(program, Shared(memory.name), set_key, 1) for _ in "AB"]
        run = run_schedule(two, "AB")
        assert run.turns[1].thing == "guard[0]"
        assert (counter[0], run.ok) == (2, True)

    def test_deadlock_of_one_set(self, set_key):
        run = run_schedule([Process(takes_member, set_key, 0, 1), Process(takes_member, set_key, 1, 0)], "AB")
        assert str(run.deadlock) == (
            "deadlock: A waits for guard[1], held by B; B waits for guard[0], held by A"
        )

    def test_deadlock_is_named_at_once_though_a_third_goes_on(self, mutex, other):
        three = [
            Process(two_semaphores, mutex.name, other),
            Process(two_semaphores, other, mutex.name),
            Process(forever),
        ]
        with Interleaving(three) as stage:
            stage.replay("ABA")
            assert stage.deadlock is None
            stage.step("B")
            assert str(stage.deadlock) == "deadlock: A waits for other, held by B; B waits for sem, held by A"
            assert stage.able == ("C",)
            assert stage.so_far.result == "deadlock"

    def test_a_deadlock_of_one(self, mutex):
        run = run_schedule([Process(waits_twice, mutex.name)], "")
        assert str(run.deadlock) == "deadlock: A waits for sem, held by A itself"

    def test_nobody_is_left_to_post(self, semaphore):
        run = run_schedule([Process(awaits, semaphore.name)], "")
        assert run.result == "blocked for ever"
        assert str(run.deadlock) == "blocked for ever: A waits for sem, and nobody is left to post it"

    def test_a_signal_is_no_deadlock_while_somebody_may_send_it(self, semaphore):
        both = [Process(awaits, semaphore.name), Process(signals, semaphore.name)]
        with Interleaving(both) as stage:
            stage.step("A")
            assert stage.deadlock is None
            run = stage.finish()
        assert run.ok
        assert str(run.turns[3]) == "A (let on): wait"

    def test_a_holder_killed(self, memory, mutex):
        two = [Process(increment_posix_semaphore, Shared(memory.name), mutex.name, 1) for _ in "AB"]
        run = run_schedule(two, "AB!A")
        assert str(run.turns[2]) == "A: killed by signal 9 (SIGKILL: Killed)"
        assert run.schedule == "AB!A"
        assert str(run.deadlock) == "blocked for ever: B waits for sem, held by A, which has ended"

    @pytest.mark.parametrize(("flags", "ok"), [(0, False), (sysv.SEM_UNDO, True)])
    def test_a_holder_killed_system_v(self, memory, counter, set_key, flags, ok):
        two = [Process(increment_sysv_semaphore, Shared(memory.name), set_key, 1, flags) for _ in "AB"]
        run = run_schedule(two, "AAB!A")
        outcome = run.outcomes["B"]
        assert (outcome is not None and outcome.ok) is ok
        assert counter[0] == (1 if ok else 0)
        assert (run.deadlock is None) is ok


class TestUnasked:
    def test_killed_from_outside(self, memory, mutex):
        two = [Process(increment_posix_semaphore, Shared(memory.name), mutex.name, 1) for _ in "AB"]
        with Interleaving(two) as stage:
            stage.replay("AB")
            assert stage.notice() == ()
            os.kill(stage.processes[0].pid, 9)
            stage.processes[0].wait(5)
            (turn,) = stage.notice()
            assert (str(turn), turn.chosen) == ("A: killed by signal 9 (SIGKILL: Killed)", False)
            assert str(stage.deadlock) == "blocked for ever: B waits for sem, held by A, which has ended"

    def test_posted_from_outside(self, semaphore):
        with Interleaving([Process(awaits, semaphore.name)]) as stage:
            assert stage.step("A").kind == "blocked"
            posix.sem_post(semaphore)
            assert str(stage.step("A")) == "A: exited with status 0"
            assert [str(turn) for turn in stage.turns] == [
                "A: blocked in sem_wait on sem",
                "A (let on): wait",
                "A: exited with status 0",
            ]

    def test_a_step_that_took_long_is_noticed_when_it_is_done(self, tmp_path, until):
        path = str(tmp_path / "fifo")
        os.mkfifo(path)
        with Interleaving([Process(reads, path)], timeout=0.02) as stage:
            assert stage.step("A").kind in ("blocked", "running")
            assert stage.deadlock is None
            with open(path, "w") as file:
                file.write("x")
            until(stage.notice)
            assert stage.turns[-1].label == "read"

    def test_each_lets_the_other_on_in_one_step(self, semaphore, other):
        two = [
            Process(waits_and_posts, semaphore.name, other),
            Process(posts_and_waits, semaphore.name, other),
        ]
        sem = posix.sem_open(other, 0)
        posix.sem_wait(sem)
        with Interleaving(two) as stage:
            stage.replay("AB")
            assert [turn.who for turn in stage.turns[:3]] == ["A", "B", "A"]
            assert {state.kind for state in stage.states.values()} == {"paused"}
            assert stage.waits == {}
        posix.sem_post(sem)
        posix.sem_close(sem)


class TestAgain:
    def test_undo_takes_one_choice_back_in_fresh_processes(self, counter, pair):
        with Interleaving(pair) as stage:
            stage.replay("ABAB")
            pids = {process.pid for process in stage.processes}
            turn = stage.undo()
            assert (str(turn), stage.schedule, counter[0]) == ("A: store", "ABA", 1)
            assert not pids & {process.pid for process in stage.processes}
            for expected in ("AB", "A", "", ""):
                stage.undo()
                assert stage.schedule == expected
            assert stage.turns == ()
            assert counter[0] == 0

    def test_undo_of_an_end_and_of_a_step_that_was_none(self, counter, pair):
        with Interleaving(pair) as stage:
            stage.replay("AAAA")
            assert [turn.kind for turn in stage.turns] == ["step", "step", "ended", "idle"]
            stage.undo()
            assert [turn.kind for turn in stage.turns] == ["step", "step", "ended"]
            stage.undo()
            assert stage.states["A"].kind == "paused"

    def test_undo_of_a_blocked_step(self, memory, mutex):
        two = [Process(increment_posix_semaphore, Shared(memory.name), mutex.name, 1) for _ in "AB"]
        with Interleaving(two) as stage:
            stage.replay("AB")
            assert stage.waits == {"B": "sem"}
            stage.undo()
            assert stage.waits == {}
            assert stage.so_far.semaphores[0].holders == ("A",)
            stage.replay("AB", finish=True)
        assert posix.sem_getvalue(mutex) == 1

    def test_memory_and_semaphores_begin_as_at_first(self, counter, memory, mutex):
        counter[0], counter[5] = 40, 9
        two = [Process(increment_posix_semaphore, Shared(memory.name), mutex.name, 1) for _ in "AB"]
        with Interleaving(two) as stage:
            assert stage.replay("A").semaphores[0].value == 0
            counter[5] = 10
            run = stage.replay("", finish=True)
            assert (run.memory["page"], counter[5]) == (42, 9)
            stage.put_back()
            assert (counter[0], posix.sem_getvalue(mutex)) == (40, 1)

    def test_what_a_program_made_is_removed_before_it_runs_again(self):
        name = own_name("made")
        with Interleaving([Process(makes, name)]) as stage:
            for _ in range(3):
                assert stage.replay("", finish=True).ok
            stage.put_back()
        assert not os.path.exists(f"/dev/shm{name}")

    def test_random_is_the_same_for_the_same_seed(self, counter, pair):
        with Interleaving(pair) as stage:
            runs = [stage.random(seed) for seed in (1, 1, 2, 3, 4, 5)]
        assert runs[0].schedule == runs[1].schedule
        assert len({run.schedule for run in runs}) > 1
        for run in runs:
            assert run.ok
            assert run.memory["page"] == lost(run.schedule)

    def test_ahead_an_object_made_anew_is_the_one_that_is_mapped(self):
        name = own_name("anew")
        mappings = []

        def setup():
            for mapping in mappings:
                posix.munmap(mapping)
                posix.shm_unlink(name)
            mappings[:] = [posix.create(name, 4096)]

        two = [Process(increment, Shared(name), 1), Process(increment, Shared(name), 1)]
        with Interleaving(two, setup=setup, ahead=True) as stage:
            for _ in range(3):
                stage.replay("ABAB", finish=True)
                assert mappings[0].buf.cast("Q")[0] == 1
        posix.munmap(mappings[0])
        posix.shm_unlink(name)

    def test_a_forced_schedule_always_loses_and_the_semaphore_never(self, counter, memory, mutex):
        guarded = [Process(increment_posix_semaphore, Shared(memory.name), mutex.name, 1) for _ in "AB"]
        bare = [Process(increment, Shared(memory.name), 1) for _ in "AB"]
        for models, expected in ((bare, 1), (guarded, 2)):
            counter[0] = 0
            with Interleaving(models, ahead=True) as stage:
                for _ in range(25):
                    run = stage.replay("ABAB", finish=True)
                    assert (run.memory["page"], run.ok) == (expected, True)


class TestFree:
    def test_let_go_pause_step_undo(self, counter, memory):
        def counts(numbers):
            while True:
                numbers[0] += 1
                yield "added"

        with Interleaving([Process(counts, Shared(memory.name))]) as stage:
            stage.step("A")
            stage.let_go()
            assert [str(turn) for turn in stage.turns] == ["A: added", "let go"]
            deadline = monotonic() + 5
            while counter[0] < 1000 and monotonic() < deadline:
                pass
            assert stage.states["A"].kind == "running"
            stage.pause()
            reached = counter[0]
            assert reached >= 1000
            assert stage.step("A").memory["page"] == reached + 1
            stage.undo()
            assert (stage.schedule, counter[0]) == ("A", 1)

    def test_stop_ends_a_step_in_another_thread_soon(self, pair):
        with Interleaving([Process(spins), pair[1]], timeout=30) as stage:
            stage.step("A")
            thread = threading.Thread(target=stage.step, args=["A"])
            thread.start()
            begin = monotonic()
            stage.stop()
            thread.join(5)
            assert not thread.is_alive()
            assert monotonic() - begin < 1
            assert [state.kind for state in stage.states.values()] == ["ended", "ended"]

    def test_stop_ends_a_replay_in_another_thread_soon(self):
        with Interleaving([Process(forever)]) as stage:
            stage.start()
            thread = threading.Thread(target=stage.replay, args=["A" * 100_000])
            thread.start()
            while not stage.turns:
                pass
            begin = monotonic()
            stage.stop()
            thread.join(5)
            assert not thread.is_alive()
            assert monotonic() - begin < 1
            assert len(stage.turns) < 100_000

    def test_closed(self, pair):
        stage = Interleaving(pair)
        stage.step("A")
        stage.close()
        stage.close()
        stage.reset()
        with pytest.raises(ValueError, match="has been closed"):
            stage.step("A")
        assert all(process.pid is None for process in stage.processes)
