"""The table of schedules: who went when, what it came to, and how many came to the same.

Prints as aligned columns, and shows in a notebook as a table whose steps have their processes' colours.
Imported by :mod:`shmlab.processes.schedule`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from shmlab.observe.table import align, escape
from shmlab.palette import ink_on
from shmlab.processes.turns import Run, Turn, plain

SHOWN = 200
"""Rows that a table shows; the rest is counted."""

CHIP = (
    "display:inline-block;min-width:1.3em;margin:1px;padding:0 4px;border-radius:3px;text-align:center;"
    "font-weight:700;"
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

    @property
    def headings(self) -> list[str]:
        """The columns' headings: the schedule, what was watched, the result."""
        return ["schedule", *self._memory(), "result"]

    def cells(self, run: Run) -> list[str]:
        """Return what a row says, column by column."""
        values = [_text(run.memory.get(name, "")) for name in self._memory()]
        said = run.result
        if run.deadlock is not None:
            said = plain(str(run.deadlock))
        return [run.schedule, *values, said]

    @property
    def remarks(self) -> list[str]:
        """What stands below the rows: how many there are of which result."""
        told = [f"{count} {result}" for result, count in self.counts.items()]
        total = f"{len(self)} schedule{'' if len(self) == 1 else 's'}"
        remarks = [f"{total}: {', '.join(told)}" if told else "no schedule has been run"]
        if len(self) > SHOWN:
            remarks.insert(0, f"… {len(self) - SHOWN} more rows")
        return [*remarks, self.remark] if self.remark else remarks

    def __repr__(self) -> str:
        lines = align(self.headings, [self.cells(run) for run in self[:SHOWN]], self._numeric())
        return "\n".join([*lines, *self.remarks])

    def _repr_html_(self) -> str:
        side = 'style="text-align:left;white-space:nowrap"'
        head = "".join(f"<th {side}>{escape(each)}</th>" for each in self.headings)
        rows = []
        for run in self[:SHOWN]:
            chips = "".join(self._chip(turn) for turn in shown_turns(run))
            cells = [f"<td {side}>{chips}</td>"]
            cells += [f"<td {side}>{escape(cell)}</td>" for cell in self.cells(run)[1:]]
            rows.append(f"<tr>{''.join(cells)}</tr>")
        remarks = "".join(f"<div>{escape(each)}</div>" for each in self.remarks)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>{remarks}"

    def _chip(self, turn: Turn) -> str:
        colour = self.colours.get(turn.who, "#6B6B6B")
        look = f"{CHIP}color:{ink_on(colour)};background:{colour}" + ("" if turn.chosen else ";opacity:0.6")
        return f'<span title="{escape(str(turn))}" style="{look}">{escape(letter(turn))}</span>'

    def _memory(self) -> list[str]:
        return list(dict.fromkeys(name for run in self for name in run.memory))

    def _numeric(self) -> list[bool]:
        return [False, *([True] * len(self._memory())), False]


def shown_turns(run: Run) -> list[Turn]:
    """Return the turns of a run that a row shows, a chip each."""
    return [turn for turn in run.turns if not turn.quiet and turn.kind not in ("idle", "free")]


def letter(turn: Turn) -> str:
    """What stands on a turn's chip."""
    return turn.who + ("†" if turn.killed else "…" if turn.kind == "blocked" else "")


def _text(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:39] + "…"
