"""System calls as values: what strace(1) printed of a process, read back.

Which of them the program itself made is told in ``whose.py``, strace is run in ``tracing.py``. Imported
through ``shmlab.observe`` by panels and lessons.
"""

import re
from dataclasses import dataclass
from typing import ClassVar, Literal

from shmlab.observe import table
from shmlab.observe.table import Columns, Table, Value

UNFINISHED = " <unfinished ...>"

_PID = re.compile(r"(?:\[pid +(\d+)\]|(\d+)) +")
_CALL = re.compile(r"(\w+)\(")
_RESUMED = re.compile(r"<\.\.\. (\w+) resumed>")
_RESULT = re.compile(r"\)? *= (?P<result>\?|-?\w+)(?: (?P<error>E[A-Z0-9]+)\b)?.*?(?:<(?P<time>\d+\.\d+)>)?$")
_SIGNAL = re.compile(r"--- (?:stopped by )?(\w+)(?: \{(.*)\})? ---$")
_END = re.compile(r"\+\+\+ (\w+)\b.* \+\+\+$")
PATH = re.compile(r'"((?:[^"\\]|\\.)*)"')
"""A path, or any text, as strace quotes it."""


@dataclass(frozen=True, slots=True, repr=False)
class Call(Value):
    """One line of strace: a system call of process (or thread) *pid*, a signal it got, or its end.

    *kind* ``call``: *name*, *arguments* and *result* as strace writes them (``O_RDWR|O_CREAT``, ``3``,
    ``0x7f…``; ``?`` for a call that never returns), *error* the errno's name, "" where it succeeded.
    *finished* is False for a call that had not returned; its result is "". *duration* in seconds, where it
    was asked for.
    *kind* ``signal``: *name* is ``SIGBUS``, *si_code* ``BUS_ADRERR`` and *si_addr* the address that faulted.
    *kind* ``end``: *name* is ``exited`` or ``killed``.
    *text* is the line as strace printed it, parts that were printed apart joined.
    """

    pid: int
    name: str
    arguments: tuple[str, ...]
    result: str
    error: str
    text: str
    kind: Literal["call", "signal", "end"] = "call"
    finished: bool = True
    si_code: str = ""
    si_addr: int | None = None
    duration: float | None = None

    COLUMNS: ClassVar[Columns] = {"pid": table.number, "text": table.text}

    def __str__(self) -> str:
        return self.text

    @property
    def value(self) -> int | None:
        """The result as a number; None where there's none."""
        try:
            return int(self.result, 0)
        except ValueError:
            return None


class Calls(Table[Call]):
    """Calls in the order in which they ended. Lines are shown whole.

    *settled* is whether the process stood still after the last of them: at its gate, blocked, or ended.
    *lost* is how many bytes of strace's text were dropped because nobody read them in time.
    """

    settled: bool = True
    lost: int = 0

    def cells(self) -> list[list[str]]:
        return [[table.number(call.pid), table.text(call.text)] for call in self]

    def _remarks(self) -> list[str]:
        lost = [f"{table.size(self.lost)} of strace's text before these were lost"] if self.lost else []
        return super()._remarks() + lost


def parse(text: str, pid: int = 0) -> Calls:
    """Read what strace printed, on a terminal or with ``-o``, with or without ``-f`` and ``-T``.

    *pid* is the process of lines that name none. A call that hadn't returned when the text ends is the last.
    Lines that aren't strace's (a program's own output on the same terminal) are left out.
    """
    parser = Parser(pid)
    parser.feed(text + "\n")
    return Calls([*parser.take(), *parser.waiting()], Call.COLUMNS)


class Parser:
    """Reads strace's text as it comes, and joins the two halves of calls that others' lines came between."""

    def __init__(self, pid: int = 0) -> None:
        self._pid = pid
        self._calls: list[Call] = []
        self._begun: dict[int, str] = {}
        self._partial = ""
        self.ended: set[int] = set()

    def feed(self, text: str) -> None:
        *lines, self._partial = (self._partial + text).split("\n")
        for line in lines:
            self._line(line)

    def take(self) -> list[Call]:
        """Return what has been read since the last time."""
        calls, self._calls = self._calls, []
        return calls

    def pending(self, pid: int) -> str | None:
        """Return the call that *pid* is in, as far as it was printed; None when it's in none."""
        whose, text = self._owner(self._partial)
        return text if text and whose == pid else self._begun.get(pid)

    def waiting(self) -> list[Call]:
        """Return the calls that had not returned yet."""
        begun = dict(self._begun)
        pid, text = self._owner(self._partial)
        if _CALL.match(text):
            begun[pid] = text
        return [read_call(pid, text.rstrip() + UNFINISHED, finished=False) for pid, text in begun.items()]

    def _owner(self, line: str) -> tuple[int, str]:
        found = _PID.match(line)
        if found is None:
            return self._pid, line
        return int(found[1] or found[2]), line[found.end() :]

    def _line(self, line: str) -> None:
        pid, text = self._owner(line)
        if resumed := _RESUMED.match(text):
            begin = self._begun.pop(pid, f"{resumed[1]}(... ")
            text = begin + text[resumed.end() :].removeprefix(" ")
        if signal := _SIGNAL.match(text):
            self._calls.append(_signal(pid, text, signal))
        elif end := _END.match(text):
            # Whatever it was in when it was killed has no result: strace says no more about it.
            if (begun := self._begun.pop(pid, None)) is not None:
                self._calls.append(read_call(pid, begun.rstrip() + UNFINISHED, finished=False))
            self._calls.append(Call(pid, end[1], (), "", "", text, "end"))
            self.ended.add(pid)
        elif not _CALL.match(text) or text.endswith("<detached ...>"):
            return
        elif text.endswith(UNFINISHED):
            self._begun[pid] = text.removesuffix(UNFINISHED)
        else:
            self._calls.append(read_call(pid, text))


def read_call(pid: int, text: str, finished: bool = True) -> Call:
    # Where a signal killed it strace adds " = ?" to a call that it left open.
    begun, cut, _ = text.partition(UNFINISHED)
    name, _, rest = begun.partition("(")
    arguments, length = _split(rest)
    found = _RESULT.match(rest, length) if finished and not cut else None
    if found is None:
        return Call(pid, name, arguments, "", "", text, finished=False)
    time = float(found["time"]) if found["time"] else None
    return Call(pid, name, arguments, found["result"], found["error"] or "", text, duration=time)


def _split(text: str) -> tuple[tuple[str, ...], int]:
    """Split arguments at commas outside of brackets and quotes; say where their own bracket closes, too."""
    parts, depth, start, at = [], 0, 0, 0
    end = len(text)
    while at < end:
        c = text[at]
        if c == '"':
            at = (quoted.end() if (quoted := PATH.match(text, at)) else end) - 1
        elif c == "/" and text.startswith("/*", at):
            at = text.find("*/", at) + 1 or end
        elif c in "([{":
            depth += 1
        elif c in ")]}":
            if depth == 0:
                break
            depth -= 1
        elif c == "," and depth == 0:
            parts.append(text[start:at].strip())
            start = at + 1
        at += 1
    last = text[start:at].strip()
    return tuple([*parts, last] if last else parts), min(at, end)


def _signal(pid: int, text: str, found: "re.Match[str]") -> Call:
    fields = dict(part.partition("=")[::2] for part in _split(found[2] or "")[0])
    address = fields.get("si_addr")
    return Call(
        pid,
        found[1],
        (),
        "",
        "",
        text,
        "signal",
        si_code=fields.get("si_code", ""),
        si_addr=None if address is None else 0 if address == "NULL" else int(address, 0),
    )
