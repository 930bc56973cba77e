"""What a Python worker process runs: one program, one step at a time.

The lab starts ``python -I -S`` on :func:`main` with two things open: a file holding the program (its source,
the names it uses, its arguments) and the board. Before each step the worker looks at its slot: when the lab
wants it *gated* it says so on the board, writes one byte to the event pipe and reads the gate pipe, where one
byte is one step; when the lab wants it *free* it goes on, at the chosen speed. End of file on the gate means
that the lab is gone, and so does the worker go.

Nothing here is imported by the lab itself. Every import costs each worker of each lesson: keep them few.
"""

import __future__

import marshal
import mmap
import os
import select
import sys
from time import monotonic

from shmlab.processes.board import (
    AT_COMMAND,
    AT_ERROR,
    AT_INTERVAL,
    AT_PID,
    AT_STATE,
    AT_STEP,
    AT_STOPS,
    ERROR_ROOM,
    FREE,
    PAUSED,
    RAISED,
    RUNNING,
    SIZE,
    SLOT_SIZE,
    Slot,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from types import FrameType
    from typing import Any

PUBLISH_EVERY = 0.02
"""Seconds between two publications of a process that runs at full speed: one a frame is enough."""

SHOWN = 60
"""Characters of a local variable's repr that reach the screen."""


class Gate:
    """Where the process waits to be let on, and what it says while it does."""

    def __init__(self, slot: Slot, gate: int, event: int) -> None:
        self.slot, self.gate, self.event = slot, gate, event
        self.step = 0
        self.published = 0.0
        self.poll = select.poll()
        self.poll.register(gate, select.POLLIN)
        self.pid = os.getpid()
        slot.put(AT_PID, self.pid)

    def pass_through(self, frame: "FrameType | None", label: str) -> None:
        """Return when the process may take its next step."""
        slot = self.slot
        if slot.get(AT_COMMAND) == FREE:
            interval = slot.get64(AT_INTERVAL)
            if interval == 0:
                slot.put64(AT_STEP, self.step)
                now = monotonic()
                if now - self.published > PUBLISH_EVERY:
                    self.published = now
                    self.publish(RUNNING, frame, label)
                return
            self.publish(RUNNING, frame, label)
            self.linger(monotonic() + interval / 1e9)
            if slot.get(AT_COMMAND) == FREE:
                return
        # Counted first: whoever sees PAUSED sees this stop, and not the one before, in the count.
        slot.put64(AT_STOPS, slot.get64(AT_STOPS) + 1)
        self.publish(PAUSED, frame, label)
        self.tell()
        while True:
            order = self.receive()
            if order == b"s" or (order == b"r" and slot.get(AT_COMMAND) == FREE):
                slot.put(AT_STATE, RUNNING)
                return

    def linger(self, until: float) -> None:
        """Wait for the next step of a slowed-down run; an order from the lab cuts the wait short."""
        while (left := until - monotonic()) > 0:
            if self.poll.poll(left * 1000):
                self.receive()
                if self.slot.get(AT_COMMAND) != FREE:
                    return

    def tell(self) -> None:
        """Wake whoever waits for this process. Nobody there to be woken is no failure of the program's."""
        try:
            os.write(self.event, b".")
        except BrokenPipeError:
            os._exit(1)
        except BlockingIOError:
            pass

    def receive(self) -> bytes:
        """Return the lab's next order; when the lab is gone there is nothing left to do here."""
        order = os.read(self.gate, 1)
        if not order:
            os._exit(1)
        return order

    def publish(self, state: int, frame: "FrameType | None", label: str) -> None:
        line = frame.f_lineno if frame is not None else 0
        self.slot.publish(state, self.step, line, label, variables(frame))


def variables(frame: "FrameType | None") -> str:
    """Return the frame's local variables, one ``name<tab>repr`` a line."""
    if frame is None:
        return ""
    rows = []
    for name, value in frame.f_locals.items():
        try:
            text = repr(value)
        except Exception as error:
            text = f"<repr raised {type(error).__name__}>"
        text = text.replace("\n", " ")
        rows.append(f"{name}\t{text if len(text) <= SHOWN else text[: SHOWN - 1] + '…'}\n")
    return "".join(rows)


def innermost(generator: "Any") -> "FrameType | None":
    """Return the frame that really yielded, through any ``yield from``."""
    while getattr(generator, "gi_yieldfrom", None) is not None and hasattr(
        generator.gi_yieldfrom, "gi_frame"
    ):
        generator = generator.gi_yieldfrom
    return generator.gi_frame


def build(payload: "dict[str, Any]") -> "Any":
    """Make the program's generator from what the lab sent."""
    sys.path[:] = payload["path"]
    namespace: dict[str, Any] = {"__name__": "__program__"}
    for name, (kind, *what) in payload["names"].items():
        if kind == "value":
            namespace[name] = what[0]
            continue
        module = __import__(what[0], fromlist=["*"])
        namespace[name] = module if kind == "module" else getattr(module, what[1])
    # Annotations stay text: what they name need not travel with the program.
    flags = __future__.annotations.compiler_flag
    exec(compile(payload["source"], payload["filename"], "exec", flags, dont_inherit=True), namespace)
    function = namespace[payload["function"]]
    arguments = [materialise(*argument) for argument in payload["arguments"]]
    if function.__code__.co_flags & 0x20:  # CO_GENERATOR
        return function(*arguments)
    return whole(function, arguments)


def whole(function: "Any", arguments: "list[Any]") -> "Generator[Any, Any, Any]":
    """Run a function that never yields as one single step."""
    function(*arguments)
    return
    yield


def materialise(kind: str, value: "Any", item: "Any" = "B") -> "Any":
    """Turn an argument as it was sent into what the program gets."""
    if kind == "value":
        return value
    from shmlab import posix

    descriptor = posix.shm_open(value, os.O_RDWR)
    length = os.fstat(descriptor).st_size
    mapping = posix.mmap(None, length, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, descriptor)
    os.close(descriptor)
    _kept.append(mapping)
    return mapping.buf.cast("B")[: length - length % _item_size(item)].cast(item)


_kept: "list[Any]" = []


def _item_size(item: "Any") -> int:
    return memoryview(bytes(16)).cast(item).itemsize


def run(payload: "dict[str, Any]", gate: Gate) -> None:
    """Run the program to its end, passing the gate before every step."""
    generator = build(payload)
    gate.pass_through(generator.gi_frame, "start")
    for label in generator:
        gate.step += 1
        if os.getpid() != gate.pid:
            # The program forked and this is the child. The slot, the gate and the board are its parent's:
            # it runs to its end by itself and leaves as a forked child should.
            for _ in generator:
                pass
            sys.stdout.flush()
            os._exit(0)
        gate.pass_through(innermost(generator), "" if label is None else str(label))
    if os.getpid() != gate.pid:
        sys.stdout.flush()
        os._exit(0)


def describe(error: BaseException, filename: str, source: str) -> str:
    """Return the exception's own line, then a traceback cut to the program's lines."""
    import traceback

    report = traceback.TracebackException.from_exception(error)
    lines = source.splitlines()
    shown = []
    for entry in report.stack:
        if entry.filename == filename:
            number = entry.lineno or 0
            text = lines[number - 1].strip() if 0 < number <= len(lines) else ""
            shown.append(f"  line {number}, in {entry.name}\n    {text}\n")
    last = "".join(report.format_exception_only()).strip()
    return last.replace("\n", " ") + "\n" + "".join(shown) + last


def _map_board(descriptor: int) -> mmap.mmap:
    """Map the board and leave no descriptor behind: the program's first shm_open shall return 3."""
    if sys.version_info >= (3, 13):
        board = mmap.mmap(descriptor, SIZE, trackfd=False)
    else:
        lowest = os.dup(descriptor)
        os.close(lowest)
        board = mmap.mmap(descriptor, SIZE)
        # mmap keeps a duplicate that it needs for size() and resize() alone (FACTS P04); it took the lowest
        # number. The board is mapped until the process ends, so nobody closes this number a second time.
        os.close(lowest)
    os.close(descriptor)
    _kept.append(board)
    return board


def main() -> None:
    """Read the program and run it; ``SHMLAB_STEP`` says where the lab is."""
    where = os.environ.pop("SHMLAB_STEP").split(",")
    gate_fd, event_fd, board_fd, slot_number, program_fd = map(int, where)
    for descriptor in (gate_fd, event_fd, board_fd, program_fd):
        os.set_inheritable(descriptor, False)
    start = slot_number * SLOT_SIZE
    slot = Slot(memoryview(_map_board(board_fd))[start : start + SLOT_SIZE])
    with os.fdopen(program_fd, "rb") as file:
        payload = marshal.load(file)
    gate = Gate(slot, gate_fd, event_fd)
    try:
        run(payload, gate)
    except SystemExit:
        raise
    except BaseException as error:
        sys.stdout.flush()
        if os.getpid() == gate.pid:
            slot.put_text(AT_ERROR, ERROR_ROOM, describe(error, payload["filename"], payload["source"]))
            slot.put(AT_STATE, RAISED)
        os._exit(1)
    gate.publish(RUNNING, None, "end")
    sys.stdout.flush()
