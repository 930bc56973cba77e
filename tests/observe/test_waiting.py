"""What processes wait for: real processes, really blocked."""

import importlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import posix_ipc
import pytest
import sysv_ipc

from shmlab import names, observe

# The package's name `waiting` is the function.
module = importlib.import_module("shmlab.observe.waiting")

ACQUIRE = """
import posix_ipc, sys
semaphore = posix_ipc.Semaphore(sys.argv[1])
print("ready", flush=True)
semaphore.acquire(float(sys.argv[2]) if len(sys.argv) > 2 else None)
"""


def said(child, eventually):
    return str(eventually(lambda: observe.waiting(child.pid)))


@pytest.mark.parametrize("timeout", [(), ("60",)])
def test_sem_wait_names_the_semaphore(launch, semaphore, eventually, timeout):
    name = semaphore("mutex")
    child = launch(ACQUIRE, name, *timeout)
    found = eventually(lambda: observe.waiting(child.pid))
    assert (found.call, found.target, found.fd) == ("sem_wait", f"'{name}'", None)
    assert str(found) == f"sem_wait on '{name}'"
    posix_ipc.Semaphore(name).release()
    child.wait(timeout=10)
    assert observe.waiting(child.pid) is None


def test_the_semaphore_of_the_process_that_created_it(launch, eventually):
    # Its mapping bears the name of glibc's temporary file, not the semaphore's (FACTS F55).
    name = names.name("created")
    create = "posix_ipc.Semaphore(sys.argv[1], posix_ipc.O_CREX)"
    child = launch(ACQUIRE.replace("posix_ipc.Semaphore(sys.argv[1])", create), name)
    try:
        assert said(child, eventually) == f"sem_wait on '{name}'"
    finally:
        posix_ipc.unlink_semaphore(name)
    assert str(observe.waiting(child.pid)) == "sem_wait on a semaphore already unlinked"


def test_a_semaphore_unlinked_under_its_waiter(launch, semaphore, eventually):
    name = semaphore("gone")
    child = launch(ACQUIRE, name)
    posix_ipc.unlink_semaphore(name)
    assert said(child, eventually) == f"sem_wait on '{name}', already unlinked"


def test_two_semaphores_are_told_apart(launch, semaphore, eventually):
    first, second = semaphore("first"), semaphore("second")
    a, b = launch(ACQUIRE, first), launch(ACQUIRE, second)
    assert said(a, eventually) == f"sem_wait on '{first}'"
    assert said(b, eventually) == f"sem_wait on '{second}'"


def test_a_futex_in_a_shared_object(launch, shared, eventually):
    name = shared("futex", 8192)
    code = """
import ctypes, mmap, os, sys
fd = os.open("/dev/shm" + sys.argv[1], os.O_RDWR)
memory = mmap.mmap(fd, 4096, offset=4096)
word = ctypes.c_uint.from_buffer(memory, 16)
print("ready", flush=True)
ctypes.CDLL(None).syscall({"x86_64": 202, "aarch64": 98}[os.uname().machine], ctypes.byref(word), 0, 0, None)
"""
    child = launch(code, name)
    assert said(child, eventually) == f"futex on '{name}' + {4096 + 16}"
    os.unlink(f"/dev/shm{name}")
    assert said(child, eventually) == f"futex on '{name}' + {4096 + 16}, already unlinked"


def test_a_futex_in_a_segment(launch, eventually):
    segment = sysv_ipc.SharedMemory(None, sysv_ipc.IPC_CREX, size=4096, init_character=b"\0")
    code = """
import ctypes, os, sys, sysv_ipc
segment = sysv_ipc.attach(int(sys.argv[1]))
print("ready", flush=True)
number = {"x86_64": 202, "aarch64": 98}[os.uname().machine]
ctypes.CDLL(None).syscall(number, ctypes.c_void_p(segment.address + 8), 0, 0, None)
"""
    try:
        segment.detach()
        assert said(launch(code, str(segment.id)), eventually) == f"futex on segment {segment.id} + 8"
    finally:
        segment.remove()


def test_a_futex_in_memory_shared_with_relatives(launch, eventually):
    code = """
import ctypes, mmap, os
memory = mmap.mmap(-1, 4096)
print("ready", flush=True)
number = {"x86_64": 202, "aarch64": 98}[os.uname().machine]
ctypes.CDLL(None).syscall(number, ctypes.byref(ctypes.c_uint.from_buffer(memory)), 0, 0, None)
"""
    assert said(launch(code), eventually) == "futex on memory shared with relatives"


def test_a_futex_in_its_own_memory(launch, eventually):
    child = launch(
        "import threading; l = threading.Lock(); l.acquire(); print('ready', flush=True); l.acquire()"
    )
    assert said(child, eventually) == "futex on its own memory"


def test_semop_names_the_set(launch, eventually):
    made = sysv_ipc.Semaphore(None, sysv_ipc.IPC_CREX, initial_value=0)
    try:
        code = """
import sysv_ipc, sys
semaphore = sysv_ipc.Semaphore(int(sys.argv[1]))
print("ready", flush=True)
semaphore.acquire()
"""
        child = launch(code, str(made.key))
        found = eventually(lambda: observe.waiting(child.pid))
        assert (found.call, found.target) == ("semop", f"semaphore set {made.id}")
    finally:
        made.remove()


def test_reading_a_pipe(launch, eventually):
    child = launch("import os; print('ready', flush=True); os.read(0, 1)")
    found = eventually(lambda: observe.waiting(child.pid))
    assert (found.call, found.target, found.fd) == ("read", "fd 0", 0)


def test_writing_a_full_pipe(launch, eventually):
    child = launch(
        "import os; print('ready', flush=True); r, w = os.pipe()\nwhile True: os.write(w, bytes(4096))"
    )
    assert said(child, eventually).startswith("write on fd ")


def test_wait_for_a_child(launch, eventually):
    code = """
import os, sys
pid = os.fork()
if pid == 0:
    sys.stdin.read()
    os._exit(0)
print("ready", flush=True)
os.waitpid(pid if len(sys.argv) > 1 else -1, 0)
"""
    assert said(launch(code), eventually) == "wait4 on any child"
    child = launch(code, "it")
    grandchild = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()[0]
    assert said(child, eventually) == f"wait4 on process {grandchild}"


def test_sleeping_and_going_on_after_a_stop(launch, eventually):
    child = launch("import time; print('ready', flush=True); time.sleep(60)")
    assert said(child, eventually) == "nanosleep"
    os.kill(child.pid, signal.SIGSTOP)
    eventually(lambda: observe.waiting(child.pid) is None)
    os.kill(child.pid, signal.SIGCONT)
    assert said(child, eventually) == "nanosleep"


def test_selecting(launch, eventually):
    child = launch("import select; print('ready', flush=True); select.select([], [], [], 60)")
    assert said(child, eventually) == "select"


def test_running_ended_and_absent_processes_wait_for_nothing(launch):
    busy = launch("print('ready', flush=True)\nwhile True: pass")
    assert [observe.waiting(busy.pid) for _ in range(50)] == [None] * 50
    assert observe.waiting(os.getpid()) is None
    zombie = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    assert observe.waiting(zombie.pid) is None
    zombie.wait()
    assert observe.waiting(zombie.pid) is None
    assert observe.waiting(2**22 + 1) is None


def test_one_who_may_not_look_is_told_that_it_sleeps(as_nobody, launch, semaphore, eventually):
    blocked = launch(ACQUIRE, semaphore("hidden"))
    busy = launch("print('ready', flush=True)\nwhile True: pass")
    assert said(blocked, eventually).startswith("sem_wait")
    call, words, other = as_nobody(
        lambda: [
            observe.waiting(blocked.pid).call,
            str(observe.waiting(blocked.pid)),
            observe.waiting(busy.pid),
        ]
    )
    assert call == "unknown"
    assert words == "something the kernel won't name"
    assert other is None


def test_without_the_system_call_the_wait_channel_says_less(launch, semaphore, eventually, monkeypatch):
    blocked = launch(ACQUIRE, semaphore("channel"))
    assert said(blocked, eventually).startswith("sem_wait")
    text = module._text

    def without(pid, file):
        if file == "syscall":
            raise FileNotFoundError
        return text(pid, file)

    monkeypatch.setattr(module, "_text", without)
    assert str(observe.waiting(blocked.pid)) == "futex"


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_numbers_are_those_of_the_kernel_headers(machine):
    header = {
        "x86_64": "/usr/include/x86_64-linux-gnu/asm/unistd_64.h",
        "aarch64": "/usr/include/asm-generic/unistd.h",
    }[machine]
    if not os.path.exists(header):
        pytest.skip(f"{header} is not installed (package linux-libc-dev)")
    numbers = {}
    for line in Path(header).read_text().splitlines():
        words = line.split()
        if len(words) >= 3 and words[0] == "#define" and words[1].startswith(("__NR_", "__NR3264_")):
            name = words[1].removeprefix("__NR_").removeprefix("__NR3264_")
            if words[2].isdigit():
                numbers[int(words[2])] = name
    plain = {
        "clock_nanosleep": "nanosleep",
        "semtimedop": "semop",
        "select": "select",
        "pselect6": "select",
        "ppoll": "poll",
        "pread64": "pread",
        "accept4": "accept",
        "openat": "open",
        "epoll_pwait": "epoll_wait",
        "rt_sigsuspend": "sigsuspend",
        "rt_sigtimedwait": "sigtimedwait",
    }
    for number, call in module.CALLS[machine].items():
        assert plain.get(numbers[number], numbers[number]) == call
