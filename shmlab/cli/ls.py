"""``shmlab ls``: one table of what this machine shares, POSIX and System V: whose, how big, who maps it.

What there is, :mod:`shmlab.cli.listing` finds; :func:`table` writes it for any width of terminal.
"""

import os
from argparse import Namespace
from collections.abc import Sequence
from textwrap import fill

from shmlab import observe
from shmlab.cli.listing import ORPHAN, Entry, Listing, gather, who
from shmlab.cli.terminal import CUT, count, say, say_json, width

GAP = "  "
NARROW_NAME, NARROW_MAPPERS = 24, 16
"""Columns that a name and its mappers keep before another column is given up for them."""

EXPENDABLE = ("allocated", "mode", "owner", "size", "kind")
"""Columns in the order in which a narrow terminal loses them."""

NUMERIC = ("size", "allocated")


def run(options: Namespace) -> int:
    """List once. The exit status is 0, also when there is nothing."""
    listing = gather(everybody=options.all)
    if options.json:
        say_json(
            {
                "entries": [each.as_json() for each in listing.entries],
                "hidden": listing.hidden,
                "unseen_processes": listing.unseen,
            }
        )
    else:
        # Without a terminal no line is too long, and cut names are of no use to grep.
        limit = width(otherwise=10_000)
        for line in table(listing.entries, limit):
            say(line)
        for remark in remarks(listing):
            say(fill(remark, limit))
    return 0


def table(entries: Sequence[Entry], limit: int) -> list[str]:
    """Return the lines of a table at most *limit* columns wide; in a narrow one, columns go, then letters."""
    if not entries:
        return []
    rows = [each.cells() for each in entries]
    natural = {column: max(len(column), *(len(row[column]) for row in rows)) for column in rows[0]}
    columns = list(natural)
    least = {
        "name": min(natural["name"], NARROW_NAME),
        "mapped by": min(natural["mapped by"], NARROW_MAPPERS),
    }
    for expendable in EXPENDABLE:
        if _total({column: least.get(column, natural[column]) for column in columns}) <= limit:
            break
        columns.remove(expendable)
    widths = {column: least.get(column, natural[column]) for column in columns}
    for column in ("name", "mapped by"):
        widths[column] = min(natural[column], widths[column] + max(0, limit - _total(widths)))
    lines = [_line({column: column for column in columns}, widths)]
    for entry, row in zip(entries, rows, strict=True):
        row["name"] = _cut_middle(row["name"], widths["name"])
        row["mapped by"] = _some(entry.mappers, widths["mapped by"])
        lines.append(_line(row, widths))
    return [line[:limit] for line in lines]


def remarks(listing: Listing) -> list[str]:
    """Return what the table can't say: what isn't in it, and what to do."""
    lines = []
    if not listing.entries:
        whose = "of yours " if listing.hidden else ""
        lines.append(f"nothing {whose}here: no object, no semaphore, no segment, no set")
    if listing.hidden:
        lines.append(f"{listing.hidden} more of other users: shmlab ls --all")
    if listing.unseen:
        lines.append(
            f"{count(listing.unseen, 'process')} could not be looked at (not permitted): "
            "whether they map any of these is unknown"
        )
    orphans = sum(each.session == ORPHAN and each.uid == os.getuid() for each in listing.entries)
    if orphans:
        lines.append(f"{count(orphans, 'orphan')} of dead sessions: shmlab clean")
    return lines


def _some(mappers: Sequence[observe.Mapper], room: int) -> str:
    """Return as many mappers as there's room for, and the number of the others: ``71 cat, +2``."""
    for shown in range(len(mappers), 0, -1):
        rest = f", +{len(mappers) - shown}" if shown < len(mappers) else ""
        text = ", ".join(who(each) for each in mappers[:shown]) + rest
        if len(text) <= room:
            return text
    return (
        _cut_middle(f"{len(mappers)} processes", room) if len(mappers) > 1 else text[:room] if mappers else ""
    )


def _cut_middle(text: str, room: int) -> str:
    """Shorten a name: its beginning says whose it is and its end what."""
    if len(text) <= room:
        return text
    end = (room - 1) // 2
    return f"{text[: room - 1 - end]}{CUT}{text[len(text) - end :]}"


def _total(widths: dict[str, int]) -> int:
    return sum(widths.values()) + len(GAP) * (len(widths) - 1)


def _line(cells: dict[str, str], widths: dict[str, int]) -> str:
    return GAP.join(
        cells[column].rjust(room) if column in NUMERIC else cells[column].ljust(room)
        for column, room in widths.items()
    ).rstrip()
