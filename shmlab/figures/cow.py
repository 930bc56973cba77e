"""Copy-on-write: the pages of a private mapping above those of its object, and which of them are the same.

The drawing of lesson 04. What became of a page is told by what the kernel says of it (:class:`observe.Page`);
page frames stand in it where this user may see their numbers, and the mapping's Pss where not. Imported by
:mod:`shmlab.figures`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shmlab import observe
from shmlab.figures.common import TYPE, size_text
from shmlab.palette import CHANGED, INK, PAPER, PROCESS_COLOURS, QUIET

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg

WIDTH, HEIGHT = 1000, 400

NOT_TOUCHED, SHARED, COPIED = "not touched", "shared", "copied"

LEFT = 2.5
"""Where the first page begins; the rows' names stand before it."""

ABOVE, BELOW = 2.45, 0.15
"""Where the mapping's row begins, and the object's, from below."""

TALL, WIDE, GAP = 1.3, 2.1, 0.25
"""Height and width of a page, and the room between two."""


@dataclass(frozen=True)
class CowPage:
    """One page of a private mapping, and the page of the object under it."""

    state: str
    """``"not touched"``, ``"shared"`` with the object, or ``"copied"``."""
    frame: int | None = None
    """The number of the page frame that the mapping leads to; None when there's none, or it's hidden."""
    allocated: bool = True
    """Whether the object has memory for that page."""
    object_frame: int | None = None
    """The page frame of the object's page, None when unknown."""
    text: str = ""
    """What the object holds there."""


@dataclass(frozen=True)
class CowMap:
    """The pages of a private mapping, what it costs in bytes, and whether frame numbers may be seen."""

    pages: tuple[CowPage, ...]
    pss: int
    """The mapping's share of what it touched (smaps: Pss)."""
    own: int
    """What was copied (smaps: Anonymous)."""
    frames_permitted: bool


def cow_map(private: int, shared: int, name: str, texts: Sequence[str] = ()) -> CowMap:
    """Return how the private mapping of *name* in process *private* stands to the object.

    *shared* is a process that maps all of the object with MAP_SHARED: only from there can the frames of the
    object's pages be seen, of those that it touched. *texts* is what the object holds in each page.

    Nothing is touched by looking. Raises ValueError when one of them hasn't mapped the object (once), OSError
    when this user may not look. Source: pagemap and smaps, proc(5); FACTS F76 to F79, D88.
    """
    (cost, above), (_, below) = _pages_of(private, name), _pages_of(shared, name)
    size = cost.length // len(above) if above else 1
    data = [extent for extent in observe.allocated_pages(name) if extent.data]
    pages = tuple(
        CowPage(
            state_of(mine),
            mine.frame,
            any(extent.offset <= number * size < extent.end for extent in data),
            theirs.frame,
            texts[number] if number < len(texts) else "",
        )
        for number, (mine, theirs) in enumerate(zip(above, below, strict=False))
    )
    return CowMap(pages, cost.pss, cost.anonymous, above.frames_permitted)


def state_of(page: observe.Page) -> str:
    """Return what became of a page of a private mapping of an object."""
    if not (page.present or page.swapped):
        return NOT_TOUCHED
    return SHARED if page.file_or_shared else COPIED


def draw_cow(seen: CowMap, title: str) -> "FigureCanvasAgg":
    """Draw the mapping's pages above the object's, a band between those that are one; return the canvas.

    There's room for the words of four pages.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH / 100, HEIGHT / 100), dpi=100, facecolor="white")
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, max(12.0, LEFT + len(seen.pages) * (WIDE + GAP))), ylim=(0, 4.8))
    ax.axis("off")
    _write(ax, 0.1, 4.4, title, size=TYPE + 4, weight="bold", ha="left")
    _write(ax, 0.1, ABOVE + TALL / 2, f"private mapping\n{_cost(seen)}", ha="left", color=PROCESS_COLOURS[0])
    _write(ax, 0.1, BELOW + TALL / 2, "the object", ha="left")
    if not seen.frames_permitted:
        hidden = "this user may not see frame numbers"
        _write(ax, 0.1, 4.0, hidden, ha="left", color=QUIET)
    for number, page in enumerate(seen.pages):
        x = LEFT + number * (WIDE + GAP)
        _above(ax, x, page)
        _below(ax, x, page, number)
    return FigureCanvasAgg(figure)


def describe_cow(seen: CowMap, title: str) -> str:
    """Return one sentence that says what :func:`draw_cow` shows, for those who can't see it."""
    told = []
    for number, page in enumerate(seen.pages):
        said = {SHARED: "shared with the object"}.get(page.state, page.state)
        if page.frame is not None and page.object_frame is not None:
            said += ", the same frame" if page.frame == page.object_frame else ", another frame"
        holds = f"the object holds {page.text}" if page.text else ""
        if not page.allocated:
            holds = "the object has no memory there"
        told.append(f"page {number}: {said}" + (f" ({holds})" if holds else ""))
    return f"{title}. {'; '.join(told)}. The private mapping's {_cost(seen).replace(chr(10), ', ')}."


def _pages_of(pid: int, name: str) -> tuple[observe.Memory, observe.Pages]:
    lines = observe.memory(pid, name)
    if len(lines) != 1:
        raise ValueError(f"process {pid} has {len(lines)} mappings of {name!r}, not one")
    return lines[0], observe.pages(pid, lines[0].start, lines[0].length)


def _cost(seen: CowMap) -> str:
    return f"Pss {size_text(seen.pss)}\nits own: {size_text(seen.own)}"


def _above(ax: "Axes", x: float, page: CowPage) -> None:
    blue = PROCESS_COLOURS[0]
    style: dict[str, Any] = {
        NOT_TOUCHED: {"fc": PAPER, "ec": QUIET, "ls": "--", "lw": 2},
        SHARED: {"fc": blue, "ec": blue, "lw": 3},
        COPIED: {"fc": CHANGED, "ec": INK, "lw": 3},
    }[page.state]
    _box(ax, x, ABOVE, **style)
    words = [page.state.upper() if page.state == COPIED else page.state]
    if page.frame is not None:
        words.append(f"frame {page.frame:x}")
    colour = {NOT_TOUCHED: QUIET, SHARED: PAPER, COPIED: INK}[page.state]
    weight = "normal" if page.state == NOT_TOUCHED else "bold"
    _write(ax, x + WIDE / 2, ABOVE + TALL / 2, "\n".join(words), color=colour, weight=weight)
    if page.state == SHARED:
        near, far = BELOW + TALL, ABOVE
        ax.fill([x, x, x + WIDE, x + WIDE], [near, far, far, near], fc=blue, alpha=0.3, lw=0)
        _write(ax, x + WIDE / 2, (near + far) / 2, "one page")
    if page.state == COPIED:
        _write(ax, x + WIDE / 2, (BELOW + TALL + ABOVE) / 2, "two pages", weight="bold")


def _below(ax: "Axes", x: float, page: CowPage, number: int) -> None:
    colour, line = (INK, "-") if page.allocated else (QUIET, "--")
    _box(ax, x, BELOW, fc=PAPER, ec=colour, ls=line, lw=3)
    words = [f"page {number}" + (f": {page.text}" if page.text else "")]
    if page.object_frame is not None:
        words.append(f"frame {page.object_frame:x}")
    if not page.allocated:
        words.append("no memory yet")
    _write(ax, x + WIDE / 2, BELOW + TALL / 2, "\n".join(words), color=colour)


def _box(ax: "Axes", x: float, y: float, **style: Any) -> None:
    ax.fill([x, x, x + WIDE, x + WIDE], [y, y + TALL, y + TALL, y], **style)


def _write(ax: "Axes", x: float, y: float, text: str, **style: Any) -> None:
    plain: dict[str, Any] = {"size": TYPE, "color": INK, "ha": "center", "va": "center", "parse_math": False}
    ax.text(x, y, text, **(plain | style))
