"""``shmlab ls``: one table of what this machine shares, POSIX and System V: whose, how big, who uses it.

What there is, :mod:`shmlab.cli.listing` finds; :func:`table` writes it for any width of terminal, once here,
again and again in :mod:`shmlab.cli.watch`.
"""

import os
from argparse import Namespace
from collections.abc import Sequence
from datetime import UTC, datetime
from textwrap import fill
from typing import Any

from shmlab.cli.entry import Entry
from shmlab.cli.listing import ALIVE, ORPHAN, Listing, gather
from shmlab.cli.terminal import CUT, count, say, say_json, width
from shmlab.observe.table import size

GAP = "  "
NARROW_NAME, NARROW_USERS = 24, 16
"""Columns that a name and its users keep before another column is given up for them."""

EXPENDABLE = ("allocated", "mode", "value", "owner", "changed", "session", "size", "kind")
"""Columns in the order in which a narrow terminal loses them."""

OPTIONAL = ("value", "session")
"""Columns that are left out when no row has anything in them."""

NUMERIC = ("size", "allocated", "changed")


def run(options: Namespace) -> int:
    """List once, or watch. The exit status is 0, also when there is nothing."""
    if options.watch is not None:
        from shmlab.cli import watch

        return watch.run(options)
    listing = gather(options.all, options.anonymous)
    if options.json:
        say_json(as_json(listing))
    else:
        # Without a terminal no line is too long, and cut names are of no use to grep.
        limit = width(otherwise=10_000)
        for line in [*table(listing.entries, limit), *written_remarks(listing, limit)]:
            say(line)
    return 0


def as_json(listing: Listing) -> dict[str, Any]:
    return {
        "entries": [each.as_json() for each in listing.entries],
        "hidden": listing.hidden,
        "unseen_processes": listing.unseen,
        "unlinked": {"objects": len(listing.unlinked), "size": sum(listing.unlinked)},
    }


def table(entries: Sequence[Entry], limit: int) -> list[str]:
    """Return the lines of a table at most *limit* columns wide; in a narrow one, columns go, then letters."""
    if not entries:
        return []
    now = datetime.now(UTC)
    rows = [each.cells(now) for each in entries]
    natural = {
        column: max(len(column), *(len(row[column]) for row in rows))
        for column in rows[0]
        if column not in OPTIONAL or any(row[column] for row in rows)
    }
    columns = list(natural)
    least = {
        "name": min(natural["name"], NARROW_NAME),
        "used by": min(natural["used by"], NARROW_USERS),
    }
    for expendable in EXPENDABLE:
        if _total({column: least.get(column, natural[column]) for column in columns}) <= limit:
            break
        if expendable not in columns:
            continue
        columns.remove(expendable)
        if expendable == "session":
            # That it can be cleaned away is worth a word.
            for row in rows:
                row["state"] = ", ".join(
                    each for each in (row["state"], row["session"]) if each and each != ALIVE
                )
            natural["state"] = max(natural["state"], *(len(row["state"]) for row in rows))
    widths = {column: least.get(column, natural[column]) for column in columns}
    for column in ("name", "used by"):
        widths[column] = min(natural[column], widths[column] + max(0, limit - _total(widths)))
    lines = [_line({column: column for column in columns}, widths)]
    for entry, row in zip(entries, rows, strict=True):
        row["name"] = _cut_middle(row["name"], widths["name"])
        row["used by"] = _some(entry.users(), widths["used by"])
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
    if listing.unlinked:
        many = len(listing.unlinked) > 1
        lines.append(
            f"{count(len(listing.unlinked), 'object')} of {size(sum(listing.unlinked))} "
            f"{'were' if many else 'was'} unlinked, and {'are' if many else 'is'} still in use: "
            "shmlab ls --anonymous"
        )
    if listing.unseen:
        lines.append(
            f"{count(listing.unseen, 'process')} could not be looked at (not permitted): "
            "whether they use any of these is unknown"
        )
    orphans = sum(each.session == ORPHAN and each.uid == os.getuid() for each in listing.entries)
    if orphans:
        lines.append(f"{count(orphans, 'orphan')} of dead sessions: shmlab clean")
    return lines


def written_remarks(listing: Listing, limit: int) -> list[str]:
    """Return the remarks as lines at most *limit* columns wide."""
    return [line for remark in remarks(listing) for line in fill(remark, limit).splitlines()]


def _some(users: Sequence[str], room: int) -> str:
    """Return as many users as there's room for, and the number of the others: ``71 cat, +2``."""
    for shown in range(len(users), 0, -1):
        rest = f", +{len(users) - shown}" if shown < len(users) else ""
        text = ", ".join(users[:shown]) + rest
        if len(text) <= room:
            return text
    return _cut_middle(f"{len(users)} processes", room) if len(users) > 1 else "".join(users)[:room]


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
