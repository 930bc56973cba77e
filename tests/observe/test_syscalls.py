"""System calls as values: real strace on real processes, and the lines that FACTS.md holds."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from importlib import import_module

import pytest

from shmlab import Process, names, observe

syscalls = import_module("shmlab.observe.syscalls")
tracing = import_module("shmlab.observe.tracing")
whose = import_module("shmlab.observe.whose")

WHY_NOT = observe.strace_available(attach=True)
needs_strace = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# What the C program of FACTS.md, section C, made strace print. Columns aren't kept: blanks are one.
FACTS = """\
openat(AT_FDCWD, "/dev/shm/facts_st", O_RDWR|O_CREAT|O_EXCL|O_NOFOLLOW|O_CLOEXEC, 0600) = 3
ftruncate(3, 4096)                = 0
mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_SHARED, 3, 0) = 0x7f910ef68000
msync(0x7f910ef68000, 4096, MS_SYNC) = 0
fallocate(3, 0, 0, 8192)          = 0
munmap(0x7f910ef68000, 4096)      = 0
close(3)                          = 0
openat(AT_FDCWD, "/dev/shm/facts_none", O_RDONLY|O_NOFOLLOW|O_CLOEXEC) = -1 ENOENT (No such file or directory)
unlink("/dev/shm/facts_st")       = 0
clone(child_stack=NULL, flags=CLONE_CHILD_SETTID|SIGCHLD, child_tidptr=0x7f910ed7ba10) = 2905
exit_group(5)                     = ?
+++ exited with 5 +++
shmctl(26181666, IPC_STAT, {shm_perm={uid=0, gid=0, mode=0600}, shm_segsz=5000, shm_ctime=1795410452}) = 0
write(3, "\\1\\0, (\\"\\0\\200", 32) = 32
semtimedop(4587558, [{sem_num=0, sem_op=-1, sem_flg=SEM_UNDO}], 1, NULL) = 0
"""


def test_each_line_of_facts_is_a_call():
    calls = syscalls.parse(FACTS)
    assert [call.text for call in calls] == FACTS.splitlines()
    opened, sized, mapped, *_ = calls
    assert opened.name == "openat"
    assert opened.arguments == (
        "AT_FDCWD",
        '"/dev/shm/facts_st"',
        "O_RDWR|O_CREAT|O_EXCL|O_NOFOLLOW|O_CLOEXEC",
        "0600",
    )
    assert (opened.result, opened.value, opened.error) == ("3", 3, "")
    assert sized.arguments == ("3", "4096")
    assert mapped.value == 0x7F910EF68000
    by_name = {call.name: call for call in calls}
    assert (calls[7].result, calls[7].error) == ("-1", "ENOENT")
    assert (by_name["exit_group"].result, by_name["exit_group"].value) == ("?", None)
    assert (by_name["exited"].kind, by_name["exited"].arguments) == ("end", ())
    assert by_name["shmctl"].arguments[2].startswith("{shm_perm={uid=0,")
    assert len(by_name["shmctl"].arguments) == 3
    assert by_name["write"].arguments == ("3", '"\\1\\0, (\\"\\0\\200"', "32")
    assert by_name["semtimedop"].arguments[1] == "[{sem_num=0, sem_op=-1, sem_flg=SEM_UNDO}]"
    assert by_name["clone"].arguments[0] == "child_stack=NULL"
    assert len(whose.ours(calls)) == len(calls)


def test_the_two_halves_of_a_call_are_joined():
    text = """\
2904  wait4(-1,  <unfinished ...>
2905  set_robust_list(0x7f910ed7ba20, 24) = 0
2905  exit_group(5)                     = ?
2905  +++ exited with 5 +++
2904  <... wait4 resumed>[{WIFEXITED(s) && WEXITSTATUS(s) == 5}], 0, NULL) = 2905
2904  --- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=2905, si_uid=0, si_status=5} ---
"""
    calls = syscalls.parse(text)
    assert [(call.pid, call.name) for call in calls] == [
        (2905, "set_robust_list"),
        (2905, "exit_group"),
        (2905, "exited"),
        (2904, "wait4"),
        (2904, "SIGCHLD"),
    ]
    wait = calls[3]
    assert wait.text == "wait4(-1, [{WIFEXITED(s) && WEXITSTATUS(s) == 5}], 0, NULL) = 2905"
    assert wait.arguments == ("-1", "[{WIFEXITED(s) && WEXITSTATUS(s) == 5}]", "0", "NULL")
    assert (calls[4].kind, calls[4].si_code, calls[4].si_addr) == ("signal", "CLD_EXITED", None)


def test_signals_and_ends():
    text = """\
--- SIGBUS {si_signo=SIGBUS, si_code=BUS_ADRERR, si_addr=0x7f910ef68000} ---
--- SIGSEGV {si_signo=SIGSEGV, si_code=SEGV_MAPERR, si_addr=NULL} ---
--- stopped by SIGSTOP ---
+++ killed by SIGBUS (core dumped) +++
"""
    bus, fault, stop, end = syscalls.parse(text, pid=7)
    assert (bus.kind, bus.name, bus.si_code, bus.si_addr, bus.pid) == (
        "signal",
        "SIGBUS",
        "BUS_ADRERR",
        0x7F910EF68000,
        7,
    )
    assert (fault.si_code, fault.si_addr) == ("SEGV_MAPERR", 0)
    assert (stop.name, stop.si_code, stop.si_addr) == ("SIGSTOP", "", None)
    assert (end.kind, end.name) == ("end", "killed")
    assert str(end) == "+++ killed by SIGBUS (core dumped) +++"


@pytest.mark.parametrize(
    ("line", "arguments", "result", "error", "duration"),
    [
        ("getpid() = 5", (), "5", "", None),
        ("read(0, 0x7ffe, 1) = ? ERESTARTSYS (To be restarted)",
         ("0", "0x7ffe", "1"), "?", "ERESTARTSYS", None),
        ("close(3) = 0 <0.000012>", ("3",), "0", "", 0.000012),
        ("close(9) = -1 EBADF (Bad file descriptor) <0.5>", ("9",), "-1", "EBADF", 0.5),
        ("poll([{fd=3, events=POLLIN}], 1, 50) = 0 (Timeout)",
         ("[{fd=3, events=POLLIN}]", "1", "50"), "0", "", None),
        ("fcntl(3, F_GETFL) = 0x8002 (flags O_RDWR|O_LARGEFILE)", ("3", "F_GETFL"), "0x8002", "", None),
        ('execve("/bin/true", ["true"], 0x7ffd /* 12 vars, (all) */) = 0',
         ('"/bin/true"', '["true"]', "0x7ffd /* 12 vars, (all) */"), "0", "", None),
        ("clone3({flags=CLONE_VM, stack=0x7f}  => {parent_tid=[0]}, 88) = 31",
         ("{flags=CLONE_VM, stack=0x7f}  => {parent_tid=[0]}", "88"), "31", "", None),
        ('read(3, "a = b) = 1"..., 4096) = 11', ("3", '"a = b) = 1"...', "4096"), "11", "", None),
    ],
)  # fmt: skip
def test_lines_of_every_shape(line, arguments, result, error, duration):
    (call,) = syscalls.parse(line)
    assert (call.arguments, call.result, call.error, call.duration) == (arguments, result, error, duration)
    assert (call.text, call.finished, call.kind) == (line, True, "call")


def test_calls_that_never_returned():
    text = "12 read(0, \n"
    (call,) = syscalls.parse(text)
    assert (call.pid, call.name, call.arguments, call.result, call.finished) == (
        12,
        "read",
        ("0",),
        "",
        False,
    )
    killed = "12 pause( <unfinished ...>) = ?\n12 +++ killed by SIGKILL +++"
    assert [(call.name, call.finished) for call in syscalls.parse(killed)] == [
        ("pause", False),
        ("killed", True),
    ]
    assert syscalls.parse("12 read(200,  <detached ...>") == ()


def test_what_is_not_straces_is_left_out():
    assert syscalls.parse("strace: Process 5 attached\nhello\n\nready 3\n") == ()
    (call,) = syscalls.parse("[pid  123] close(3) = 0")
    assert call.pid == 123


def test_no_text_breaks_the_reader():
    for length in range(len(FACTS)):
        syscalls.parse(FACTS[:length])
        whose.ours(syscalls.parse(FACTS[length:]))


def test_a_table_of_calls_shows_lines_whole():
    calls = syscalls.parse(FACTS)
    assert FACTS.splitlines()[0] in repr(calls)
    assert "O_NOFOLLOW|O_CLOEXEC, 0600) = 3" in calls._repr_html_()


# --- whose call it was ---


def shown(text, **options):
    return [call.text for call in whose.ours(syscalls.parse(text), **options)]


SHOWN = """\
openat(AT_FDCWD, "/dev/shm/x.py", O_RDWR) = 3
openat(AT_FDCWD, "/home/ana/data.txt", O_RDONLY) = 3
newfstatat(AT_FDCWD, "/tmp", {st_mode=S_IFDIR|S_ISVTX|0777, st_size=4096, ...}, 0) = 0
shmget(0x5ac70030, 5000, IPC_CREAT|IPC_EXCL|0600) = 26181666
shmdt(0x7f910ef67000) = 0
semget(IPC_PRIVATE, 1, 0600) = 4587558
mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_SHARED, 3, 0) = 0x7f00
mmap(NULL, 1048576, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS, -1, 0) = 0x7f10000
mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f0000
mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE, 3, 0) = 0x7f8000
mprotect(0x7f00, 4096, PROT_READ) = 0
munmap(0x7f10000, 1048576) = 0
msync(0x7f00, 4096, MS_SYNC) = 0
futex(0x7f910ef68000, FUTEX_WAIT_BITSET|FUTEX_CLOCK_REALTIME, 0, NULL, FUTEX_BITSET_MATCH_ANY) = 0
clone(child_stack=NULL, flags=SIGCHLD) = 2905
wait4(-1, NULL, 0, NULL) = 2905
execve("/usr/bin/python3", ["python3"], 0x7ffd /* 9 vars */) = 0
read(0, "x", 1) = 1
write(1, "x", 1) = 1
write(199, "x", 1) = 1
poll([{fd=3, events=POLLIN}, {fd=200, events=POLLIN}], 2, 50) = 0 (Timeout)
prlimit64(0, RLIMIT_FSIZE, {rlim_cur=0, rlim_max=0}, NULL) = 0
getpid() = 5
fstat(3, {st_mode=S_IFREG|0600, st_size=5000, ...}) = 0
fcntl(3, F_DUPFD_CLOEXEC, 0) = 4
close(3) = 0
--- SIGBUS {si_signo=SIGBUS, si_code=BUS_ADRERR, si_addr=0x7f910ef68000} ---
exit_group(0) = ?
+++ exited with 0 +++
"""


def test_what_is_never_hidden():
    assert shown(SHOWN) == SHOWN.splitlines()


HIDDEN = """\
read(200, "s", 1) = 1
write(201, ".", 1) = 1
poll([{fd=200, events=POLLIN}], 1, 250) = 0 (Timeout)
mmap(NULL, 262144, PROT_READ|PROT_WRITE, MAP_SHARED, 202, 0) = 0x7f00
brk(0x55e5310a1000) = 0x55e5310a1000
rt_sigaction(SIGINT, NULL, {sa_handler=SIG_DFL}, 8) = 0
futex(0x7f00, FUTEX_WAKE_PRIVATE, 1) = 0
mmap(NULL, 1048576, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f100000
munmap(0x7f100000, 1048576) = 0
newfstatat(AT_FDCWD, "/opt/lab", {st_mode=S_IFDIR|0755, st_size=4096, ...}, 0) = 0
newfstatat(AT_FDCWD, "/opt/lab/lesson.abi3.so", 0x7fff5aa80770, 0) = -1 ENOENT (No such file or directory)
newfstatat(AT_FDCWD, "/opt/lab/lesson.py", {st_mode=S_IFREG|0644, st_size=2155, ...}, 0) = 0
openat(AT_FDCWD, "/opt/lab/__pycache__/lesson.cpython-311.pyc", O_RDONLY|O_CLOEXEC) = 3
newfstatat(3, "", {st_mode=S_IFREG|0644, st_size=2505, ...}, AT_EMPTY_PATH) = 0
ioctl(3, TCGETS, 0x7fff5aa804b0) = -1 ENOTTY (Inappropriate ioctl for device)
lseek(3, 0, SEEK_CUR) = 0
read(3, "\\247\\r", 2506) = 2505
close(3) = 0
openat(AT_FDCWD, "/opt/lab", O_RDONLY|O_NONBLOCK|O_CLOEXEC|O_DIRECTORY) = 3
getdents64(3, 0x55e531039760 /* 9 entries */, 32768) = 280
close(3) = 0
openat(AT_FDCWD, "/opt/lib/librt.so.1", O_RDONLY|O_CLOEXEC) = 3
mmap(NULL, 16416, PROT_READ, MAP_PRIVATE|MAP_DENYWRITE, 3, 0) = 0x7fc104c30000
mmap(0x7fc104c31000, 4096, PROT_READ, MAP_PRIVATE|MAP_FIXED|MAP_DENYWRITE, 3, 0x1000) = 0x7fc104c31000
close(3) = 0
mprotect(0x7fc104c31000, 4096, PROT_READ) = 0
getpid() = 27742
write(201, ".", 1) = 1
"""


def test_what_is_hidden_and_why():
    assert shown(HIDDEN, folders=["/opt/lab"]) == []
    calls = syscalls.parse(HIDDEN)
    reasons = {call.text: reason for call, reason in whose.hidden(calls, folders=["/opt/lab"])}
    assert list(reasons) == list(dict.fromkeys(HIDDEN.splitlines()))
    assert reasons['read(200, "s", 1) = 1'] == "the lab's gate and board"
    assert reasons["close(3) = 0"] == "the interpreter reads a file of its own"
    assert all(reasons.values())


def test_a_descriptor_is_the_interpreters_only_until_it_is_closed():
    text = """\
openat(AT_FDCWD, "/opt/lab/lesson.py", O_RDONLY|O_CLOEXEC) = 3
read(3, "import", 4096) = 6
close(3) = 0
openat(AT_FDCWD, "/dev/shm/x", O_RDWR|O_NOFOLLOW|O_CLOEXEC) = 3
read(3, "x", 1) = 1
close(3) = 0
"""
    assert shown(text) == text.splitlines()[3:]


def test_a_lookup_that_leads_nowhere_is_the_programs():
    stat = 'newfstatat(AT_FDCWD, "/opt/lab", {st_mode=S_IFDIR|0755}, 0) = 0\n'
    semget = "semget(0x610702, 1, 0600) = 5\n"
    assert shown(stat + semget, folders=["/opt/lab"]) == [stat[:-1], semget[:-1]], "that was ftok"
    opened = 'openat(AT_FDCWD, "/opt/lab/lesson.py", O_RDONLY) = 3\n'
    assert shown(stat + opened, folders=["/opt/lab"]) == []


def test_earlier_calls_tell_whose_mapping_it_is():
    arena = "mmap(NULL, 1048576, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f100000"
    gone = "munmap(0x7f100000, 1048576) = 0"
    assert shown(gone) == [gone]
    assert shown(gone, before=syscalls.parse(arena)) == []
    shared = arena.replace("MAP_PRIVATE", "MAP_SHARED")
    assert shown(gone, before=syscalls.parse(shared)) == [gone]
    parse = import_module("shmlab.observe.maps").parse
    assert shown(gone, mapped=[parse(b"7f100000-7f200000 rw-p 00000000 00:00 0")]) == []
    line = parse(b"7f100000-7f200000 rw-s 00000000 00:1b 7 /dev/shm/shmlab-0-abcd-x")
    assert shown(gone, mapped=[line]) == [gone]
    board = parse(b"7f100000-7f200000 rw-s 00000000 00:1b 7 /dev/shm/shmlab-0-abcd-board")
    assert shown(gone, mapped=[board]) == []


def test_the_first_descriptor_of_the_lab_can_be_said():
    text = 'read(100, "s", 1) = 1'
    assert shown(text) == [text]
    assert shown(text, below=100) == []


# --- strace itself ---


def lines(calls):
    return [call.text for call in calls]


WALK = """
import os, sys
sys.path.insert(0, sys.argv[2])
from shmlab import libc, posix
name = sys.argv[1]
posix.msync(posix.mmap(None, 4096, 3, posix.MAP_SHARED | posix.MAP_ANONYMOUS, -1, 0), 4096)
os.write(1, b"begin")
fd = posix.shm_open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
posix.ftruncate(fd, 4096)
memory = posix.mmap(None, 4096, posix.PROT_READ | posix.PROT_WRITE, posix.MAP_SHARED, fd, 0)
memory.buf[0] = 1
posix.msync(memory, 4096)
posix.munmap(memory)
os.close(fd)
try:
    posix.shm_open(name + "-none", os.O_RDONLY)
except FileNotFoundError:
    pass
posix.shm_unlink(name)
os.write(1, b"end")
"""


@needs_strace
def test_the_walk_of_facts_through_posix():
    name = names.name("walk")
    calls = observe.ours(observe.trace([sys.executable, "-c", WALK, name, ROOT], timeout=30))
    texts = lines(calls)
    begin, end = texts.index('write(1, "begin", 5) = 5'), texts.index('write(1, "end", 3) = 3')
    walk = [re.sub(r"0x[0-9a-f]{6,}", "ADDRESS", text) for text in texts[begin + 1 : end]]
    # Python's mmap asks for the size and keeps a descriptor of its own: as FACTS.md's Python listing has it.
    extra = re.compile(r"(newfstatat|fstat|fcntl)\(3|close\(4")
    assert [text for text in walk if not extra.match(text)] == [
        f'openat(AT_FDCWD, "/dev/shm{name}", O_RDWR|O_CREAT|O_EXCL|O_NOFOLLOW|O_CLOEXEC, 0600) = 3',
        "ftruncate(3, 4096) = 0",
        "mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_SHARED, 3, 0) = ADDRESS",
        "msync(ADDRESS, 4096, MS_SYNC) = 0",
        "munmap(ADDRESS, 4096) = 0",
        "close(3) = 0",
        f'openat(AT_FDCWD, "/dev/shm{name}-none", O_RDONLY|O_NOFOLLOW|O_CLOEXEC) = '
        "-1 ENOENT (No such file or directory)",
        f'unlink("/dev/shm{name}") = 0',
    ]
    assert texts[0].startswith("execve(")
    assert texts[-1] == "+++ exited with 0 +++"


@needs_strace
def test_death_by_sigbus(shared):
    name = shared("bus", 4096)
    code = f"""
import mmap, os
fd = os.open("/dev/shm{name}", os.O_RDWR)
memory = mmap.mmap(fd, 4096)
os.ftruncate(fd, 0)
memory[100] = 1
"""
    calls = observe.ours(observe.trace([sys.executable, "-I", "-S", "-c", code]))
    *_, cut, bus, end = calls
    assert lines([cut]) == ["ftruncate(3, 0) = 0"]
    mapped = [call for call in calls if call.name == "mmap" and "MAP_SHARED" in call.arguments][-1]
    assert (bus.kind, bus.name, bus.si_code) == ("signal", "SIGBUS", "BUS_ADRERR")
    assert bus.si_addr == mapped.value + 100
    assert end.kind == "end"
    assert end.text.startswith("+++ killed by SIGBUS")


@needs_strace
def test_fork_and_wait():
    code = "import os; pid = os.fork(); pid or os._exit(5); os.waitpid(pid, 0)"
    calls = observe.trace([sys.executable, "-I", "-S", "-c", code], durations=True)
    kept = observe.ours(calls)
    (fork,) = [call for call in kept if call.name in ("clone", "clone3", "fork")]
    (wait,) = [call for call in kept if call.name == "wait4"]
    assert fork.value == wait.value != fork.pid
    assert "WEXITSTATUS(s) == 5" in wait.text
    assert [call.text for call in kept if call.pid == fork.value] == [
        "exit_group(5) = ?",
        "+++ exited with 5 +++",
    ]
    assert wait.duration is not None
    assert wait.duration > 0


@needs_strace
def test_a_program_that_does_not_end():
    code = "import os, signal; os.fork(); os.setsid(); signal.pause()"
    with pytest.raises(TimeoutError, match=r"not ended after 1 s, in pause\("):
        observe.trace([sys.executable, "-I", "-S", "-c", code], timeout=1)


@needs_strace
def test_a_program_that_is_not_there():
    with pytest.raises(FileNotFoundError) as caught:
        observe.trace(["/nowhere/program"])
    assert caught.value.filename == "/nowhere/program"


def test_without_strace(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert observe.strace_available() == "strace is not installed (package strace)"
    with pytest.raises(FileNotFoundError, match="package strace"):
        observe.trace([sys.executable, "-c", ""])
    with pytest.raises(FileNotFoundError, match="package strace"):
        observe.Tracer(1)


@pytest.mark.parametrize(
    ("yama", "attach", "says"),
    [
        ("not permitted: Yama's ptrace_scope is 3", False, "ptrace_scope is 3"),
        (
            "permitted for descendants only: Yama's ptrace_scope is 1",
            True,
            "sysctl kernel.yama.ptrace_scope=0",
        ),
        ("permitted for descendants only: Yama's ptrace_scope is 1", False, None),
        ("permitted", True, None),
    ],
)
@needs_strace
def test_what_yama_permits(monkeypatch, yama, attach, says):
    monkeypatch.setattr(tracing, "_ptrace", lambda: yama)
    answer = observe.strace_available(attach=attach)
    assert (answer is None) if says is None else says in answer


def test_an_strace_that_may_not_trace(monkeypatch, tmp_path):
    fake = tmp_path / "strace"
    fake.write_text(
        "#!/bin/sh\necho 'strace: ptrace(PTRACE_TRACEME, ...): Operation not permitted' >&2\nexit 1\n"
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(tracing, "_ptrace", lambda: "permitted")
    assert "Operation not permitted" in observe.strace_available()
    with pytest.raises(PermissionError, match="may not trace here"):
        observe.trace(["true"])


def walk(name):
    import os

    from shmlab import posix

    yield "ready"
    fd = posix.shm_open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    yield "shm_open"
    posix.ftruncate(fd, 4096)
    yield "ftruncate"
    memory = posix.mmap(None, 4096, posix.PROT_READ | posix.PROT_WRITE, posix.MAP_SHARED, fd, 0)
    yield "mmap"
    memory.buf[0] = 1
    yield "store"
    posix.munmap(memory)
    yield "munmap"
    posix.shm_unlink(name)
    yield "unlink"


@needs_strace
def test_each_step_of_a_stepped_process_has_its_own_calls():
    name = names.name("stepped")
    with Process(walk, name, label="A") as process:
        process.start()
        with observe.Tracer(process.pid) as tracer:
            seen, before = {}, []
            for _ in range(7):
                state = process.step()
                calls = tracer.calls_since_last()
                assert calls.settled
                kept = observe.ours(calls, before=before, mapped=tracer.mapped)
                seen[state.at] = [call.name for call in kept]
                before += calls
            assert tracer.calls_since_last() == ()
            process.step()
            last = tracer.calls_since_last()
        assert last.settled
        assert last[-1].text == "+++ exited with 0 +++"
    assert seen["ready"] == []
    assert seen["shm_open"] == ["openat"]
    assert seen["ftruncate"] == ["ftruncate"]
    assert seen["mmap"][-1] == "mmap"
    assert set(seen["mmap"]) <= {"newfstatat", "fstat", "fcntl", "mmap"}
    assert seen["store"] == [], "a store is no system call"
    assert "munmap" in seen["munmap"]
    assert seen["unlink"] == ["unlink"]


@needs_strace
def test_a_traced_process_that_runs_freely_pauses_and_stops(eventually):
    with Process(for_ever, label="A") as process:
        process.start()
        with observe.Tracer(process.pid) as tracer:
            process.run()
            eventually(lambda: process.state.step > 20)
            process.pause()
            calls = tracer.calls_since_last()
            assert calls.settled
            kept = observe.ours(calls, mapped=tracer.mapped)
            assert {call.text.partition(",")[0] for call in kept} >= {"newfstatat(AT_FDCWD"}
            assert len([call for call in kept if '"/dev/shm"' in call.text]) == process.state.step
            process.stop()
            assert tracer.calls_since_last()[-1].text == "+++ killed by SIGKILL +++"


def for_ever():
    import os

    while True:
        os.path.exists("/dev/shm")
        yield "look"


def waits(name):
    from shmlab import posix

    semaphore = posix.sem_open(name, 0)
    yield "opened"
    posix.sem_wait(semaphore)
    yield "waited"


@needs_strace
def test_a_step_that_blocks(semaphore):
    name = semaphore("block")
    with Process(waits, name, label="A") as process:
        process.start()
        process.step()
        with observe.Tracer(process.pid) as tracer:
            tracer.calls_since_last()
            assert process.step().kind == "blocked"
            calls = tracer.calls_since_last()
            assert calls.settled
            *_, call = observe.ours(calls)
            assert (call.name, call.finished, call.result) == ("futex", False, "")
            from shmlab import posix

            posix.sem_post(posix.sem_open(name, 0))
            assert process.step().kind in ("paused", "ended")
            calls = observe.ours(tracer.calls_since_last())
            assert (calls[0].name, calls[0].finished) == ("futex", True)


ASLEEP = """
import os, sys
print("ready", flush=True)
while True:
    line = sys.stdin.readline()
    os.stat("/dev/shm/" + line.strip())
    print("done", flush=True)
"""


def tell(child, word):
    child.stdin.write(word + "\n")
    child.stdin.flush()
    assert child.stdout.readline() == "done\n"


@needs_strace
def test_any_process_can_be_traced_and_goes_on_afterwards(launch, eventually):
    child = launch(ASLEEP.replace("os.stat", "os.path.exists"))
    eventually(lambda: observe.waiting(child.pid))
    with observe.Tracer(child.pid) as tracer:
        assert tracer.tracing
        tell(child, "one")
        calls = tracer.calls_since_last()
        assert any('"/dev/shm/one"' in call.text for call in calls)
        assert (calls.settled, calls[-1].name, calls[-1].finished) == (True, "read", False)
        tell(child, "two")
    assert not tracer.tracing
    assert repr(tracer) == f"Tracer({child.pid}, closed)"
    assert any('"/dev/shm/two"' in call.text for call in tracer.calls_since_last()), "what it saw is kept"
    tracer.detach()
    tell(child, "three")
    assert not any("three" in call.text for call in tracer.calls_since_last())
    assert child.poll() is None


@needs_strace
def test_killing_the_tracer_leaves_the_process_alone(launch, eventually):
    child = launch(ASLEEP.replace("os.stat", "os.path.exists"))
    eventually(lambda: observe.waiting(child.pid))
    code = """
import sys
from shmlab import observe
tracer = observe.Tracer(int(sys.argv[1]))
print("ready", flush=True)
sys.stdin.read()
"""
    holder = launch(code, str(child.pid))
    status = f"/proc/{child.pid}/status"

    def tracer_of():
        with open(status) as file:
            return int(re.search(r"TracerPid:\s+(\d+)", file.read())[1])

    strace = tracer_of()
    assert strace > 0
    holder.kill()
    holder.wait(timeout=10)
    # Nobody reads its trace any more: it ends at the next line that it writes, and the process goes on.
    tell(child, "one")
    eventually(lambda: tracer_of() == 0)
    tell(child, "two")
    assert child.poll() is None


@needs_strace
def test_semop_is_not_interrupted_by_the_end_of_tracing(launch, eventually):
    import sysv_ipc

    made = sysv_ipc.Semaphore(None, sysv_ipc.IPC_CREX, initial_value=0)
    code = """
import sys, sysv_ipc
print("ready", flush=True)
sys.stdin.readline()
semaphore = sysv_ipc.Semaphore(int(sys.argv[1]))
semaphore.acquire()
print("acquired", flush=True)
"""
    try:
        child = launch(code, str(made.key))
        eventually(lambda: observe.waiting(child.pid))
        with observe.Tracer(child.pid) as tracer:
            child.stdin.write("\n")
            child.stdin.flush()
            eventually(lambda: str(observe.waiting(child.pid)).startswith("semop"))
            calls = tracer.calls_since_last()
            assert calls[-1].name in ("semop", "semtimedop")
        made.release()
        assert child.stdout.readline() == "acquired\n"
    finally:
        made.remove()


@needs_strace
def test_a_traced_process_that_dies(launch, eventually):
    child = launch("import sys; print('ready', flush=True); sys.stdin.read()")
    eventually(lambda: observe.waiting(child.pid))
    with observe.Tracer(child.pid) as tracer:
        child.send_signal(signal.SIGTERM)
        child.wait(timeout=10)
        calls = tracer.calls_since_last(timeout=5)
        assert calls.settled
        assert [call.kind for call in calls[-2:]] == ["signal", "end"]
        assert calls[-1].text == "+++ killed by SIGTERM +++"


@needs_strace
def test_a_process_that_calls_without_end(launch):
    code = "import os; print('ready', flush=True)\nwhile True: os.stat('/dev/shm')"
    child = launch(code)
    with observe.Tracer(child.pid) as tracer:
        some = tracer.calls_since_last(timeout=0.2)
        assert not some.settled
        assert len(some) > 10
        now = tracer.calls_since_last(timeout=0)
        assert not now.settled
    assert all("/dev/shm" in call.text for call in (*some, *now)[1:-1])


@needs_strace
def test_what_nobody_reads_is_bounded_and_counted(launch, monkeypatch, eventually):
    monkeypatch.setattr(tracing, "MOST_KEPT", 20_000)
    code = """
import os, sys
print('ready', flush=True)
sys.stdin.readline()
for i in range(2000): os.path.exists('/dev/shm/' + str(i))
print('done', flush=True)
sys.stdin.readline()
"""
    child = launch(code)
    eventually(lambda: observe.waiting(child.pid))
    with observe.Tracer(child.pid) as tracer:
        child.stdin.write("\n")
        child.stdin.flush()
        assert child.stdout.readline() == "done\n", "a full pipe doesn't stop the process"
        calls = tracer.calls_since_last()
        assert calls.lost > 50_000
        assert "were lost" in repr(calls)
        assert '"/dev/shm/1999"' in "".join(lines(calls))
        assert sum(len(call.text) for call in calls) < 25_000
        assert tracer.calls_since_last().lost == 0


@needs_strace
def test_processes_that_can_not_be_traced(launch, eventually):
    gone = subprocess.Popen(["true"])
    gone.wait(timeout=10)
    with pytest.raises(ProcessLookupError, match=str(gone.pid)):
        observe.Tracer(gone.pid)
    with pytest.raises(ValueError, match="its own trace"):
        observe.Tracer(os.getpid())
    child = launch(ASLEEP)
    eventually(lambda: observe.waiting(child.pid))
    with observe.Tracer(child.pid) as first:
        with pytest.raises(PermissionError, match="traces it already"):
            observe.Tracer(child.pid)
        assert first.tracing


@needs_strace
def test_another_users_process_is_refused(as_nobody):
    def attach():
        try:
            observe.Tracer(1)
        except PermissionError as error:
            return str(error)
        return "attached"

    assert "Operation not permitted (another user's process" in as_nobody(attach)


@needs_strace
def test_a_process_that_is_not_dumpable_is_refused(as_nobody):
    def attach():
        import ctypes

        readable, writable = os.pipe()
        child = os.fork()
        if child == 0:
            ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE
            os.write(writable, b"x")
            signal.pause()
        try:
            os.read(readable, 1)
            with contextlib.closing(observe.Tracer(child)):
                return "attached"
        except PermissionError as error:
            return str(error)
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)

    assert "Operation not permitted" in as_nobody(attach)


@needs_strace
def test_an_ordinary_user_traces_what_is_his(as_nobody):
    def calls():
        return [str(observe.strace_available(attach=False)), observe.trace(["/bin/true"])[-1].text]

    assert as_nobody(calls) == ["None", "+++ exited with 0 +++"]


@needs_strace
def test_nothing_of_strace_survives(launch, eventually):
    child = launch(ASLEEP)
    eventually(lambda: observe.waiting(child.pid))
    descriptors = sorted(os.listdir("/proc/self/fd"))
    threads = threading.active_count()
    for _ in range(3):
        observe.Tracer(child.pid).close()
    tracer = observe.Tracer(child.pid)
    del tracer
    observe.trace(["true"])
    eventually(lambda: threading.active_count() == threads)
    assert sorted(os.listdir("/proc/self/fd")) == descriptors
    children = subprocess.run(["pgrep", "-P", str(os.getpid()), "strace"], capture_output=True, check=False)
    assert children.stdout == b""
