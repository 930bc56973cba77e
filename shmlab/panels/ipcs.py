"""ipcs, live: what the real tool prints about segments, printed again whenever the kernel's table changes.

The table is read some 20 times a second, as cheaply as ``observe.segments`` does it; ipcs itself is run only
when it has changed, or when somebody asks for another option. Lines that came, changed or went are marked.
Imported by lessons through :mod:`shmlab.panels`; the still picture is drawn in :mod:`shmlab.figures.ipcs`.
"""

import os
import re
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import traitlets

from shmlab import figures, observe
from shmlab.figures.ipcs import MarkedLine, PrintedLine, Printout, mark_lines, printed_lines
from shmlab.observe.changes import GONE, LEGEND
from shmlab.panels.live import LiveView, Look
from shmlab.panels.moving import front_end
from shmlab.panels.still import DRAWING

OPTIONS = {
    "-m": "segments",
    "-p": "pids",
    "-t": "times",
    "-c": "creators",
    "-u": "in use",
    "-l": "limits",
}
"""The options that have a button, and what each is about. The seventh is ``-i ID``: all about one segment."""

ID_COLUMN = {"-m": 1, "-p": 0, "-t": 0, "-c": 0}
"""Where a row of the table says its segment's id; what the other options print has no rows."""

RATE = 20.0
"""Looks at the kernel's table a second, at most."""


@dataclass(frozen=True, slots=True)
class IpcsLook(Look):
    """A look at what ipcs prints; *ids* are the segments to choose from, each with its key."""

    printout: Printout | None = None
    ids: tuple[tuple[int, str], ...] = ()


class IpcsView(LiveView):
    """A live view of what ``ipcs -m`` prints with *option*: one of ``-m -p -t -c -u -l``, or ``-i ID``.

    It shows the rows of this user's segments, or of those with the *ids* (numbers, or a function that returns
    them and is called at every look), or with *everything* those of all. What ``-u`` and ``-l`` print is
    about the whole IPC namespace. A line that is new, changed or gone since the printout before is marked;
    each option is compared with what it printed last. :meth:`show` chooses another option, as the buttons do.

    Raises ValueError for an option that isn't one of these.
    """

    _esm = front_end("frames.js", "live.js", "ipcs.js")
    _css = front_end("live.css", "ipcs.css")

    option: Any = traitlets.Unicode("-m").tag(sync=True)
    """What is asked of ipcs: ``-m``, ``-p``, ``-t``, ``-c``, ``-u``, ``-l`` or ``-i ID``."""
    everything: Any = traitlets.Bool(False).tag(sync=True)
    """Whether everybody's segments are shown."""
    options: Any = traitlets.Dict(OPTIONS, read_only=True).tag(sync=True)
    legend: Any = traitlets.Unicode(f"{LEGEND}, since the change before", read_only=True).tag(sync=True)

    def __init__(
        self,
        option: str = "-m",
        ids: Collection[int] | Callable[[], Collection[int]] | None = None,
        everything: bool = False,
    ) -> None:
        self._ids = ids
        self._looking = threading.Lock()
        self._asked: object = None
        self._found = IpcsLook(None)
        self._printed: dict[tuple[str, bool], tuple[list[PrintedLine], tuple[MarkedLine, ...]]] = {}
        option = _checked(option)
        super().__init__("ipcs", RATE)
        self.option, self.everything = option, everything

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.option!r})"

    @property
    def text(self) -> str:
        """The lines as ipcs prints them, without marks and without what is gone; empty without ipcs."""
        printout = self._look().printout
        kept = [each.text for each in printout.lines if each.mark != GONE] if printout else []
        return "\n".join(kept)

    @property
    def lines(self) -> tuple[tuple[str, str], ...]:
        """Mark and text of each line that is shown: ``("+", "0x00000000 7 …")``; the mark may be a blank."""
        printout = self._look().printout
        return tuple((each.mark, each.text) for each in printout.lines) if printout else ()

    def show(self, option: str) -> None:
        """Ask ipcs for something else: ``-m``, ``-p``, ``-t``, ``-c``, ``-u``, ``-l`` or ``-i ID``.

        Raises ValueError for anything else.
        """
        self.option = _checked(option)

    @traitlets.validate("option")
    def _check_option(self, proposal: Any) -> str:
        return _checked(proposal["value"])

    # --- looking -----------------------------------------------------------------------------------------

    def _look(self) -> IpcsLook:
        with self._looking:  # frames are made on one thread, pictures and sentences on another
            rows = observe.segments()
            if not rows and observe.limits() is None:
                return IpcsLook(
                    None, problem="This kernel has no System V IPC: no segments, nothing for ipcs."
                )
            option, everything = self.option, self.everything
            wanted = self._wanted(rows)
            limits = observe.limits() if option == "-l" else None
            asked = (option, everything, wanted, tuple(rows), limits)
            if asked != self._asked:
                self._found = self._ask(option, everything, rows, wanted)
                self._asked = asked
            return self._found

    def _wanted(self, rows: Sequence[observe.Segment]) -> frozenset[int]:
        """The ids of the segments whose rows are shown."""
        if self.everything:
            return frozenset(each.id for each in rows)
        if self._ids is None:
            me = os.getuid()
            return frozenset(each.id for each in rows if me in (each.uid, each.cuid))
        return frozenset(self._ids() if callable(self._ids) else self._ids)

    def _ask(
        self, option: str, everything: bool, rows: Sequence[observe.Segment], wanted: Collection[int]
    ) -> IpcsLook:
        arguments = ["-m", *(option.split() if option != "-m" else [])]
        try:
            text = observe.ipcs(*arguments)
        except OSError as error:
            return IpcsLook(None, problem=f"{error.filename or 'ipcs'}: {error.strerror}.")
        lines = printed_lines(text, ID_COLUMN.get(option))
        every = sum(each.id is not None for each in lines)
        lines = [each for each in lines if each.id is None or each.id in wanted]
        shown = sum(each.id is not None for each in lines)
        before, marked = self._printed.get((option, everything), (lines, mark_lines(lines, lines)))
        if before != lines:
            marked = mark_lines(before, lines)
        self._printed[option, everything] = lines, marked
        whose = self._whose(option, everything, shown, every)
        ids = tuple((each.id, f"0x{each.key & 0xFFFFFFFF:08x}") for each in rows if each.id in wanted)
        return IpcsLook(None, printout=Printout(" ".join(["ipcs", *arguments]), whose, marked), ids=ids)

    def _whose(self, option: str, everything: bool, shown: int, every: int) -> str:
        if option not in ID_COLUMN:
            return "one segment" if option.startswith("-i") else "everybody's"
        if everything:
            return "everybody's"
        chosen = "this user's" if self._ids is None else "those chosen"
        return chosen if shown == every else f"{chosen}, {every - shown} more hidden"

    def _forget(self) -> None:
        super()._forget()
        if self._found.problem:  # ipcs may have been installed since
            self._asked = None

    # --- showing -----------------------------------------------------------------------------------------

    def _sentence(self, look: Look) -> str:
        assert isinstance(look, IpcsLook)
        return look.problem if look.printout is None else figures.describe_ipcs(look.printout)

    def _content(self, look: Look) -> tuple[dict[str, Any], list[bytes]]:
        assert isinstance(look, IpcsLook)
        if look.printout is None:
            return {"title": "ipcs", "caption": "", "problem": look.problem}, []
        printout = look.printout
        lines = [[each.mark.strip(), each.pieces] for each in printout.lines]
        content = {"title": f"$ {printout.command}", "caption": printout.whose, "problem": ""}
        return content | {"lines": lines, "ids": look.ids}, []

    def _painted(self, look: Look) -> bytes | None:
        assert isinstance(look, IpcsLook)
        if look.printout is None:
            return None
        with DRAWING:
            return figures.png(figures.draw_ipcs(look.printout))


def _checked(option: object) -> str:
    """Return an option as ipcs takes it; raise ValueError for what isn't one of ours."""
    said = " ".join(option.split()) if isinstance(option, str) else ""
    if said in OPTIONS or re.fullmatch(r"-i \d+", said):
        return said
    raise ValueError(f"{option!r} is no option of ours: {', '.join(OPTIONS)}, or '-i ID' with a segment's id")
