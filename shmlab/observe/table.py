"""How observations are shown: the ``Table`` that every list of them is, and the units that people read.

A table is a tuple of frozen values that prints as aligned columns and shows as a small HTML table in a
notebook. Nothing here looks at the machine; the other modules of ``shmlab.observe`` build on it.
"""

import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, TypeVar

T = TypeVar("T")

Columns = Mapping[str, Callable[[Any], str]]
"""What a table shows: the name of an attribute of its rows, and how a value of it is written."""

Literals = Mapping[str, Callable[[Any], str]]
"""How a repr writes the fields that Python's own repr shows badly."""

LONGEST_CELL = 60
"""Characters of a cell's text that a table shows; the value itself is never cut."""


class Table(tuple[T, ...]):
    """A tuple of observations that prints as a table.

    *rows* are the observations, *columns* the attributes shown (an empty table has them too), and *unseen*
    the number of processes that could not be looked at because this user may not: what they hold isn't in the
    rows.
    """

    unseen: int
    columns: tuple[str, ...]
    _formats: Columns

    def __new__(cls, rows: Iterable[T] = (), columns: Columns | None = None, unseen: int = 0) -> "Table[T]":
        self = super().__new__(cls, rows)
        self._formats = columns or {}
        self.columns = tuple(self._formats)
        self.unseen = unseen
        return self

    def cells(self) -> list[list[str]]:
        """Return the text of every cell, row by row, as the table shows it."""
        return [[shorten(write(getattr(row, name))) for name, write in self._formats.items()] for row in self]

    def __repr__(self) -> str:
        return "\n".join([*align(self._headings(), self.cells(), self._numeric()), *self._remarks()])

    def _repr_html_(self) -> str:
        remarks = "".join(f"<div><em>{escape(remark)}</em></div>" for remark in self._remarks())
        return html_table(self._headings(), self.cells(), self._numeric()) + remarks

    def _headings(self) -> list[str]:
        return [name.replace("_", " ") for name in self.columns]

    def _numeric(self) -> list[bool]:
        return [write in NUMERIC for write in self._formats.values()]

    def _remarks(self) -> list[str]:
        remarks = [] if self else ["(none)"]
        if self.unseen:
            which = "1 process" if self.unseen == 1 else f"{self.unseen} processes"
            remarks.append(f"{which} could not be looked at: not permitted")
        return remarks


class Value:
    """What the frozen observations share: a repr in the units people write, and two columns in a notebook.

    ``COLUMNS`` says how attributes are shown, and is what a table of these values shows.
    """

    __slots__ = ()
    COLUMNS: ClassVar[Columns] = {}
    LITERAL: ClassVar[Literals] = {}

    def __repr__(self) -> str:
        fields: Sequence[str] = getattr(self, "__match_args__", ())
        shown = ", ".join(f"{name}={self.LITERAL.get(name, repr)(getattr(self, name))}" for name in fields)
        return f"{type(self).__name__}({shown})"

    def _repr_html_(self) -> str:
        rows = [[name.replace("_", " "), write(getattr(self, name))] for name, write in self.COLUMNS.items()]
        return html_table([], rows, [False, False])


def text(value: object) -> str:
    """Write a value plainly: nothing for None, yes or no, the parts of a tuple with commas."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in str(value))


def number(value: int) -> str:
    """Write a plain number (a pid, an id, a count)."""
    return str(value)


def size(count: int | None) -> str:
    """Write bytes: ``5,000 B``, ``4 KiB``, ``1.5 GiB``. Exact where one unit says it, else to one decimal."""
    if count is None:
        return ""
    unit, scale = "B", 1
    for larger in ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB"):
        if count < scale * 1024 or (count < 10 * 1024 and count % 1024):
            break
        unit, scale = larger, scale * 1024
    whole, rest = divmod(count, scale)
    return f"{whole:,} {unit}" if rest == 0 else f"{count / scale:,.1f} {unit}"


def mode(bits: int) -> str:
    """Write permission bits both ways: ``rw-r--r-- (0644)``."""
    return f"{stat.filemode(bits & 0o777)[1:]} ({bits & 0o7777:04o})"


def octal(bits: int) -> str:
    """Write permission bits as Python does, padded: ``0o600``."""
    return f"0o{bits:03o}"


def address(value: int) -> str:
    """Write an address or an offset in hexadecimal."""
    return f"{value:#x}"


def key(value: int) -> str:
    """Write a System V key as ipcs does: ``0x5ac70010``."""
    return f"{value & 0xFFFFFFFF:#010x}"


def moment(value: datetime | None) -> str:
    """Write a time in local time, to the second; ``never`` for None."""
    return "never" if value is None else f"{value:%Y-%m-%d %H:%M:%S}"


def local_time(seconds: float) -> datetime:
    """Return seconds since the epoch as an aware datetime in the local time zone."""
    return datetime.fromtimestamp(seconds, UTC).astimezone()


NUMERIC = frozenset({number, size, address})
"""Formats whose cells are aligned on the right."""


def shorten(cell: str) -> str:
    return cell if len(cell) <= LONGEST_CELL else cell[: LONGEST_CELL - 1] + "…"


def escape(cell: str) -> str:
    return cell.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def align(headings: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[bool]) -> list[str]:
    """Return lines of text with every column as wide as its widest cell."""
    lines = [headings, *rows]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in lines
    ]


def html_table(headings: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[bool]) -> str:
    """Return an HTML table without colours of its own, so that it's readable in light and dark themes."""
    sides = [f' style="text-align:{"right" if right else "left"};white-space:nowrap"' for right in numeric]

    def row(tag: str, cells: Sequence[str]) -> str:
        return (
            "<tr>"
            + "".join(f"<{tag}{s}>{escape(c)}</{tag}>" for s, c in zip(sides, cells, strict=True))
            + "</tr>"
        )

    head = f"<thead>{row('th', headings)}</thead>" if headings else ""
    return f"<table>{head}<tbody>{''.join(row('td', cells) for cells in rows)}</tbody></table>"
