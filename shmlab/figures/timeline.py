"""What processes were doing when: running, waiting, a zombie, dead. A row a process, time from left to right.

What is drawn was measured: the spans and the moments are the caller's. A state is told by its pattern and its
word, never by colour alone. Imported by :mod:`shmlab.figures`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shmlab.figures.common import TYPE, dress
from shmlab.palette import INK, PAPER, PROCESS_COLOURS, QUIET

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.patches import Patch

STATES = ("running", "waiting", "zombie", "dead")

THICK = 0.5
"""How much of a row a process takes; a dead one is a line."""

LETTER = 0.0135
"""Width of a letter of the smallest type, as a part of the axes: what tells whether a word fits a span."""


@dataclass(frozen=True)
class Span:
    """What a process was doing from *begin* to *end*, in milliseconds: a *state* of ``STATES``."""

    begin: float
    end: float
    state: str

    def __post_init__(self) -> None:
        if self.state not in STATES:
            raise ValueError(f"{self.state!r} is no state of a process: there are {', '.join(STATES)}")
        if not self.begin <= self.end:
            raise ValueError(f"a span ends after it began: {self.begin} to {self.end} ms")


@dataclass(frozen=True)
class Moment:
    """Something that a process did *at* a time, in milliseconds, in a word or two."""

    at: float
    text: str


@dataclass(frozen=True)
class Life:
    """A process: its label, its spans in order, and the moments worth a mark."""

    label: str
    spans: tuple[Span, ...]
    moments: tuple[Moment, ...] = ()


def draw_timeline(ax: "Axes", lives: Sequence[Life], title: str = "", until: float | None = None) -> None:
    """Draw one row a process, the first on top; *until* (ms) is where the axis ends, for two to be compared.

    After its last span a process is dead: the rest of its row is a dotted line.
    """
    last = max((span.end for life in lives for span in life.spans), default=1.0)
    end = until if until is not None else 1.12 * last
    for row, life in enumerate(lives):
        colour = PROCESS_COLOURS[row % len(PROCESS_COLOURS)]
        spans = life.spans
        if spans and spans[-1].state != "dead" and spans[-1].end < end:
            spans = (*spans, Span(spans[-1].end, end, "dead"))
        for span in spans:
            _draw_span(ax, row, span, colour, end)
        for number, moment in enumerate(life.moments):
            _draw_moment(ax, row, moment, len(life.moments), number, end)
    dress(ax, title, "time since the fork (ms)", "")
    ax.set_xlim(0, end)
    ax.set_ylim(len(lives) - 0.45, -0.85)
    ax.set_yticks(range(len(lives)), [life.label for life in lives])
    ax.tick_params(axis="y", length=0)
    for label, row in zip(ax.get_yticklabels(), range(len(lives)), strict=True):
        label.set(color=PROCESS_COLOURS[row % len(PROCESS_COLOURS)], weight="bold", size=TYPE + 2)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.figure.legend(handles=_legend(), loc="outside lower center", ncols=4, fontsize=TYPE, frameon=False)


def describe_timeline(lives: Sequence[Life], title: str = "") -> str:
    """Return one sentence that says what :func:`draw_timeline` shows, for those who can't see it."""
    told = []
    for life in lives:
        parts = [f"{span.state} from {span.begin:.0f} to {span.end:.0f} ms" for span in life.spans]
        parts += [f"{moment.text} at {moment.at:.0f} ms" for moment in life.moments]
        told.append(f"the {life.label} is {', '.join(parts)}" if parts else f"the {life.label} did nothing")
    return f"{title}: {'; '.join(told)}." if title else f"{'; '.join(told)}.".capitalize()


def _style(state: str, colour: str) -> dict[str, Any]:
    """Return how a state looks; white on black, each is told from the others by its pattern."""
    if state == "running":
        return {"facecolor": colour, "edgecolor": colour, "linewidth": 1.5}
    if state == "waiting":
        return {"facecolor": PAPER, "edgecolor": colour, "hatch": "//", "linewidth": 1.5}
    return {"facecolor": "#E4E4E4", "edgecolor": QUIET, "hatch": "xx", "linewidth": 1.5, "linestyle": "--"}


def _draw_span(ax: "Axes", row: int, span: Span, colour: str, end: float) -> None:
    if span.state == "dead":
        ax.plot([span.begin, span.end], [row, row], color=QUIET, linestyle=":", linewidth=2.5, zorder=1)
    else:
        style = _style(span.state, colour)
        ax.barh(row, span.end - span.begin, left=span.begin, height=THICK, zorder=2, **style)
    if (span.end - span.begin) / end < LETTER * (len(span.state) + 2):
        return
    word = ax.text(
        (span.begin + min(span.end, end)) / 2,
        row,
        span.state,
        size=TYPE,
        weight="bold",
        color=PAPER if span.state == "running" else INK,
        ha="center",
        va="center",
        zorder=4,
    )
    if span.state != "running":
        word.set_bbox({"facecolor": PAPER, "edgecolor": "none", "pad": 3})


def _draw_moment(ax: "Axes", row: int, moment: Moment, count: int, number: int, end: float) -> None:
    """Mark a moment at the upper edge of its row. The last of several is written to the right of its mark,
    the others to the left of theirs, where there's room: so two that almost coincide can both be read."""
    top = row - THICK / 2
    ax.plot([moment.at], [top], "v", color=INK, markersize=TYPE - 3, clip_on=False, zorder=5)
    width = LETTER * len(moment.text) * end
    rightwards = moment.at - width < 0 or (number == count - 1 and moment.at + width < end)
    ax.text(
        moment.at + (0.004 if rightwards else -0.004) * end,
        top - 0.12,
        moment.text,
        size=TYPE,
        color=INK,
        ha="left" if rightwards else "right",
        va="bottom",
        zorder=5,
    )


def _legend() -> "list[Patch]":
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    words = ("running", "waiting in waitpid", "zombie: ended, not waited for")
    handles: list[Any] = [
        Patch(label=word, **_style(state, INK)) for word, state in zip(words, STATES, strict=False)
    ]
    return [*handles, Line2D([], [], color=QUIET, linestyle=":", linewidth=2.5, label="dead")]
