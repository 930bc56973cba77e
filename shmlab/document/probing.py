"""What probes share: objects and segments that go again, calls as C makes them, processes, the compiler.

Imported by the sections of :mod:`shmlab.document` and by lesson 14's judges. What a probe makes carries the
session's name or key, so that it goes even when the kernel is killed in the middle of one.
"""

import ctypes
import errno
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from shmlab import observe, posix, sysv
from shmlab.document.statements import UndecidedError
from shmlab.processes import Outcome, Process, State, own_key, own_name
from shmlab.programs import Program, find_compiler

PAGE = posix.PAGE_SIZE
READ_WRITE = posix.PROT_READ | posix.PROT_WRITE
NEW_OBJECT = posix.O_CREAT | posix.O_EXCL | posix.O_RDWR
NEW = sysv.IPC_CREAT | sysv.IPC_EXCL
NOBODY, STRANGER = 65534, 65533
"""Users that own nothing here; root becomes them, in a process of its own."""

USER_CALLS = ("setgroups", "setresgid", "setresuid")
"""What becoming another user takes; in some containers not even root may."""

PATIENCE = 5.0
"""Seconds that a probe's process may take."""


@dataclass(frozen=True)
class Object:
    """A shared memory object and a descriptor of it."""

    name: str
    fd: int

    @property
    def path(self) -> str:
        return f"/dev/shm{self.name}"

    @property
    def size(self) -> int:
        return os.fstat(self.fd).st_size

    def shared(self, length: int = PAGE, prot: int = READ_WRITE, offset: int = 0) -> posix.Mapping:
        return posix.mmap(None, length, prot, posix.MAP_SHARED, self.fd, offset)

    def private(self, length: int = PAGE) -> posix.Mapping:
        return posix.mmap(None, length, READ_WRITE, posix.MAP_PRIVATE, self.fd)


@contextmanager
def unused_name(word: str = "probe") -> Iterator[str]:
    """Yield a name that nothing has; unlink what has it afterwards."""
    name = own_name(word)
    with suppress(FileNotFoundError):
        posix.shm_unlink(name)
    try:
        yield name
    finally:
        with suppress(FileNotFoundError):
            posix.shm_unlink(name)


@contextmanager
def an_object(size: int = PAGE, word: str = "probe", mode: int = 0o600) -> Iterator[Object]:
    """Yield a new object of *size* bytes, 0 included; close and unlink it afterwards."""
    with unused_name(word) as name:
        fd = posix.shm_open(name, NEW_OBJECT, mode)
        try:
            if size:
                # Reserved, not only sized: on a full /dev/shm a first touch would kill the notebook.
                posix.posix_fallocate(fd, 0, size)
            yield Object(name, fd)
        finally:
            posix.close(fd)


@contextmanager
def unused_key(word: str = "probe") -> Iterator[int]:
    """Yield a key that neither a segment nor a set has; remove what has it afterwards."""
    key = own_key(word)
    _remove(key)
    try:
        yield key
    finally:
        _remove(key)


def _remove(key: int) -> None:
    with suppress(FileNotFoundError):
        sysv.shmctl(sysv.shmget(key, 0, 0), sysv.IPC_RMID)
    with suppress(FileNotFoundError):
        sysv.semctl(sysv.semget(key, 0, 0), 0, sysv.IPC_RMID)


@contextmanager
def a_segment(size: int = PAGE, key: int = sysv.IPC_PRIVATE, mode: int = 0o600) -> Iterator[int]:
    """Yield the id of a new segment that nobody has attached; remove it afterwards, if it's still there."""
    shmid = sysv.shmget(key, size, NEW | mode)
    try:
        yield shmid
    finally:
        with suppress(OSError):
            sysv.shmctl(shmid, sysv.IPC_RMID)


def row(shmid: int) -> observe.Segment | None:
    """Return what the kernel's table says of a segment, whatever its mode; None when it isn't there."""
    return next((each for each in observe.segments() if each.id == shmid), None)


def attached(shmid: int) -> int:
    """Return how many attachments the kernel counts; -1 when there's no such segment."""
    found = row(shmid)
    return found.attached if found else -1


def lines_at(address: int, length: int = 1) -> list[observe.MapLine]:
    """Return what this process maps in those bytes, as /proc/self/maps has it."""
    return [each for each in observe.mappings() if each.start < address + length and address < each.end]


@contextmanager
def a_file(size: int = PAGE) -> Iterator[int]:
    """Yield a descriptor of a new file without a name, where temporary files are."""
    try:
        with tempfile.TemporaryFile() as file:
            os.posix_fallocate(file.fileno(), 0, size)
            yield file.fileno()
    except FileNotFoundError as error:
        raise UndecidedError(f"there is no place for a file: {error}") from None


# --- Calls -------------------------------------------------------------------------------------------------


def answer(call: Callable[..., Any], *arguments: Any) -> Any:
    """Return what *call* returns, or the name of its errno: ``"EINVAL"``."""
    try:
        return call(*arguments)
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))


def as_c(function: str, *arguments: Any, returns: Any = ctypes.c_int) -> tuple[int, str]:
    """Call the C library's *function*; return its bare return value, and errno's name if that is -1.

    Integers are passed as long, which no function called here minds; None is NULL.
    """
    call = getattr(ctypes.CDLL(None, use_errno=True), function)
    call.restype = returns
    ctypes.set_errno(0)
    value = call(*(ctypes.c_long(each) if isinstance(each, int) else each for each in arguments))
    number = ctypes.get_errno()
    value = 0 if value is None else value
    failed = value in (-1, MAP_FAILED)
    return value, errno.errorcode.get(number, str(number)) if failed else ""


MAP_FAILED = ctypes.c_void_p(-1).value
"""``(void *)-1`` as the number that it is."""


# --- Processes ---------------------------------------------------------------------------------------------


def ended(program: "Callable[..., Any] | Program", *arguments: Any) -> tuple[Outcome, list[str]]:
    """Run a program to its end; return how it ended, and the lines it printed."""
    with Process(program, *arguments) as process:
        process.run()
        outcome = process.wait(PATIENCE)
        return outcome, process.output.splitlines()


def told(program: "Callable[..., Any] | Program", *arguments: Any) -> list[str]:
    """Run a program to its end; return the lines it printed.

    Raises UndecidedError when it wasn't permitted what it needs, RuntimeError for any other bad end.
    """
    outcome, lines = ended(program, *arguments)
    if any(call in outcome.traceback for call in USER_CALLS):
        raise UndecidedError(f"no other user can be had here: {outcome.error}")
    if not outcome.ok:
        raise RuntimeError(f"its process {how(outcome)}")
    return lines


def stepped(process: Process) -> State:
    """Let a process take one step; return where it is: paused, blocked or ended.

    Raises TimeoutError when it got nowhere in time: the machine is busy, and that's no answer.
    """
    state = process.step(PATIENCE)
    if state.kind == "running":
        raise TimeoutError(f"a process hadn't taken its step after {PATIENCE:g} s")
    return state


def how(outcome: Outcome) -> str:
    """Return how a process ended, to stand behind its name; the line of its program means nothing here."""
    words = str(replace(outcome, line=None))
    return f"was {words}" if outcome.kind in ("killed", "stopped") else words


def need_root(what: str) -> None:
    """Raise UndecidedError for an ordinary user."""
    if os.geteuid() != 0:
        raise UndecidedError(f"only root can {what}")


# --- The compiler ------------------------------------------------------------------------------------------

STRICT = (
    "-Werror=implicit-function-declaration",
    "-Werror=incompatible-pointer-types",
    "-Werror=int-conversion",
)


def compiler_says(*lines: str, link: tuple[str, ...] | None = None) -> str:
    """Return the compiler's first complaint about a C text, "" for none; with *link*, link it with those.

    Raises UndecidedError when there's no compiler.
    """
    compiler = find_compiler()
    if compiler is None:
        raise UndecidedError("there is no C compiler: install the packages gcc and libc6-dev")
    how = ["-fsyntax-only"] if link is None else ["-o", "/dev/null"]
    command = [compiler, "-std=gnu11", *STRICT, *how, "-x", "c", "-", "-x", "none", *(link or ())]
    source = "\n".join(lines) + "\n"
    try:
        result = subprocess.run(
            command, input=source, capture_output=True, text=True, timeout=20, check=False,
            env=os.environ | {"LC_ALL": "C"},
            start_new_session=True,  # an interrupt of the notebook is no complaint of the compiler's
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise UndecidedError("the compiler hadn't finished after 20 s") from None
    if result.returncode == 0:
        return ""
    if "fatal error" in result.stderr:
        raise UndecidedError("the C library's headers are missing: install the package libc6-dev")
    said = [line for line in result.stderr.splitlines() if "error" in line or "undefined" in line]
    return _bare(said[0]) if said else f"status {result.returncode}"


def _bare(complaint: str) -> str:
    """Return a complaint without the place and the option, which mean nothing to a reader."""
    return complaint.rpartition(": ")[2].partition(" [-W")[0]
