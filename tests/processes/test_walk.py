"""A walk: what each call returned, asked of the kernel and changed; forth, back, with strace and without."""

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from shmlab import c_program, cleanup, in_c, observe, own_name, posix
from shmlab.posix.prototypes import PROTOTYPES, prototype
from shmlab.processes import Walk
from shmlab.processes.kernel_view import changes
from shmlab.programs import find_compiler
from shmlab.programs.seven_calls import seven_calls

CALLS = ["shm_open", "ftruncate", "mmap", "store", "msync", "munmap", "close", "shm_unlink", "exit"]

needs_strace = pytest.mark.skipif(observe.strace_available() is not None, reason="strace can't be used here")
needs_cc = pytest.mark.skipif(find_compiler() is None, reason="no C compiler: install the package gcc")
both = pytest.mark.parametrize(
    "program", [seven_calls, pytest.param("seven_calls", marks=needs_cc)], ids=["Python", "C"]
)


@pytest.fixture
def walks() -> Iterator[Callable[..., Walk]]:
    """Make walks that are closed, and whose objects are removed, when the test ends."""
    made: list[Walk] = []

    def make(program: Any, *arguments: Any, **options: Any) -> Walk:
        made.append(Walk(in_c(program) if program == "seven_calls" else program, *arguments, **options))
        return made[-1]

    yield make
    for walk in made:
        walk.close()


def turned(moment: Any) -> dict[str, list[str]]:
    """What changed, table by table: '+ new', '~ changed', '- gone', standard descriptors left out."""
    found = {}
    for table in ("objects", "mappings", "descriptors", "unnamed", "segments", "children"):
        rows = [
            each for each in getattr(moment.changed, table) if table != "descriptors" or each.row.number > 2
        ]
        if rows:
            found[table] = [f"{each.what} {' '.join(each.fields)}".strip() for each in rows]
    return found


def forks(name):
    import os
    import time

    fd = posix.shm_open(name, posix.O_CREAT | posix.O_EXCL | posix.O_RDWR)
    posix.ftruncate(fd, 4096)
    m = posix.mmap(None, 4096, posix.PROT_READ | posix.PROT_WRITE, posix.MAP_SHARED, fd)
    yield "mmap"
    pid = os.fork()
    if pid == 0:
        while m.buf[0] == 0:
            time.sleep(0.001)
        os._exit(7)
    yield "fork"
    m.buf[0] = 1
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    yield "store"
    os.waitpid(pid, 0)
    yield "waitpid"


def unsized(name):
    fd = posix.shm_open(name, posix.O_CREAT | posix.O_EXCL | posix.O_RDWR)
    yield "shm_open"
    m = posix.mmap(None, 4096, posix.PROT_READ | posix.PROT_WRITE, posix.MAP_SHARED, fd)
    yield "mmap"
    m.buf[0] = 1
    yield "store"


def kept(name):
    fd = posix.shm_open(name, posix.O_CREAT | posix.O_EXCL | posix.O_RDWR)
    posix.ftruncate(fd, 8192)
    m = posix.mmap(None, 8192, posix.PROT_READ | posix.PROT_WRITE, posix.MAP_SHARED, fd)
    m.buf[0] = 1
    yield "mmap"
    posix.shm_unlink(name)
    yield "shm_unlink"
    posix.close(fd)
    yield "close"
    posix.munmap(m)
    yield "munmap"


def takes(name):
    sem = posix.sem_open(name, 0)
    yield "sem_open"
    posix.sem_wait(sem)
    yield "sem_wait"


def endless():
    while True:
        yield "on"


def anonymous():
    m = posix.mmap(
        None, 20480, posix.PROT_READ | posix.PROT_WRITE, posix.MAP_PRIVATE | posix.MAP_ANONYMOUS, -1
    )
    yield "mmap"
    posix.munmap(m)
    yield "munmap"


@both
@needs_strace
def test_each_call_its_result_its_system_calls_and_what_changed(walks, program):
    name = own_name("mymem")
    walk = walks(program, name, "hello")
    assert str(walk.moment) == "not started"
    assert walk.history == ()
    assert (walk.names, walk.process.pid) == ((name,), None)
    opened, sized, mapped, stored, synced, unmapped, closed, unlinked, ended = (walk.step() for _ in CALLS)
    assert [each.label for each in walk.history] == CALLS
    assert [each.step for each in walk.history] == list(range(1, 10))
    assert opened.result == "fd = 3"
    assert [call.name for call in opened.calls] == ["openat"]
    assert turned(opened) == {"objects": ["new"], "descriptors": ["new"]}
    assert "shm_open" in opened.call
    assert "show" not in opened.call
    assert [str(call) for call in sized.calls] == ["ftruncate(3, 10000) = 0"]
    assert turned(sized) == {"objects": ["changed size"]}
    assert (sized.view.objects[0].size, sized.view.allocated) == (10_000, 0)
    made = [call for call in mapped.calls if call.name == "mmap"]
    assert [call.arguments[1] for call in made] == ["10000"]
    assert turned(mapped)["mappings"] == ["new"]
    assert [(line.start, line.length) for line in mapped.view.mappings] == [(made[0].value, 3 * 4096)]
    assert mapped.result.startswith("m = ")
    assert stored.calls == ()
    assert stored.calls_missing == ""
    assert turned(stored) == {"objects": ["changed allocated"]}
    assert stored.view.allocated == 4096
    assert [each.data for each in stored.view.data[0][1]] == [True, False]
    assert [call.name for call in synced.calls] == ["msync"]
    assert not synced.changed
    assert turned(unmapped)["mappings"] == ["gone"]
    assert "munmap" in [call.name for call in unmapped.calls]
    assert turned(closed) == {"descriptors": ["gone"]}
    assert turned(unlinked) == {"objects": ["gone"]}
    assert [call.name for call in unlinked.calls] == ["unlink"]
    assert ended.over
    assert str(ended.state) == "exited with status 0"
    assert ended.calls[-1].kind == "end"
    assert walk.step() is ended
    assert repr(opened) == "<Moment: step 1: shm_open, fd = 3>"


@both
def test_the_view_is_what_the_kernel_says(walks, program):
    name = own_name("mymem")
    walk = walks(program, name, "hello", trace=False)
    for _ in range(4):
        walk.step()
    pid, view = walk.process.pid, walk.moment.view
    maps = [line for line in Path(f"/proc/{pid}/maps").read_text().splitlines() if name in line]
    assert [f"{line.start:x}-{line.end:x} {line.perms}" for line in view.mappings] == [
        " ".join(line.split()[:2]) for line in maps
    ]
    opened = sorted(int(each) for each in os.listdir(f"/proc/{pid}/fd") if int(each) < 200)
    assert [each.number for each in view.descriptors] == opened
    status = os.stat(f"/dev/shm{name}")
    assert [(each.inode, each.size, each.allocated) for each in view.objects] == [
        (status.st_ino, 10_000, status.st_blocks * 512)
    ]


def test_back_is_a_replay_in_a_fresh_process(walks):
    name = own_name("mymem")
    asked = []
    walk = walks(seven_calls, name, "hello", on_reset=lambda: asked.append(Path(f"/dev/shm{name}").exists()))
    for _ in range(4):
        walk.step()
    before = walk.process.pid
    there = walk.history
    moment = walk.undo()
    assert (moment.step, moment.label) == (3, "mmap")
    assert moment.view.allocated == 0
    assert walk.process.pid != before
    assert [each.label for each in walk.history] == CALLS[:3]
    assert [turned(each) for each in walk.history] == [turned(each) for each in there[:3]]
    assert asked == [False]  # the object that the walk had made was removed before
    for step in (2, 1, 0):
        assert walk.undo().step == step
    assert walk.process.state.kind == "paused"
    assert walk.undo().step == 0
    assert walk.run().label == "exit"
    assert walk.undo().label == "shm_unlink"
    walk.reset()
    assert (str(walk.moment), walk.process.pid) == ("not started", None)


def test_what_was_there_before_is_not_removed(walks):
    name = own_name("mymem")
    fd = posix.shm_open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR)
    os.ftruncate(fd, 4096)

    def grows(name):
        fd = posix.shm_open(name, os.O_RDWR)
        posix.ftruncate(fd, 8192)
        yield "ftruncate"

    walk = walks(grows, name, on_reset=lambda: os.ftruncate(fd, 4096))
    assert walk.step().view.objects[0].size == 8192
    walk.reset()
    assert os.fstat(fd).st_nlink == 1
    assert walk.start().view.objects[0].size == 4096
    os.close(fd)
    posix.shm_unlink(name)


def test_an_object_outlives_its_name(walks):
    name = own_name("mymem")
    walk = walks(kept, name)
    walk.step()
    unlinked = walk.step()
    assert turned(unlinked)["objects"] == ["gone"]
    assert turned(unlinked)["unnamed"] == ["new"]
    assert turned(unlinked)["mappings"] == ["changed deleted"]
    (lost,) = unlinked.view.unnamed
    assert (lost.was, lost.size, lost.allocated) == (name, 8192, 4096)
    assert unlinked.view.allocated == 4096
    closed = walk.step()
    assert [each.was for each in closed.view.unnamed] == [name]
    gone = walk.step()
    assert turned(gone)["unnamed"] == ["gone"]
    assert gone.view.allocated == 0


def test_a_bus_error_is_a_moment(walks):
    name = own_name("mymem")
    walk = walks(unsized, name)
    moment = walk.run()
    assert (moment.step, moment.label, moment.over) == (3, "", True)
    assert str(moment) == "step 3: killed by signal 7 (SIGBUS: Bus error) at line 6"
    assert moment.call == "m.buf[0] = 1"
    assert [each.size for each in moment.view.objects] == [0]  # the object outlives who made it
    assert moment.view.mappings == ()
    if not moment.calls_missing:
        assert [(call.kind, call.name) for call in moment.calls] == [("signal", "SIGBUS"), ("end", "killed")]
        assert moment.calls[0].si_code == "BUS_ADRERR"
    posix.shm_unlink(name)


def test_a_child_is_seen_and_its_end_too(walks):
    name = own_name("mymem")
    walk = walks(forks, name, trace=False)
    walk.step()
    forked = walk.step()
    assert turned(forked)["children"] == ["new"]
    (child,) = forked.view.children
    assert child.alive
    assert [line.inode for line in child.mappings] == [forked.view.objects[0].inode]
    stored = walk.step()
    assert [each.alive for each in stored.view.children] == [False]
    waited = walk.step()
    assert turned(waited)["children"] == ["gone"]
    posix.shm_unlink(name)


def test_a_step_that_blocks_is_gone_on_with(walks, until):
    name = own_name("sem")
    sem = posix.sem_open(name, os.O_CREAT | os.O_EXCL, 0o600, 0)
    walk = walks(takes, name)
    opened = walk.step()
    assert [each.kind for each in opened.view.objects] == ["semaphore"]
    blocked = walk.step()
    assert (blocked.step, blocked.complete, blocked.state.kind) == (2, False, "blocked")
    assert walk.step().state.kind == "blocked"
    assert len(walk.history) == 2
    assert walk.run().state.kind == "blocked"
    posix.sem_post(sem)
    until(lambda: walk.process.state.kind == "paused")  # it comes to its gate by itself
    taken = walk.step()
    assert (taken.step, taken.label, taken.complete) == (2, "sem_wait", True)
    if not taken.calls_missing:
        assert all(call.finished for call in taken.calls)
    assert len(walk.history) == 2
    assert walk.undo().label == "sem_open"
    posix.sem_unlink(name)
    posix.sem_close(sem)


def test_anonymous_memory_is_seen_as_it_comes(walks):
    walk = walks(anonymous)
    mapped = walk.step()
    assert [(line.perms, line.length) for line in mapped.view.mappings] == [("rw-p", 20480)]
    assert walk.step().view.mappings == ()


@needs_strace
def test_without_strace_it_says_why(walks, monkeypatch):
    name = own_name("mymem")
    assert walks(seven_calls, name, "x", trace=False).step().calls_missing.startswith("not traced")
    posix.shm_unlink(name)
    monkeypatch.setenv("PATH", "")
    walk = walks(seven_calls, name, "x")
    moment = walk.step()
    assert moment.calls_missing == "strace is not installed (package strace)"
    assert (moment.calls, moment.result) == ((), "fd = 3")
    walk.reset()


@needs_strace
def test_somebody_elses_tracing_is_named(walks):
    name = own_name("mymem")
    walk = walks(seven_calls, name, "x")
    walk.process.start()
    with observe.Tracer(walk.process.pid):
        walk._attach()
        assert walk._tracer is None
        assert "traces it already" in walk._missing


def test_running_ends_though_the_program_does_not(walks):
    walk = walks(endless, trace=False)
    begin = monotonic()
    moment = walk.run(timeout=0.3)
    assert monotonic() - begin < 3
    assert moment.step > 3
    assert (moment.complete, moment.over) == (True, False)


def test_reset_from_another_thread_ends_a_run(walks):
    walk = walks(endless, trace=False)
    thread = threading.Thread(target=walk.run, kwargs={"timeout": 30})
    begin = monotonic()
    thread.start()
    while not walk.history:
        assert monotonic() - begin < 10
    walk.reset()
    thread.join(5)
    assert not thread.is_alive()
    assert monotonic() - begin < 15
    assert str(walk.moment) == "not started"


def test_a_closed_walk_has_no_process_and_takes_no_step(walks):
    with walks(endless) as walk:
        walk.step()
        pid = walk.process.pid
    assert not Path(f"/proc/{pid}").exists()
    walk.close()
    with pytest.raises(ValueError, match="closed"):
        walk.step()


@needs_strace
def test_cleanup_leaves_no_strace_though_nobody_closed_the_walk(walks):
    def straces():
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        return [pid for pid in children if Path(f"/proc/{pid}/comm").read_text() == "strace\n"]

    kept = [walks(seven_calls, own_name(f"kept{number}"), "hello") for number in (1, 2)]
    for walk in kept:
        walk.step()
    assert len(straces()) == 2
    cleanup()
    assert straces() == [], "not even a zombie"
    assert [walk.process.outcome.kind for walk in kept] == ["stopped", "stopped"]


@pytest.mark.parametrize("name", ["", "/a/b"])
def test_a_name_that_none_can_have_is_refused_at_once(name):
    with pytest.raises(OSError, match="Invalid argument"):
        Walk(seven_calls, "/x", "y", names=[name])


@needs_cc
def test_a_c_program_shows_its_variables_and_its_paragraph(walks):
    source = """
    #include "step.h"

    int main(void)
    {
        int a = 1;
        show("a", "%d", a);
        step("one");
        for (int i = 0; i < 2; i++) {
            show("i", "%d", i);
            step("two");
        }
        return 3;
    }
    """
    walk = walks(c_program("shows", source), trace=False)
    walk.run()
    assert [each.result for each in walk.history] == ["a = 1", "i = 0", "i = 1", "exited with status 3"]
    assert [each.call for each in walk.history][:2] == ["int a = 1;", "for (int i = 0; i < 2; i++) {"]


def test_nothing_changes_between_equal_views(walks):
    walk = walks(seven_calls, own_name("mymem"), "x", trace=False)
    walk.step()
    assert not changes(walk.moment.view, walk.moment.view)
    walk.reset()


def test_a_step_is_fast(walks):
    """20 ms without strace and 100 ms with it are the most that a class waits: medians, on a busy machine."""
    for trace, most in ((False, 0.02), (True, 0.1)):
        walk = walks(seven_calls, own_name("mymem"), "hello", trace=trace)
        walk.start()
        times = []
        for _ in CALLS[:-1]:
            begin = monotonic()
            walk.step()
            times.append(monotonic() - begin)
        assert sorted(times)[len(times) // 2] < most
        walk.reset()


@needs_cc
def test_prototypes_are_the_headers_own(tmp_path):
    """The compiler refuses a second declaration that differs from the header's."""
    # These two are declared with "...": the man pages print what stands there.
    told = [text for call, text in PROTOTYPES.items() if call not in ("open", "sem_open")]
    headers = ["fcntl.h", "semaphore.h", "signal.h", "stdlib.h", "sys/ipc.h", "sys/mman.h", "sys/sem.h",
               "sys/shm.h", "sys/stat.h", "sys/wait.h", "time.h", "unistd.h"]  # fmt: skip
    lines = ["#define _GNU_SOURCE", *(f"#include <{each}>" for each in headers), *told]
    source = tmp_path / "prototypes.c"
    source.write_text("\n".join(lines) + "\n")
    checked = subprocess.run(
        [find_compiler(), "-std=gnu11", "-fsyntax-only", source], capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stderr
    source.write_text("\n".join(lines) + "\nlong close(char *fd);\n")
    assert subprocess.run([find_compiler(), "-fsyntax-only", source], capture_output=True).returncode != 0


def test_a_label_finds_its_prototype():
    assert prototype("mmap") == PROTOTYPES["mmap"]
    assert prototype("mmap again").startswith("void *mmap(")
    assert prototype("close(fd)") == "int close(int fd);"
    assert prototype("store") == prototype("") == ""


def test_the_seven_calls_run_outside_of_the_lab(tmp_path):
    if find_compiler() is None:
        pytest.skip("no C compiler: install the package gcc")
    from shmlab.programs import compile_c

    executable = shutil.copy(compile_c(in_c("seven_calls")), tmp_path)
    assert subprocess.run([executable, own_name("alone"), "text"], timeout=10).returncode == 0
    wrong = subprocess.run([executable], capture_output=True, text=True, timeout=10)
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("usage:")
