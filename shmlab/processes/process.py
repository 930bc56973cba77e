"""A process of the lab: a program, running for real, that can be stepped, let run, paused and stopped.

No method raises because the program misbehaves: what the program does is the process's *state*, and how it
ended its *outcome*. Every wait has a timeout. Thread-safe: a button and a cell may drive the same process;
one's order waits for the other's to be carried out or to time out, but *stop* and *reset* end it.
"""

import errno
import fcntl
import itertools
import marshal
import math
import os
import select
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

from shmlab import names, observe
from shmlab.palette import PROCESS_COLOURS
from shmlab.processes import board, session, sweep
from shmlab.processes.outcome import Outcome, outcome_of
from shmlab.processes.output import Output, pump
from shmlab.programs import Program, as_program, compile_c, is_plain

LOOK = 0.002
"""Seconds without a sign of life before the kernel is asked what a process waits for."""

FIRST_DESCRIPTOR = 200
"""The lab's descriptors start here in a worker, so that its first shm_open returns 3, as in the textbook."""

LONGEST = 2**62
"""Nanoseconds between two steps that the slowest run takes: 146 years, which both languages can count."""

PROCESS_VARIABLE = "SHMLAB_PROCESS"
"""Says in a process's environment, and in that of whatever it forks or executes, which process it is."""

_numbers = itertools.count(1)

BLOCKING_CALLS = {
    "sem_wait",
    "futex",
    "semop",
    "semtimedop",
    "wait4",
    "waitid",
    "read",
    "write",
    "flock",
    "fcntl",
}
"""What counts as blocked; a process that merely sleeps or polls is running."""


FOR_OTHERS = ("sem_wait", "semop", "semtimedop")
"""What only another process ends: certain at the second look."""

SETTLED = 0.05
"""Seconds after which any other wait counts: starting a subprocess, for one, is a short read from a pipe."""


@dataclass(frozen=True)
class Shared:
    """An argument that a Python program gets as a memoryview of an object's bytes.

    *item* is a :mod:`struct` format character (``"B"`` bytes, ``"Q"`` 64-bit numbers, …). A C program gets
    the name and maps the object itself.
    """

    name: str
    item: str = "Q"


@dataclass(frozen=True)
class State:
    """Where a process is. It reads as the sentence that a panel shows."""

    kind: str
    """``"not started"``, ``"paused"``, ``"running"``, ``"blocked"`` or ``"ended"``."""
    step: int = 0
    """How many steps it has taken."""
    line: int | None = None
    """The line of the program's source it reached, counted from 1."""
    at: str = ""
    """What the program called its last step."""
    locals: tuple[tuple[str, str], ...] = ()
    """Its local variables: name and text."""
    on: str = ""
    """What it is blocked in, and on."""
    outcome: Outcome | None = None

    def __repr__(self) -> str:
        return f"<State: {self}>"

    def __str__(self) -> str:
        if self.kind == "paused":
            if self.step == 0:
                return "paused before its first step"
            where = f" at line {self.line}" if self.line else ""
            return f"paused after step {self.step}{where}" + (f' ("{self.at}")' if self.at else "")
        if self.kind == "running":
            return f"running, {self.step:,} step{'' if self.step == 1 else 's'} so far"
        if self.kind == "blocked":
            return f"blocked in {self.on} after step {self.step}"
        if self.kind == "ended":
            return str(self.outcome)
        return self.kind


class Process:
    """A program to be run in a process of its own. Nothing is started yet.

    *program* is a generator function (in a module or a notebook cell) or a
    :class:`~shmlab.programs.Program` (``in_c(writer)``); *arguments* are what it is called with: plain values
    and :class:`Shared` for Python, texts for C. *label* names it on screen and *colour* is its colour there.

    Raises TypeError or ValueError when the program or an argument can't be sent to another process.
    """

    def __init__(
        self,
        program: "Program | Callable[..., Any]",
        *arguments: Any,
        label: str | None = None,
        colour: str | None = None,
    ) -> None:
        self.program = as_program(program)
        self.arguments = arguments
        self.label = label or self.program.name
        self.colour = colour or PROCESS_COLOURS[0]
        self.chosen = (bool(label), bool(colour))
        """Whether label and colour were given; a panel chooses those that weren't."""
        self._payload = _encode(self.program, arguments)
        self._control = threading.RLock()
        self._ending = threading.RLock()
        self._clear()

    def _clear(self) -> None:
        self._popen: subprocess.Popen[bytes] | None = None
        self._session: session.Session | None = None
        self._slot: board.Slot | None = None
        self._slot_number = -1
        self._last: board.Slot | None = None
        self._gate = self._event = self._pidfd = -1
        self._sent = 0
        self._mark = ""
        self._output = Output()
        self._outcome: Outcome | None = None
        self._stopping = False

    # What a person asks of it.

    def start(self, timeout: float = 10.0) -> "Process":
        """Launch the process and return when it is paused before its first line.

        Raises CompileError or NoCompilerError for a C program, OSError when no process can be had, and
        TimeoutError when it doesn't get to its first line within *timeout* seconds.
        """
        start(self, timeout=timeout)
        return self

    def step(self, timeout: float = 2.0) -> State:
        """Let the process take one step; start it first when it isn't running.

        Returns when it has, when it ended, when the kernel says that it blocks, or after *timeout* seconds.
        A process that blocked takes no second step: stepping it again waits for the one it is in.
        """
        with self._control:
            if self._popen is None:
                self.start()
            with self._ending:
                if (slot := self._live_slot()) is None:
                    return self.state
                free = slot.get(board.AT_COMMAND) == board.FREE
                if not free and self._is_paused(slot):
                    self._order(b"s")
            return self.pause(timeout) if free else self._await_stop(slot, timeout)

    def run(self, speed: float | None = None) -> "Process":
        """Let the process go on, at *speed* steps a second, or as fast as it can. Starts it when it isn't.

        Raises ValueError when *speed* isn't greater than 0.
        """
        if speed is not None and not speed > 0:
            raise ValueError(f"speed is steps a second and must be greater than 0, not {speed!r}")
        with self._control:
            if self._popen is None:
                self.start()
            with self._ending:
                if (slot := self._live_slot()) is not None:
                    lingers = slot.get(board.AT_COMMAND) == board.GATED or slot.get64(board.AT_INTERVAL)
                    nanoseconds = 0 if speed is None else 1e9 / speed
                    slot.put64(board.AT_INTERVAL, math.ceil(min(nanoseconds, LONGEST)))
                    slot.put(board.AT_COMMAND, board.FREE)
                    if lingers:  # at full speed it looks at the board, not at the gate
                        self._order(b"r")
        return self

    def pause(self, timeout: float = 2.0) -> State:
        """Ask the process to stop after the step it is in; return where it is, at the latest after *timeout*
        seconds. One that is blocked stops as soon as it is let on."""
        with self._control:
            with self._ending:
                if (slot := self._live_slot()) is None:
                    return self.state
                if slot.get(board.AT_COMMAND) == board.FREE:
                    slot.put(board.AT_COMMAND, board.GATED)
                    self._order(b"p")
            return self._await_stop(slot, timeout)

    def wait(self, timeout: float = 10.0) -> Outcome:
        """Return how the process ended, as soon as it has.

        Raises TimeoutError, which says where the process is, when it hasn't after *timeout* seconds.
        """
        if (popen := self._popen) is None:
            raise ValueError(f"{self.label} was not started: there is nothing to wait for")
        return self._await_end(popen, timeout)

    def stop(self, timeout: float = 2.0) -> Outcome | None:
        """Kill the process, and whatever it forked; return its outcome.

        None when it was never started. Raises TimeoutError when the kernel doesn't let it go.
        """
        with self._ending:
            popen, mark, output = self._popen, self._mark, self._output
            if popen is None:
                return None
            if popen.poll() is None:
                self._stopping = True
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(popen.pid, signal.SIGKILL)
        outcome = self._await_end(popen, timeout)
        # What left its process group, or outlived its parent, still carries the mark.
        sweep.kill(mark)
        pump.drop(output)
        return outcome

    def reset(self) -> "Process":
        """Stop the process and be as new: not started."""
        self.stop()  # ends the step that another thread may be waiting in
        with self._control:
            if self._outcome is None:
                self.stop()
            with self._ending:
                self._clear()
        return self

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # What a person sees of it.

    @property
    def pid(self) -> int | None:
        """The process's id, once it was started."""
        return None if self._popen is None else self._popen.pid

    @property
    def free(self) -> bool:
        """Whether it was let go (:meth:`run`), rather than gated and stepped, and has not ended."""
        with self._ending:
            slot = self._live_slot()
            return slot is not None and slot.get(board.AT_COMMAND) == board.FREE

    @property
    def output(self) -> str:
        """What it printed, to standard output and error alike: the last 64 KiB."""
        pump.catch_up(self._output)
        return self._output.text

    @property
    def outcome(self) -> Outcome | None:
        """How it ended, or None."""
        popen = self._popen
        if self._outcome is None and popen is not None and popen.poll() is not None:
            self._finish(popen)
        return self._outcome

    @property
    def state(self) -> State:
        """Where it is now. Costs some microseconds, or a look into /proc when it runs."""
        if self._popen is None:
            return State("not started")
        with self._ending:
            outcome = self.outcome
            # Asked first: what stands at the gate now may be let on while the slot is copied.
            heard = self._slot is not None and self._heard_all(self._slot)
            slot = self._last if self._slot is None else self._slot.snapshot()
        if slot is None:
            return State("not started")
        rows = slot.text(board.AT_LOCALS, board.LOCALS_ROOM).split("\n")[:-1]
        where = State(
            "running",
            step=slot.get64(board.AT_STEP),
            line=slot.get(board.AT_LINE) or None,
            at=slot.text(board.AT_LABEL, board.LABEL_ROOM),
            locals=tuple((name, text) for name, _, text in (row.partition("\t") for row in rows)),
        )
        if outcome is not None:
            return replace(where, kind="ended", outcome=outcome, line=outcome.line or where.line)
        if heard and slot.get(board.AT_STATE) == board.PAUSED:
            return replace(where, kind="paused")
        on = self._waiting() if slot.get(board.AT_STATE) == board.RUNNING else ""
        return replace(where, kind="blocked", on=on) if on else where

    def __repr__(self) -> str:
        return f"<Process {self.label}: {self.program.name} in {self.program.language}, {self.state}>"

    # How it is done.

    def _launch(self) -> None:
        command = _command(self.program, self.arguments)
        owner = session.current()
        number, slot = owner.take_slot()
        self._mark = f"{PROCESS_VARIABLE}={owner.token}-{os.getpid()}-{next(_numbers)}"
        ours: list[int] = []
        theirs: list[int] = []
        try:
            gate, self._gate = _pipe(theirs, ours, reader_is_theirs=True)
            event, self._event = _pipe(theirs, ours, reader_is_theirs=False)
            printed, output = os.pipe()
            ours.append(printed)
            theirs.append(output)
            board_fd = _high(owner.open_board(), theirs)
            program = _high(_as_file(self._payload), theirs)
            os.set_blocking(event, False)
            os.set_blocking(self._gate, False)
            where = f"{gate},{event},{board_fd},{number},{program}"
            environment = {
                **os.environ,
                names.SESSION_VARIABLE: owner.token,
                PROCESS_VARIABLE: self._mark.partition("=")[2],
                "SHMLAB_STEP": where,
            }
            popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[gate, event, board_fd, program],
                start_new_session=True,
                env=environment,
            )
        except BaseException:
            for descriptor in ours:
                os.close(descriptor)
            owner.give_back(number, slot)
            self._clear()
            raise
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        # It stands at its gate until it is stepped: nothing that it makes can precede this line.
        owner.ledger.begin(popen.pid)
        with suppress(AttributeError, OSError):
            self._pidfd = os.pidfd_open(popen.pid)
        self._session, self._slot_number, self._slot = owner, number, slot
        self._output = pump.add(printed)
        self._popen = popen
        owner.processes.add(self)

    def _is_starting(self) -> bool:
        """Whether it was launched and hasn't reached its first line: an earlier start may have timed out."""
        with self._ending:
            slot = self._live_slot()
            return slot is not None and slot.get(board.AT_STATE) == board.EMPTY

    def _live_slot(self) -> board.Slot | None:
        return None if self.outcome is not None else self._slot

    def _heard_all(self, slot: board.Slot) -> bool:
        return slot.get64(board.AT_HEARD) == self._sent

    def _is_paused(self, slot: board.Slot) -> bool:
        # In this order: see board.py.
        return self._heard_all(slot) and slot.get(board.AT_STATE) == board.PAUSED

    def _order(self, order: bytes) -> None:
        # A full pipe holds thousands of orders that it has yet to hear: one more says nothing new.
        with suppress(BrokenPipeError, BlockingIOError):
            self._sent += os.write(self._gate, order)

    def _await_stop(self, slot: board.Slot, timeout: float, *, first: bool = False) -> State:
        """Wait until the process stands at its gate, ended, or blocks; only for the gate or the end when it's
        on its way to the *first* line, for starting up reads files."""
        deadline = monotonic() + timeout
        seen, since = "", 0.0
        while True:
            if self.outcome is not None:
                return self.state
            with self._ending:
                if self._slot is not slot:
                    return self.state
                if self._is_paused(slot):
                    return self.state
            left = deadline - monotonic()
            if left <= 0:
                return self.state
            if not self._sleep(min(left, LOOK), event=True) and not first:
                waiting = self._waiting()
                if waiting != seen:
                    seen, since = waiting, monotonic()
                elif waiting and (waiting.startswith(FOR_OTHERS) or monotonic() - since > SETTLED):
                    return self.state

    def _await_end(self, popen: "subprocess.Popen[bytes]", timeout: float) -> Outcome:
        deadline = monotonic() + timeout
        while self._popen is popen:
            if (outcome := self.outcome) is not None:
                return outcome
            left = deadline - monotonic()
            if left <= 0:
                raise TimeoutError(
                    errno.ETIMEDOUT, f"{self.label} has not ended after {timeout:g} s: {self.state}"
                )
            self._sleep(min(left, 1.0), event=False)
        return Outcome("stopped", signal=signal.SIGKILL)  # another thread has reset it meanwhile

    def _sleep(self, seconds: float, *, event: bool) -> bool:
        """Wait for a sign of life or death; return whether there was one."""
        with self._ending:
            if self._outcome is not None:
                return True
            poll = select.poll()
            if self._pidfd >= 0:
                poll.register(self._pidfd, select.POLLIN)
            else:
                seconds = min(seconds, 0.01)
            if event:
                poll.register(self._event, select.POLLIN)
            said = self._event
        ready = [descriptor for descriptor, _ in poll.poll(seconds * 1000)]
        if event and said in ready:
            with self._ending, suppress(OSError):
                if said == self._event:  # else it was closed, and its number may be somebody else's by now
                    os.read(said, 4096)
        return bool(ready)

    def _waiting(self) -> str:
        """What the kernel says the process is blocked in, in words; empty when it isn't."""
        popen = self._popen
        if popen is None:
            return ""
        waiting = observe.waiting(popen.pid)
        if waiting is None or waiting.call not in BLOCKING_CALLS:
            return ""
        if waiting.call == "read" and (waiting.fd or 0) >= FIRST_DESCRIPTOR:
            return ""  # at its gate: the board will say so in a moment
        if waiting.call == "write" and waiting.fd in (1, 2):
            return ""  # it prints faster than we read
        if waiting.call in ("read", "write") and _is_file(popen.pid, waiting.fd):
            return ""  # a disk is slow at times; that is nobody's doing
        return str(waiting)

    def _finish(self, popen: "subprocess.Popen[bytes]") -> None:
        """Note how the process ended and give back what it used. Happens once."""
        with self._ending:
            if self._outcome is not None or self._slot is None or popen is not self._popen:
                return
            # Whatever it forked may hold the pipe open: what the process itself printed is there by now.
            self._output.ended.wait(0.1)
            self._last = self._slot.snapshot()
            raised = self._last.get(board.AT_STATE) == board.RAISED
            error = self._last.text(board.AT_ERROR, board.ERROR_ROOM) if raised else ""
            outcome = outcome_of(
                popen.returncode,
                stopped=self._stopping,
                error=error,
                output=self._output.text,
                filename=self.program.filename,
            )
            if self._session is not None:
                self._session.give_back(self._slot_number, self._slot)
                self._session.processes.discard(self)
                self._session.ledger.settle()
            self._slot = None
            for descriptor in (self._gate, self._event, self._pidfd):
                if descriptor >= 0:
                    os.close(descriptor)
            self._gate = self._event = self._pidfd = -1
            self._outcome = outcome


def launch(*processes: Process) -> None:
    """Launch what hasn't been, and wait for nothing: :func:`start` does that, later."""
    for process in processes:
        with process._control:
            if process.pid is None:
                process._launch()


def start(*processes: Process, timeout: float = 10.0) -> None:
    """Launch several processes at once; return when each is paused before its first line, or has ended.

    Processes that run already are left as they are. Raises what :meth:`Process.start` raises.
    """
    fresh = [process for process in processes if process.pid is None or process._is_starting()]
    launch(*fresh)
    deadline = monotonic() + timeout
    for process in fresh:
        slot = process._slot
        if slot is not None:
            state = process._await_stop(slot, max(0.0, deadline - monotonic()), first=True)
            if state.kind not in ("paused", "ended"):
                raise TimeoutError(
                    errno.ETIMEDOUT, f"{process.label} did not reach its first line in {timeout:g} s"
                )


def _encode(program: Program, arguments: tuple[Any, ...]) -> bytes:
    """Return what a worker reads: the program and its arguments."""
    if program.language == "C":
        for argument in arguments:
            if not isinstance(argument, str | int | float | Shared):
                raise TypeError(f"a C program gets texts and numbers, not {type(argument).__name__}")
        return b""
    encoded: list[tuple[Any, ...]] = []
    for position, argument in enumerate(arguments, 1):
        if isinstance(argument, Shared):
            encoded.append(("shared", argument.name, argument.item))
        elif is_plain(argument):
            encoded.append(("value", argument))
        else:
            raise TypeError(
                f"argument {position} of {program.name} is a {type(argument).__name__} and can't be sent to "
                "another process: pass plain values, or Shared(name) for an object's memory"
            )
    paths = [each or os.getcwd() for each in sys.path]
    return marshal.dumps(
        {
            "function": program.name,
            "source": program.source,
            "filename": program.filename,
            "names": program.names,
            "arguments": encoded,
            "path": paths if session.ROOT in paths else [*paths, session.ROOT],
        }
    )


def _command(program: Program, arguments: tuple[Any, ...]) -> list[str]:
    if program.language == "C":
        texts = [each.name if isinstance(each, Shared) else str(each) for each in arguments]
        return [str(compile_c(program)), *texts]
    begin = f"import sys; sys.path[:0] = [{session.ROOT!r}]; from shmlab.processes.worker import main; main()"
    # -I -S: no site-packages, no .pth files, no user's settings; what the program imports it still finds,
    # because the notebook's own path travels with it. Two thirds of python's start-up time are saved.
    return [sys.executable, "-I", "-S", "-X", "faulthandler", "-c", begin]


def _pipe(theirs: list[int], ours: list[int], *, reader_is_theirs: bool) -> tuple[int, int]:
    """Return (their end, our end) of a pipe."""
    read, write = os.pipe()
    their, our = (read, write) if reader_is_theirs else (write, read)
    ours.append(our)
    return _high(their, theirs), our


def _high(descriptor: int, owner: list[int]) -> int:
    """Move a descriptor out of the way of the numbers that a program will get."""
    try:
        moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, FIRST_DESCRIPTOR)
    finally:
        os.close(descriptor)
    owner.append(moved)
    return moved


def _as_file(data: bytes) -> int:
    """Return the descriptor of an unnamed file that holds *data*, read from its start."""
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(data)
        file.seek(0)
        return os.dup(file.fileno())


def _is_file(pid: int, descriptor: int | None) -> bool:
    try:
        return stat.S_ISREG(os.stat(f"/proc/{pid}/fd/{descriptor}").st_mode)
    except OSError:
        return False
