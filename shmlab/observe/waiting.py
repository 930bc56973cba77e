"""What a blocked process waits for, by asking the kernel: its system call, and what a futex lies in.

The system call numbers are those of x86_64 and aarch64; on other machines, and where this user may not read
/proc/PID/syscall, the kernel function it sleeps in (/proc/PID/wchan) says less. Nothing is stopped or traced.
Imported through ``shmlab.observe``, by processes and panels.
"""

import os
from dataclasses import dataclass
from typing import ClassVar

from shmlab.observe import table
from shmlab.observe.maps import mapping_at
from shmlab.observe.objects import SEMAPHORE, SHM, objects
from shmlab.observe.table import Columns, Value

UNKNOWN = "unknown"
"""The call of a process that certainly sleeps, where the kernel won't say in what."""

# From the kernel's arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h. Variants of
# a call carry the name that people know: glibc's semop is semtimedop, its sleep is clock_nanosleep.
CALLS = {
    "x86_64": {
        0: "read", 1: "write", 7: "poll", 17: "pread", 19: "readv", 20: "writev", 23: "select", 34: "pause",
        35: "nanosleep", 43: "accept", 45: "recvfrom", 47: "recvmsg", 61: "wait4", 65: "semop", 69: "msgsnd",
        70: "msgrcv", 72: "fcntl", 73: "flock", 128: "sigtimedwait", 130: "sigsuspend", 202: "futex",
        219: "restart_syscall", 220: "semop", 230: "nanosleep", 232: "epoll_wait", 247: "waitid", 257: "open",
        270: "select", 271: "poll", 281: "epoll_wait", 288: "accept",
    },
    "aarch64": {
        22: "epoll_wait", 25: "fcntl", 32: "flock", 56: "open", 63: "read", 64: "write", 65: "readv",
        66: "writev", 67: "pread", 72: "select", 73: "poll", 95: "waitid", 98: "futex", 101: "nanosleep",
        115: "nanosleep", 128: "restart_syscall", 133: "sigsuspend", 137: "sigtimedwait", 188: "msgrcv",
        189: "msgsnd", 192: "semop", 193: "semop", 202: "accept", 207: "recvfrom", 212: "recvmsg",
        242: "accept", 260: "wait4",
    },
}  # fmt: skip

ON_A_DESCRIPTOR = {
    "accept", "epoll_wait", "fcntl", "flock", "pread", "read", "readv", "recvfrom", "recvmsg", "write",
    "writev",
}  # fmt: skip

# Beginnings of the kernel functions that a sleeping process is in, without leading underscores.
WAIT_CHANNELS = {
    "futex": "futex",
    "do_semtimedop": "semop",
    "do_msgrcv": "msgrcv",
    "pipe_read": "read",
    "anon_pipe_read": "read",
    "pipe_write": "write",
    "anon_pipe_write": "write",
    "do_wait": "wait4",
    "hrtimer_nanosleep": "nanosleep",
    "do_nanosleep": "nanosleep",
    "ep_poll": "epoll_wait",
    "poll_schedule_timeout": "poll",
}

FUTEX_PRIVATE = 128
"""FUTEX_PRIVATE_FLAG of futex(2): the word is for the threads of one process."""


@dataclass(frozen=True, slots=True)
class Waiting(Value):
    """What a process is blocked in; ``str`` says it in words, ``sem_wait on '/mutex'``.

    *call* is the call's name (``sem_wait`` for a futex inside a named semaphore, ``unknown`` where the kernel
    won't say), or ``system call 321``. *target* says what it waits for, "" where the call has no object; *fd*
    is the descriptor, where there is one.
    """

    call: str
    target: str = ""
    fd: int | None = None

    COLUMNS: ClassVar[Columns] = {"call": table.text, "target": table.text}

    def __str__(self) -> str:
        if self.call == UNKNOWN:
            return self.target
        return f"{self.call} on {self.target}" if self.target else self.call


def waiting(pid: int) -> Waiting | None:
    """Return what process *pid* waits for; None when it isn't blocked.

    None: it runs or is ready to, is stopped by a signal, or has ended. It's the main thread of the process
    that is looked at (*pid* may be the id of another thread). A process that sleeps where this user may see
    no more than that is ``Waiting("unknown", …)``, never None. Source: ``/proc/PID/syscall``,
    ``/proc/PID/maps``, ``/proc/PID/wchan``, ``/proc/PID/stat`` (proc(5)).
    """
    try:
        try:
            words = _text(pid, "syscall").split()
        except (PermissionError, FileNotFoundError):
            words = []  # not ours to see, or a kernel without it
        if words == ["running"] or _text(pid, "stat").rpartition(")")[2].split()[0] not in ("S", "D"):
            return None
        if len(words) < 3:
            return _by_wait_channel(pid)
        number = int(words[0])
        arguments = [int(word, 16) for word in words[1:-2]]
        if number < 0:
            return _by_wait_channel(pid)  # asleep outside a call: a page is being brought in
        call = CALLS.get(os.uname().machine, {}).get(number, f"system call {number}")
        if call == "restart_syscall":
            # A sleep goes on after SIGSTOP and SIGCONT under this number, its arguments as they were.
            call = getattr(_by_wait_channel(pid), "call", UNKNOWN)
        return _described(pid, call, arguments)
    except (FileNotFoundError, ProcessLookupError):
        return None


def _described(pid: int, call: str, arguments: list[int]) -> Waiting:
    first = arguments[0]
    number = first & 0xFFFFFFFF
    signed = number - (1 << 32) if number >> 31 else number
    if call == "futex":
        return _futex(pid, first, private=bool(arguments[1] & FUTEX_PRIVATE))
    if call == "semop":
        return Waiting(call, f"semaphore set {number}")
    if call in ("msgrcv", "msgsnd"):
        return Waiting(call, f"message queue {number}")
    if call == "wait4":
        if signed > 0:
            return Waiting(call, f"process {signed}")
        return Waiting(call, "any child" if signed == -1 else f"process group {-signed or 'of its own'}")
    if call in ON_A_DESCRIPTOR:
        return Waiting(call, f"fd {signed}", signed)
    if call == UNKNOWN:
        return Waiting(UNKNOWN, "something the kernel won't name")
    return Waiting(call)


def _futex(pid: int, address: int, private: bool) -> Waiting:
    """Say what a futex lies in: a named semaphore, an object, a segment, or the process's own memory."""
    try:
        line = mapping_at(pid, address)
    except PermissionError:
        return Waiting("futex")
    if line is None or private or not line.perms.endswith("s"):
        return Waiting("futex", "its own memory")
    offset = address - line.start + line.offset
    if line.path.startswith("/SYSV"):
        return Waiting("futex", f"segment {line.inode} + {offset}")
    if not line.path.startswith(f"{SHM}/"):
        return Waiting(
            "futex", "memory shared with relatives" if line.deleted else f"'{line.path}' + {offset}"
        )
    # glibc links a temporary file to a semaphore's name: the inode, not the path, tells which it is (F55).
    entry = next((e for e in objects() if (e.inode, e.device) == (line.inode, _device(line.device))), None)
    if entry is not None and entry.kind == "semaphore":
        return Waiting("sem_wait", f"'{entry.name}'")
    if entry is not None:
        return Waiting("futex", f"'{entry.name}' + {offset}")
    if line.path.startswith(f"{SHM}/{SEMAPHORE}"):
        word = line.path.removeprefix(f"{SHM}/{SEMAPHORE}")
        # glibc's temporary files have six characters: any other path was the semaphore's name.
        return Waiting(
            "sem_wait", "a semaphore already unlinked" if len(word) == 6 else f"'/{word}', already unlinked"
        )
    return Waiting("futex", f"'{line.path.removeprefix(SHM)}' + {offset}, already unlinked")


def _device(text: str) -> int:
    major, _, minor = text.partition(":")
    return os.makedev(int(major, 16), int(minor, 16))


def _by_wait_channel(pid: int) -> Waiting:
    try:
        channel = _text(pid, "wchan").strip().lstrip("_")
    except (PermissionError, FileNotFoundError):
        channel = "0"
    for beginning, call in WAIT_CHANNELS.items():
        if channel.startswith(beginning):
            return Waiting(call)
    if channel in ("", "0"):
        return Waiting(UNKNOWN, "something the kernel won't name")
    return Waiting(UNKNOWN, f"something in the kernel's {channel}")


def _text(pid: int, file: str) -> str:
    with open(f"/proc/{int(pid)}/{file}", errors="replace") as opened:
        return opened.read()
