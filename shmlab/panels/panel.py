"""The panel: a set of processes with their controls, and live views of what they share below.

Everything a button does can be done from code (``panel.step("A")``), so the text of a lesson, nbval and the
browser tests drive the same thing. A click reaches the processes through :class:`~shmlab.processes.Process`
and nothing else; what they do comes back by the board. Imported by lessons through :mod:`shmlab.panels`.
"""

import errno
from collections.abc import Callable, Sequence
from functools import partial
from string import ascii_uppercase
from typing import Any

import ipywidgets
import traitlets

from shmlab import figures
from shmlab.palette import PROCESS_COLOURS
from shmlab.panels.cards import listing, shown, still_listing, unavailable
from shmlab.panels.live import LiveView
from shmlab.panels.moving import Moving, begin, front_end
from shmlab.panels.still import DRAWING, Bundle, Still
from shmlab.processes import Process, start

TAKEN_AWAY = ("released memoryview", "has been unmapped", "has been detached")
"""What Python, `posix` and `sysv` say of a memory that isn't there any more."""

REMEDY = "Run the lesson's cells again from the top."


class Controls(Moving):
    """The buttons, the speed, and a column for each process: its state, its source, its variables."""

    _esm = front_end("frames.js", "source.js", "cards.js", "processes.js")
    _css = front_end("live.css", "processes.css")

    listings: Any = traitlets.List().tag(sync=True)
    speed = traitlets.Float(0.0).tag(sync=True)
    """Steps a second; 0 for full speed."""
    toolbar = traitlets.Bool(True).tag(sync=True)
    """Whether the buttons for all of them are shown; without, the sources are lower as well."""

    def __init__(
        self,
        processes: Sequence[Process],
        act: Callable[[str, str | None], None],
        speed: float = 0.0,
        toolbar: bool = True,
    ) -> None:
        self._processes = tuple(processes)
        self._act = act
        super().__init__(listings=[listing(each) for each in processes], speed=speed, toolbar=toolbar)

    def _tick(self, number: int) -> bool:
        states = [shown(each) for each in self._processes]
        if states == self._last:
            return False
        self.send({"states": states, "frame": number, "heard": self.loop.acknowledged})
        self._last = states
        return True

    def _order(self, content: dict[str, Any]) -> Callable[[], object] | None:
        what = content.get("do")
        return partial(self._act, str(what), content.get("label")) if what else None


class Panel(Still, ipywidgets.VBox):
    """Processes with their controls, and *views* (byte grids, live plots) of what they share.

    Processes without a label or colour of their own become A, B, C … in the palette's order. *speed* is how
    many steps a second they take after Start, None for as fast as they can. *on_reset* is called by Reset
    once the processes are gone: the place to write the memory's first contents again. With *views_first* the
    views stand between the buttons and the sources, which are lower then: for views that are tall.

    Raises ValueError for two processes of one label, or none at all.
    """

    def __init__(
        self,
        *processes: Process,
        views: Sequence[LiveView] = (),
        speed: float | None = 4.0,
        on_reset: Callable[[], object] | None = None,
        views_first: bool = False,
    ) -> None:
        if not processes:
            raise ValueError("a panel needs at least one process")
        given = [each.label for each in processes if each.chosen[0]]
        twice = {label for label in given if given.count(label) > 1}
        if twice:
            raise ValueError(f"two processes have the same label: {', '.join(sorted(twice))}")
        letters = (letter for letter in ascii_uppercase if letter not in given)
        for number, process in enumerate(processes):
            label_chosen, colour_chosen = process.chosen
            process.label = process.label if label_chosen else next(letters)
            if not colour_chosen:
                process.colour = PROCESS_COLOURS[number % len(PROCESS_COLOURS)]
        self.processes = processes
        self.views = tuple(views)
        self._on_reset = on_reset
        steps = 0.0 if speed is None else _speed(speed)
        self.controls = Controls(() if views_first else processes, self._act, steps)
        """The buttons and the speed, and unless the views come first, the processes."""
        self._cards = [Controls(processes, self._act, toolbar=False)] if views_first else []
        super().__init__(children=[self.controls, *views, *self._cards])
        self.controls.observe(self._speed_changed, "speed")

    @property
    def sentence(self) -> str:
        """What the panel shows right now, in words."""
        told = [
            f"{each.label} ({each.program.name} in {each.program.language}): {each.state}."
            for each in self.processes
        ]
        return " ".join([*told, *(view.sentence for view in self.views)])

    @property
    def speed(self) -> float | None:
        """Steps a second, or None for full speed. Running processes follow a change at once."""
        return self.controls.speed or None

    @speed.setter
    def speed(self, speed: float | None) -> None:
        self.controls.speed = 0.0 if speed is None else _speed(speed)

    def start(self) -> None:
        """Start what was not started, and let everything go on at the chosen speed."""
        ready = self._available()
        start(*ready)
        for process in ready:
            process.run(self.speed)

    def pause(self) -> None:
        """Stop each process after the step it is in."""
        for process in self.processes:
            if process.pid is not None:
                process.pause()

    def step(self, label: str | None = None) -> None:
        """Let one process take one step; without a label each of them, in order. Starts it when need be."""
        for process in [self._process(label)] if label is not None else self._available():
            process.step()

    def stop(self) -> None:
        """End every process. May be called twice."""
        for process in self.processes:
            process.stop()

    def reset(self) -> None:
        """End every process and be as new."""
        for process in self.processes:
            process.reset()
        if self._on_reset is not None:
            renew(self._on_reset)

    def close(self) -> None:
        """End the processes and the frames and take the panel off the page. May be called twice."""
        if "controls" in self.__dict__:
            self.stop()
            for part in (self.controls, *self.views, *self._cards):
                part.close()
        super().close()

    def _process(self, label: str) -> Process:
        for process in self.processes:
            if process.label == label:
                return process
        raise ValueError(
            f"no process {label!r} here: there is {', '.join(each.label for each in self.processes)}"
        )

    def _available(self) -> list[Process]:
        return [each for each in self.processes if not unavailable(each)]

    def _act(self, what: str, label: str | None) -> None:
        """Do what a button says."""
        actions: dict[str, Callable[[], None]] = {
            "start": self.start,
            "pause": self.pause,
            "stop": self.stop,
            "reset": self.reset,
            "step": lambda: self.step(label),
        }
        begin(self)  # whoever clicks wants to see what comes of it
        if what == "start" and all(each.state.kind == "ended" for each in self.processes):
            raise RuntimeError("They have all ended. Reset makes them as new.")
        actions[what]()

    def _speed_changed(self, _change: object) -> None:
        for process in self.processes:
            if process.free:
                process.run(self.speed)

    def _still(self) -> Bundle:
        sentence = self.sentence
        with DRAWING:
            drawn = figures.draw_listings([still_listing(each) for each in self.processes])
            listings = [figures.png(drawn)]
        seen = [part for view in self.views if (part := view.still()) is not None]
        parts = [*seen, *listings] if self._cards else [*listings, *seen]
        return {"text/plain": sentence, "image/png": figures.stack(parts)}, {"image/png": {"alt": sentence}}


def renew(setup: Callable[[], object]) -> None:
    """Make the memory as new by *setup*, as Reset does.

    Raises RuntimeError, with the remedy, when the lesson has taken that memory away since: a panel stays on
    screen after the lesson's last cell.
    """
    try:
        setup()
    except OSError as error:
        removed_id = error.errno == errno.EINVAL and str(error.filename).startswith("id ")
        if error.errno not in (errno.ENOENT, errno.EIDRM) and not removed_id:
            raise
        raise RuntimeError(f"{error.filename!r} has been removed since. {REMEDY}") from error
    except ValueError as error:
        if not any(words in str(error) for words in TAKEN_AWAY):
            raise
        raise RuntimeError(f"The memory has been unmapped since. {REMEDY}") from error


def _speed(speed: float) -> float:
    if not speed > 0:
        raise ValueError(f"speed is steps a second and must be greater than 0, not {speed!r}")
    return float(speed)
