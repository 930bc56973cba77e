"""The world of shared memory at one moment: names, the objects they lead to, the processes that hold them.

A drawing of values: boxes for names, objects and processes, lines for who refers to what, and a mark in words
and colour on what the last step changed. It takes a :class:`World` and knows no process. Imported by
:mod:`shmlab.figures`; panels build a World of what the kernel said.
"""

from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from shmlab.figures.common import TYPE, size_text, tint
from shmlab.observe.changes import CHANGED, GONE, NEW
from shmlab.palette import INK, MARKED, PAPER, QUIET, WRONG, ink_on

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg

WIDTH = 1000
"""Width of the drawing, in pixels."""

PAGE = 4096
"""Bytes of a page, unless a :class:`World` says otherwise."""

MARKS = {"new": NEW, "changed": CHANGED, "gone": GONE}
"""What stands beside a thing that the last step changed, besides its colour."""

MOST_PAGES = 24
"""Pages of an object that are drawn one by one."""

MANY = 9999
"""Pages beyond which they are told in bytes instead."""

# Where things stand, in pixels from the left and from the top.
NAMES, OBJECTS, HOLDERS = (14, 244), (314, 590), (656, 986)
HEADING, ROW, GAP = 40, 40, 18


@dataclass(frozen=True)
class WorldObject:
    """An object: *inode* is what tells it from others, for a segment its id. *name* is "" for one that lost
    it, and *was* is what it was called. *size* and *allocated* are bytes, None where unknown; *pages* tells
    of each page from the first whether it holds data, empty where unknown. *mark* and *name_mark* are keys
    of ``MARKS`` or ""."""

    inode: int
    size: int | None
    allocated: int | None
    name: str = ""
    was: str = ""
    kind: str = "object"
    pages: tuple[bool, ...] = ()
    mark: str = ""
    name_mark: str = ""


@dataclass(frozen=True)
class WorldMapping:
    """A mapping: *length* and *offset* in bytes, *inode* of the object it shows, None for other memory."""

    length: int
    perms: str
    offset: int = 0
    inode: int | None = None
    mark: str = ""


@dataclass(frozen=True)
class WorldDescriptor:
    """An open descriptor and the object it leads to; *access* is ``O_RDWR``, say."""

    number: int
    access: str
    inode: int | None
    mark: str = ""


@dataclass(frozen=True)
class WorldProcess:
    """A process: *words* say what it does; *alive* is False when it has ended, *died* how if by a signal."""

    label: str
    colour: str
    words: str
    alive: bool = True
    died: bool = False
    mappings: tuple[WorldMapping, ...] = ()
    descriptors: tuple[WorldDescriptor, ...] = ()
    mark: str = ""


@dataclass(frozen=True)
class World:
    """All of it. *absent* are names that lead nowhere and shall be seen to; *system_v* is whether it is about
    keys and segments, also while there are none."""

    objects: tuple[WorldObject, ...] = ()
    processes: tuple[WorldProcess, ...] = ()
    absent: tuple[str, ...] = ()
    title: str = ""
    page: int = PAGE
    system_v: bool = False


def world_height(world: World) -> int:
    """Return the height that a drawing of *world* needs, in pixels; ``WIDTH`` is its width."""
    objects = sum(_object_height(each) + GAP for each in world.objects) + len(world.absent) * (ROW + GAP)
    processes = sum(_process_height(each) + GAP for each in world.processes)
    return HEADING * (2 if world.title else 1) + max(objects, processes, 2 * ROW) + GAP


def world_figure(world: World) -> "FigureCanvasAgg":
    """Draw *world* on a new canvas of just the size it needs, and return that."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH / 100, world_height(world) / 100), dpi=100, facecolor=PAPER)
    canvas = FigureCanvasAgg(figure)
    draw_world(figure.add_axes((0, 0, 1, 1)), world)
    return canvas


def draw_world(ax: "Axes", world: World) -> None:
    """Draw *world*: names on the left, objects in the middle, on the right the processes that hold them.

    Best on axes of ``WIDTH`` by ``world_height(world)`` pixels, as :func:`world_figure` makes them.
    """
    ax.set_axis_off()
    ax.set_xlim(0, WIDTH)
    ax.set_ylim(world_height(world), 0)
    top = 0
    if world.title:
        _text(ax, NAMES[0], HEADING / 2 + 4, world.title, size=TYPE + 2, weight="bold")
        top = HEADING
    keys = world.system_v or any(each.kind == "segment" for each in world.objects)
    names = not world.system_v or any(each.kind != "segment" for each in world.objects)
    of_names = "names and keys" if names and keys else "keys" if keys else "names in /dev/shm"
    for (left, _), words in (
        (NAMES, of_names),
        (OBJECTS, "objects in memory" if names else "segments in memory"),
        (HOLDERS, "processes"),
    ):
        _text(ax, left, top + HEADING / 2, words, color=QUIET)
    places = _draw_objects(ax, world, top + HEADING)
    y = top + HEADING
    for process in world.processes:
        _draw_process(ax, process, y, places, world)
        y += _process_height(process) + GAP


# --- Names and objects -------------------------------------------------------------------------------------


def _object_height(each: WorldObject) -> int:
    return 3 * ROW if each.pages else 2 * ROW + 10


def _draw_objects(ax: "Axes", world: World, y: float) -> dict[int, tuple[float, float]]:
    """Draw names and objects from *y* down; return between which heights each object stands, by inode."""
    places: dict[int, tuple[float, float]] = {}
    for each in world.objects:
        height = _object_height(each)
        middle = y + height / 2
        places[each.inode] = (y, y + height)
        name, leads = _name_of(each)
        if each.name or each.name_mark:
            _box(ax, NAMES, middle - ROW * 0.7, ROW * 1.4, each.name_mark)
            _text(ax, NAMES[0] + 14, middle, name, family="monospace", weight="bold",
                  color=QUIET if each.name_mark == "gone" else INK)  # fmt: skip
            _line(ax, (NAMES[1], middle), (OBJECTS[0], middle), each.name_mark)
        else:
            _text(ax, NAMES[1], middle, leads, style="italic", ha="right")
        _draw_object(ax, each, y, height, world.page)
        y += height + GAP
    for absent in world.absent:
        _box(ax, NAMES, y, ROW * 1.4, "", dashed=True)
        words = "\n".join(_cut(absent, 18))
        _text(ax, NAMES[0] + 14, y + ROW * 0.7, words, family="monospace", color=QUIET)
        _text(ax, OBJECTS[0], y + ROW * 0.7, "there is no such name", style="italic", color=QUIET)
        y += ROW * 1.4 + GAP
    if not world.objects and not world.absent:
        _text(ax, OBJECTS[0], y + ROW / 2, "none", style="italic", color=QUIET)
    return places


def _name_of(each: WorldObject) -> tuple[str, str]:
    name = "\n".join(_cut(each.name or each.was, 18))
    what = "key" if each.kind == "segment" else "name"
    return name, f"no {what} any more" if each.was else f"no {what}"


def _draw_object(ax: "Axes", each: WorldObject, y: float, height: float, page: int) -> None:
    from matplotlib.patches import Rectangle

    gone = each.mark == "gone"
    _box(ax, OBJECTS, y, height, each.mark, dashed=not each.name and not gone)
    colour = QUIET if gone else INK
    left = OBJECTS[0] + 14
    which = f"{each.kind} {each.inode}" if each.kind == "segment" else f"{each.kind}, inode {each.inode}"
    _text(ax, left, y + 22, which, weight="bold", color=colour)
    size = "size unknown" if each.size is None else f"size {_bytes(each.size)}"
    _text(ax, left, y + 48, size, color=colour)
    if not each.pages:
        _text(ax, left, y + 72, _allocation(each, page), color=colour)
        return
    count = min(len(each.pages), MOST_PAGES)
    side = min(24.0, (OBJECTS[1] - OBJECTS[0] - 28 - (24 if len(each.pages) > count else 0)) / count)
    for number, data in enumerate(each.pages[:count]):
        ax.add_patch(
            Rectangle(
                (left + number * side, y + 64), side - 3, 18,
                facecolor=(QUIET if gone else INK) if data else PAPER, edgecolor=colour, linewidth=1.2,
            )
        )  # fmt: skip
    if len(each.pages) > count:
        _text(ax, left + count * side, y + 73, "…", color=colour)
    _text(ax, left, y + 102, _allocation(each, page), color=colour)


def _allocation(each: WorldObject, page: int) -> str:
    if each.allocated is None:
        return "its pages: root alone is told"
    used = each.allocated // page
    if each.size is None:
        return f"{used} {_plural(used, 'page')} allocated"
    total = max(-(-each.size // page), used)
    if total == 0:
        return "no pages"
    if total > MANY:
        return f"{size_text(each.allocated)} allocated"
    return f"{used} of {total} {_plural(total, 'page')} allocated"


# --- Processes ----------------------------------------------------------------------------------------------


def _lines(process: WorldProcess) -> list[str]:
    return wrap(process.words, 32)[:3] or [""]


def _process_height(process: WorldProcess) -> int:
    rows = len(process.mappings) + len(process.descriptors)
    return int(ROW + 24 * len(_lines(process)) + rows * (ROW + 6) + 12)


def _draw_process(
    ax: "Axes", process: WorldProcess, y: float, places: dict[int, tuple[float, float]], world: World
) -> None:
    height = _process_height(process)
    dead = not process.alive
    edge = QUIET if dead else process.colour
    _box(ax, HOLDERS, y, height, process.mark, edge=edge, dashed=dead, thick=3.0)
    label = f"process {process.label}"
    ink = (WRONG if process.died else QUIET) if dead else process.colour
    _text(ax, HOLDERS[0] + 14, y + 22, ("✗ " if process.died else "") + label, weight="bold", color=ink)
    _text(ax, HOLDERS[0] + 14, y + 40, "\n".join(_lines(process)), va="top",
          color=WRONG if process.died else INK)  # fmt: skip
    y += ROW + 24 * len(_lines(process)) + 6
    attached = {each.inode for each in world.objects if each.kind == "segment"}
    rows: list[tuple[int | None, str, str]] = [
        (each.inode, f"fd {each.number}  {each.access}", each.mark) for each in process.descriptors
    ]
    for mapping in process.mappings:
        whole = mapping.offset == 0
        where = "" if whole else f" +{size_text(mapping.offset)}"
        what = "attached" if mapping.inode in attached else "mapping"
        words = f"{what} {mapping.perms} {size_text(mapping.length)}{where}"
        rows.append((mapping.inode, words, mapping.mark))
    for number, (inode, words, mark) in enumerate(rows):
        span = (HOLDERS[0] + 12, HOLDERS[1] - 12)
        _box(ax, span, y, ROW, mark, edge=edge)
        _text(ax, span[0] + 12, y + ROW / 2, words, family="monospace", size=TYPE - 2,
              color=QUIET if mark == "gone" else INK)  # fmt: skip
        if inode in places:
            above, below = places[inode]
            # Spread along the object's edge, so that several lines to it stay apart.
            at = above + (below - above) * (number + 1) / (len(rows) + 1)
            _line(ax, (span[0], y + ROW / 2), (OBJECTS[1], at), mark, colour=edge)
        y += ROW + 6


# --- The strokes --------------------------------------------------------------------------------------------


def _box(
    ax: "Axes", span: tuple[float, float], y: float, height: float, mark: str,
    edge: str = INK, dashed: bool = False, thick: float = 1.6,
) -> None:  # fmt: skip
    from matplotlib.patches import FancyBboxPatch

    gone = mark == "gone"
    ax.add_patch(
        FancyBboxPatch(
            (span[0], y), span[1] - span[0], height, boxstyle="round,pad=0,rounding_size=8",
            facecolor=tint(MARKED[MARKS[mark]]) if mark and not gone else PAPER,
            edgecolor=MARKED[MARKS[mark]] if mark else edge, linewidth=3.6 if mark else thick,
            linestyle=(0, (4, 3)) if dashed or gone else "-",
        )
    )  # fmt: skip
    if mark:
        _badge(ax, span[0], y, mark)


def _badge(ax: "Axes", x: float, y: float, mark: str) -> None:
    colour = MARKED[MARKS[mark]]
    style = {"boxstyle": "circle,pad=0.22", "facecolor": colour, "edgecolor": INK, "linewidth": 1.2}
    _text(
        ax, x + 2, y + 3, MARKS[mark], weight="bold", ha="center", bbox=style, zorder=6, size=TYPE - 1,
        color=ink_on(colour),
    )  # fmt: skip


def _line(
    ax: "Axes", begin: tuple[float, float], end: tuple[float, float], mark: str, colour: str = INK
) -> None:
    ax.annotate(
        "", xy=end, xytext=begin, zorder=4,
        arrowprops={
            "arrowstyle": "-|>",
            "color": MARKED[MARKS[mark]] if mark else colour, "linewidth": 3 if mark else 1.8,
            "linestyle": "--" if mark == "gone" else "-", "shrinkA": 0, "shrinkB": 0, "mutation_scale": 16,
        },
    )  # fmt: skip


def _text(ax: "Axes", x: float, y: float, words: str, **style: Any) -> None:
    options: dict[str, Any] = {"va": "center", "color": INK, "zorder": 5} | style
    options["fontsize"] = options.pop("size", TYPE - 1)
    ax.text(x, y, words, parse_math=False, **options)


def _cut(name: str, room: int) -> list[str]:
    """Break a name where a hyphen stands, else anywhere, so that no line is longer than *room*."""
    lines = [""]
    for part in [piece for word in name.split("-") for piece in (word, "-")][:-1]:
        if len(lines[-1]) + len(part) > room:
            lines.append("")
        lines[-1] += part
    return [line[i : i + room] for line in lines for i in range(0, max(len(line), 1), room)][:2]


def _bytes(count: int) -> str:
    return f"{count:,} {_plural(count, 'byte')}"


def _plural(count: int, word: str) -> str:
    return word if count == 1 else f"{word}s"


# --- In words -----------------------------------------------------------------------------------------------


def describe_world(world: World) -> str:
    """Return in some sentences what a drawing of *world* shows, without numbers that vary from run to run."""
    told = []
    names = {each.inode: repr(each.name) if each.name else _unnamed(each) for each in world.objects}
    attached = {each.inode for each in world.objects if each.kind == "segment"}
    for process in world.processes:
        parts = [
            f"{'attaches' if each.inode in attached else 'maps'} "
            f"{size_text(each.length)} ({each.perms}){_of(each.inode, names)}"
            for each in process.mappings if each.mark != "gone"
        ]  # fmt: skip
        parts += [
            f"has descriptor {each.number} open{_on(each.inode, names)}"
            for each in process.descriptors if each.mark != "gone"
        ]  # fmt: skip
        holds = _and(parts) if parts else "attaches no segment" if world.system_v else "holds no object"
        told.append(f"Process {process.label} ({process.words}) {holds}.")
    for each in world.objects:
        if each.mark == "gone":
            told.append(f"{_upper(names[each.inode])} is gone.")
            continue
        size = "size unknown" if each.size is None else _bytes(each.size)
        told.append(f"{_upper(names[each.inode])}: {size}, {_allocation(each, world.page)}.")
    told += [f"There is no {each!r}." for each in world.absent]
    return " ".join(told)


def _unnamed(each: WorldObject) -> str:
    return f"the {each.kind} that was {each.was!r}" if each.was else f"the {each.kind}"


def _of(inode: int | None, names: dict[int, str]) -> str:
    return f" of {names[inode]}" if inode in names else ""


def _on(inode: int | None, names: dict[int, str]) -> str:
    return f" on {names[inode]}" if inode in names else ""


def _upper(words: str) -> str:
    return words[:1].upper() + words[1:]


def _and(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
