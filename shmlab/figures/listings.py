"""Listings: the sources of several programs side by side, the line each process has reached marked.

Imported by :mod:`shmlab.figures`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from shmlab.figures.common import TYPE
from shmlab.palette import INK, QUIET

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg

ROWS = 16
"""Lines of a source that a picture has room for: those around the marked one."""

LINE = 24
"""Height of a line of source, in pixels."""


@dataclass(frozen=True)
class Listing:
    """One process as a picture shows it."""

    title: str
    colour: str
    words: str
    """Where it is, in one sentence."""
    source: tuple[str, ...]
    line: int | None = None
    """The line it has reached, counted from 1."""


def draw_listings(listings: Sequence[Listing], width: int = 900) -> "FigureCanvasAgg":
    """Draw each listing in a column of its own; return the canvas of a new figure, *width* pixels wide."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = max(min(len(each.source), ROWS) for each in listings)
    columns = min(len(listings), 2)
    bands = -(-len(listings) // columns)
    height = bands * (rows * LINE + 4 * LINE)
    figure = Figure(figsize=(width / 100, height / 100), dpi=100, facecolor="white")
    for number, listing in enumerate(listings):
        band, column = divmod(number, columns)
        box = (
            column / columns + 0.01,
            1 - (band + 1) / bands + 0.01 / bands,
            1 / columns - 0.02,
            0.98 / bands,
        )
        _draw(figure.add_axes(box), listing, rows, width // columns)
    return FigureCanvasAgg(figure)


def _draw(ax: "Axes", listing: Listing, rows: int, width: int) -> None:
    from matplotlib.patches import Rectangle

    ax.set_axis_off()
    ax.set_xlim(0, 1)
    ax.set_ylim(rows + 0.2, -3.6)
    ax.add_patch(Rectangle((0, -3.6), 1, 0.3, color=listing.colour))
    ax.text(0.01, -2.7, listing.title, fontsize=TYPE, weight="bold", color=listing.colour, va="center")
    words = wrap(listing.words, max(20, width // 9))[:2]
    ax.text(0.01, -1.5, "\n".join(words), fontsize=TYPE - 3, color=INK, va="center")
    first = _first(listing, rows)
    room = max(10, int((width - 60) / 8.6))
    for row, text in enumerate(listing.source[first : first + rows]):
        here = first + row + 1 == listing.line
        if here:
            ax.add_patch(Rectangle((0, row - 0.5), 1, 1, color=listing.colour, alpha=0.22, linewidth=0))
            ax.add_patch(Rectangle((0, row - 0.5), 0.012, 1, color=listing.colour, linewidth=0))
        style: dict[str, Any] = {
            "fontsize": TYPE - 4,
            "family": "monospace",
            "va": "center",
            "parse_math": False,
        }
        ax.text(0.075, row, str(first + row + 1), color=QUIET, ha="right", **style)
        shown = text.expandtabs(4)
        shown = shown if len(shown) <= room else shown[: room - 1] + "…"
        ax.text(0.095, row, shown, color=INK, weight="bold" if here else "normal", **style)


def _first(listing: Listing, rows: int) -> int:
    """The first line shown, counted from 0, so that the marked one is in sight."""
    marked = (listing.line or 1) - 1
    return max(0, min(marked - rows // 2, len(listing.source) - rows))
