"""Faults: how long an object is, against the first offset of its mapping whose touch is fatal.

What was measured is drawn, whatever it is; nothing here knows what it ought to be. Imported by
:mod:`shmlab.figures`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shmlab.figures.common import TYPE, dress
from shmlab.palette import INK, PROCESS_COLOURS, QUIET, WRONG

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.container import BarContainer
    from matplotlib.lines import Line2D

BYTES, REST = PROCESS_COLOURS[0], PROCESS_COLOURS[5]

THICK = 0.62
"""How much of a row its bar takes."""


@dataclass(frozen=True)
class FaultsArtists:
    """What :func:`draw_faults` created, one bar of each kind and one mark a size."""

    ax: "Axes"
    inside: "BarContainer"
    """The object's own bytes."""
    rest: "BarContainer"
    """Past the object, and yet no fault."""
    beyond: "BarContainer"
    """From the first fault to the end of the mapping."""
    marks: "Line2D"
    """The first offset that faults, where one does."""


def draw_faults(ax: "Axes", faults: Mapping[int, int | None], page: int, length: int) -> FaultsArtists:
    """Draw one bar a size: the object's bytes, what may be touched past them, and what may not.

    *faults* gives the first offset that faults for each size of an object, both in bytes, and None where
    none does within the *length* bytes that were mapped; *page* is the page size, at whose multiples there's
    a line.
    """
    rows = range(len(faults))
    sizes = [min(size, length) for size in faults]
    firsts = [length if first is None else first for first in faults.values()]
    inside = ax.barh(rows, sizes, height=THICK, linewidth=0, color=BYTES, label="bytes of the object")
    rest = ax.barh(
        rows,
        [max(0, first - size) for size, first in zip(sizes, firsts, strict=True)],
        left=sizes,
        color=REST,
        hatch="//",
        edgecolor="white",
        label="past the object, yet no fault",
        height=THICK,
        linewidth=0,
    )
    beyond = ax.barh(
        rows,
        [length - first for first in firsts],
        left=firsts,
        facecolor="none",
        edgecolor=QUIET,
        height=THICK,
        linewidth=1.2,
        linestyle=":",
        label="SIGBUS",
    )
    fatal = [(first, row) for row, first in enumerate(faults.values()) if first is not None]
    (marks,) = ax.plot(
        [first for first, _ in fatal],
        [row for _, row in fatal],
        "X",
        color=WRONG,
        markersize=TYPE,
        markeredgecolor="white",
        clip_on=False,
        zorder=4,
        label="first offset that faults",
    )
    for first, row in fatal:
        ax.text(first + 0.02 * length, row, f"{first}", fontsize=TYPE, color=INK, va="center", zorder=4)
    for edge in range(0, length + 1, page):
        ax.axvline(edge, color=QUIET, linewidth=1, linestyle="--", zorder=0)
    title = "How far a mapping can be touched"
    dress(ax, title, "offset in the mapping (bytes)", "size of the object (bytes)")
    ax.set_xlim(0, length)
    ax.set_xticks(range(0, length + 1, page))
    ax.set_yticks(list(rows), [f"{size}" for size in faults])
    ax.tick_params(axis="y", pad=TYPE)
    ax.invert_yaxis()
    ax.spines[["top", "right"]].set_visible(False)
    ax.figure.legend(loc="outside lower center", ncols=2, fontsize=TYPE, frameon=False)
    return FaultsArtists(ax, inside, rest, beyond, marks)


def describe_faults(faults: Mapping[int, int | None], page: int, length: int) -> str:
    """Return one sentence that says what :func:`draw_faults` shows, for those who can't see it."""
    groups: dict[int | None, list[str]] = {}
    for size, first in faults.items():
        groups.setdefault(first, []).append(str(size))
    said = [
        f"{'at no offset' if first is None else f'at offset {first}'} for {_listed(sizes)}"
        for first, sizes in groups.items()
    ]
    whole = all(first == -(-size // page) * page for size, first in faults.items())
    rule = f": the size, rounded up to whole pages of {page} bytes" if faults and whole else ""
    return f"Objects mapped {length} bytes long; the first touch that is fatal is {', '.join(said)}{rule}."


def _listed(words: list[str]) -> str:
    return f"size {words[0]}" if len(words) == 1 else f"sizes {', '.join(words[:-1])} and {words[-1]}"
