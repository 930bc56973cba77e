"""Whose call it was: telling the program's own system calls from the lab's and the interpreter's.

Rules, each with a reason. Imported through ``shmlab.observe`` by panels and lessons.
"""

import os
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from shmlab.observe.maps import MapLine
from shmlab.observe.objects import SHM
from shmlab.observe.syscalls import PATH, Call, Calls

ON_A_DESCRIPTOR = {
    "read", "write", "pread64", "pwrite64", "readv", "writev", "close", "fstat", "newfstatat", "statx",
    "lseek", "ioctl", "fcntl", "getdents64", "ftruncate", "fadvise64", "dup", "dup2", "dup3",
}  # fmt: skip

LOOKUPS = {
    "stat", "lstat", "newfstatat", "statx", "access", "faccessat", "faccessat2", "readlink", "readlinkat",
}  # fmt: skip

STARTING = {
    "arch_prctl": "the C library sets up a thread",
    "rseq": "the C library sets up a thread",
    "set_robust_list": "the C library sets up a thread",
    "set_tid_address": "the C library sets up a thread",
    "rt_sigaction": "the interpreter looks after its signal handlers",
    "rt_sigprocmask": "the C library holds signals back for a moment",
    "sigaltstack": "the interpreter gives its handlers a stack",
    "gettid": "a thread asks who it is",
    "brk": "malloc asks for memory",
}
"""Calls that no program of a lesson makes itself, and why they happen."""

MODULE = re.compile(
    r"\.(py|pyc|pth|so)$|\.so(\.\d+)+$|/__pycache__(/|$)|/ld\.so\.|/pyvenv\.cfg$|/pybuilddir\.txt$|\._pth$"
    r"|/lib(64)?/python3[\d.]*(\.zip)?(/|$)|/gconv/|/glibc-hwcaps/"
    r"|^/usr/(lib|share)/locale/|^/etc/localtime$|^/usr/share/zoneinfo/|^/proc/sys/vm/overcommit_memory$"
)
"""Paths of what Python imports, the dynamic loader loads, and the C library reads when it starts."""

LEAST_ARENA = 128 << 10
"""From here on malloc(3) asks for a mapping of its own (M_MMAP_THRESHOLD); Python's arenas are 1 MiB."""

NEVER = {
    "shmget", "shmat", "shmdt", "shmctl", "semget", "semop", "semtimedop", "semctl", "msgget", "msgsnd",
    "msgrcv", "msgctl", "fork", "vfork", "clone", "clone3", "wait4", "waitid", "execve", "execveat", "exit",
    "exit_group", "msync", "mremap", "memfd_create",
}  # fmt: skip
"""Calls that are always the program's."""


def ours(
    calls: Iterable[Call],
    below: int = 200,
    before: Iterable[Call] = (),
    mapped: Iterable[MapLine] = (),
    folders: Collection[str] | None = None,
) -> Calls:
    """Return the calls that the program made: without the lab's, and without the interpreter's own.

    Each rule has a reason, which ``hidden`` tells. What a rule isn't sure of is shown: a line too many is
    better than one that is missing. Never hidden: signals and ends; whatever touches /dev/shm or System V
    IPC; shared mappings (but the lab's board); fork, clone, wait4, execve, exit; and whatever is done with a
    descriptor lower than *below*, unless that descriptor was opened, in these calls, on a file that is the
    interpreter's: a module, a library, the locale. (So of a whole Python program some 50 lines of its start
    are left: let it write a word where its own part begins.)

    *below* is the first descriptor that belongs to the lab. *before* are earlier calls of the same process
    and *mapped* what was mapped when its program began (``Tracer.mapped``): they tell which mappings are the
    interpreter's. *folders* is where Python looks for modules (default: ``sys.path``, which travels with a
    program).
    """
    return _like(
        calls, [call for call, reason in _judged(calls, below, before, mapped, folders) if not reason]
    )


def hidden(
    calls: Iterable[Call],
    below: int = 200,
    before: Iterable[Call] = (),
    mapped: Iterable[MapLine] = (),
    folders: Collection[str] | None = None,
) -> list[tuple[Call, str]]:
    """Return the calls that ``ours`` leaves out, each with the reason."""
    return [(call, reason) for call, reason in _judged(calls, below, before, mapped, folders) if reason]


def _like(calls: Iterable[Call], kept: list[Call]) -> Calls:
    found = Calls(kept, Call.COLUMNS)
    if isinstance(calls, Calls):
        found.settled, found.lost = calls.settled, calls.lost
    return found


def _judged(
    calls: Iterable[Call],
    below: int,
    before: Iterable[Call],
    mapped: Iterable[MapLine],
    folders: Collection[str] | None,
) -> Iterator[tuple[Call, str]]:
    earlier = tuple(before)
    rows = (*earlier, *calls)
    modules = {os.path.dirname(path) for path in map(_path, rows) if MODULE.search(path)}
    places = {os.path.abspath(folder) for folder in (sys.path if folders is None else folders)} | modules
    known = {line.start: line.length for line in mapped if line.perms.endswith("p") or _is_board(line)}
    judges: dict[int, _Judge] = {}
    for i, (call, following) in enumerate(zip(rows, _following(rows), strict=True)):
        judge = judges.setdefault(call.pid, _Judge(below, places, known))
        reason = judge.reason(call, following)
        if i >= len(earlier):
            yield call, reason


def _following(rows: Sequence[Call]) -> list[Call | None]:
    """For each call return the next of its process that isn't a lookup: some are known by what follows.

    None stands for the end of the process too, where nothing but tidying up comes before it.
    """
    following: list[Call | None] = [None] * len(rows)
    next_of: dict[int, Call | None] = {}
    for i in range(len(rows) - 1, -1, -1):
        call = rows[i]
        following[i] = next_of.get(call.pid)
        tidying = (
            (call.name in STARTING or call.name in ("close", "munmap"))
            and call.pid in next_of
            and following[i] is None
        )
        if tidying or call.kind == "end" or call.name == "exit_group":
            next_of[call.pid] = None
        elif not (call.name in LOOKUPS and _path(call)):
            next_of[call.pid] = call
    return following


def _is_board(line: MapLine) -> bool:
    from shmlab import names

    return names.is_board(line.path.removeprefix(SHM))


def is_the_labs(call: Call, below: int = 200) -> bool:
    """Whether a call works on a descriptor of the lab's: *below* or higher."""
    if call.name in ("poll", "ppoll"):
        polled = re.findall(r"\bfd=(-?\d+)", call.arguments[0] if call.arguments else "")
        return bool(polled) and all(int(fd) >= below for fd in polled)
    if call.name == "mmap":
        return len(call.arguments) == 6 and _number(call.arguments[4:]) >= below
    return call.name in ON_A_DESCRIPTOR and _number(call.arguments) >= below


class _Judge:
    """Knows, for one process, which descriptors and mappings are the interpreter's."""

    def __init__(self, below: int, folders: Collection[str], mapped: Mapping[int, int]) -> None:
        self._below, self._folders = below, folders
        self._descriptors: set[int] = set()
        self._mappings = dict(mapped)

    def reason(self, call: Call, following: Call | None) -> str:
        """Return why the call isn't the program's; "" when it is. *following*: the next but lookups."""
        name, arguments = call.name, call.arguments
        path = _path(call)
        if call.kind != "call" or name in NEVER or path.startswith("/dev/shm"):
            return ""
        if is_the_labs(call, self._below):
            return "the lab's gate and board"
        if name == "getpid":
            # A worker asks after each step, and tells the lab of the step, or ends, right after.
            labs = following is None or is_the_labs(following, self._below)
            return "the lab asks whether the program forked" if labs else ""
        if name in STARTING:
            return STARTING[name]
        if name == "prlimit64" and arguments[1:3] == ("RLIMIT_STACK", "NULL"):
            return "the C library asks how large the stack may be"
        if name == "futex":
            private = len(arguments) > 1 and "_PRIVATE" in arguments[1]
            return "threads of one process take turns" if private else ""
        if name in ("mmap", "munmap", "mprotect", "madvise"):
            return self._mapping(call)
        if name in ("open", "openat"):
            return self._open(call, path)
        if name in LOOKUPS and path:
            module = MODULE.search(path) or any(f"{each}/".startswith(f"{path}/") for each in self._folders)
            leads = following is not None and following.name in ("open", "openat") and self._loads(following)
            return "the interpreter looks for a file of its own" if module and leads else ""
        if name in ON_A_DESCRIPTOR and (descriptor := _number(arguments)) in self._descriptors:
            if name == "close":
                self._descriptors.discard(descriptor)
            return "the interpreter reads a file of its own"
        return ""

    def _loads(self, call: Call) -> bool:
        path = _path(call)
        if "/dev/shm" in path:
            return False
        flags = " ".join(call.arguments)
        return bool(MODULE.search(path)) or ("O_DIRECTORY" in flags and path in self._folders)

    def _open(self, call: Call, path: str) -> str:
        if self._loads(call):
            if call.value is not None and call.value >= 0:
                self._descriptors.add(call.value)
            return "the interpreter opens a file of its own"
        if call.value is not None:
            self._descriptors.discard(call.value)
        return ""

    def _mapping(self, call: Call) -> str:
        arguments = call.arguments
        if call.name == "mmap" and len(arguments) == 6:
            flags = set(arguments[3].split("|"))
            length = _number(arguments[1:])
            descriptor = _number(arguments[4:])
            if flags & {"MAP_SHARED", "MAP_SHARED_VALIDATE"}:
                reason = ""
            elif descriptor in self._descriptors or (
                "MAP_FIXED" in flags and self._inside(_address(arguments))
            ):
                reason = "mapping a library"
            elif arguments[0] == "NULL" and "MAP_ANONYMOUS" in flags and length >= LEAST_ARENA:
                reason = "the interpreter's own memory"
            else:
                reason = ""
            if reason and call.value is not None:
                self._mappings[call.value] = length
            elif call.value is not None:
                self._forget(call.value, length)
            return reason
        address = _address(arguments)
        if not self._inside(address):
            return ""
        if call.name == "munmap":
            self._forget(address, _number(arguments[1:]))
        return "the interpreter's own memory"

    def _inside(self, address: int) -> bool:
        return any(start <= address < start + length for start, length in self._mappings.items())

    def _forget(self, address: int, length: int) -> None:
        self._mappings = {
            start: size for start, size in self._mappings.items() if not address <= start < address + length
        }


def _path(call: Call) -> str:
    """The first argument in quotes that's a path; "" where there's none."""
    if call.name in ("read", "write", "pread64", "pwrite64"):
        return ""
    for argument in call.arguments[:2]:
        if argument.startswith('"'):
            found = PATH.match(argument)
            return found[1] if found else ""
    return ""


def _number(arguments: Sequence[str]) -> int:
    try:
        return int(arguments[0].split()[0], 0)
    except (IndexError, ValueError):
        return -1


_address = _number
