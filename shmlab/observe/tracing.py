"""Running strace, on a process that runs already (``Tracer``) or on a whole program (``trace``).

Unlike the rest of ``shmlab.observe`` a tracer isn't a mere onlooker: it stops the process at each call.
Imported through ``shmlab.observe`` by panels and lessons.
"""

import errno
import os
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING

from shmlab.observe.machine import _field, _ptrace
from shmlab.observe.maps import mappings
from shmlab.observe.syscalls import Call, Calls, Parser, read_call
from shmlab.observe.whose import is_the_labs

if TYPE_CHECKING:
    import subprocess

MISSING = "strace is not installed (package strace)"

OPTIONS = ("-f", "-q", "-a", "1")
"""Follow forks and threads; no messages but failures; one blank before a result instead of a column."""

LOOK = 0.002
"""Seconds between two looks at a process that gives no sign."""

MOST_KEPT = 8 << 20
"""Bytes of strace's text that wait to be read; of more, the oldest are dropped and counted."""


def strace_available(attach: bool = True) -> str | None:
    """Return why strace can't be used here; None when it can. Takes some 10 ms: it's tried.

    *attach* is whether processes that run already are to be traced (``Tracer``), which Yama may permit for
    one's own descendants only; ``trace`` can do without.
    """
    from shutil import which

    strace = which("strace")
    if strace is None:
        return MISSING
    permitted = _ptrace()
    if permitted.startswith("not permitted"):
        return f"tracing is {permitted}"
    if attach and permitted != "permitted":
        return f"tracing is {permitted}; attaching takes root, or sysctl kernel.yama.ptrace_scope=0"
    import subprocess

    try:
        tried = subprocess.run(
            [strace, "-qq", "-o", os.devnull, strace, "-V"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"strace doesn't run: {error}"
    if tried.returncode:
        said = tried.stderr.decode(errors="replace").strip().partition("\n")[0]
        return f"strace may not trace here (a container without CAP_SYS_PTRACE?): {said}"
    return None


class _Log:
    """What strace writes: a pipe that a thread keeps empty, for a full one would stop the traced process."""

    def __init__(self, descriptor: int) -> None:
        import threading

        self.changed = threading.Condition()
        self.ended = False
        self.lost = 0
        self._kept = bytearray()
        self._descriptor = descriptor
        os.set_blocking(descriptor, False)
        self._thread = threading.Thread(target=self._run, name="strace", daemon=True)
        self._thread.start()

    def take(self) -> str:
        """Return what has come since the last time, the pipe's present content included."""
        with self.changed:
            self._drain()
            text = self._kept.decode(errors="replace")
            self._kept.clear()
            return text

    def _drain(self) -> None:
        while not self.ended:
            try:
                text = os.read(self._descriptor, 1 << 16)
            except BlockingIOError:
                return
            if not text:
                self.ended = True
                os.close(self._descriptor)
            self._kept += text
            if len(self._kept) > MOST_KEPT:
                # Half at once, so that it's done rarely; whole lines, so that what is left can be read.
                cut = self._kept.find(b"\n", MOST_KEPT // 2) + 1
                self.lost += cut
                del self._kept[:cut]

    def _run(self) -> None:
        import select

        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        while not self.ended:
            poll.poll(1000)
            with self.changed:
                self._drain()
                self.changed.notify_all()


def _launch(
    arguments: Sequence[str], stdout: int | None = None
) -> "tuple[subprocess.Popen[bytes], _Log, int]":
    """Start strace; return it, its log, and a descriptor of what it says on stderr."""
    import fcntl
    import subprocess
    from shutil import which

    from shmlab import names

    strace = which("strace")
    if strace is None:
        raise FileNotFoundError(errno.ENOENT, MISSING, "strace")
    readable, writable = os.pipe()
    said = os.memfd_create("strace")
    # A traced program inherits it: numbered so high that the program's first descriptor is 3 all the same.
    high = fcntl.fcntl(writable, fcntl.F_DUPFD_CLOEXEC, 200)
    os.close(writable)
    try:
        process = subprocess.Popen(
            [strace, *OPTIONS, "-o", f"/proc/self/fd/{high}", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            pass_fds=[high],
            # Its own session: a notebook's interrupt goes to the whole process group. The mark lets the
            # supervisor end it when the notebook's kernel is killed.
            start_new_session=True,
            env={**os.environ, names.SESSION_VARIABLE: names.session()},
        )
    except BaseException:
        os.close(readable)
        os.close(said)
        raise
    finally:
        os.close(high)
    return process, _Log(readable), said


def _end(process: "subprocess.Popen[bytes]", said: int) -> None:
    """End strace with SIGKILL: unlike SIGTERM it doesn't stop the traced process once more to let it go."""
    process.kill()
    process.wait(timeout=10)
    os.close(said)


class Tracer:
    """Traces a running process and whatever it forks, until closed; use it in a ``with``.

    ``calls_since_last()`` returns what was called since the last time. Meant for a process that is stepped:
    it stands at the lab's gate, in a read(2) of a descriptor from *below* on, and when it's there again the
    calls of the step are complete. *mapped* is what was mapped when it attached. The traced process goes on
    when the tracer is closed, dropped or killed.

    *timeout* is how long attaching may take, in seconds. With *durations* each call tells how long it took.

    Attaching interrupts a call that blocks. Nearly all are restarted by the kernel; semop(2), epoll_wait(2)
    and sigtimedwait(2) fail with EINTR instead (signal(7)): attach while the process is at its gate.

    Raises FileNotFoundError when strace isn't installed, ProcessLookupError, PermissionError with the reason
    (another user's process, Yama, somebody else traces it), TimeoutError, and ValueError for the process that
    calls it. Source: strace(1), ptrace(2).
    """

    def __init__(self, pid: int, below: int = 200, timeout: float = 5.0, durations: bool = False) -> None:
        import weakref

        if pid == os.getpid():
            raise ValueError("a process can't read its own trace: it would wait for itself")
        self.pid = pid
        self._below = below
        self._parser = Parser(pid)
        self._strace, self._log, self._said = _launch([*(["-T"] if durations else []), "-p", str(pid)])
        self._close = weakref.finalize(self, _end, self._strace, self._said)
        try:
            self._attach(monotonic() + timeout)
            self.mapped = mappings(pid)
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"Tracer({self.pid}{'' if self._close.alive else ', closed'})"

    def __enter__(self) -> "Tracer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def calls_since_last(self, timeout: float = 1.0) -> Calls:
        """Return the calls since the last time; wait up to *timeout* seconds for the process to stand still.

        Standing still is: at its gate, blocked, or ended. Otherwise ``settled`` is False, and what comes
        later comes with the next calls. Where it's blocked, the last call is the one that it's blocked in,
        with ``finished`` False; it comes again, whole, when it has returned. The gate's own read isn't among
        them before it returned. With a *timeout* of 0 it doesn't wait: for a process that runs freely.
        """
        deadline = monotonic() + timeout
        seen = None
        while True:
            self._parser.feed(self._log.take())
            pending = self._parser.pending(self.pid)
            at_gate = pending is not None and self._is_gate(pending)
            # One look doesn't tell that it's blocked, for many a call sleeps a little: twice in the same.
            blocked = pending is not None and pending == seen and _sleeps(self.pid)
            settled = at_gate or blocked or self._log.ended or self.pid in self._parser.ended
            if settled or monotonic() >= deadline:
                break
            seen = pending
            with self._log.changed:
                self._log.changed.wait(LOOK)
        waiting = [call for call in self._parser.waiting() if not is_the_labs(call, self._below)]
        found = Calls([*self._parser.take(), *(waiting if settled else ())], Call.COLUMNS)
        found.settled, found.lost = settled, self._log.lost
        self._log.lost = 0
        return found

    @property
    def tracing(self) -> bool:
        """Whether strace still watches the process: not after ``close``, nor when either has ended."""
        return self._strace.poll() is None

    def close(self) -> None:
        """Let the process go on untraced, and end strace. May be called twice."""
        self._close()
        with self._log.changed:
            self._log.changed.wait_for(lambda: self._log.ended, timeout=2.0)

    detach = close

    def _attach(self, deadline: float) -> None:
        """Wait until strace sees the process: it's attached, and a call that blocks was entered again."""
        while self._strace.poll() is None:
            if monotonic() >= deadline:
                raise TimeoutError(errno.ETIMEDOUT, f"strace did not attach to process {self.pid}")
            self._parser.feed(self._log.take())
            attached = _tracer_of(self.pid) == self._strace.pid
            if attached and (self._parser.pending(self.pid) is not None or _state(self.pid) == "R"):
                return
            with self._log.changed:
                self._log.changed.wait(LOOK)
        self._refuse()

    def _refuse(self) -> None:
        text = os.pread(self._said, 4096, 0).decode(errors="replace").strip()
        tracer = _tracer_of(self.pid)
        if _state(self.pid) in ("", "Z", "X") or "No such process" in text:
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH), f"process {self.pid}")
        if tracer:
            reason = f"process {tracer} traces it already"
        elif "not permitted" in text:
            yama = _ptrace()
            reason = f"tracing is {yama}" if yama != "permitted" else "another user's process, or a container"
        else:
            raise OSError(errno.EIO, f"strace failed: {text}", f"process {self.pid}")
        raise PermissionError(errno.EPERM, f"{os.strerror(errno.EPERM)} ({reason})", f"process {self.pid}")

    def _is_gate(self, pending: str) -> bool:
        call = read_call(self.pid, pending, finished=False)
        return call.name in ("read", "poll", "ppoll") and is_the_labs(call, self._below)


def trace(argv: Sequence[str], timeout: float = 10.0, durations: bool = False) -> Calls:
    """Run a program to its end under ``strace -f`` and return its calls, and those of what it forked.

    It runs without input; what it prints is dropped. Raises FileNotFoundError for a program or a strace that
    isn't there, PermissionError when tracing isn't permitted, TimeoutError when it hasn't ended in *timeout*
    seconds: then it, and everything that it forked, has been killed.
    """
    from shutil import which

    if not argv or which(argv[0]) is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), argv[0] if argv else "")
    strace, log, said = _launch([*(["-T"] if durations else []), "--", *argv])
    parser = Parser(strace.pid)
    deadline = monotonic() + timeout
    try:
        with log.changed:
            log.changed.wait_for(lambda: log.ended, timeout)
        parser.feed(log.take())
        if not log.ended:
            blocked = ", ".join(call.text for call in parser.waiting())
            raise TimeoutError(
                errno.ETIMEDOUT,
                f"not ended after {timeout:g} s{f', in {blocked}' if blocked else ''}",
                argv[0],
            )
        strace.wait(timeout=max(1.0, deadline - monotonic()))
        found = Calls([*parser.take(), *parser.waiting()], Call.COLUMNS)
        found.lost = log.lost
        if not found:
            text = os.pread(said, 4096, 0).decode(errors="replace").strip()
            raise PermissionError(
                errno.EPERM, strace_available(attach=False) or f"strace failed: {text}", argv[0]
            )
        return found
    finally:
        if strace.poll() is None:
            _kill_traced(strace.pid)
        _end(strace, said)


def _kill_traced(strace: int) -> None:
    """Kill what strace traces, until there's none: one may have forked while we looked."""
    import signal

    deadline = monotonic() + 2.0
    while monotonic() < deadline:
        traced = [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and _tracer_of(int(pid)) == strace]
        if not traced:
            return
        for pid in traced:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def _tracer_of(pid: int) -> int:
    field = _field(f"/proc/{pid}/status", "TracerPid")
    return int(field) if field else 0


def _state(pid: int) -> str:
    """The letter of a process's state (proc(5)); "" when there's no such process."""
    try:
        with open(f"/proc/{pid}/stat", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _sleeps(pid: int) -> bool:
    return _state(pid) in ("S", "D")
