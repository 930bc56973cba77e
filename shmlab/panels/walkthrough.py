"""The walkthrough: one process led call by call, each call with its result and with what the kernel says.

Source on the left, the last step on the right, below them the drawing of names, objects and processes. What
the buttons do is :class:`~shmlab.processes.walk.Walk`'s; this shows a walk, and can be driven from code as
well as by clicking. Imported by lessons through :mod:`shmlab.panels`.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import traitlets

from shmlab import figures
from shmlab.observe import MapLine, table
from shmlab.panels import cards
from shmlab.panels.moving import Moving, front_end
from shmlab.panels.scene import scene
from shmlab.panels.still import DRAWING, Bundle, Still
from shmlab.processes.kernel_view import Change
from shmlab.processes.walk import Moment, Walk

SHOWN_CALLS = 60
"""System calls of a step that reach the screen: the first ones."""


class Walkthrough(Still, Moving):
    """A *walk* on screen: Step, Undo, Start and Reset, and all that its moments tell; *title* stands above.

    Everything a button does can be done from code, and returns the :class:`Moment` reached. With the focus in
    the panel the keys ``a`` and Backspace do what Step A and Undo do.
    """

    _esm = front_end("frames.js", "source.js", "cards.js", "walkthrough.js")
    _css = front_end("live.css", "processes.css", "walkthrough.css")

    listing: Any = traitlets.Dict().tag(sync=True)
    title = traitlets.Unicode("").tag(sync=True)

    def __init__(self, walk: Walk, title: str | None = None) -> None:
        if not isinstance(walk, Walk):
            raise TypeError(f"a walkthrough shows a Walk(program, name, …), not a {type(walk).__name__}")
        self.walk = walk
        self._drawn: tuple[Moment, bytes] | None = None
        self._drawing = threading.Lock()
        program = walk.process.program
        heading = title or f"{program.name} in {program.language}, call by call"
        super().__init__(listing=cards.listing(walk.process), title=heading)

    @property
    def sentence(self) -> str:
        """What the panel shows right now, in words."""
        return _sentence(self.walk, self.walk.moment)

    def step(self) -> Moment:
        """Take one step; start the process when need be."""
        return self.walk.step()

    def undo(self) -> Moment:
        """Take the last step back: a fresh process takes all the others again."""
        return self.walk.undo()

    def run(self) -> Moment:
        """Take all the remaining steps."""
        return self.walk.run()

    def reset(self) -> None:
        """End the process and be as new."""
        self.walk.reset()

    # --- looking and sending -----------------------------------------------------------------------------

    def _tick(self, number: int) -> bool:
        moment, words = self.walk.moment, str(self.walk.process.state)
        if (moment, words) == self._last:
            return False
        content = shown(self.walk, moment) | {"words": words, "sentence": _sentence(self.walk, moment)}
        self.send(content | {"frame": number, "heard": self.loop.acknowledged}, [self._png(moment)])
        self._last = (moment, words)
        return True

    def _png(self, moment: Moment) -> bytes:
        """Return the drawing of *moment*, drawn once however often it's sent."""
        with self._drawing:
            if self._drawn is None or self._drawn[0] is not moment:
                with DRAWING:
                    self._drawn = moment, figures.png(figures.world_figure(scene(self.walk, moment)))
            return self._drawn[1]

    def _order(self, content: dict[str, Any]) -> Callable[[], object] | None:
        orders: dict[object, Callable[[], object]] = {
            "step": self.step,
            "undo": self.undo,
            "start": self.run,
            "reset": self.reset,
        }
        return orders.get(content.get("do"))

    def _end(self) -> None:
        self.walk.close()

    # --- the still picture -------------------------------------------------------------------------------

    def _still(self) -> Bundle:
        moment = self.walk.moment
        sentence = _sentence(self.walk, moment)
        drawing = self._png(moment)
        width = figures.WORLD_WIDTH
        with DRAWING:
            parts = [figures.png(figures.draw_listings([cards.still_listing(self.walk.process)], width))]
            if moment.step:
                rows = [
                    ("prototype", moment.prototype),
                    ("call", moment.call),
                    ("result", moment.result),
                    ("system calls", "\n".join(_calls(self.walk, moment)) or _no_calls(moment)),
                ]
                parts.append(figures.png(figures.draw_step(_heading(moment), rows, width)))
        return {"text/plain": sentence, "image/png": figures.stack([*parts, drawing])}, {
            "image/png": {"alt": sentence}
        }


# --- What a moment looks like ------------------------------------------------------------------------------


def shown(walk: Walk, moment: Moment) -> dict[str, Any]:
    """Return what the browser shows of *moment*, as plain values."""
    unavailable = cards.unavailable(walk.process)
    begun = walk.process.pid is not None
    return {
        "kind": moment.state.kind,
        "step": moment.step,
        "line": (moment.state.outcome.line if moment.state.outcome else None) or moment.state.line or 0,
        "heading": _heading(moment),
        "prototype": moment.prototype,
        "call": moment.call,
        "result": _result(moment),
        "nothing": not moment.result,
        "calls": _calls(walk, moment),
        "none": _no_calls(moment),
        "tables": _tables(moment, walk) if begun else [],
        "locals": [],  # what changed is the result, and the drawing is to be on the screen
        "output": cards.shown(walk.process)["output"],
        "can": {
            "step": not unavailable and not moment.over,
            "start": not unavailable and not moment.over,
            "undo": moment.step > 0,
            "reset": begun,
        },
    }


def _heading(moment: Moment) -> str:
    if moment.step == 0:
        return "Before the first step"
    return f"Step {moment.step}: {moment.label or moment.state}"


def _sentence(walk: Walk, moment: Moment) -> str:
    # An address in it would be another one each time.
    told = moment.result and moment.label and not moment.over and "0x" not in moment.result
    result = f" gave {moment.result}" if told else ""
    world = figures.describe_world(scene(walk, moment))
    program = walk.process.program
    return f"{program.name} in {program.language}. {_heading(moment)}{result}. {world}"


def _result(moment: Moment) -> str:
    if moment.over and not moment.label:
        return ""  # how it ended is the heading already
    return moment.result or ("no variable changed" if moment.step and moment.complete else "")


def _no_calls(moment: Moment) -> str:
    if not moment.step:
        return ""
    if moment.calls_missing:
        return f"not seen: {moment.calls_missing}"
    return "none: the kernel was not asked for anything"


def _calls(walk: Walk, moment: Moment) -> list[str]:
    """Return the step's system calls as strace prints them, a child's with its pid in front."""
    mine = walk.process.pid
    lines = [
        call.text if call.pid == mine else f"[pid {call.pid}] {call.text}"
        for call in moment.calls[:SHOWN_CALLS]
    ]
    more = len(moment.calls) - SHOWN_CALLS
    return [*lines, f"… {more} more"] if more > 0 else lines


def _mapped(line: MapLine) -> str:
    """What the kernel's own line says at its end; anonymous memory has nothing there."""
    return (line.path or "(anonymous)") + (" (deleted)" if line.deleted else "")


Row = dict[str, Any]
"""What the browser gets of a row: ``what`` happened to it, its ``mark``, and its ``cells``: lines, each a
(text, whether it changed)."""

Part = tuple[Callable[[Any], str], tuple[str, ...]]
"""A line of a cell: how a row's is written, and the fields whose change it shows."""

Column = tuple[str, tuple[Part, ...]]
"""A column of a table: its heading, and its lines, one below the other."""

INODE: Part = (lambda row: f"inode {row.inode}", ("inode",))
BYTES: Part = (lambda row: "?" if row.size is None else f"{row.size:,} B", ("size",))
MEMORY: Part = (lambda row: "?" if row.allocated is None else table.size(row.allocated), ("allocated",))
KIND = {"object": "", "semaphore": " (semaphore)"}

OBJECTS: Sequence[Column] = (
    ("name", ((lambda row: row.name + KIND[row.kind], ("name",)), INODE)),
    ("size", (BYTES,)),
    ("allocated", (MEMORY,)),
    ("mode", ((lambda row: f"{row.mode:04o}", ("mode", "uid", "gid")),)),
)
UNNAMED: Sequence[Column] = (
    ("name", ((lambda row: f"(was {row.was})", ("was",)), INODE)),
    ("size", (BYTES,)),
    ("allocated", (MEMORY,)),
    ("mode", ((lambda row: "", ()),)),
)
MAPPINGS: Sequence[Column] = (
    (
        "addresses",
        ((lambda row: f"{row.start:x}-{row.end:x}", ("start", "end")), (_mapped, ("path", "deleted"))),
    ),
    ("perms", ((lambda row: row.perms, ("perms",)),)),
    ("length", ((lambda row: table.size(row.length), ("end",)),)),
    ("offset", ((lambda row: table.address(row.offset), ("offset",)),)),
)
DESCRIPTORS: Sequence[Column] = (
    ("fd", ((lambda row: str(row.number), ("number",)),)),
    ("opened", ((lambda row: row.flags[0], ("flags",)),)),
    ("leads to", ((lambda row: row.target, ("target", "kind")),)),
)
SEGMENTS: Sequence[Column] = (
    ("key", ((lambda row: table.key(row.key), ("key",)),)),
    ("shmid", ((lambda row: str(row.id), ("id",)),)),
    ("size", (BYTES,)),
    ("mode", ((lambda row: f"{row.mode & 0o777:04o}", ("mode",)),)),
    ("nattch", ((lambda row: str(row.attached), ("attached",)),)),
    ("status", ((lambda row: row.status, ("mode",)),)),
)
CHILDREN: Sequence[Column] = (
    ("pid", ((lambda row: str(row.pid), ("pid",)),)),
    ("state", ((lambda row: "alive" if row.alive else "zombie: ended, and not waited for", ("alive",)),)),
    (
        "maps",
        ((lambda row: ", ".join(sorted({each.path for each in row.mappings if each.path})), ("mappings",)),),
    ),
)


LEAST = {"name": 20, "addresses": 26}
"""Characters that the first column has room for, at least; longer texts are wrapped."""

STANDARD = ("0 to 2", "", "standard input, output and error")


def _tables(moment: Moment, walk: Walk) -> list[dict[str, Any]]:
    view, changed, pid = moment.view, moment.changed, walk.process.pid
    of_objects = _rows(OBJECTS, view.objects, changed.objects) + _rows(UNNAMED, view.unnamed, changed.unnamed)
    standard = [each for each in view.descriptors if each.number < 3]
    quiet = len(standard) == 3 and not any(
        each.row in standard for each in changed.descriptors if each.what != "gone"
    )
    opened = [each for each in view.descriptors if not quiet or each.number >= 3]
    # The three that every process begins with say nothing when they go with it.
    turned = [each for each in changed.descriptors if each.what != "gone" or each.row.number >= 3]
    first = [_row("", [[(text, False)] for text in STANDARD])] if quiet else []
    segments = _table("/proc/sysvipc/shm", SEGMENTS, _rows(SEGMENTS, view.segments, changed.segments))
    objects = _table("/dev/shm", OBJECTS, of_objects)
    found = [
        segments if walk.system_v else objects,
        _table(
            f"/proc/{pid}/maps: shared, or new", MAPPINGS, _rows(MAPPINGS, view.mappings, changed.mappings)
        ),
        _table(f"/proc/{pid}/fd", DESCRIPTORS, first + _rows(DESCRIPTORS, opened, turned)),
    ]
    children = _table("child processes", CHILDREN, _rows(CHILDREN, view.children, changed.children))
    found += [each for each in (objects if walk.system_v else segments, children) if each["rows"]]
    return found


def _table(caption: str, columns: Sequence[Column], rows: list[Row]) -> dict[str, Any]:
    headings = [heading for heading, _ in columns]
    return {"caption": caption, "headings": headings, "rows": rows, "least": LEAST.get(headings[0], 0)}


def _rows(columns: Sequence[Column], now: Iterable[Any], changes: Iterable[Change[Any]]) -> list[Row]:
    differing = list(changes)
    found = []
    for row in now:
        change = next((each for each in differing if each.what != "gone" and each.row is row), None)
        found.append(_row(change.what if change else "", _cells(columns, row, change)))
    return found + [_row("gone", _cells(columns, each.row)) for each in differing if each.what == "gone"]


def _cells(
    columns: Sequence[Column], row: Any, change: Change[Any] | None = None
) -> list[list[tuple[str, bool]]]:
    fields = set(change.fields) if change else set()
    return [[(write(row), bool(fields & set(shows))) for write, shows in parts] for _, parts in columns]


def _row(what: str, cells: list[list[tuple[str, bool]]]) -> Row:
    return {"what": what, "mark": figures.MARKS.get(what, ""), "cells": cells}
