"""The strip of steps: who was let on, one after the other, each in its process's colour, and what it came to.

For the picture that a scheduler panel leaves in a stored notebook, and for lessons that show one schedule
below another. What is drawn was observed; nothing here knows a process. Imported by :mod:`shmlab.figures`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from shmlab.figures.common import TYPE
from shmlab.palette import CHANGED, INK, PAPER, QUIET, ink_on

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg

STEP = 92
"""Width of a step, in pixels."""

ROW = 86
"""Height of a row of steps, in pixels."""

LINE = 26
"""Height of a line of text, in pixels."""

MARGIN = 14

MOST_ROWS = 4
"""Rows of steps that a picture has room for: the last ones."""


@dataclass(frozen=True)
class StripStep:
    """One step of the strip. *kind* is that of a turn: a step, blocked, ended, running, idle."""

    who: str
    colour: str
    words: str
    kind: str = "step"
    chosen: bool = True
    """False for a step that went on by itself, because somebody else let it: drawn hollow."""


@dataclass(frozen=True)
class StripValue:
    """What the steps left: a name, its value as text, and whether the last step changed it."""

    name: str
    text: str
    changed: bool = False


def draw_strip(
    steps: Sequence[StripStep], shown: Sequence[StripValue] = (), verdict: str = "", width: int = 900
) -> "FigureCanvasAgg":
    """Draw *steps* in rows, above them what is *shown* of the memory and the semaphores, below the *verdict*;
    return the canvas of a new figure, *width* pixels wide."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    a_row = max(1, (width - 2 * MARGIN) // STEP)
    left_out = max(0, len(steps) - a_row * MOST_ROWS)
    kept = steps[left_out:]
    rows = -(-len(kept) // a_row)
    said = wrap(verdict, max(20, (width - 2 * MARGIN) // 10))
    more = 1 if left_out else 0
    height = MARGIN + LINE * (len(shown) + more + len(said)) + ROW * rows + MARGIN
    figure = Figure(figsize=(width / 100, height / 100), dpi=100, facecolor=PAPER)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set_axis_off()
    ax.set_xlim(0, width)
    ax.set_ylim(height, 0)
    y = float(MARGIN)
    for each in shown:
        _value(ax, each, y + LINE / 2)
        y += LINE
    if left_out:
        _say(ax, f"… {left_out} steps before these", y + LINE / 2, QUIET)
        y += LINE
    for number, step in enumerate(kept):
        row, column = divmod(number, a_row)
        _step(ax, step, MARGIN + column * STEP, y + row * ROW)
    y += ROW * rows
    for line in said:
        _say(ax, line, y + LINE / 2, INK, weight="bold")
        y += LINE
    return FigureCanvasAgg(figure)


def describe_strip(steps: Sequence[StripStep], shown: Sequence[StripValue] = (), verdict: str = "") -> str:
    """Return in words what :func:`draw_strip` shows."""
    told = ", ".join(f"{each.who} {each.words}" for each in steps) or "nobody has been let on yet"
    values = "".join(f" {each.name}: {each.text}." for each in shown)
    return f"{told}.{values}{f' {verdict}.' if verdict else ''}"


def _value(ax: "Axes", each: StripValue, y: float) -> None:
    from matplotlib.patches import Rectangle

    if each.changed:
        ax.add_patch(Rectangle((MARGIN - 8, y - LINE / 2 + 2), 5, LINE - 4, color=CHANGED, linewidth=0))
    style: dict[str, Any] = {"fontsize": TYPE - 1, "family": "monospace", "va": "center", "parse_math": False}
    ax.text(MARGIN, y, f"{each.name}: {each.text}", color=INK,
            weight="bold" if each.changed else "normal", **style)  # fmt: skip


def _say(ax: "Axes", text: str, y: float, colour: str, **style: Any) -> None:
    ax.text(MARGIN, y, text, fontsize=TYPE - 1, color=colour, va="center", parse_math=False, **style)


def _step(ax: "Axes", step: StripStep, x: float, y: float) -> None:
    from matplotlib.patches import FancyBboxPatch

    filled = step.chosen and step.kind not in ("blocked", "idle", "running")
    box = FancyBboxPatch(
        (x + 4, y + 4),
        STEP - 12,
        36,
        boxstyle="round,pad=0,rounding_size=5",
        facecolor=step.colour if filled else PAPER,
        edgecolor=step.colour,
        linewidth=2.5,
        linestyle="-" if step.kind not in ("blocked", "idle", "running") else (0, (2, 1.5)),
    )
    ax.add_patch(box)
    sign = {"blocked": " …", "ended": " ■", "idle": " –", "running": " …"}.get(step.kind, "")  # noqa: RUF001
    ax.text(x + 4 + (STEP - 12) / 2, y + 22, step.who + sign, fontsize=TYPE + 1, weight="bold", ha="center",
            va="center", color=ink_on(step.colour) if filled else step.colour, parse_math=False)  # fmt: skip
    room = 11
    lines = wrap(step.words, room)[:2] or [""]
    if len(" ".join(lines)) < len(step.words):
        lines[-1] = lines[-1][: room - 1] + "…"
    ax.text(x + 4 + (STEP - 12) / 2, y + 44, "\n".join(lines), fontsize=TYPE - 4, ha="center", va="top",
            color=INK, linespacing=1.05, parse_math=False)  # fmt: skip
