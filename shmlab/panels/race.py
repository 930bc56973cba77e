"""The race: what a counter should be against what it is, live, while free-running processes add to it, with a
switch for what guards the increment and the updates a second that each cure comes to.

The processes run programs/racer.py or its twin in C, which look at the switch, a word of the object, before
each increment. Imported by lessons through :mod:`shmlab.panels`; the still picture is drawn in
:mod:`shmlab.figures.race`."""

import os
import struct
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic, sleep
from typing import Any

import traitlets

from shmlab import figures, observe, posix
from shmlab.figures.race import RaceState
from shmlab.panels.live import LiveView, Look
from shmlab.panels.moving import front_end
from shmlab.programs.racer import COUNT, CURE, CURES, MOST, OWN

WORD = struct.Struct("=Q")
NEEDED = (OWN * MOST + 1) * WORD.size
"""Bytes of a race: up to the own word of the last process there may be."""

POINTS = 400
"""Points of the history that are kept: with more, every other one is dropped."""

STILL = 0.1
"""Seconds without an increment after which the clock of the race stands still."""

SETTLED = 0.15
"""Seconds of a cure that its rate needs, at least."""


@dataclass(frozen=True, slots=True)
class RaceLook(Look):
    """A look at a race: its bytes, and its history up to them."""

    state: RaceState | None = None


class History:
    """What was seen of a race, look by look, on a clock that stands still while nobody adds anything."""

    def __init__(self, now: float, cure: int, expected: int, actual: int) -> None:
        self.points = [(0.0, expected, actual)]
        """Seconds of race, expected, actual."""
        self.spells = [(0.0, cure)]
        """Since when, in seconds of race, which cure."""
        self.rates: dict[int, float] = {}
        """Updates a second by cure: of its latest spell that was long enough."""
        self._looked = self._moved = now
        self._spell = (0.0, expected)

    def note(self, now: float, cure: int, expected: int, actual: int) -> None:
        """Take in a look, at *now* seconds of any clock."""
        clock, counted, _ = self.points[-1]
        if expected > counted:
            # After a pause it's not known when it ended: at the earliest with the look before this one.
            paused = now - self._moved > STILL
            clock += min(now - self._looked, STILL) if paused else now - self._moved
            self._moved = now
            self.points.append((clock, expected, actual))
        else:
            self.points[-1] = (clock, counted, actual)
        self._looked = now
        if cure != self.spells[-1][1]:
            self._change(clock, cure, expected)
        elif clock - self._spell[0] > SETTLED:
            self.rates[cure] = (expected - self._spell[1]) / (clock - self._spell[0])
        if len(self.points) > POINTS:
            self.points = [*self.points[:-1:2], self.points[-1]]

    def _change(self, clock: float, cure: int, expected: int) -> None:
        if self.spells[-1][0] == clock:
            self.spells.pop()  # nobody has added anything while it was in force
        if not self.spells or self.spells[-1][1] != cure:
            self.spells.append((clock, cure))
        self._spell = (clock, expected)


class RacePlot(LiveView):
    """A live plot of the race in the object *name*: expected against actual count, the lost ones as a band,
    and the updates a second of each cure that was tried.

    *cures* are those that may be switched on, of programs.racer's CURES; ``"atomic"`` takes programs in C.
    *rate* is frames a second at most. The object holds 64-bit words (programs/racer.py): the counter, the
    cure in force, and for each process how often it has added. The plot starts anew when the count goes
    back.

    Raises ValueError for a cure that there isn't.
    """

    _esm = front_end("frames.js", "live.js", "race.js")
    _css = front_end("live.css", "race.css")

    cures: Any = traitlets.List(traitlets.Unicode()).tag(sync=True)

    def __init__(self, name: str, cures: Sequence[str] = CURES[:4], rate: float = 20.0) -> None:
        for cure in cures:
            _number(cure)
        self._history: History | None = None
        self._noting = threading.Lock()
        super().__init__(name, rate)
        self.cures = list(cures)
        self._look()  # so that the history begins before the race does, if it can

    @property
    def cure(self) -> str:
        """What guards the increments from now on; may be set while processes run."""
        look = self._look()
        if not isinstance(look, RaceLook) or look.state is None:
            raise OSError(2, look.problem, self.name)
        return look.state.cure

    @cure.setter
    def cure(self, cure: str) -> None:
        number = _number(cure)
        if cure not in self.cures:
            raise ValueError(f"{cure!r} isn't among the cures of this plot: {', '.join(self.cures)}")
        self._look()  # what was counted until now was counted under the cure until now
        fd = posix.shm_open(self.name, posix.O_RDWR)
        try:
            os.pwrite(fd, WORD.pack(number), CURE * WORD.size)
        finally:
            posix.close(fd)

    @property
    def state(self) -> RaceState | None:
        """The race so far, None when there is no such object."""
        look = self._look()
        return look.state if isinstance(look, RaceLook) else None

    def watch(self, seconds: float) -> RaceState | None:
        """Look for *seconds*, as often as a browser's frames would; return the race so far."""
        until = monotonic() + seconds
        while (left := until - monotonic()) > 0:
            self._look()
            sleep(min(left, 1 / 30))
        return self.state

    def _sample(self, sampler: observe.Sampler) -> observe.Sample:
        return sampler.sample(NEEDED, 1, 0, NEEDED)

    def _look(self) -> Look:
        with self._noting:
            look = super()._look()
            if look.sample is None:
                return look
            words = [each for (each,) in WORD.iter_unpack(look.sample.data[: len(look.sample.data) // 8 * 8])]
            if len(words) <= OWN * MOST:
                has = f"it has {look.sample.size} bytes, and needs {NEEDED}"
                return Look(None, problem=f"{self.name!r} is no race: {has}.")
            if words[CURE] >= len(CURES):
                has = f"word {CURE} is {words[CURE]}, and none of its cures"
                return Look(None, problem=f"{self.name!r} is no race: {has}.")
            expected = sum(words[OWN * who] for who in range(1, MOST + 1))
            seen = monotonic(), words[CURE], expected, words[COUNT]
            if self._history is None or expected < self._history.points[-1][1]:
                rates = self._history.rates if self._history else {}
                self._history = History(*seen)
                self._history.rates = rates
            else:
                self._history.note(*seen)
            return RaceLook(look.sample, look.allocated, state=self._state(self._history))

    def _state(self, history: History) -> RaceState:
        seconds, expected, actual = zip(*history.points, strict=True)
        return RaceState(
            seconds,
            expected,
            actual,
            tuple((begin, CURES[cure]) for begin, cure in history.spells),
            tuple((cure, history.rates.get(_number(cure))) for cure in self.cures),
        )

    def _frame(self, look: Look) -> tuple[dict[str, Any], list[bytes]]:
        state = _of(look)
        points = zip(state.seconds, state.expected, state.actual, strict=True)
        flat = [part for point in points for part in point]
        return {
            "spells": [list(spell) for spell in state.spells],
            "rates": [
                [cure, rate, figures.short_number(rate) if rate else "not tried"]
                for cure, rate in state.rates
            ],
            "cure": state.cure,
        }, [struct.pack(f"={len(flat)}d", *flat)]

    def _caption(self, look: Look) -> str:
        return _of(look).words

    def _sentence(self, look: Look) -> str:
        return look.problem if look.sample is None else figures.describe_race(_of(look), self.name)

    def _still_size(self, sample: observe.Sample) -> tuple[int, int]:
        return 1000, 460

    def _draw(self, axes: Any, sample: observe.Sample) -> None:
        assert self._history is not None
        figures.draw_race(axes, self._state(self._history), self.name)

    def _order(self, content: dict[str, Any]) -> Callable[[], object] | None:
        return (lambda: self._switch(str(content["cure"]))) if "cure" in content else super()._order(content)

    def _switch(self, cure: str) -> None:
        try:
            self.cure = cure
        except (OSError, ValueError) as error:
            raise RuntimeError(f"The switch can't be moved: {error}") from error


def _number(cure: str) -> int:
    if cure not in CURES:
        raise ValueError(f"no cure {cure!r}: there is {', '.join(CURES)}")
    return CURES.index(cure)


def _of(look: Look) -> RaceState:
    assert isinstance(look, RaceLook)
    assert look.state is not None
    return look.state
