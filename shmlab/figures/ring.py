"""A bounded buffer, drawn as the ring that it is: its slots, whose item is in each, head, tail and fill
level, and beside it the semaphores: the value of each, and who waits on it.

:class:`RingState` says what is drawn; it's the same for the live view, which the browser paints (ring.js).
Imported by :mod:`shmlab.figures` and by the panel of the ring.
"""

from dataclasses import dataclass
from math import cos, pi, sin
from typing import TYPE_CHECKING

from shmlab.figures.common import TYPE
from shmlab.palette import INK, PAPER, QUIET, ink_on

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_SLOTS = 32
"""More slots than that can't be read in a ring."""


@dataclass(frozen=True)
class RingItem:
    """What a slot holds: *text* is what is written into it, *colour* its producer's. *waiting* says whether
    it's yet to be taken; what was taken is still there, until something is stored over it."""

    text: str
    colour: str
    waiting: bool


@dataclass(frozen=True)
class RingGate:
    """A semaphore: what it's called, its value (None where it can't be read), and who waits on it."""

    word: str
    value: int | None
    waiting: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """The value in words."""
        return "not there" if self.value is None else str(self.value)

    @property
    def words(self) -> str:
        """Who waits, in words."""
        if not self.waiting:
            return "nobody waits"
        return f"{' and '.join(self.waiting)} wait{'s' if len(self.waiting) == 1 else ''}"

    def __str__(self) -> str:
        return f"{self.word} {self.told}, {self.words}"


@dataclass(frozen=True)
class RingState:
    """A bounded buffer at one moment. *head* and *tail* count the items taken and put since the beginning;
    *items* has one entry a slot, None for a slot that never held anything."""

    head: int
    tail: int
    items: tuple[RingItem | None, ...]
    gates: tuple[RingGate, ...] = ()

    @property
    def fill(self) -> int:
        """How many items wait to be taken. Without semaphores it may be more than there are slots, or less
        than none."""
        return self.tail - self.head

    @property
    def trouble(self) -> str:
        """What is wrong with head and tail, in words; empty when nothing is."""
        if self.fill > len(self.items):
            lost = self.fill - len(self.items)
            return f"{lost} overwritten before {'it was' if lost == 1 else 'they were'} taken"
        if self.fill < 0:
            return f"{-self.fill} taken that nobody had put"
        return ""


def describe_ring(state: RingState, name: str) -> str:
    """Return one sentence that says what :func:`draw_ring` shows, for those who can't see it."""
    held = [item.text for item in _in_order(state) if item is not None and item.waiting]
    told = f"The buffer {name!r}: {state.fill} of {len(state.items)} slots are full"
    told += f" ({', '.join(held)})" if held else ""
    told += f", head {state.head}, tail {state.tail}"
    if state.trouble:
        told += f", {state.trouble}"
    return "; ".join([told, *(f"semaphore {gate}" for gate in state.gates)]) + "."


def _in_order(state: RingState) -> list[RingItem | None]:
    """The items from the head on, each slot once."""
    slots = len(state.items)
    return [state.items[(state.head + place) % slots] for place in range(slots)]


def draw_ring(ax: "Axes", state: RingState, name: str) -> None:
    """Draw the ring on the left and its semaphores on the right; the slots go round from the top."""
    ax.set(xlim=(-1.75, 4.6), ylim=(-1.75, 1.75), aspect="equal")
    ax.axis("off")
    _draw_slots(ax, state)
    _draw_ends(ax, state)
    slots = len(state.items)
    ax.text(
        0, 0.08, f"{state.fill} of {slots}", size=TYPE + 8, weight="bold", ha="center", va="center", color=INK
    )
    ax.text(0, -0.2, "slots full", size=TYPE, ha="center", va="center", color=INK)
    rows = [("buffer", f"head {state.head} · tail {state.tail}", state.trouble, bool(state.trouble))]
    rows += [(gate.word, gate.told, gate.words, bool(gate.waiting)) for gate in state.gates]
    for row, each in enumerate(rows):
        _draw_row(ax, 0.41 * (len(rows) - 1) - row * 0.82, *each)
    ax.set_title(f"The buffer {name!r}", fontsize=TYPE + 2, color=INK, loc="left")


def _draw_slots(ax: "Axes", state: RingState) -> None:
    from matplotlib.patches import Wedge

    slots = len(state.items)
    for number, item in enumerate(state.items):
        middle, half = _angle(number, slots), 180 / slots
        full = item is not None and item.waiting
        face = item.colour if item is not None and item.waiting else PAPER
        edges = middle * 180 / pi - half, middle * 180 / pi + half
        ax.add_patch(Wedge((0, 0), 1, *edges, width=0.45, facecolor=face, edgecolor=INK, linewidth=2))
        if item is not None:
            ax.text(
                *(0.775 * cos(middle), 0.775 * sin(middle), item.text),
                size=TYPE + (4 if slots <= 12 else 0),
                color=QUIET if not full else ink_on(item.colour),
                weight="bold" if full else "normal",
                ha="center",
                va="center",
            )


def _draw_ends(ax: "Axes", state: RingState) -> None:
    """Draw where head and tail point to; side by side when it's the same slot."""
    slots = len(state.items)
    apart = 0.17 if (state.head - state.tail) % slots == 0 else 0.0
    for word, count, aside in (("head", state.head, apart), ("tail", state.tail, -apart)):
        angle = _angle(count, slots) + aside
        ax.annotate(
            word,
            (1.01 * cos(angle), 1.01 * sin(angle)),
            (1.45 * cos(angle + aside), 1.32 * sin(angle + aside)),
            size=TYPE + 2,
            color=INK,
            weight="bold",
            ha="center",
            va="center",
            arrowprops={"arrowstyle": "-|>", "lw": 3, "color": INK, "shrinkA": 2, "shrinkB": 0},
        )


def _draw_row(ax: "Axes", y: float, word: str, value: str, words: str, striking: bool) -> None:
    from matplotlib.patches import Rectangle

    ax.add_patch(Rectangle((1.85, y - 0.3), 0.08, 0.6, facecolor=INK if striking else QUIET))
    ax.text(2.05, y + 0.13, f"{word}  {value}", size=TYPE + 3, color=INK, va="center", weight="bold")
    ax.text(2.05, y - 0.17, words, size=TYPE + 1, color=INK if striking else QUIET, va="center")


def _angle(number: int, slots: int) -> float:
    """Return where the middle of a slot is: slot 0 at the top, the others clockwise."""
    return pi / 2 - number % slots * 2 * pi / slots
