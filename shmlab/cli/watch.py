"""``shmlab ls --watch``: the table again and again, what is new, changed or gone since the last look marked.

On a terminal it's drawn in place (:mod:`shmlab.cli.screen`), until q or Ctrl-C; into a pipe or a file a table
goes at each change, or with ``--json`` a document a line. What a row says is :mod:`shmlab.cli.ls`'s affair.
"""

import select
import sys
from argparse import Namespace
from collections.abc import Sequence
from datetime import datetime
from time import monotonic

from shmlab.cli import screen
from shmlab.cli.entry import Entry
from shmlab.cli.listing import Listing, gather
from shmlab.cli.ls import as_json, table, written_remarks
from shmlab.cli.terminal import CUT, count, say, say_json, width
from shmlab.observe.changes import CHANGED, GONE, LEGEND, NEW, SAME, compared

Marked = tuple[str, Entry]


def run(options: Namespace) -> int:
    """Watch until somebody ends it: with q the exit status is 0."""
    if options.json or not screen.possible():
        return _stream(options)
    with screen.Screen() as terminal:
        return _draw_again(terminal, options)


def _draw_again(terminal: screen.Screen, options: Namespace) -> int:
    last: Listing | None = None
    while True:
        listing = gather(options.all, options.anonymous)
        rows = compared(listing.entries if last is None else last.entries, listing.entries)
        last = listing
        at, due = datetime.now(), monotonic() + options.watch
        what = "resize"
        while what == "resize":
            _draw(terminal, listing, rows, f"{at:%H:%M:%S}  every {options.watch:g} s  {LEGEND}  q ends")
            what = terminal.wait(due - monotonic())
        if what == "quit":
            return 0


def _draw(terminal: screen.Screen, listing: Listing, rows: Sequence[Marked], title: str) -> None:
    columns, height = terminal.size()
    lines = _table(rows, columns)
    remarks = written_remarks(listing, columns)
    # Of the remarks as many as the rows leave room for, of the rows all that fit.
    room = max(2, height - 1)
    if len(lines) > room:
        cut = f"  {CUT} {count(len(lines) - room + 1, 'row')} more: make the window taller"
        lines = [*lines[: room - 1], cut[:columns]]
    shown = [title[:columns], *lines, *remarks[: max(0, room - len(lines))]][:height]
    first, end = 2, 2 + len(rows)  # after the title and the headings
    terminal.draw(shown, [first <= at < end and line[:1] != SAME for at, line in enumerate(shown)])


def _stream(options: Namespace) -> int:
    last: Listing | None = None
    while True:
        listing = gather(options.all, options.anonymous)
        if last is None or listing.entries != last.entries:
            rows = compared(listing.entries if last is None else last.entries, listing.entries)
            if options.json:
                _say_json(listing, rows)
            else:
                _say(listing, rows, first=last is None)
            sys.stdout.flush()
        last = listing
        _wait_for_the_reader(options.watch)


def _say(listing: Listing, rows: Sequence[Marked], first: bool) -> None:
    if not first:
        say()
    # As in `run` of ls: without a terminal no line is too long.
    limit = width(otherwise=10_000)
    say(f"{datetime.now():%H:%M:%S}  {LEGEND}"[:limit])
    for line in [*_table(rows, limit), *written_remarks(listing, limit)]:
        say(line)


def _say_json(listing: Listing, rows: Sequence[Marked]) -> None:
    words = {NEW: "new", CHANGED: "changed", GONE: "gone", SAME: None}
    found = as_json(listing) | {
        "time": datetime.now().astimezone().isoformat(),
        "entries": [each.as_json() | {"mark": words[mark]} for mark, each in rows],
    }
    say_json(found, in_a_line=True)


def _table(rows: Sequence[Marked], limit: int) -> list[str]:
    heading, *lines = table([each for _, each in rows], max(1, limit - 2)) or [""]
    marked = [f"{mark} {line}" for (mark, _), line in zip(rows, lines, strict=True)]
    return [line.rstrip() for line in (f"  {heading}", *marked)] if rows else []


def _wait_for_the_reader(seconds: float) -> None:
    """Wait; raise BrokenPipeError when nobody reads any more, which a silent writer would never hear of."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    deadline = monotonic() + seconds
    while (left := deadline - monotonic()) > 0:
        if poll.poll(left * 1000):
            raise BrokenPipeError
