"""A step in words: what was called, what it returned and what that asked of the kernel, as a picture.

For the picture that a walkthrough leaves in a stored notebook, where nobody can press its buttons. Imported
by :mod:`shmlab.figures`.
"""

from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from shmlab.figures.common import TYPE
from shmlab.palette import INK, PAPER, QUIET

if TYPE_CHECKING:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

LINE = 24
"""Height of a line, in pixels."""

HEADINGS = 150
"""Width of the column of headings, in pixels."""

MOST_LINES = 12
"""Lines of one row that a picture has room for."""


def draw_step(title: str, rows: Sequence[tuple[str, str]], width: int = 1000) -> "FigureCanvasAgg":
    """Draw *rows* of (heading, text) below *title*; return the canvas of a figure *width* pixels wide."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    room = int((width - HEADINGS - 20) / 8.6)
    told = [(heading, _lines(text, room)) for heading, text in rows if text]
    height = LINE * (2 + sum(len(lines) for _, lines in told)) + 6 * len(told) + 8
    figure = Figure(figsize=(width / 100, height / 100), dpi=100, facecolor=PAPER)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set_axis_off()
    ax.set_xlim(0, width)
    ax.set_ylim(height, 0)
    ax.text(14, LINE, title, fontsize=TYPE + 2, weight="bold", color=INK, va="center", parse_math=False)
    y = 2 * LINE
    code: dict[str, Any] = {
        "fontsize": TYPE - 4,
        "family": "monospace",
        "color": INK,
        "va": "top",
        "parse_math": False,
    }
    for heading, lines in told:
        ax.text(14, y, heading, fontsize=TYPE - 2, color=QUIET, va="top", parse_math=False)
        for line in lines:
            ax.text(HEADINGS, y, line, **code)
            y += LINE
        y += 6
    return FigureCanvasAgg(figure)


def _lines(text: str, room: int) -> list[str]:
    lines: list[str] = []
    for line in text.splitlines():
        indent = " " * (len(line) - len(line.lstrip()))
        lines += wrap(line, room, subsequent_indent=indent + "    ", drop_whitespace=True) or [""]
    return lines if len(lines) <= MOST_LINES else [*lines[: MOST_LINES - 1], "…"]
