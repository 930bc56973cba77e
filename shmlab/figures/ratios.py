"""Ratios: how long several ways took for several sizes, each divided by one of them, with their spread.

Imported by :mod:`shmlab.figures`.
"""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING

from shmlab.figures.common import TYPE, dress, size_text
from shmlab.palette import INK, PROCESS_COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS = "osD^vP"

Ratios = Mapping[str, Mapping[int, Sequence[float]]]
"""``ratios[way][size]``: the ratios of several rounds."""


def draw_ratios(ax: "Axes", ratios: Ratios, reference: str, title: str, x: str, y: str) -> None:
    """Draw ``ratios[way][size]``: a line a way through the medians, a band from lowest to highest.

    Both axes are logarithmic. *reference* is the way by which all were divided: a dashed line at 1, whether
    or not it's among the ratios.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    sizes = sorted({size for row in ratios.values() for size in row})
    ax.axhline(1, color=INK, linestyle="--", linewidth=2, label=reference, zorder=1)
    for number, (way, row) in enumerate((way, row) for way, row in ratios.items() if way != reference):
        colour, at = PROCESS_COLOURS[number % len(PROCESS_COLOURS)], sorted(row)
        lowest, highest = [min(row[s]) for s in at], [max(row[s]) for s in at]
        ax.fill_between(at, lowest, highest, color=colour, alpha=0.18, lw=0)
        marker = MARKERS[number % len(MARKERS)]
        ax.plot(at, [median(row[s]) for s in at], color=colour, marker=marker, ms=9, lw=2.5, label=way)
    dress(ax, title, x, y)
    ax.set(xscale="log", yscale="log")
    ax.set_xticks(sizes, [size_text(size) for size in sizes])
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.tick_params(axis="x", which="minor", length=0)
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda ratio, _: f"{ratio:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.grid(axis="y", color=INK, alpha=0.15)
    ax.spines[["top", "right"]].set_visible(False)
    ax.figure.legend(loc="outside right center", fontsize=TYPE, frameon=False)


def describe_ratios(ratios: Ratios, reference: str, title: str) -> str:
    """Return one sentence that says what :func:`draw_ratios` shows, for those who can't see it."""
    told = []
    for way, row in ratios.items():
        if way != reference:
            told.append(f"{way} " + ", ".join(f"{median(row[s]):.2g} at {size_text(s)}" for s in sorted(row)))
    return f"{title}, as multiples of {reference}: {'; '.join(told)}."
