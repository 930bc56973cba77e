"""A race: what a counter should be against what it is, while processes add to it; what each cure costs; and
how many increments survived of many races.

:class:`RaceState` says what is drawn of a race that runs; it's the same for the live view, which the browser
paints (race.js). Imported by :mod:`shmlab.figures` and by the panel of the race.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor, log10
from typing import TYPE_CHECKING

from shmlab.figures.common import TYPE, dress, tint
from shmlab.palette import INK, PROCESS_COLOURS, QUIET

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EXPECTED, ACTUAL, LOST = INK, PROCESS_COLOURS[0], PROCESS_COLOURS[1]
"""The colours of what should be there, of what is, and of the band between them."""


@dataclass(frozen=True)
class RaceState:
    """A race so far: at each of *seconds* (during which somebody added) what was *expected* and what was
    *actual*; when which cure came into force, the first at 0; and how many updates a second each came to,
    None for one that wasn't in force yet."""

    seconds: tuple[float, ...]
    expected: tuple[int, ...]
    actual: tuple[int, ...]
    spells: tuple[tuple[float, str], ...]
    rates: tuple[tuple[str, float | None], ...]

    @property
    def cure(self) -> str:
        """The cure in force."""
        return self.spells[-1][1]

    @property
    def lost(self) -> int:
        """How many increments are lost by now. A process stores the counter before it notes that it did, so
        the counter may be ahead by one for each: that's nothing lost."""
        return max(0, self.expected[-1] - self.actual[-1])

    @property
    def words(self) -> str:
        """What is lost, in words."""
        if not self.expected[-1]:
            return "nobody has added anything yet"
        share = self.lost / self.expected[-1]
        told = "none" if not self.lost else f"{share:.1%}" if share >= 0.001 else "less than 0.1%"
        return f"{self.lost:,} of {self.expected[-1]:,} lost ({told})"


def short_number(number: float) -> str:
    """Return a number in three digits and a word: ``1.23 million``, ``45,600``."""
    for power, word in ((1e9, "billion"), (1e6, "million")):
        if number >= power:
            return f"{number / power:.3g} {word}"
    return f"{float(f'{number:.3g}'):,.0f}"


def describe_race(state: RaceState, name: str) -> str:
    """Return one sentence that says what :func:`draw_race` shows, for those who can't see it."""
    told = f"The race on {name!r}: {state.words}"
    if state.expected[-1]:
        told += f", expected {state.expected[-1]:,}, counted {state.actual[-1]:,}"
        told += f", after {state.seconds[-1]:.1f} s"
    known = [f"{cure} {short_number(rate)}" for cure, rate in state.rates if rate is not None]
    costs = f"; updates a second: {', '.join(known)}" if known else ""
    return f"{told}; cure: {state.cure}{costs}."


def draw_race(ax: "Axes", state: RaceState, name: str) -> None:
    """Draw the race so far on the left, and beside it the updates a second that each cure came to."""
    from matplotlib.ticker import MaxNLocator

    grid = ax.figure.add_gridspec(1, 2, width_ratios=(5, 3))
    ax.set_subplotspec(grid[0])
    band = [max(each) for each in zip(state.expected, state.actual, strict=True)]
    ax.fill_between(
        state.seconds,
        state.actual,
        band,
        facecolor=tint(LOST),
        edgecolor=LOST,
        hatch="//",
        linewidth=0,
        label="lost",
    )
    ax.plot(state.seconds, state.expected, color=EXPECTED, linestyle="--", linewidth=3, label="expected")
    ax.plot(state.seconds, state.actual, color=ACTUAL, linewidth=3, label="counted")
    ends = [begin for begin, _ in state.spells[1:]] + [state.seconds[-1]]
    top = max(state.expected[-1], state.actual[-1], 4) * 1.18
    for (begin, cure), end in zip(state.spells, ends, strict=True):
        if begin:
            ax.axvline(begin, color=QUIET, linestyle=":", linewidth=2)
        if end - begin > 0.16 * state.seconds[-1]:
            words = "nothing" if cure == "none" else cure.removesuffix(" semaphore")
            ax.text((begin + end) / 2, top * 0.98, words, size=TYPE - 1, color=INK, ha="center", va="top")
    dress(ax, state.words[0].upper() + state.words[1:], "seconds of race", "increments")
    ax.set_xlim(0, max(state.seconds[-1], 0.1))
    ax.set_ylim(0, top)
    ax.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    ax.yaxis.set_major_formatter(lambda value, _: short_number(value))
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(loc="center left", bbox_to_anchor=(0.01, 0.62), fontsize=TYPE - 1, frameon=False)
    draw_rates(ax.figure.add_subplot(grid[1]), dict(state.rates), state.cure)


def draw_rates(ax: "Axes", rates: Mapping[str, float | None], striking: str = "", title: str = "") -> None:
    """Draw ``rates[cure]``, updates a second, a bar a cure on a logarithmic axis, its figure beside it;
    None for what was not measured. The bar called *striking* has a process's colour, the others are
    grey."""
    from matplotlib.ticker import NullFormatter

    known = [rate for rate in rates.values() if rate]
    low, high = (10.0 ** floor(log10(min(known)) - 0.5), max(known)) if known else (1.0, 10.0)
    for row, (cure, rate) in enumerate(rates.items()):
        if rate:
            colour = ACTUAL if cure == striking else QUIET
            ax.barh(row, rate - low, left=low, height=0.42, color=colour)
        words = short_number(rate) if rate else "not tried"
        called = "nothing" if cure == "none" else cure
        ax.text(low * 1.05, row - 0.38, f"{called}: {words}", size=TYPE, color=INK, va="center")
    dress(ax, title, "updates a second", "")
    ax.set_xscale("log")
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlim(low, high * 1.3)
    ax.set_ylim(len(rates) - 0.6, -0.7)
    ax.set_yticks([])
    ax.spines[["top", "right"]].set_visible(False)


def describe_rates(rates: Mapping[str, float | None], title: str) -> str:
    """Return one sentence that says what :func:`draw_rates` shows, for those who can't see it."""
    told = ", ".join(f"{cure} {short_number(rate)}" for cure, rate in rates.items() if rate)
    return f"{title}, in updates a second: {told}."


def draw_survivors(ax: "Axes", results: Sequence[int], each: int, processes: int = 2) -> None:
    """Draw how many increments survived in each of *results*' races, in which every process made *each*: a
    dot a race, and a line where nothing is lost, and one where as few survive as one process made alone."""
    full = each * processes
    rows = [number + 1 for number in range(len(results))]
    ax.axvspan(0, each, color=tint(LOST), zorder=0)
    ax.axvline(full, color=EXPECTED, linestyle="--", linewidth=3)
    ax.axvline(each, color=LOST, linewidth=3)
    ax.scatter(results, rows, s=60, color=ACTUAL, edgecolor="white", linewidth=0.5, zorder=3, clip_on=False)
    dress(ax, f"{len(results)} races: what survived of {full:,}", "increments that survived", "race")
    top = len(results) + 1
    ax.text(full * 0.99, top * 1.02, "nothing lost", size=TYPE, color=INK, ha="right", va="bottom")
    ax.text(
        each * 0.98, top * 1.02, "fewer than one made alone", size=TYPE, color=INK, ha="right", va="bottom"
    )
    ax.set_xlim(0, full * 1.02)
    ax.set_ylim(0, top * 1.12)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    ax.spines[["top", "right"]].set_visible(False)


def describe_survivors(results: Sequence[int], each: int, processes: int = 2) -> str:
    """Return one sentence that says what :func:`draw_survivors` shows, for those who can't see it."""
    full = each * processes
    none, fewer = sum(result == full for result in results), sum(result < each for result in results)
    return (
        f"{len(results)} races, in each of which {processes} processes made {each:,} increments each: "
        f"between {min(results):,} and {max(results):,} survived; {none} of them lost nothing, and in "
        f"{fewer} fewer survived than one process made alone."
    )
