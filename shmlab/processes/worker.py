"""What a Python worker process runs: one program, one step at a time.

The lab starts ``python -I -S`` on :func:`main` with two things open: a file holding the program (its source,
the names it uses, its arguments) and the board. Before each step the worker looks at its slot: when the lab
wants it *gated* it says so on the board, writes one byte to the event pipe and reads the gate pipe, where one
byte is one step; when the lab wants it *free* it goes on, at the chosen speed. End of file on the gate means
that the lab is gone, and so does the worker go.

Nothing here is imported by the lab itself. Every import costs each worker of each lesson: keep them few.
"""

import __future__

import errno
import marshal
import mmap
import os
import resource
import select
import sys
from time import monotonic, time

from shmlab.processes.board import (
    AT_COMMAND,
    AT_ERROR,
    AT_HEARD,
    AT_INTERVAL,
    AT_PID,
    AT_STATE,
    AT_STEP,
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

HOUR = 3600

SHOWN = 60
"""Characters of a local variable's repr that reach the screen."""

ELEMENTS = 12
"""Elements of a container that are looked at for its repr: a step must not cost what a large local costs."""

FRAMES = 5
"""Lines of a long traceback that are kept at each end: endless recursion has a thousand."""


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
            self.linger()
            if slot.get(AT_COMMAND) == FREE:
                return
        flush()
        while True:
            self.publish(PAUSED, frame, label)
            self.tell()
            order = self.receive()
            if order == b"s" or (order == b"r" and slot.get(AT_COMMAND) == FREE):
                return

    def linger(self) -> None:
        """Wait for the next step of a slowed-down run; a pause, or another speed, counts at once."""
        begin = monotonic()
        while (left := begin + self.slot.get64(AT_INTERVAL) / 1e9 - monotonic()) > 0:
            if self.poll.poll(min(left, HOUR) * 1000):
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
        except OSError:
            raise cut_off() from None

    def receive(self) -> bytes:
        """Return the lab's next order; when the lab is gone there is nothing left to do here."""
        try:
            order = os.read(self.gate, 1)
        except OSError:
            raise cut_off() from None
        if not order:
            os._exit(1)
        # In this order: who sees that it was heard sees no PAUSED from before it.
        self.slot.put(AT_STATE, RUNNING)
        self.slot.put64(AT_HEARD, self.slot.get64(AT_HEARD) + 1)
        return order

    def publish(self, state: int, frame: "FrameType | None", label: str) -> None:
        line = frame.f_lineno if frame is not None else 0
        self.slot.publish(state, self.step, line, label, variables(frame))


def cut_off() -> OSError:
    """Return what ends a program that closed every descriptor there is."""
    return OSError(errno.EBADF, "the program closed the descriptors that the lab steps it by")


def flush() -> None:
    """Hand over what was printed. A program may have closed its standard output: that is its own business."""
    try:  # noqa: SIM105  contextlib costs each worker a millisecond
        sys.stdout.flush()
    except (OSError, ValueError, AttributeError):
        pass


def variables(frame: "FrameType | None") -> str:
    """Return the frame's local variables, one ``name<tab>repr`` a line."""
    if frame is None:
        return ""
    rows = []
    for name, value in frame.f_locals.items():
        text = told(short, value).replace("\n", " ")
        rows.append(f"{name}\t{text if len(text) <= SHOWN else text[: SHOWN - 1] + '…'}\n")
    return "".join(rows)


def told(how: "Any", value: "Any") -> str:
    """Return the text that *how* makes of a value of the program's, which may raise."""
    try:
        return how(value)
    except Exception as error:
        return f"<{'str' if how is str else 'repr'} raised {type(error).__name__}>"


def short(value: "Any", depth: int = 3) -> str:
    """Return the repr of *value*, or the beginning of it when that would be long to make."""
    kind = type(value)
    if kind in (str, bytes, bytearray):
        return repr(value[:SHOWN])
    if kind not in (list, tuple, set, frozenset, dict):
        return repr(value)
    if not value:
        return repr(value)
    if not depth:
        return "…"
    parts: list[str] = []
    for part in value.items() if kind is dict else value:
        if len(parts) == ELEMENTS:
            parts.append("…")
            break
        if kind is dict:
            parts.append(f"{short(part[0], depth - 1)}: {short(part[1], depth - 1)}")
        else:
            parts.append(short(part, depth - 1))
    inside = ", ".join(parts)
    if kind is tuple:
        return f"({inside},)" if len(parts) == 1 else f"({inside})"
    if kind is list:
        return f"[{inside}]"
    return f"frozenset({{{inside}}})" if kind is frozenset else f"{{{inside}}}"


def innermost(generator: "Any", filename: str) -> "FrameType | None":
    """Return the frame that really yielded: through any ``yield from``, as far as the program's own lines."""
    found = None
    while hasattr(generator, "gi_frame"):
        if generator.gi_code.co_filename == filename:
            found = generator.gi_frame
        generator = generator.gi_yieldfrom
    return found


def build(payload: "dict[str, Any]") -> "Any":
    """Make the program's generator from what the lab sent."""
    sys.path[:] = payload["path"]
    # A module in its own right, and the one that a notebook's classes say they're from.
    sys.modules["__main__"] = type(sys)("__main__")
    namespace = sys.modules["__main__"].__dict__
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
    """Run a function that never yields as one step; go through the generator that a wrapper returns."""
    result = function(*arguments)
    if hasattr(result, "gi_frame"):
        yield from result


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
    filename = payload["filename"]
    gate.pass_through(innermost(generator, filename), "start")
    for label in generator:
        gate.step += 1
        if os.getpid() != gate.pid:
            # The program forked and this is the child. The slot, the gate and the board are its parent's:
            # it runs to its end by itself and leaves as a forked child should.
            for _ in generator:
                pass
            break
        gate.pass_through(innermost(generator, filename), "" if label is None else told(str, label))
    if os.getpid() != gate.pid:
        flush()
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
    if len(shown) > 2 * FRAMES:
        shown[FRAMES:-FRAMES] = [f"  … {len(shown) - 2 * FRAMES} more …\n"]
    last = "".join(report.format_exception_only()).strip()
    if len(last) > ERROR_ROOM // 8:
        last = last[: ERROR_ROOM // 8] + "…"
    return last.replace("\n", " ") + "\n" + "".join(shown) + last


def _map_board(descriptor: int) -> mmap.mmap:
    """Map the board and leave no low descriptor behind: the program's first shm_open shall return 3."""
    if sys.version_info >= (3, 13):
        board = mmap.mmap(descriptor, SIZE, trackfd=False)
    else:
        # mmap keeps a duplicate of the descriptor, under the lowest free number, that it needs for size() and
        # resize() alone (FACTS P04), and closes it in the end. It gets number 0, which /dev/null then takes
        # back: standard input is a number that no program of ours misses.
        os.close(0)
        board = mmap.mmap(descriptor, SIZE)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
    _kept.append(board)
    return board


def note_forks(ledger: int) -> None:
    """See that every child of a fork says in the session's ledger that it is there (see ledger.py)."""
    board = os.fstat(ledger)

    def note() -> None:
        try:
            # A program may have closed the lab's descriptors, and opened something else under their numbers.
            if os.path.samestat(os.fstat(ledger), board):
                os.write(ledger, b"begin %d %d\n" % (os.getpid(), time() - 0.02))
        except OSError:
            pass

    os.register_at_fork(after_in_child=note)


def main() -> None:
    """Read the program and run it; ``SHMLAB_STEP`` says where the lab is."""
    where = os.environ.pop("SHMLAB_STEP").split(",")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a Bus error leaves no file in the notebook's folder
    gate_fd, event_fd, board_fd, slot_number, program_fd = map(int, where)
    for descriptor in (gate_fd, event_fd, board_fd, program_fd):
        os.set_inheritable(descriptor, False)
    start = slot_number * SLOT_SIZE
    slot = Slot(memoryview(_map_board(board_fd))[start : start + SLOT_SIZE])
    with os.fdopen(program_fd, "rb") as file:
        payload = marshal.load(file)
    note_forks(board_fd)
    gate = Gate(slot, gate_fd, event_fd)
    try:
        run(payload, gate)
    except SystemExit:
        raise
    except BaseException as error:
        flush()
        if os.getpid() == gate.pid:
            slot.put_text(AT_ERROR, ERROR_ROOM, describe(error, payload["filename"], payload["source"]))
            slot.put(AT_STATE, RAISED)
        os._exit(1)
    gate.publish(RUNNING, None, "end")
    flush()
