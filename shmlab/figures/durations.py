"""Durations: how long each of several ways took, one bar a way and its figure beside it.

Imported by :mod:`shmlab.figures`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from shmlab.figures.common import TYPE, dress
from shmlab.palette import INK, PROCESS_COLOURS, QUIET

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_durations(
    ax: "Axes", durations: Mapping[str, float], unit: str, title: str, x: str, striking: str = ""
) -> None:
    """Draw ``durations[way]`` in *unit*, a bar a way, in their order; *x* says what took that long.

    The way called *striking* has the first process's colour and a hatch, the others are grey.
    """
    longest = max(durations.values(), default=0.0) or 1.0
    for row, (way, duration) in enumerate(durations.items()):
        stands_out = way == striking
        ax.barh(
            row,
            duration,
            height=0.7,
            color=PROCESS_COLOURS[0] if stands_out else QUIET,
            hatch="//" if stands_out else "",
            edgecolor="white",
            linewidth=0,
        )
        beside = f"{duration:.3g} {unit}"
        ax.text(duration + 0.01 * longest, row, beside, size=TYPE, color=INK, va="center")
    dress(ax, title, f"{x} ({unit})", "")
    ax.set_xlim(0, 1.18 * longest)
    ax.set_yticks(range(len(durations)), list(durations))
    ax.invert_yaxis()
    ax.spines[["top", "right"]].set_visible(False)


def describe_durations(durations: Mapping[str, float], unit: str, title: str) -> str:
    """Return one sentence that says what :func:`draw_durations` shows, for those who can't see it."""
    told = ", ".join(f"{way} {duration:.3g} {unit}" for way, duration in durations.items())
    return f"{title}: {told}."
