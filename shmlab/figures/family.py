"""Parent and child: two address spaces, and the pages of memory behind them; before and after fork, or exec.

The drawing of lesson 05. Which ranges lead to one page and which to two is told by what the kernel says of
the pages (:class:`observe.Page`). Imported by :mod:`shmlab.figures`.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shmlab.figures.common import TYPE
from shmlab.observe import Page
from shmlab.palette import INK, PAPER, PROCESS_COLOURS, QUIET

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg

WIDTH, HEIGHT = 900, 400

ROWS = (2.55, 0.75)
"""Where the ranges begin, from below, at most two."""

TALL = 1.25
"""Height of a range, and of a page."""

LEFT, RIGHT = (0.1, 3.5), (8.5, 11.9)
"""Where the two address spaces begin and end."""

ONE = (4.9, 7.1)
TWO = ((4.1, 5.9), (6.1, 7.9))


@dataclass(frozen=True)
class FamilyRange:
    """A range of a process's addresses: what it's called, the text its process reads there, and its page.

    Without a *page* nothing is known of it, and the range is drawn with a page of its own.
    """

    label: str
    text: str
    page: Page | None = None


@dataclass(frozen=True)
class FamilyMember:
    """A process of the family and its ranges; *note* stands in an address space that has none of them."""

    label: str
    ranges: tuple[FamilyRange, ...] = ()
    note: str = ""


def one_page(one: Page | None, other: Page | None) -> bool:
    """Return whether two ranges that were one before a fork lead to one page of memory still.

    By the numbers of the page frames where the kernel tells them; by its word that no other page table leads
    to a page (``exclusive``) where it doesn't.
    """
    if one is None or other is None or not (one.present and other.present):
        return False
    if one.frame is not None and other.frame is not None:
        return one.frame == other.frame
    return not (one.exclusive or other.exclusive)


def draw_family(parent: FamilyMember, child: FamilyMember, title: str) -> "FigureCanvasAgg":
    """Draw the parent on the left, the child on the right and the pages between; return the canvas.

    Both have the same ranges in the same order, at most two, or none.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH / 100, HEIGHT / 100), dpi=100, facecolor="white")
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, 12), ylim=(0.2, 5.5))
    ax.axis("off")
    _write(ax, 0.1, 5.15, title, size=TYPE + 4, weight="bold", ha="left")
    _write(ax, 6, 4.3, "pages of memory", color=QUIET)
    blue, red = PROCESS_COLOURS[:2]
    _space(ax, parent, LEFT, blue)
    _space(ax, child, RIGHT, red)
    for row, low in enumerate(ROWS):
        left = parent.ranges[row] if row < len(parent.ranges) else None
        right = child.ranges[row] if row < len(child.ranges) else None
        if left and right and one_page(left.page, right.page):
            _page(ax, ONE, low, left.text)
            _band(ax, LEFT[1], ONE[0], low, blue)
            _band(ax, RIGHT[0], ONE[1], low, red)
            continue
        boxes = TWO if left and right else (ONE, ONE)
        if left:
            _page(ax, boxes[0], low, left.text)
            _band(ax, LEFT[1], boxes[0][0], low, blue)
        if right:
            _page(ax, boxes[1], low, right.text)
            _band(ax, RIGHT[0], boxes[1][1], low, red)
    return FigureCanvasAgg(figure)


def describe_family(parent: FamilyMember, child: FamilyMember, title: str) -> str:
    """Return one sentence that says what the drawing shows."""
    told = []
    for row, left in enumerate(parent.ranges):
        if row >= len(child.ranges):
            told.append(f"{left.label}: only the {parent.label} has it, and reads {left.text}")
            continue
        right = child.ranges[row]
        pages = "one page" if one_page(left.page, right.page) else "a page each"
        told.append(
            f"{left.label}: {pages}, where the {parent.label} reads {left.text} "
            f"and the {child.label} {right.text}"
        )
    for each in (parent, child):
        if not each.ranges:
            told.append(f"in the {each.label}'s box stands “{each.note.replace(chr(10), ' ')}”")
    return f"{title}: {'; '.join(told)}."


def _space(ax: "Axes", relative: FamilyMember, edges: tuple[float, float], colour: str) -> None:
    """Draw an address space, with its ranges or the note that there are none."""
    from matplotlib.patches import Rectangle

    low, high = edges
    dashed = "solid" if relative.ranges else "dashed"
    ax.add_patch(Rectangle((low, 0.4), high - low, 3.6, fc=PAPER, ec=colour, lw=4, ls=dashed))
    middle = (low + high) / 2
    _write(ax, middle, 4.35, relative.label, color=colour, weight="bold", size=TYPE + 3)
    for range_, bottom in zip(relative.ranges, ROWS, strict=False):
        ax.add_patch(Rectangle((low, bottom), high - low, TALL, fc=colour, lw=0))
        _write(ax, middle, bottom + TALL / 2, range_.label, color=PAPER, weight="bold")
    if not relative.ranges:
        _write(ax, middle, 2.2, relative.note, color=INK)


def _page(ax: "Axes", edges: tuple[float, float], low: float, text: str) -> None:
    from matplotlib.patches import Rectangle

    left, right = edges
    ax.add_patch(Rectangle((left, low), right - left, TALL, fc=PAPER, ec=INK, lw=3, zorder=3))
    _write(ax, (left + right) / 2, low + TALL / 2, text, family="monospace", weight="bold", zorder=4)


def _band(ax: "Axes", near: float, far: float, low: float, colour: str) -> None:
    ax.fill([near, near, far, far], [low, low + TALL, low + TALL, low], fc=colour, alpha=0.3, lw=0)


def _write(ax: "Axes", x: float, y: float, text: str, **style: Any) -> None:
    plain: dict[str, Any] = {"size": TYPE, "color": INK, "ha": "center", "va": "center", "parse_math": False}
    ax.text(x, y, text, **(plain | style))
