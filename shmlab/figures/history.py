"""What was said of one thing, time after time: a row a field, and where its value changed.

The drawing of a segment's life, as IPC_STAT told it after each call. What is drawn was observed: the times
and the texts are the caller's, and nothing here knows what they ought to be. Imported by
:mod:`shmlab.figures`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shmlab.figures.common import TYPE, dress, tint
from shmlab.palette import CHANGED, INK, PAPER, PROCESS_COLOURS, QUIET

if TYPE_CHECKING:
    from datetime import datetime

    from matplotlib.axes import Axes

THICK = 0.72
"""How much of a row a value takes."""


@dataclass(frozen=True)
class Report:
    """What was said at a moment: *at* seconds, right after *event*, which was *who*'s doing.

    *fields* are (name, text), the same names in the same order in every report; without any, *gone* says why
    there is nothing to be told any more.
    """

    at: float
    who: str
    event: str
    fields: tuple[tuple[str, str], ...] = ()
    gone: str = ""


@dataclass(frozen=True)
class Stretch:
    """For how long a field had one value: *begin* to *end* in seconds, *fresh* when it was another before."""

    begin: float
    end: float
    text: str
    fresh: bool


def segment_fields(stat: Any, born: "datetime", who: Mapping[int, str]) -> tuple[tuple[str, str], ...]:
    """Return the fields of a segment's life as a :class:`Report` wants them.

    *stat* is what IPC_STAT gave (anything with ``struct shmid_ds``'s fields), *born* when the segment was
    made, *who* the names of the processes by pid; 0 is nobody.
    """

    def when(time: "datetime | None") -> str:
        return "never" if time is None else f"{(time - born).total_seconds():.0f} s"

    return (
        ("nattch", str(stat.shm_nattch)),
        ("mode", f"0{stat.shm_perm.mode:o}"),
        ("cpid", who.get(stat.shm_cpid, "?")),
        ("lpid", who.get(stat.shm_lpid, "?") if stat.shm_lpid else "nobody"),
        ("atime", when(stat.shm_atime)),
        ("dtime", when(stat.shm_dtime)),
        ("ctime", when(stat.shm_ctime)),
    )


def stretches(reports: Sequence[Report], end: float) -> dict[str, list[Stretch]]:
    """Return for each field the stretches of its values, the last of them until *end* (seconds)."""
    found: dict[str, list[Stretch]] = {}
    for number, report in enumerate(reports):
        until = reports[number + 1].at if number + 1 < len(reports) else end
        for name, text in report.fields:
            row = found.setdefault(name, [])
            if row and row[-1].text == text:
                row[-1] = Stretch(row[-1].begin, until, text, row[-1].fresh)
            else:
                row.append(Stretch(report.at, until, text, fresh=bool(row)))
    return found


def draw_history(
    ax: "Axes", reports: Sequence[Report], title: str = "", begin: str = "", observer: str = ""
) -> None:
    """Draw the reports: a column from each to the next, as wide as the time between, and a row a field.

    A value that differs from the one before is orange and has a ``~`` in front. *begin* is what the time is
    counted from, in words. *observer* is black; the others have the colours of processes, in order of
    appearance.
    """
    last = reports[-1].at if reports else 0.0
    end = last + max(1.0, 0.12 * last)
    rows = stretches(reports, end)
    for number, row in enumerate(rows.values()):
        for each in row:
            _draw_stretch(ax, number, each)
    people = list(dict.fromkeys(report.who for report in reports if report.who != observer))
    for report in reports:
        colour = INK
        if report.who in people:
            colour = PROCESS_COLOURS[people.index(report.who) % len(PROCESS_COLOURS)]
        ax.plot([report.at] * 2, [-1.55, len(rows) - 0.5], color=colour, linewidth=2, linestyle=":", zorder=1)
        words = f"{report.who}\n{report.event}"
        ax.text(report.at + 0.06, -0.6, words, size=TYPE, color=colour, weight="bold", va="bottom", ha="left")
        if not report.fields and rows:
            middle = (len(rows) - 1) / 2
            ax.text(
                (report.at + end) / 2, middle, report.gone, size=TYPE, color=INK, ha="center", va="center"
            )
    dress(ax, title, f"seconds{f' since {begin}' if begin else ''}", "")
    ax.set_xlim(-0.05, end)
    ax.set_ylim(len(rows) - 0.45, -1.6)
    ax.set_yticks(range(len(rows)), list(rows))
    ax.tick_params(axis="y", length=0)
    for label in ax.get_yticklabels():
        label.set(family="monospace", weight="bold", size=TYPE)
    ax.spines[["top", "right", "left"]].set_visible(False)


def describe_history(reports: Sequence[Report], title: str = "") -> str:
    """Return in one sentence what :func:`draw_history` shows: what each event changed, and to what."""
    told = []
    before: dict[str, str] = {}
    for report in reports:
        now = dict(report.fields)
        differ = [f"{name} {text}" for name, text in now.items() if before.get(name) != text]
        what = f"{report.who}'s {report.event}" if report.who else report.event
        said = report.gone.replace("\n", " ") if not now else ", ".join(differ) or "nothing new"
        told.append(f"after {what}: {said}")
        before = now
    return f"{title}: {'; '.join(told)}." if title else f"{'; '.join(told)}."


def _draw_stretch(ax: "Axes", row: int, each: Stretch) -> None:
    face, edge = (tint(CHANGED), CHANGED) if each.fresh else (PAPER, QUIET)
    ax.barh(row, each.end - each.begin, left=each.begin, height=THICK, facecolor=face, edgecolor=edge,
            linewidth=2.5 if each.fresh else 1.5, zorder=2)  # fmt: skip
    words = f"~ {each.text}" if each.fresh else each.text
    ax.text(each.begin + 0.08, row, words, size=TYPE, color=INK, va="center", ha="left",
            family="monospace", weight="bold" if each.fresh else "normal", zorder=3,
            parse_math=False)  # fmt: skip
