"""The ledger: which processes a session has had, so that the segments they made are found.

A System V segment without a key of the lab's (IPC_PRIVATE, ftok) says of its origin nothing but the pid that
created it. So the session keeps account of its pids: the kernel from where its session begins, every process
it launches, and what they and the kernel fork. The ledger stands at the end of the board, after the slots,
and lives as long as the board does: longer than everything else of the session. A line is appended with one
write to a descriptor in append mode, which no other writer can divide, in whatever language:

    in ipc:[4026531839] pid:[4026531836]     where these pids count; written first
    begin 4711 1795410452                    a process, and when it began: seconds since 1970
    end 4711 98331 98332                     it is gone, and these segments are its

A process that is launched is noted before it is let into its program's first line (it stands at its gate), a
forked one notes itself before it returns from its fork. At the end of a process the ids of what it made are
noted, and from then on its pid says nothing: a stranger may get it. (Ids aren't used again at once: F41.)

What it can't know: what a subprocess of a program's makes (``subprocess``, ``posix_spawn``, ``system``), for
it doesn't fork as the C library does; that wants a key of the lab's. Nor an end that nobody of the lab lived
to see: a segment that nobody uses, of a process that got the pid after that and is gone, is taken for ours.

Used by the session, which writes it, and by ``sweep``, which reads it; ``worker`` and ``programs/step.h``
write their own line.
"""

import os
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from time import CLOCK_BOOTTIME, clock_gettime, time

from shmlab import observe
from shmlab.processes import board

APART = 2.0
"""Seconds between the start of a process and its line, from which on the line is another process's.

A line is written milliseconds after its process has started; the rest is rounding, and a busy machine."""

TICKS = 0.02
"""Seconds by which the clock that dates a segment may be behind ours: it moves at the kernel's ticks."""


class Ledger:
    """The ledger of the board that *descriptor* is open on; it isn't closed here. Thread-safe."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._read_to = board.SIZE
        self._here = False
        self._running: dict[int, int] = {}
        self._made: dict[int, set[int]] = {}

    def open(self) -> None:
        """Begin the ledger of a new session, with this process. Raises OSError when /dev/shm is full."""
        self._append(f"in {_namespaces()}\n{_begin(os.getpid())}")

    def begin(self, pid: int) -> None:
        """Note that a process has begun. On a full /dev/shm it stays unknown: that is no reason to fail."""
        with suppress(OSError):
            self._append(_begin(pid))

    def settle(self) -> None:
        """Note the end of every process that is gone, with the segments that are its."""
        with self._lock:
            self._read()
            gone = [pid for pid, since in self._running.items() if not _is_running(pid, since)]
            if not gone:
                return
            segments = [each for each in observe.segments() if self._is_made(each)]
            lines = [_end(pid, (each.id for each in segments if each.cpid == pid)) for pid in gone]
            with suppress(OSError):
                self._append("".join(lines))

    def has_made(self, segment: observe.Segment) -> bool:
        """Whether a process of the session created the segment. The caller compares the users."""
        with self._lock:
            self._read()
            return self._is_made(segment)

    def hand_over(self, to: "Ledger") -> None:
        """Let another ledger say what this one does, whose board is about to be unlinked."""
        self.settle()
        with self._lock, to._lock:
            to._read()
            if self._here and to._here:
                lines = [_end(pid, made) for pid, made in self._made.items()]
                lines += [f"begin {pid} {since}\n" for pid, since in self._running.items()]
                with suppress(OSError):
                    to._append("".join(lines))

    def _append(self, lines: str) -> None:
        os.write(self._descriptor, lines.encode())

    def _is_made(self, segment: observe.Segment) -> bool:
        if segment.id in self._made.get(segment.cpid, ()):
            return True
        since = self._running.get(segment.cpid)
        if since is None or segment.ctime is None:
            return False
        made, now = segment.ctime.timestamp(), _started(segment.cpid)
        stranger = now is not None and now > since + APART
        return since <= made and not (stranger and now is not None and made >= int(now))

    def _read(self) -> None:
        """Read what was appended since the last look; a line that is only half there is left for the next."""
        text = b""
        while more := os.pread(self._descriptor, 1 << 16, self._read_to + len(text)):
            text += more
        text = text[: text.rfind(b"\n") + 1]
        self._read_to += len(text)
        for line in text.decode("ascii", "replace").splitlines():
            with suppress(ValueError):
                self._take(*line.split(" "))

    def _take(self, word: str = "", *rest: str) -> None:
        if word == "in":
            self._here = " ".join(rest) == _namespaces()
        elif not self._here:
            return  # pids of another container's
        elif word == "begin":
            pid, second = map(int, rest)
            self._running.setdefault(pid, second)
        elif word == "end":
            pid, *made = map(int, rest)
            self._running.pop(pid, None)
            if made:
                self._made.setdefault(pid, set()).update(made)


def _begin(pid: int) -> str:
    return f"begin {pid} {int(time() - TICKS)}\n"


def _end(pid: int, made: Iterable[int]) -> str:
    return " ".join(["end", str(pid), *map(str, made)]) + "\n"


def _namespaces() -> str:
    """Say which System V objects and which pids this process sees (namespaces(7), FACTS F73)."""
    with suppress(OSError):
        return " ".join(os.readlink(f"/proc/self/ns/{kind}") for kind in ("ipc", "pid"))
    return "unknown"


def _is_running(pid: int, since: int) -> bool:
    started = _started(pid)
    return started is not None and started <= since + APART


def _started(pid: int) -> float | None:
    """Return when the process that has *pid* now was started, in seconds since 1970; None when none has."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    since_boot = int(after_name[19]) / os.sysconf("SC_CLK_TCK")
    return time() - clock_gettime(CLOCK_BOOTTIME) + since_boot
