"""Driving a process: step, run, pause, wait, stop, reset, in order, out of order, and from two threads."""

import os
import subprocess
import sys
import threading
from time import monotonic

import pytest

from shmlab import Process, Shared, in_c, posix
from shmlab.processes import State, start
from shmlab.processes import process as process_module
from shmlab.processes.board import SLOTS
from shmlab.programs import c_program
from shmlab.programs.increment import increment
from shmlab.programs.writer import writer

posix_ipc = pytest.importorskip("posix_ipc")
sysv_ipc = pytest.importorskip("sysv_ipc")


def count(times):
    for number in range(times):  # noqa: B007  a local variable to be seen
        yield "counted"
    yield "last"


def endless():
    number = 0
    while True:
        number += 1
        yield "on"


def spin():
    while True:
        pass
    yield


def sleepy():
    import time

    while True:
        time.sleep(3600)
    yield


def takes(name):
    sem = posix.sem_open(name, 0)
    yield "open"
    posix.sem_wait(sem)
    yield "taken"
    yield "after"


def takes_set(number):
    sem = sysv_ipc.Semaphore(None, sysv_ipc.IPC_CREX) if number is None else None
    sem = sem or next(each for each in [SetOf(number)])
    sem.acquire()
    yield "taken"


class SetOf:
    """A System V semaphore set by its id, which sysv_ipc can't open: by libc."""

    def __init__(self, number):
        self.number = number

    def acquire(self):
        import ctypes

        operation = (ctypes.c_short * 3)(0, -1, 0)
        assert ctypes.CDLL(None, use_errno=True).semop(self.number, operation, 1) == 0


def reads(path):
    fd = os.open(path, os.O_RDONLY)
    yield "open"
    data = os.read(fd, 10)
    yield data.decode()


COUNT_C = """
#include "step.h"

int main(void)
{
    for (int i = 0; i < 3; i++) {
        show("i", "%d", i);
        step("counted");
    }
    step("last");
    return 0;
}
"""

ENDLESS_C = """
#include "step.h"

int main(void)
{
    for (unsigned long i = 0;; i++)
        step("on");
}
"""

TAKES_C = """
#include <fcntl.h>
#include <semaphore.h>
#include "step.h"

int main(int argc, char *argv[])
{
    (void)argc;
    sem_t *sem = sem_open(argv[1], 0);
    step("open");
    sem_wait(sem);
    step("taken");
    step("after");
    return 0;
}
"""

counters = pytest.mark.parametrize(
    "counter", [(count, 3), (c_program("count", COUNT_C),)], ids=["Python", "C"]
)
endlessly = pytest.mark.parametrize(
    "program", [endless, c_program("endless", ENDLESS_C)], ids=["Python", "C"]
)
takers = pytest.mark.parametrize("program", [takes, c_program("takes", TAKES_C)], ids=["Python", "C"])


@counters
def test_a_life_step_by_step(launch, counter):
    p = launch(*counter, label="A")
    assert (p.state, str(p.state), p.pid, p.outcome) == (State("not started"), "not started", None, None)
    assert p.start() is p
    assert str(p.state) == "paused before its first step"
    lines = p.program.source.splitlines()
    for step in (1, 2, 3):
        state = p.step()
        assert (state.kind, state.step, state.at) == ("paused", step, "counted")
        assert '"counted"' in lines[state.line - 1]
        assert str(state) == f'paused after step {step} at line {state.line} ("counted")'
        assert dict(state.locals)["i" if "i" in dict(state.locals) else "number"] == str(step - 1)
    assert '"last"' in lines[p.step().line - 1]
    state = p.step()
    assert (state.kind, state.step, str(state)) == ("ended", 4, "exited with status 0")
    assert p.outcome.ok
    assert p.step() == state, "nothing is left to be stepped"
    assert repr(p) == f"<Process A: count in {p.program.language}, exited with status 0>"


def test_the_same_step_in_both_languages(launch, memory):
    for q in (launch(writer, memory.name, "hi"), launch(in_c(writer), memory.name, "HI")):
        labels = []
        while (state := q.step()).kind == "paused":
            labels.append(state.at)
        assert labels == ["shm_open", "mmap", "store", "store", "munmap"]
        assert str(q.outcome) == "exited with status 0"
    assert bytes(memory.buf[:2]) == b"HI"


def test_processes_really_share(launch, memory):
    a, b = launch(increment, Shared(memory.name), 1), launch(in_c(increment), Shared(memory.name), 1)
    start(a, b)
    for who in (a, b, a, b):  # both load 0: one update is lost
        who.step()
    assert memory.buf.cast("Q")[0] == 1


def test_locals_are_those_of_now(launch):
    p = launch(count, 2)
    assert dict(p.step().locals) == {"times": "2", "number": "0"}
    assert dict(p.step().locals) == {"times": "2", "number": "1"}


@counters
def test_run_to_the_end(launch, counter):
    p = launch(*counter).run()
    assert str(p.wait()) == "exited with status 0"
    assert p.state.step == 4
    assert p.run() is p, "running what has ended changes nothing"
    assert p.state.kind == "ended"


@endlessly
@pytest.mark.parametrize("speed", [20, 500])
def test_speed(launch, until, program, speed):
    p = launch(program).start()
    p.run(speed)
    begin, first = monotonic(), p.state.step
    until(lambda: p.state.step - first >= speed // 4)
    rate = (p.state.step - first) / (monotonic() - begin)
    assert speed / 4 < rate < speed * 1.5
    state = p.pause()
    assert state.kind == "paused"
    assert p.step().step == state.step + 1


@endlessly
def test_a_new_speed_counts_at_once(launch, until, program):
    p = launch(program).run(0.001)
    assert p.pause().kind == "paused", "a pause cuts the wait between two steps short"
    p.run(0.001)
    steps = p.state.step
    p.run(1000)
    until(lambda: p.state.step > steps + 20, timeout=2)
    p.run(1e-300)
    p.run()
    steps = p.state.step
    until(lambda: p.state.step > steps + 5000)


@endlessly
def test_pause_at_full_speed(launch, until, program):
    p = launch(program)
    for _ in range(20):
        p.run()
        until(lambda: p.state.step > 10)
        state = p.pause()
        assert (state.kind, state.at) == ("paused", "on")
        assert p.state == state, "and there it stays"


@endlessly
def test_run_is_not_paused_for_an_instant(launch, program):
    p = launch(program).start()
    for _ in range(200):
        assert p.run().state.kind == "running"
        paused = p.pause()
        assert paused.kind == "paused"
        assert p.step().step == paused.step + 1


@endlessly
def test_no_order_is_lost_or_taken_twice(launch, until, program):
    p = launch(program).start()
    for step in range(1, 101):
        p.step(timeout=0)
        p.step()  # waits for the step that is under way; takes a new one only if that was over
        assert step <= p.state.step <= 2 * step
    before = p.state.step
    for _ in range(100):
        p.step(timeout=0)
    until(lambda: p.state.kind == "paused")
    assert before < p.state.step <= before + 100


@endlessly
def test_step_while_free_running_pauses(launch, until, program):
    p = launch(program).run()
    until(lambda: p.state.step > 100)
    state = p.step()
    assert state.kind == "paused"
    assert p.step().step == state.step + 1


def test_run_thousands_of_times(launch):
    # More orders than a pipe holds, to a process that never looks.
    p = launch(spin).start()
    p.run(1000)
    begin = monotonic()
    for _ in range(70_000):
        p.run(1000)
    assert p.stop().kind == "stopped"
    assert monotonic() - begin < 10


@pytest.mark.parametrize("speed", [0, -1, float("nan")])
def test_no_such_speed(launch, speed):
    p = launch(endless)
    with pytest.raises(ValueError, match="greater than 0"):
        p.run(speed)
    assert p.state.kind == "not started"


@takers
def test_blocked_on_a_semaphore(launch, until, semaphore, program):
    p = launch(program, semaphore.name)
    p.step()
    begin = monotonic()
    state = p.step(timeout=5)
    assert monotonic() - begin < 1
    assert str(state) == f"blocked in sem_wait on '{semaphore.name}' after step 1"
    assert [p.step().kind for _ in range(5)] == ["blocked"] * 5
    posix.sem_post(semaphore)
    until(lambda: p.state.kind == "paused")
    assert (p.state.step, p.state.at) == (2, "taken"), "it is still in its second step"
    assert p.step().at == "after"


def test_pause_while_blocked_in_a_run(launch, until, semaphore):
    p = launch(takes, semaphore.name).run()
    until(lambda: p.state.kind == "blocked")
    assert p.pause().kind == "blocked"
    posix.sem_post(semaphore)
    until(lambda: p.state.kind == "paused")
    assert p.state.at == "taken"


def test_blocked_in_a_run_then_ends(launch, until, semaphore):
    p = launch(takes, semaphore.name).run()
    until(lambda: p.state.kind == "blocked")
    with pytest.raises(TimeoutError, match=f"takes has not ended after 0.05 s: blocked .*{semaphore.name}"):
        p.wait(timeout=0.05)
    posix.sem_post(semaphore)
    assert p.wait().ok


def test_blocked_on_a_semaphore_set(launch, until):
    own = sysv_ipc.Semaphore(None, sysv_ipc.IPC_CREX, initial_value=0)
    try:
        p = launch(takes_set, own.id)
        assert str(p.step()) == f"blocked in semop on semaphore set {own.id} after step 0"
        own.release()
        until(lambda: p.state.kind == "paused")
    finally:
        own.remove()


def test_blocked_on_a_pipe(launch, until, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    keep = os.open(tmp_path / "pipe", os.O_RDWR)
    try:
        p = launch(reads, str(tmp_path / "pipe"))
        p.step()
        assert str(p.step()) == "blocked in read on fd 3 after step 1"
        os.write(keep, b"hello")
        until(lambda: p.state.kind == "paused")
        assert p.state.at == "hello"
    finally:
        os.close(keep)


@pytest.mark.parametrize("program", [spin, sleepy])
def test_a_program_that_never_yields(launch, program):
    p = launch(program)
    begin = monotonic()
    assert str(p.step(timeout=0.1)) == "running, 0 steps so far"
    assert str(p.pause(timeout=0.1)) == "running, 0 steps so far"
    with pytest.raises(TimeoutError, match=f"{p.label} has not ended after 0.1 s: running"):
        p.wait(timeout=0.1)
    assert str(p.stop()) == "stopped"
    assert monotonic() - begin < 2


def test_wait_says_that_it_is_paused(launch):
    p = launch(count, 3)
    p.step()
    with pytest.raises(TimeoutError, match="paused after step 1 at line 3"):
        p.wait(timeout=0.01)


def test_buttons_in_the_wrong_order(launch):
    p = launch(count, 3)
    with pytest.raises(ValueError, match="count was not started"):
        p.wait()
    assert p.stop() is None
    assert p.pause() == State("not started")
    assert p.reset() is p
    assert p.start().start() is p
    assert p.step().step == 1
    p.run(5).run(5)
    stopped = p.stop()
    assert (str(stopped), p.stop(), p.outcome) == ("stopped", stopped, stopped)
    assert p.start().run().pause().kind == p.step().kind == "ended"
    p.reset().reset()
    assert (p.state, p.output, p.outcome, p.pid) == (State("not started"), "", None, None)
    assert p.step().step == 1


@endlessly
def test_reset_while_it_runs(launch, alive, program):
    p = launch(program).run()
    pid = p.pid
    p.reset()
    assert str(p.state) == "not started"
    assert not alive(pid)
    assert p.step().step == 1


def test_with_stops_it(alive):
    with Process(endless) as p:
        p.run()
        pid = p.pid
        assert alive(pid)
    assert str(p.outcome) == "stopped"
    assert not alive(pid)


def test_start_many(launch):
    many = [launch(count, 1) for _ in range(4)]
    start(*many)
    assert len({p.pid for p in many}) == 4
    assert {str(p.state) for p in many} == {"paused before its first step"}
    many[0].step()
    start(*many)
    assert many[0].state.step == 1


def test_two_threads_step_one_process(launch):
    p = launch(endless).start()

    def press():
        for _ in range(50):
            p.step()

    threads = [threading.Thread(target=press) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert p.state.step == 200


def test_stop_from_another_thread_during_a_step(launch, until):
    p = launch(sleepy).start()
    seen = []
    thread = threading.Thread(target=lambda: seen.append(p.step(timeout=30)))
    thread.start()
    until(lambda: p.state.kind == "running")
    begin = monotonic()
    assert str(p.stop()) == "stopped"
    thread.join(5)
    assert monotonic() - begin < 2
    assert [str(state) for state in seen] == ["stopped"]


def test_everything_at_once_from_many_threads(launch):
    p = launch(endless)
    failures = []

    def press(*buttons):
        try:
            for turn in range(40):
                buttons[turn % len(buttons)]()
        except Exception as error:
            failures.append(error)

    looks = (lambda: p.state, lambda: p.output, lambda: repr(p))
    threads = [
        threading.Thread(target=press, args=buttons)
        for buttons in (looks, (p.run, p.pause, p.step), (p.step, p.step, p.reset), (p.stop, p.run), looks)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert failures == []


def test_a_full_board(launch):
    many = [launch(count, 1) for _ in range(SLOTS)]
    one_more = launch(count, 1)
    start(*many, timeout=60)
    with pytest.raises(BlockingIOError, match=r"64 processes of this session run already: stop some"):
        one_more.start()
    assert one_more.state.kind == "not started"
    many[7].run()
    os.waitid(os.P_PID, many[7].pid, os.WEXITED | os.WNOWAIT)
    assert one_more.step().step == 1, "a slot is used again though nobody asked how its process ended"
    assert many[6].step().step == 1, "and the others are none the wiser"
    assert str(many[7].state) == "exited with status 0"


def test_no_descriptor_is_left(launch, until):
    launch(count, 1).run().wait()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        p = launch(count, 1)
        p.run().wait()
        p.reset()
        launch(endless).start().stop()
    # The thread that reads outputs keeps two while it has something to read.
    until(lambda: len(os.listdir("/proc/self/fd")) <= before)


def lists_descriptors(name):
    fd = posix.shm_open(name, os.O_RDWR)
    yield "open"
    subprocess.run(["ls", "-l", "/proc/self/fd"], close_fds=False, check=True)
    print("own", fd, flush=True)


LISTS_C = """
#include <fcntl.h>
#include "step.h"

int main(int argc, char *argv[])
{
    (void)argc;
    int fd = shm_open(argv[1], O_RDWR, 0600);
    show("fd", "%d", fd);
    step("open");
    close(fd);
    execlp("ls", "ls", "-l", "/proc/self/fd", NULL);
    return 1;
}
"""


@pytest.mark.parametrize("program", [lists_descriptors, c_program("lists", LISTS_C)], ids=["Python", "C"])
def test_descriptors_of_the_lab(launch, memory, program):
    p = launch(program, memory.name)
    assert dict(p.step().locals)["fd"] == "3", "as in the textbook"
    assert p.run().wait().ok, p.output
    links = [line.split(" ", 8)[-1] for line in p.output.splitlines() if "->" in line]
    targets = dict(link.split()[-3::2] for link in links)
    assert {number for number, target in targets.items() if "/fd" not in target} == {"0", "1", "2"}
    assert targets["0"] == "/dev/null"


def test_the_environment_of_a_program(launch):
    def environment():
        print({key for key in os.environ if key.startswith("SHMLAB")})
        yield

    p = launch(environment)
    p.step()
    assert "SHMLAB_STEP" not in p.output
    assert p.output.endswith("\n"), "what is printed before a step is there at the step"


def test_what_a_c_program_prints_is_there_at_its_step(launch):
    source = '#include "step.h"\nint main(void) { printf("%s", "said"); step("x"); step("y"); }'
    p = launch(c_program("says", source))
    p.step()
    assert p.output == "said"


def test_starting_up_is_no_blocking(launch, monkeypatch):
    # A slow disk: the interpreter waits for its own files, and is asked what it waits for.
    monkeypatch.setattr(Process, "_waiting", lambda self: "sem_wait on '/x'")
    assert launch(count, 1).start().state.kind == "paused"


def test_interrupts_do_not_reach_it(launch):
    # Jupyter's interrupt signals the whole process group of the kernel.
    p = launch(endless).start()
    assert os.getpgid(p.pid) == p.pid != os.getpgid(0)
    assert os.getsid(p.pid) == p.pid


def test_without_pidfds(launch, monkeypatch):
    # Python 3.11 on a kernel before 5.3.
    monkeypatch.delattr(process_module.os, "pidfd_open")
    p = launch(count, 3)
    assert p.step().step == 1
    assert p.run().wait().ok


def test_what_cannot_be_sent():
    for argument in (memoryview(b"abc"), bytearray(b"x"), object(), [print], {"a": {1: sys}}):
        with pytest.raises(TypeError, match=r"argument 2 of writer is a .*Shared\(name\)"):
            Process(writer, "/x", argument)
    with pytest.raises(TypeError, match="a C program gets texts and numbers, not bytes"):
        Process(in_c(writer), "/x", b"abc")


def gets(*things):
    yield repr(things)


def test_what_can_be_sent(launch):
    things = (None, True, 1.5, "ä", b"\0", [1, (2, {3})], {"a": ...})
    assert launch(gets, *things).step().at == repr(things)


def test_shared_memory_as_an_argument(launch, memory):
    memory.buf[:8] = (513).to_bytes(8, "little")
    for item, first in (("B", "1"), ("H", "513"), ("Q", "513")):

        def looks(cells):
            yield f"{cells[0]} {len(cells)} {cells.format}"

        assert (
            launch(looks, Shared(memory.name, item))
            .step()
            .at.startswith(f"{first} {4096 // int('128'['BHQ'.index(item)])}")
        )


def test_shared_memory_that_is_not_there(launch):
    p = launch(increment, Shared("/shmlab-0-none-gone"), 1).start()
    assert (
        str(p.outcome)
        == "raised FileNotFoundError: [Errno 2] No such file or directory: '/shmlab-0-none-gone'"
    )
