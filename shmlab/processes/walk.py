"""A walk: one process led through a sequence of calls, and what each of them did, as values.

For each step a :class:`Moment` says which call it was, what it returned, which system calls it really made
and what the kernel says after it, row by row what changed. Going back is a replay: a fresh process takes one
step less. Nothing is drawn here (:mod:`shmlab.panels.walkthrough` shows a walk) and nothing is observed here
but by :mod:`shmlab.observe`. Imported by panels, lessons and tests.
"""

import os
import re
import signal
import textwrap
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any

from shmlab import observe, posix, sysv
from shmlab.observe.whose import hidden
from shmlab.posix.prototypes import PROTOTYPES, prototype
from shmlab.processes import session
from shmlab.processes.kernel_view import Changes, KernelView, Known, Span, changes, entries, look, spans
from shmlab.processes.outcome import FAULTS
from shmlab.processes.process import FIRST_DESCRIPTOR, Process, Shared, State
from shmlab.programs import Program

__all__ = ["PROTOTYPES", "KernelView", "Moment", "Walk"]

NOT_TRACED = "not traced: the walk was made with trace=False"

FAULT_NAMES = {signal.Signals(number).name for number in FAULTS}

# Where a step stands in a source: yield "…" in Python, step("…"); in C.
STEP = re.compile(r"\byield\b|\bstep\(")
BEGINS = re.compile(r"\s*(def |int main\b|\{)")
SHOWN = re.compile(r"\s*show\(")

SYSTEM_V, POSIX = re.compile(r"\bshm(get|at)\("), re.compile(r"\bshm_open\(")


NO_CALLS: observe.Table[observe.Call] = observe.Calls((), observe.Call.COLUMNS)
NO_VIEW, NO_CHANGES = KernelView(), Changes()


@dataclass(frozen=True, repr=False)
class Moment:
    """What there is after one step of a walk.

    *step* counts from 1, and 0 is before the first line; *label* is the call as the program named it
    (``"exit"`` for the end); *call* its lines of source; *result* the local variables that it created or
    changed; *calls* the system calls that it made, the program's own (``observe.ours``), and *calls_missing*
    why there are none to be seen; *changed* is what differs from the view before.
    """

    step: int
    label: str
    state: State
    call: str = ""
    result: str = ""
    calls: observe.Table[observe.Call] = NO_CALLS
    calls_missing: str = ""
    view: KernelView = NO_VIEW
    changed: Changes = NO_CHANGES

    @property
    def prototype(self) -> str:
        """The call's C prototype; "" for a step that is no call (a store)."""
        return prototype(self.label)

    @property
    def over(self) -> bool:
        """Whether no step follows: the process has ended."""
        return self.state.kind == "ended"

    @property
    def complete(self) -> bool:
        """Whether the step has been taken; one that blocks, or runs on, hasn't."""
        return self.state.kind in ("paused", "ended")

    def __str__(self) -> str:
        if self.step == 0:
            return str(self.state)
        returned = f", {self.result}" if self.result and self.label else ""
        return f"step {self.step}: {self.label or self.state}{returned}"

    def __repr__(self) -> str:
        return f"<Moment: {self}>"


class Walk:
    """One process, led step by step through *program* and seen at each.

    *program* and *arguments* are those of :class:`Process`. *names* are the objects and semaphores to look
    at besides those that the process holds (by default every argument that begins with a slash). What has
    come to bear them since the process started is removed when the walk goes back or is reset, and so are the
    System V segments that the process made; then *on_reset* is called: the place to write the memory's first
    contents again. With *trace* False no strace is started.

    Nothing is started by making a walk. Use it in a ``with``, or :meth:`close` it. Raises what Process
    raises.
    """

    def __init__(
        self,
        program: "Program | Callable[..., Any]",
        *arguments: Any,
        names: Sequence[str] | None = None,
        on_reset: Callable[[], object] | None = None,
        trace: bool = True,
    ) -> None:
        self.process = Process(program, *arguments, label="A")
        wanted = _names_in(arguments) if names is None else names
        self.names = (wanted,) if isinstance(wanted, str) else tuple(wanted)
        entries(self.names)  # an impossible name is refused now, not at the first step
        self._on_reset, self._trace = on_reset, trace
        self._lock = threading.RLock()
        self._found: set[tuple[str, str]] | None = None
        self._segments: frozenset[int] = frozenset()
        self._closed = False
        self._new()

    def _new(self) -> None:
        self._tracer: observe.Tracer | None = None
        self._missing = "" if self._trace else NOT_TRACED
        self._earlier: list[observe.Call] = []
        self._mapped: frozenset[Span] = frozenset()
        self._interpreters: list[tuple[int, int]] = []
        self._before = State("not started")
        self._moments: tuple[Moment, ...] = (Moment(0, "", State("not started")),)

    def __repr__(self) -> str:
        return f"<Walk through {self.process.program.name}: {self.moment.state}>"

    def __enter__(self) -> "Walk":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def moment(self) -> Moment:
        """The moment that it has reached; before the first step, one with step 0."""
        return self._moments[-1]

    @property
    def system_v(self) -> bool:
        """Whether its program is about keys and segments: it makes System V's calls, and opens no object."""
        source = self.process.program.source
        return bool(SYSTEM_V.search(source)) and not POSIX.search(source)

    @property
    def history(self) -> tuple[Moment, ...]:
        """The moments of the steps taken, the first step first."""
        return self._moments[1:]

    def start(self) -> Moment:
        """Launch the process, when that isn't done yet, and return the moment before its first line.

        Raises what :meth:`Process.start` raises.
        """
        with self._lock:
            if self._closed:
                raise ValueError("the walk has been closed: make a new one")
            if self.process.pid is None:
                self._found = {(entry.kind, entry.name) for entry in entries(self.names)}
                self._segments = frozenset(row.id for row in observe.segments())
                self.process.start()
                self._attach()
                self._before = state = self.process.state
                pid = self.process.pid
                self._mapped = spans(pid) if pid else frozenset()
                self._moments = (Moment(0, "", state, calls_missing=self._missing, view=self._look(state)),)
            return self._moments[0]

    def step(self, timeout: float = 2.0) -> Moment:
        """Take one step and return what there is then; start the process when need be.

        A step that blocks returns after *timeout* seconds at most, with a moment whose state says what it
        waits for; the next call goes on waiting in the same step. At the end nothing happens any more.
        """
        with self._lock:
            self.start()
            if self.moment.over:
                return self.moment
            unfinished = None if self.moment.complete else self.moment
            # Let on meanwhile, it may be at its gate by itself: another step would be one too many then.
            state = self.process.pause(timeout) if unfinished else self.process.step(timeout)
            earlier = self._moments[:-1] if unfinished else self._moments
            before = earlier[-1]
            calls = self._calls(state)
            if unfinished:
                shown = [each for each in unfinished.calls if each.finished]
                calls = observe.Calls([*shown, *calls], observe.Call.COLUMNS)
            view = self._look(state)
            moment = Moment(
                step=before.step + 1,
                label=_label(state),
                state=state,
                call=_call(self.process.program, state),
                result=_result(self._before, state, self.process.program.language),
                calls=calls,
                calls_missing=self._missing,
                view=view,
                changed=changes(before.view, view),
            )
            if moment.complete:
                self._before = state
            self._moments = (*earlier, moment)
            if moment.over:
                self._detach()
            return moment

    def undo(self) -> Moment:
        """Return to the step before, by taking one step less from the start, in a fresh process."""
        with self._lock:
            steps = len(self.history) - 1
            if steps < 0:
                return self.moment
            self.reset()
            self.start()
            for _ in range(steps):
                self.step()
            return self.moment

    def run(self, timeout: float = 10.0) -> Moment:
        """Take all the remaining steps, each as :meth:`step` does; return the last moment.

        Stops at a step that blocks, and after *timeout* seconds: a program without an end stays paused where
        it is by then.
        """
        deadline = monotonic() + timeout
        with self._lock:  # all the while: whoever resets it meanwhile ends the process first, and so the loop
            while True:
                moment = self.step()
                if moment.over or not moment.complete or monotonic() > deadline:
                    return moment

    def reset(self) -> None:
        """End the process, remove what it made, and be as new: not started. May be called twice."""
        self.process.stop()  # first, for another thread may be waiting in a step
        with self._lock:
            self._detach()
            pid = self.process.pid
            self.process.reset()
            self._new()
            self._remove(pid)
            if self._on_reset is not None:
                self._on_reset()

    def close(self) -> None:
        """End the process and the tracing. What it made stays, as after any process. May be called twice."""
        self.process.stop()
        with self._lock:
            self._closed = True
            self._detach()

    # --- how it is done ----------------------------------------------------------------------------------

    def _attach(self) -> None:
        if not self._trace or self.process.pid is None or self.process.outcome is not None:
            return
        try:
            self._tracer = observe.Tracer(self.process.pid, FIRST_DESCRIPTOR)
            session.current().tracers.add(self._tracer)  # cleanup() ends it when nobody closes the walk
        except OSError as error:
            self._missing = error.strerror or str(error)

    def _detach(self) -> None:
        tracer, self._tracer = self._tracer, None
        if tracer is not None:
            tracer.close()

    def _calls(self, state: State) -> observe.Table[observe.Call]:
        """Return the program's own calls of the step that ended in *state*."""
        if self._tracer is None:
            return NO_CALLS
        calls = self._tracer.calls_since_last()
        if not calls and not self._tracer.tracing and state.kind != "ended":
            self._missing = "strace has ended"
        told = FIRST_DESCRIPTOR, tuple(self._earlier), self._tracer.mapped
        for call, _ in hidden(calls, *told):
            if call.name == "mmap" and call.value is not None and call.value > 0:
                self._interpreters.append((call.value, call.value + _rounded(call.arguments[1])))
        self._earlier += [each for each in calls if each.finished]
        return _until_the_fault(observe.ours(calls, *told), self.process.program.language)

    def _look(self, state: State) -> KernelView:
        known = Known(self._mapped, tuple(self._interpreters))
        return look(self.process.pid, self.names, known, alive=state.kind != "ended")

    def _remove(self, pid: int | None) -> None:
        """Remove what has come to bear the walk's names since the process started, and the segments that
        process *pid* made: a replay finds none."""
        for segment in observe.segments() if pid is not None else ():
            # By its creator, and by what there was before: a pid may be used again.
            if segment.cpid == pid and segment.id not in self._segments:
                with suppress(OSError):
                    sysv.shmctl(segment.id, sysv.IPC_RMID)
        for entry in entries(self.names) if self._found is not None else ():
            if (entry.kind, entry.name) not in (self._found or ()):
                with suppress(FileNotFoundError):
                    (posix.shm_unlink if entry.kind == "object" else posix.sem_unlink)(entry.name)


# --- What a step was ---------------------------------------------------------------------------------------


def _label(state: State) -> str:
    if state.kind == "paused":
        return state.at
    return "exit" if state.outcome is not None and state.outcome.kind == "exited" else ""


def _result(before: State, state: State, language: str) -> str:
    if state.outcome is not None:
        return str(state.outcome)
    if state.kind != "paused":
        return ""
    # A C program says anew at each step what is to be shown, a Python one always has all its variables.
    known = dict(before.locals) if language == "Python" else {}
    return ", ".join(f"{name} = {text}" for name, text in state.locals if known.get(name) != text)


def _until_the_fault(calls: observe.Table[observe.Call], language: str) -> observe.Table[observe.Call]:
    """Leave out what Python does about a fatal signal: faulthandler's report, which is in the output, too."""
    faults = [i for i, call in enumerate(calls) if call.kind == "signal" and call.name in FAULT_NAMES]
    if language != "Python" or not faults or calls[-1].kind != "end":
        return calls
    kept = [*calls[: faults[0] + 1], *(call for call in calls[faults[0] + 1 :] if call.kind == "end")]
    return observe.Calls(kept, observe.Call.COLUMNS)


def _call(program: Program, state: State) -> str:
    """Return the lines of source between the step before, in the text, and this one."""
    source = program.source.splitlines()
    if state.kind == "ended":
        line = state.outcome.line if state.outcome is not None else None
        return source[line - 1].strip() if line and line <= len(source) else ""
    if state.kind != "paused" or not state.line or state.line > len(source):
        return ""
    # What stands on the line of the yield itself, before it, belongs to the step too.
    lines = [STEP.split(source[state.line - 1])[0].rstrip().rstrip(";")]
    for text in reversed(source[: state.line - 1]):
        if not text.strip() or STEP.search(text) or BEGINS.match(text):
            break
        if not SHOWN.match(text):
            lines.insert(0, text)
    return textwrap.dedent("\n".join(each for each in lines if each.strip())).expandtabs(4)


def _names_in(arguments: Iterable[Any]) -> list[str]:
    texts = [each.name if isinstance(each, Shared) else each for each in arguments]
    return [each for each in texts if isinstance(each, str) and re.fullmatch("/[^/\0]+", each)]


def _rounded(length: str) -> int:
    page = os.sysconf("SC_PAGE_SIZE")
    return -(-int(length, 0) // page) * page
