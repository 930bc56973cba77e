"""Every schedule as it comes: a progress bar and a growing table in a cell's output; the table stays.

No widget: a stored notebook, an HTML export and nbval see the finished table. Imported by lessons through
:mod:`shmlab.panels`.
"""

from time import monotonic

from shmlab.observe.table import escape
from shmlab.processes.schedule import Schedules
from shmlab.processes.schedule_table import ScheduleTable

EVERY = 0.1
"""Seconds between two looks at the table, at least: it costs the browser a layout of the page."""


class Progress:
    """The table so far, below how much of it there is."""

    def __init__(self, schedules: Schedules) -> None:
        self.table, self.share, self.bound = schedules.table, schedules.progress, schedules.bound

    @property
    def words(self) -> str:
        """How far it is, in words."""
        most = f" of at most {self.bound}" if self.bound else ""
        return f"{len(self.table)}{most} schedules run"

    def __repr__(self) -> str:
        return self.words

    def _repr_html_(self) -> str:
        bar = f'<progress value="{self.share:.3f}" style="width:320px;height:18px"></progress>'
        return f"<div>{bar} {escape(self.words)}</div>{self.table._repr_html_()}"


def tabulate(schedules: Schedules) -> ScheduleTable:
    """Run every schedule of *schedules* (see :func:`shmlab.every_schedule`) while a progress bar and the
    table so far are shown; return the table, which remains."""
    from IPython.display import display

    handle = display(Progress(schedules), display_id=True)
    shown = monotonic()
    for _ in schedules:
        if handle is not None and monotonic() - shown > EVERY:
            handle.update(Progress(schedules))
            shown = monotonic()
    if handle is not None:
        handle.update(schedules.table)
    return schedules.table
