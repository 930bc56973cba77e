"""The map of the lessons: a box a lesson, an arrow from each to those that build on it.

Imported by :mod:`shmlab.figures`. What a lesson is, :mod:`shmlab.course` says.
"""

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

from shmlab.course import Lesson
from shmlab.figures.common import TYPE
from shmlab.palette import INK, PROCESS_COLOURS, QUIET

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROWS = (("04",), ("01", "02", "03", "07", "14"), ("05", "08", "09", "13"), ("06", "10", "11", "12"))
"""Which lessons stand beside one another, so that few arrows cross; others stand in a row below."""

WIDTH, HEIGHT = 0.42, 0.36
"""Half a box."""

LETTERS = 13
"""Of a title in one line of a box, in type that the table of the lessons has larger."""


def draw_course(ax: "Axes", lessons: Sequence[Lesson], passed: Mapping[str, int]) -> None:
    """Draw the lessons but 00, which shows the map; *passed* says how many exercises of each were passed.

    Left stand those that build on nothing. An arrow that follows from others isn't drawn.
    """
    known = {each.number: each for each in lessons if each.number != "00"}
    needs = {number: [each for each in lesson.builds_on if each in known] for number, lesson in known.items()}
    columns: dict[str, int] = {}
    for number in known:
        columns[number] = 1 + max((columns.get(each, 0) for each in needs[number]), default=-1)
    if "14" in columns:  # about the whole course, though it builds on nothing
        columns["14"] = max(columns.values())
    places = {number: (float(column), -float(_row(number))) for number, column in columns.items()}
    for number, lesson in known.items():
        x, y = places[number]
        for earlier in _direct(number, needs):
            from_x, from_y = places[earlier]
            arrow = {"arrowstyle": "-|>", "lw": 2, "color": QUIET, "mutation_scale": 18}
            ax.annotate("", (x - WIDTH, y), (from_x + WIDTH, from_y), arrowprops=arrow)
        done, total = passed.get(number, 0), len(lesson.exercises)
        face, ink = (PROCESS_COLOURS[0], "white") if done == total > 0 else ("white", INK)
        across, up = [x - WIDTH, x + WIDTH, x + WIDTH, x - WIDTH], [y - HEIGHT] * 2 + [y + HEIGHT] * 2
        ax.fill(across, up, facecolor=face, edgecolor=PROCESS_COLOURS[0], lw=3, zorder=3)
        words: dict[str, Any] = {"color": ink, "ha": "center", "va": "center", "zorder": 4}
        state = f"{done} of {total}" if done else f"{lesson.minutes} min"
        ax.text(x - WIDTH / 2, y + 0.2, number, size=TYPE + 1, weight="bold", **words)
        ax.text(x + WIDTH / 3, y + 0.19, state, size=TYPE - 2, **words)
        ax.text(x, y - 0.12, fill(lesson.title, LETTERS), size=TYPE - 4, linespacing=1.1, **words)
    ax.set_xlim(-0.5, max(columns.values(), default=0) + 0.5)
    ax.set_ylim(-max((_row(each) for each in known), default=0) - 0.5, 0.5)
    ax.axis("off")


def describe_course(lessons: Sequence[Lesson], passed: Mapping[str, int]) -> str:
    """Return in words what :func:`draw_course` shows, for those who can't see it."""
    told = [
        f"{each.number} builds on {', '.join(each.builds_on)}"
        for each in lessons
        if each.builds_on and each.number != "00"
    ]
    done, total = sum(passed.values()), sum(len(each.exercises) for each in lessons)
    return f"A map of the lessons: {'; '.join(told)}. {done} of {total} exercises are passed."


def _row(number: str) -> int:
    return next((row for row, numbers in enumerate(ROWS) if number in numbers), len(ROWS))


def _direct(number: str, needs: Mapping[str, Sequence[str]]) -> list[str]:
    """Return what a lesson builds on but for what these build on in their turn."""

    def all_before(one: str) -> set[str]:
        return {each for need in needs[one] for each in (need, *all_before(need))}

    mediate = {each for need in needs[number] for each in all_before(need)}
    return [each for each in needs[number] if each not in mediate]
