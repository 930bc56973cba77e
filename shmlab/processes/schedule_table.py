"""The table of schedules: who went when, what it came to, and how many came to the same.

Prints as aligned columns, and shows in a notebook as a table whose steps have their processes' colours.
Imported by :mod:`shmlab.processes.schedule`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from shmlab.observe.table import align, escape
from shmlab.processes.turns import Run, Turn, plain

SHOWN = 200
"""Rows that a table shows; the rest is counted."""

CHIP = (
    "display:inline-block;min-width:1.3em;margin:1px;padding:0 4px;border-radius:3px;text-align:center;"
    "font-weight:700;color:#fff;background:"
)


class ScheduleTable(tuple[Run, ...]):
    """Runs as a table; each row is a :class:`Run`, which a panel can replay.

    *colours* are the processes' by label, *remark* stands below the table.
    """

    colours: Mapping[str, str]
    remark: str

    def __new__(
        cls, runs: Iterable[Run] = (), colours: Mapping[str, str] | None = None, remark: str = ""
    ) -> "ScheduleTable":
        self = super().__new__(cls, runs)
        self.colours = dict(colours or {})
        self.remark = remark
        return self

    @property
    def counts(self) -> dict[str, int]:
        """How many schedules came to each result, the most frequent first."""
        return dict(Counter(run.result for run in self).most_common())

    def where(self, result: str) -> "ScheduleTable":
        """Return the rows that came to *result*."""
        return ScheduleTable([run for run in self if run.result == result], self.colours)

    def __repr__(self) -> str:
        lines = align(self._headings(), [self._cells(run) for run in self[:SHOWN]], self._numeric())
        return "\n".join([*lines, *self._remarks()])

    def _repr_html_(self) -> str:
        side = 'style="text-align:left;white-space:nowrap"'
        head = "".join(f"<th {side}>{escape(each)}</th>" for each in self._headings())
        rows = []
        for run in self[:SHOWN]:
            chips = "".join(self._chip(turn) for turn in run.turns if turn.kind not in ("idle", "free"))
            cells = [f"<td {side}>{chips}</td>"]
            cells += [f"<td {side}>{escape(cell)}</td>" for cell in self._cells(run)[1:]]
            rows.append(f"<tr>{''.join(cells)}</tr>")
        remarks = "".join(f"<div>{escape(each)}</div>" for each in self._remarks())
        return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>{remarks}"

    def _chip(self, turn: Turn) -> str:
        if turn.quiet:
            return ""
        colour = self.colours.get(turn.who, "#6B6B6B")
        look = f"{CHIP}{colour}" + ("" if turn.chosen else ";opacity:0.6")
        sign = "†" if turn.killed else "…" if turn.kind == "blocked" else ""
        return f'<span title="{escape(str(turn))}" style="{look}">{escape(turn.who)}{sign}</span>'

    def _memory(self) -> list[str]:
        return list(dict.fromkeys(name for run in self for name in run.memory))

    def _headings(self) -> list[str]:
        return ["schedule", *self._memory(), "result"]

    def _numeric(self) -> list[bool]:
        return [False, *([True] * len(self._memory())), False]

    def _cells(self, run: Run) -> list[str]:
        values = [_text(run.memory.get(name, "")) for name in self._memory()]
        said = run.result
        if run.deadlock is not None:
            said = plain(str(run.deadlock))
        return [run.schedule, *values, said]

    def _remarks(self) -> list[str]:
        told = [f"{count} {result}" for result, count in self.counts.items()]
        total = f"{len(self)} schedule{'' if len(self) == 1 else 's'}"
        remarks = [f"{total}: {', '.join(told)}" if told else "no schedule has been run"]
        if len(self) > SHOWN:
            remarks.insert(0, f"… {len(self) - SHOWN} more rows")
        return [*remarks, self.remark] if self.remark else remarks


def _text(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:39] + "…"
