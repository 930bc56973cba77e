"""What programs do to themselves and to the lab, and the outcome that each gets, in bounded time."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from time import monotonic

import pytest

from shmlab import posix
from shmlab.processes import output, process
from shmlab.processes.outcome import Outcome, describe_signal, outcome_of
from shmlab.processes.output import KEPT
from shmlab.programs import c_program


def helper(value):
    return 1 // value


def raises(value):
    here = value
    yield "one"
    helper(here)


def no_generator(text):
    print(text)


def returns():
    yield "one"
    return


def exits(how):
    yield "one"
    sys.exit(how)


def exits_at_once():
    print("kept")
    os._exit(7)
    yield


def segfaults():
    yield "one"
    ctypes.string_at(0)


def bus_error(name):
    fd = posix.shm_open(name, os.O_RDWR)
    m = posix.mmap(None, 8192, posix.PROT_READ, posix.MAP_SHARED, fd)
    yield "mapped"
    m.buf[4096]


def aborts():
    yield "one"
    os.abort()


def sleeps():
    yield "one"
    time.sleep(3600)


def endless():
    while True:
        yield "on"


def outcome(p, until=None):
    begin = monotonic()
    p.run().wait()
    assert monotonic() - begin < 5
    return p.outcome


def test_raises(launch):
    p = launch(raises, 0)
    p.step()
    state = p.step()
    assert str(state) == "raised ZeroDivisionError: integer division or modulo by zero"
    assert (state.outcome.kind, state.outcome.status) == ("raised", 1)
    assert state.outcome.traceback == (
        "  line 4, in raises\n    helper(here)\n"
        "  line 8, in helper\n    return 1 // value\n"
        "ZeroDivisionError: integer division or modulo by zero"
    )
    assert p.program.source.splitlines()[7].strip() == "return 1 // value"
    assert dict(state.locals)["here"] == "0", "where it was before is still to be seen"


def test_wrong_number_of_arguments(launch):
    state = launch(raises, 1, 2).start().state
    assert str(state) == "raised TypeError: raises() takes 1 positional argument but 2 were given"


class Silent(Exception):  # noqa: N818
    def __str__(self):
        raise RuntimeError


def raises_what_cannot_be_said():
    yield
    raise Silent


def raises_at_length():
    yield
    raise ValueError("x" * 10_000 + "\nsecond line")


def recurses():
    def deeper(n):
        return deeper(n + 1)

    yield
    deeper(0)


def raises_base():
    yield
    raise KeyboardInterrupt


def test_what_is_raised(launch):
    assert outcome(launch(raises_what_cannot_be_said)).error == "Silent: <exception str() failed>"
    long = outcome(launch(raises_at_length))
    assert long.error.startswith("ValueError: xxx")
    assert len(long.error) < 300
    assert long.traceback.startswith("  line 3, in raises_at_length\n")
    deep = outcome(launch(recurses))
    assert deep.error.startswith("RecursionError: maximum recursion depth")
    assert deep.traceback.startswith("  line 6, in recurses\n    deeper(0)\n  line 3, in deeper\n")
    assert " more …\n" in deep.traceback
    assert deep.traceback.endswith(deep.error)
    assert str(outcome(launch(raises_base))) == "raised KeyboardInterrupt"


def test_no_generator_is_one_step(launch):
    p = launch(no_generator, "said")
    assert str(p.start().state) == "paused before its first step"
    assert p.state.line is None
    assert str(p.step()) == "exited with status 0"
    assert p.output == "said\n"


def test_early_exits(launch):
    assert str(outcome(launch(returns))) == "exited with status 0"
    assert str(outcome(launch(exits, 3))) == "exited with status 3"
    assert str(outcome(launch(exits, None))) == "exited with status 0"
    p = launch(exits, "a reason")
    assert str(outcome(p)) == "exited with status 1"
    assert p.output == "a reason\n"
    at_once = outcome(launch(exits_at_once))
    assert (str(at_once), at_once.ok) == ("exited with status 7", False)


def test_fatal_signals_and_the_guilty_line(launch, memory):
    assert str(outcome(launch(segfaults))) == "killed by signal 11 (SIGSEGV: Segmentation fault) at line 3"
    p = launch(bus_error, memory.name)
    assert str(outcome(p)) == "killed by signal 7 (SIGBUS: Bus error) at line 5"
    assert "Fatal Python error: Bus error" in p.output
    assert str(outcome(launch(aborts))) == "killed by signal 6 (SIGABRT: Aborted) at line 3"


def misleads():
    print('  File "<misleads>", line 99 in misleads', flush=True)
    if os.fork() == 0:
        ctypes.string_at(0)
    os.wait()
    yield "one"
    os.kill(os.getpid(), signal.SIGKILL)


def test_no_line_is_blamed_for_a_kill(launch):
    assert str(outcome(launch(misleads))) == "killed by signal 9 (SIGKILL: Killed)"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGRTMIN + 3])
def test_killed_from_outside(launch, until, number):
    p = launch(sleeps)
    p.step()
    os.kill(p.pid, number)
    killed = p.wait()
    assert (killed.kind, killed.signal) == ("killed", number)
    assert p.stop() == killed, "stopping it afterwards changes nothing"
    assert p.state.kind == "ended"
    assert p.step().kind == "ended"


def test_killed_and_stopped_before_anybody_noticed(launch):
    p = launch(sleeps)
    p.step()
    os.kill(p.pid, signal.SIGSEGV)
    os.waitid(os.P_PID, p.pid, os.WEXITED | os.WNOWAIT)
    assert p.stop().kind == "killed"


def ignores():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    yield "ignoring"
    os.kill(os.getpid(), signal.SIGTERM)
    yield "still here"


def test_ignores_signals(launch, alive):
    p = launch(ignores)
    p.step()
    assert p.step().at == "still here"
    assert str(p.stop()) == "stopped"
    assert not alive(p.pid)


def forks(detach):
    child = os.fork()
    if child == 0 and detach:
        os.setsid()
        if os.fork():
            os._exit(0)
        print(os.getpid(), flush=True)
    elif child:
        print(child, flush=True)
    yield "forked"
    me = os.getpid()
    yield "again"
    if not child:
        time.sleep(3600)
    yield str(me)


FORKS_C = """
#include "step.h"

int main(int argc, char *argv[])
{
    (void)argc;
    (void)argv;
    pid_t child = fork();
    if (child) {
        printf("%d\\n", (int)child);
        fflush(stdout);
    }
    step("forked");
    step("again");
    if (!child)
        pause();
    step("parent");
}
"""


@pytest.mark.parametrize("program", [(forks, False), (c_program("forks", FORKS_C),)], ids=["Python", "C"])
def test_forks(launch, until, alive, program):
    p = launch(*program)
    assert (p.step().step, p.state.at) == (1, "forked")
    child = int(p.output.split()[0])
    assert alive(child)
    # The child goes its own way to the end of its wait, and says nothing about it on the board.
    until(lambda: "S" in os.popen(f"ps -o stat= -p {child}").read())
    assert (p.state.step, p.state.at) == (1, "forked")
    assert p.step().at == "again"
    assert p.step().at in (str(p.pid), "parent")
    assert alive(child)
    p.stop()
    until(lambda: not alive(child), timeout=2)


def test_a_grandchild_that_left_the_group_is_gone_too(launch, until, alive):
    p = launch(forks, True)
    p.step()
    until(lambda: len(p.output.split()) == 2)
    pids = [int(word) for word in p.output.split()]
    assert any(os.getsid(pid) != p.pid for pid in pids if alive(pid))
    assert p.run().wait().ok, "that it still runs keeps nobody waiting"
    p.stop()
    until(lambda: not any(map(alive, pids)), timeout=2)


def starts_others():
    subprocess.Popen(["sleep", "3600"], start_new_session=True)
    subprocess.Popen(["sh", "-c", "sleep 3600 & sleep 3600"])
    yield "started"


def test_what_it_executed_is_gone_too(launch, until):
    p = launch(starts_others)
    p.step()
    mark = p._mark.encode()

    def marked():
        found = 0
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{entry}/environ", "rb") as file:
                    found += mark in file.read()
            except OSError:
                continue
        return found

    until(lambda: marked() == 5)
    p.stop()
    assert marked() == 0


def prints(megabytes):
    yield "before"
    for _ in range(megabytes):
        sys.stdout.write("x" * (1 << 20))
    print("the end")
    yield "after"


PRINTS_C = """
#include "step.h"

int main(void)
{
    step("before");
    for (int i = 0; i < 50 * 1024; i++)
        printf("%01023d\\n", i);
    printf("the end\\n");
    step("after");
}
"""


@pytest.mark.parametrize("program", [(prints, 50), (c_program("prints", PRINTS_C),)], ids=["Python", "C"])
def test_prints_megabytes(launch, program):
    p = launch(*program)
    p.step()
    assert p.step(timeout=20).at == "after", "it isn't called blocked for printing faster than we read"
    assert p.run().wait().ok
    assert p.output.endswith("the end\n")
    first, _, tail = p.output.partition("\n")
    assert first == f"[{50 * (1 << 20) + 8 - KEPT} bytes before this were not kept]"
    assert len(tail) == KEPT
    assert len(p._output._tail) < 4 * KEPT


@pytest.fixture
def lazy(monkeypatch):
    """Nobody reads what processes print unless he is asked to."""

    class Lazy(output._Pump):
        def _run(self, wake, waker):
            lazy.append((wake, waker))

    lazy = []
    monkeypatch.setattr(process, "pump", Lazy())
    yield
    for descriptor in lazy[0]:
        os.close(descriptor)


def test_what_was_printed_is_there_when_asked_for(launch, lazy):
    p = launch(prints, 0)
    p.step()
    p.step()
    assert p.output == "the end\n"


def test_waiting_to_print_is_not_being_blocked(launch, until, lazy):
    p = launch(prints, 1)
    p.step()
    assert str(p.step(timeout=0.2)) == "running, 1 step so far"
    until(lambda: p.output and p.state.kind == "paused")
    assert p.state.at == "after"


def test_output_is_bytes_of_any_kind(launch):
    def shouts():
        os.write(1, b"\xff\x00")
        os.write(2, "ä".encode())
        yield

    p = launch(shouts)
    p.step()
    p.run().wait()
    assert p.output == "\ufffd\0ä"


class Awkward:
    def __str__(self):
        raise RuntimeError

    __repr__ = __str__


class Huge:
    def __repr__(self):
        return "<huge\n" + "x" * 1_000_000 + ">"


def labels():
    yield
    yield 17
    yield "x" * 500 + "\n"
    yield Awkward()
    yield b"\xff"


def test_labels_of_any_kind(launch):
    p = launch(labels)
    assert (p.step().at, str(p.state)) == ("", "paused after step 1 at line 2")
    assert p.step().at == "17"
    assert p.step().at == "x" * 76
    assert p.step().at == "<str raised RuntimeError>"
    assert p.step().at == r"b'\xff'"


def odd_locals():
    numbers = list(range(5_000_000))
    table = {n: (n, [n]) for n in range(300_000)}
    text = "ab  c\td\u2028e" * 1_000_000
    nested = [[[[[[1]]]]]]
    nested.append(nested)
    bad, huge, empty, one, digits = Awkward(), Huge(), ((), [], {}, set()), (1,), 10**10_000
    yield "odd"
    many = {f"a_rather_long_name_for_a_number_{n}": n for n in range(100)}
    del numbers, table, text, nested, bad, huge, empty, one, digits
    yield str(len(many))


def test_locals_of_any_kind(launch):
    p = launch(odd_locals)
    assert p.step(timeout=20).at == "odd"
    shown = dict(p.state.locals)
    assert list(shown) == ["numbers", "table", "text", "nested", "bad", "huge", "empty", "one", "digits"]
    assert shown["numbers"] == "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, …]"
    assert shown["table"].startswith("{0: (0, [0]), 1: (1, [1]), ")
    assert shown["text"].startswith(r"'ab  c\td\u2028eab")
    assert (len(shown["text"]), shown["text"][-1]) == (60, "…")
    assert shown["nested"].startswith("[[[…]], [[")
    assert shown["bad"] == "<repr raised RuntimeError>"
    assert shown["huge"].startswith("<huge xxx")
    assert (shown["empty"], shown["one"]) == ("((), [], {}, set())", "(1,)")
    assert shown["digits"] == "<repr raised ValueError>"
    begin = monotonic()
    p.step()
    assert monotonic() - begin < 2


def many_locals():
    a0 = a1 = a2 = a3 = a4 = a5 = a6 = a7 = a8 = a9 = b0 = b1 = b2 = b3 = b4 = b5 = b6 = b7 = "ä" * 70
    c0 = c1 = c2 = c3 = c4 = c5 = c6 = c7 = c8 = c9 = d0 = d1 = d2 = d3 = d4 = d5 = d6 = d7 = "ä" * 70
    yield "many"
    yield a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7 + a8 + a9 + b0 + b1 + b2 + b3 + b4 + b5 + b6 + b7
    yield c0 + c1 + c2 + c3 + c4 + c5 + c6 + c7 + c8 + c9 + d0 + d1 + d2 + d3 + d4 + d5 + d6 + d7


def test_more_locals_than_there_is_room_for(launch):
    p = launch(many_locals)
    rows = p.step().locals
    assert 10 < len(rows) < 40
    assert all(text.startswith("'ä") and text.endswith("…") for _, text in rows)


def inner(n):
    for value in range(n):
        yield f"inner {value}"
    return "done"


def outer():
    result = yield from inner(2)
    yield result


def test_yield_from(launch):
    p = launch(outer)
    state = p.step()
    assert (state.at, p.program.source.splitlines()[state.line - 1].strip()) == (
        "inner 0",
        'yield f"inner {value}"',
    )
    assert dict(state.locals) == {"n": "2", "value": "0"}
    p.step()
    state = p.step()
    assert (state.at, dict(state.locals)) == ("done", {"result": "'done'"})


def from_afar():
    from ast import parse, walk

    yield from walk(parse("1"))


def test_yield_from_a_library(launch):
    # Its line is none of the program's: shown is the line that asked for it.
    state = launch(from_afar).step()
    assert state.line == 4


def closes_everything(first):
    yield "open"
    os.closerange(first, 1000)
    yield "closed"


CLOSES_C = """
#include "step.h"

int main(void)
{
    step("open");
    for (int fd = 3; fd < 1000; fd++)
        close(fd);
    step("closed");
}
"""


@pytest.mark.parametrize("first", [0, 3])
def test_closes_every_descriptor(launch, first):
    p = launch(closes_everything, first)
    p.step()
    p.step()
    assert (
        str(p.wait())
        == "raised OSError: [Errno 9] the program closed the descriptors that the lab steps it by"
    )


def test_closes_every_descriptor_in_c(launch):
    p = launch(c_program("closes", CLOSES_C))
    p.step()
    p.step()
    assert str(p.wait()) == "exited with status 1"
    assert (
        p.output
        == "step.h: the program closed the descriptors that the lab steps it by: Bad file descriptor\n"
    )


def closes_its_input():
    os.close(0)
    sys.stdout.close()
    yield "closed"
    yield "and on"


def test_closes_its_input_and_output(launch):
    p = launch(closes_its_input)
    p.step()
    assert p.step().at == "and on"
    assert p.run().wait().ok


def leads():
    try:
        os.setsid()
    except PermissionError:
        yield "leads already"
    try:
        os.setpgid(0, 0)
    except PermissionError:
        yield "still"


def test_leads_its_own_session_already(launch):
    p = launch(leads)
    assert p.step().at == "leads already"
    assert p.step().at == "still"


def becomes(*command):
    yield "before"
    os.execv(command[0], command)


def test_executes_another_program(launch, alive):
    p = launch(becomes, "/bin/true")
    p.step()
    assert str(p.step()) == "exited with status 0"
    p = launch(becomes, "/bin/sleep", "3600")
    p.step()
    assert str(p.step(timeout=0.3)) == "running, 1 step so far"
    assert str(p.stop()) == "stopped"
    assert not alive(p.pid)
    p = launch(becomes, "/bin/cat", "/proc/self/environ")
    p.run().wait()
    assert "SHMLAB_STEP" not in p.output


def uses_the_lab():
    from shmlab import Process, Shared, own_name
    from shmlab.programs.increment import increment

    name = own_name("inside")
    os.ftruncate(posix.shm_open(name, os.O_RDWR | os.O_CREAT, 0o600), 4096)
    yield "made"
    with Process(increment, Shared(name), 1) as p:
        yield p.step().at


def test_a_program_that_uses_the_lab_itself(launch, until, memory):
    p, other = launch(uses_the_lab), launch(endless)
    other.run()
    p.step()
    assert p.step(timeout=10).at == "load", p.outcome
    assert p.run().wait().ok
    assert other.pause().kind == "paused", "its end is not the end of its parent's session"
    assert os.path.exists("/dev/shm" + memory.name)


def test_signals_in_words():
    assert describe_signal(signal.SIGBUS) == "7 (SIGBUS: Bus error)"
    assert describe_signal(99) == "99"
    assert describe_signal(signal.SIGPIPE).startswith("13 (SIGPIPE: ")


def test_an_outcome_is_what_is_known():
    known = {"error": "", "output": "", "filename": "<x>"}
    assert outcome_of(0, stopped=True, **known) == Outcome("exited", status=0), "it was quicker than we"
    assert outcome_of(-9, stopped=True, **known) == Outcome("stopped", signal=9)
    assert outcome_of(-11, stopped=True, **known) == Outcome("killed", signal=11)
    known["output"] = 'Fatal Python error: Bus error\n\nCurrent thread 0x1:\n  File "<x>", line 5 in x\n'
    assert outcome_of(-7, stopped=False, **known) == Outcome("killed", signal=7, line=5)
