"""From a moment of a walk to the World that is drawn: which kernel's row is which box, and what is marked.

Plain values in, plain values out. Imported by :mod:`shmlab.panels.walkthrough`; the drawing itself is
:mod:`shmlab.figures`'s.
"""

import os
from collections.abc import Iterable
from typing import Any

from shmlab import observe
from shmlab.figures import World, WorldDescriptor, WorldMapping, WorldObject, WorldProcess
from shmlab.palette import PROCESS_COLOURS
from shmlab.processes.kernel_view import SHM, Change, Held
from shmlab.processes.walk import Moment, Walk

SYSV = "/SYSV"
"""How the line of an attachment in /proc/PID/maps begins: the key follows."""

MOST_PAGES = 25
"""Pages of an object that a drawing is told of: one more than it draws."""


def scene(walk: Walk, moment: Moment) -> World:
    """Return the World of *moment*."""
    page = os.sysconf("SC_PAGE_SIZE")
    objects = _objects(moment, page)
    title = f"After step {moment.step}" if moment.step else "Before the first step"
    title += f": {moment.label}" if moment.label else ""
    named = {each.name for each in objects} | {each.was for each in objects if each.name_mark == "gone"}
    return World(
        objects=objects,
        processes=(_process(walk, moment), *_children(moment)),
        absent=tuple(name for name in walk.names if "/" + name.lstrip("/") not in named),
        title=title,
        page=page,
        system_v=walk.system_v,
    )


def _marked(rows: Iterable[Any], changes: Iterable[Change[Any]]) -> list[tuple[Any, str]]:
    """Return each row with its mark, and after them those that are gone."""
    differ = list(changes)
    found = [
        (row, next((each.what for each in differ if each.what != "gone" and each.row is row), ""))
        for row in rows
    ]
    return found + [(each.row, "gone") for each in differ if each.what == "gone"]


def _objects(moment: Moment, page: int) -> tuple[WorldObject, ...]:
    view, changed = moment.view, moment.changed
    data = dict(view.data)
    unnamed = {each.inode: each for each in view.unnamed}
    just_unlinked = {each.row.inode for each in changed.unnamed if each.what == "new"}
    found = []
    for entry, mark in _marked(view.objects, changed.objects):
        if mark == "gone" and entry.inode in unnamed:
            continue  # the name is gone; the object is drawn below
        pages = _pages(data.get(entry.inode), entry.size, page)
        name_mark = mark if mark in ("new", "gone") else ""
        name, was = ("", entry.name) if mark == "gone" else (entry.name, "")
        found.append(
            WorldObject(
                entry.inode, entry.size, entry.allocated, name, was, entry.kind, pages, mark, name_mark
            )
        )
    for each, mark in _marked(view.unnamed, changed.unnamed):
        if mark == "gone" and any(each.inode == entry.inode for entry in view.objects):
            continue
        lost = each.inode in just_unlinked
        found.append(
            WorldObject(
                each.inode, each.size, each.allocated, was=each.was,
                mark="changed" if lost else mark, name_mark="gone" if lost else "",
            )
        )  # fmt: skip
    for segment, mark in _marked(view.segments, changed.segments):
        key = f"key {segment.key & 0xFFFFFFFF:#010x}" if segment.key else "IPC_PRIVATE"
        taken = segment.resident + segment.swapped
        name, was = ("", _old_key(moment, segment.id)) if segment.dest else (key, "")
        found.append(
            WorldObject(
                segment.id, segment.size, taken, name, was, "segment",
                mark=mark, name_mark=mark if mark in ("new", "gone") else "",
            )
        )  # fmt: skip
    return tuple(found)


def _old_key(moment: Moment, id_: int) -> str:
    """Return the key of a segment that is marked for destruction: its attachments still bear it (F54)."""
    lines = [*moment.view.mappings, *(each.row for each in moment.changed.mappings)]
    keys = [line.path.removeprefix(SYSV) for line in lines if line.inode == id_]
    return f"key 0x{keys[0]}" if keys and int(keys[0], 16) else "IPC_PRIVATE"


def _pages(extents: observe.Extents | None, size: int, page: int) -> tuple[bool, ...]:
    if extents is None or not size:
        return ()
    count = min(-(-size // page), MOST_PAGES)
    return tuple(
        any(each.data and each.offset < (i + 1) * page and each.end > i * page for each in extents)
        for i in range(count)
    )


def _process(walk: Walk, moment: Moment) -> WorldProcess:
    state, changed = moment.state, moment.changed
    ended = state.kind == "ended"
    return WorldProcess(
        label=walk.process.label,
        colour=walk.process.colour,
        words=str(state),
        alive=state.kind not in ("not started", "ended"),
        died=state.outcome is not None and state.outcome.kind in ("killed", "raised"),
        mappings=_mappings(_marked(moment.view.mappings, changed.mappings)),
        descriptors=_descriptors(_marked(moment.view.descriptors, changed.descriptors)),
        mark="gone" if ended and moment.step else "",
    )


def _children(moment: Moment) -> tuple[WorldProcess, ...]:
    found = []
    for number, (child, mark) in enumerate(_marked(moment.view.children, moment.changed.children), 1):
        held: Held = child
        words = "child of A" if held.alive and mark != "gone" else "ended, not waited for: a zombie"
        found.append(
            WorldProcess(
                label=str(held.pid),
                colour=PROCESS_COLOURS[number % len(PROCESS_COLOURS)],
                words="gone" if mark == "gone" else words,
                alive=held.alive and mark != "gone",
                mappings=_mappings([(line, "") for line in held.mappings]),
                descriptors=_descriptors([(each, "") for each in held.descriptors]),
                mark=mark,
            )
        )
    return tuple(found)


def _mappings(lines: Iterable[tuple[observe.MapLine, str]]) -> tuple[WorldMapping, ...]:
    return tuple(
        WorldMapping(
            line.length,
            line.perms,
            line.offset,
            line.inode if line.path.startswith((SHM, SYSV)) else None,
            mark,
        )
        for line, mark in lines
    )


def _descriptors(rows: Iterable[tuple[observe.Descriptor, str]]) -> tuple[WorldDescriptor, ...]:
    return tuple(
        WorldDescriptor(each.number, each.flags[0], each.inode, mark)
        for each, mark in rows
        if each.target.startswith(SHM)
    )
