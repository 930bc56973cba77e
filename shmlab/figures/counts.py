"""Counts: how often something happened in so many rounds, one bar a case and its number beside it.

Imported by :mod:`shmlab.figures`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from shmlab.figures.common import TYPE, dress
from shmlab.palette import INK, PAPER, PROCESS_COLOURS, QUIET

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HATCHES = ("", "//", "..")


def draw_counts(
    ax: "Axes", counts: Mapping[str, Mapping[str, int]], rounds: int, title: str, x: str, y: str
) -> None:
    """Draw ``counts[series][case]``: a group of bars a case, a bar a series, each out of *rounds*.

    *x* names what is counted, *y* the cases. Every bar has its number written beside it, the bars of nothing
    too.
    """
    series = list(counts)
    cases = list(next(iter(counts.values()))) if counts else []
    thick = 0.8 / max(1, len(series))
    for number, name in enumerate(series):
        rows = [row + (number - (len(series) - 1) / 2) * thick for row in range(len(cases))]
        ax.barh(
            rows,
            [counts[name][case] for case in cases],
            height=thick * 0.9,
            color=PROCESS_COLOURS[number % len(PROCESS_COLOURS)],
            hatch=HATCHES[number % len(HATCHES)],
            edgecolor="white",
            linewidth=0,
            label=name,
        )
        for row, case in zip(rows, cases, strict=True):
            count = counts[name][case]
            beside = ax.text(count + 0.01 * rounds, row, f"{count:,}", size=TYPE, color=INK, va="center")
            beside.set_bbox({"facecolor": PAPER, "edgecolor": "none", "pad": 1})
    dress(ax, title, x, y)
    ax.set_xlim(0, 1.1 * rounds)
    ax.axvline(rounds, color=QUIET, linestyle="--", linewidth=1, zorder=0)
    ax.set_yticks(range(len(cases)), cases)
    ax.invert_yaxis()
    ax.spines[["top", "right"]].set_visible(False)
    if len(series) > 1:
        ax.figure.legend(loc="outside lower center", ncols=len(series), fontsize=TYPE, frameon=False)


def describe_counts(counts: Mapping[str, Mapping[str, int]], rounds: int, title: str) -> str:
    """Return one sentence that says what :func:`draw_counts` shows, for those who can't see it."""
    told = [
        f"{name}, {case}: {count} of {rounds}" for name, row in counts.items() for case, count in row.items()
    ]
    return f"{title}: {'; '.join(told)}."
