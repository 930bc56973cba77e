"""What ipcs prints, line by line: told apart, compared with what it printed before, described and drawn.

A row of a table is known by the id in it, any other line by the words that it begins with. Nothing here runs
ipcs. Imported by :mod:`shmlab.panels.ipcs`.
"""

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shmlab import palette
from shmlab.figures.common import TYPE
from shmlab.observe.changes import CHANGED, GONE, LEGEND, NEW, SAME, compared
from shmlab.palette import INK, QUIET

if TYPE_CHECKING:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

ROWS = 39
"""Lines that a picture has room for."""

NAMED = 8
"""Ids that a sentence names."""

LINE, LEFT, CHARACTER = 30, 40, 11.0
"""Height of a line, where it begins behind its sign, and how wide a character is, in pixels."""

WORDS = {NEW: "new", CHANGED: "changed", GONE: "gone"}


@dataclass(frozen=True)
class PrintedLine:
    """A line that ipcs printed; *id* is the segment's when it's a row of a table."""

    text: str
    id: int | None = None
    number: int = field(default=0, compare=False)
    """Which it is of those that begin with the same words."""

    @property
    def label(self) -> str:
        """The words that it begins with, up to a number or an equals sign."""
        return re.match(r"[^\d=]*", self.text)[0].strip()  # type: ignore[index]

    @property
    def identity(self) -> Hashable:
        """What says which line it is, whatever it says now."""
        return self.id if self.id is not None else (self.label, self.number)


@dataclass(frozen=True)
class MarkedLine:
    """A line with its mark (``+``, ``~``, ``-`` or a blank) and where the words stand that have changed."""

    mark: str
    line: PrintedLine
    changed: tuple[tuple[int, int], ...] = ()

    @property
    def text(self) -> str:
        return self.line.text

    @property
    def pieces(self) -> list[tuple[str, bool]]:
        """The text in pieces, each with whether it has changed."""
        found, at = [], 0
        for start, end in self.changed:
            found += [(self.text[at:start], False), (self.text[start:end], True)]
            at = end
        return [piece for piece in (*found, (self.text[at:], False)) if piece[0]]

    @property
    def words(self) -> str:
        """Which line it is, and what it says now if that has changed: ``id 7 (now 2)``."""
        name = f"id {self.line.id}" if self.line.id is not None else self.line.label or self.text
        now = ", ".join(self.text[start:end] for start, end in self.changed)
        return f"{name} (now {now})" if now else name


@dataclass(frozen=True)
class Printout:
    """What *command* printed, as marked lines; *whose* says in words which rows are shown."""

    command: str
    whose: str
    lines: tuple[MarkedLine, ...]


def printed_lines(text: str, column: int | None = None) -> list[PrintedLine]:
    """Return the lines of *text*; *column* says which word of a row is its segment's id, if one is."""
    lines: list[PrintedLine] = []
    seen: dict[str, int] = {}
    for row in text.expandtabs().strip("\n").splitlines():
        words = row.split()
        there = column is not None and len(words) > column and words[column].isdigit()
        if there and column is not None:
            lines.append(PrintedLine(row.rstrip(), int(words[column])))
            continue
        label = PrintedLine(row.rstrip()).label
        seen[label] = seen.get(label, -1) + 1
        lines.append(PrintedLine(row.rstrip(), None, seen[label]))
    return lines


def mark_lines(before: Sequence[PrintedLine], now: Sequence[PrintedLine]) -> tuple[MarkedLine, ...]:
    """Return the lines of *now*, marked, and those of *before* that are gone, each where it stood."""
    old = {each.identity: each for each in before}
    return tuple(
        MarkedLine(mark, line, _differing(old[line.identity].text, line.text) if mark == CHANGED else ())
        for mark, line in compared(before, now)
    )


def _differing(old: str, new: str) -> tuple[tuple[int, int], ...]:
    """Where the words of *new* stand that don't stand there in *old*."""
    there = {(each.start(), each.group()) for each in re.finditer(r"\S+", old)}
    words = re.finditer(r"\S+", new)
    return tuple(each.span() for each in words if (each.start(), each.group()) not in there)


def draw_ipcs(printout: Printout) -> "FigureCanvasAgg":
    """Draw a printout as a terminal would show it, each marked line in its mark's colour and with its sign;
    return the canvas of a new figure."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    cut = len(printout.lines) > ROWS
    lines = printout.lines[:ROWS]
    title = f"$ {printout.command}"
    under = f"{LEGEND}, since the change before"
    longest = max(len(title) + len(printout.whose) + 6, len(under), *(len(each.text) for each in lines))
    width, rows = int(LEFT + longest * CHARACTER + 20), len(lines) + cut
    figure = Figure(figsize=(width / 100, (rows + 3) * LINE / 100), dpi=100, facecolor="white")
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set_axis_off()
    ax.set(xlim=(0, width), ylim=(rows + 2.1, -0.9))
    style: dict[str, Any] = {"fontsize": TYPE, "family": "monospace", "va": "center", "parse_math": False}
    ax.text(10, 0, title, weight="bold", color=INK, **style)
    ax.text(width - 10, 0, printout.whose, ha="right", color=QUIET, **style)
    for row, marked in enumerate(lines, 1):
        colour = palette.MARKED.get(marked.mark)
        if colour:
            ax.add_patch(Rectangle((0, row - 0.46), width, 0.92, color=colour, alpha=0.18, linewidth=0))
            ax.add_patch(Rectangle((0, row - 0.46), 8, 0.92, color=colour, linewidth=0))
            ax.text(16, row, marked.mark, weight="bold", color=INK, **style)
        for start, end in marked.changed:
            box, wide = (LEFT + start * CHARACTER - 3, row - 0.4), (end - start) * CHARACTER + 6
            ax.add_patch(Rectangle(box, wide, 0.8, fill=False, edgecolor=INK, linewidth=1.5))
        gone = marked.mark == GONE
        weight = "normal" if marked.mark in (SAME, GONE) else "bold"
        ax.text(LEFT, row, marked.text, weight=weight, color=QUIET if gone else INK, **style)
        if gone:
            ax.plot([LEFT, LEFT + len(marked.text) * CHARACTER], [row, row], color=INK, linewidth=1.5)
    if cut:
        more = f"… and {len(printout.lines) - ROWS} lines more"
        ax.text(LEFT, rows, more, color=QUIET, **style)
    ax.text(10, rows + 1.3, under, color=QUIET, **style)
    return FigureCanvasAgg(figure)


def describe_ipcs(printout: Printout) -> str:
    """Return in words what a printout lists, and what has changed since the one before."""
    there = [each for each in printout.lines if each.mark != GONE]
    rows = [f"id {each.line.id}" for each in there if each.line.id is not None]
    if rows:
        told = f"lists {len(rows)} segment{'' if len(rows) == 1 else 's'}: {_some(rows)}"
    elif any("shmid" in each.text.split() for each in there):
        told = "lists no segment"
    else:
        told = f"prints {len(there)} line{'' if len(there) == 1 else 's'}"
    marked = {
        word: [each.words for each in printout.lines if each.mark == mark] for mark, word in WORDS.items()
    }
    changes = "; ".join(f"{word}: {_some(which)}" for word, which in marked.items() if which)
    since = f"Since the change before, {changes}." if changes else "Nothing is marked."
    return f"{printout.command} ({printout.whose}) {told}. {since}"


def _some(words: Sequence[str]) -> str:
    more = len(words) - NAMED
    return ", ".join(words[:NAMED]) + (f" and {more} more" if more > 0 else "")
