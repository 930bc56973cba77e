"""The panel: a set of processes with their controls, and live views of what they share below.

Everything a button does can be done from code (``panel.step("A")``), so the text of a lesson, nbval and the
browser tests drive the same thing. A click reaches the processes through :class:`~shmlab.processes.Process`
and nothing else; what they do comes back by the board. Imported by lessons through :mod:`shmlab.panels`.
"""

import contextlib
from collections.abc import Callable, Sequence
from string import ascii_uppercase
from typing import Any

import anywidget
import ipywidgets
import traitlets

from shmlab import figures
from shmlab.palette import PROCESS_COLOURS
from shmlab.panels.frames import FrameLoop
from shmlab.panels.live import DRAWING, LiveView, front_end
from shmlab.processes import Process, start
from shmlab.programs import find_compiler

RATE = 30.0
"""Looks at the processes a second, at most."""

SHOWN_OUTPUT = 2000
"""Characters of a process's output that reach the screen: the last ones."""


class Controls(anywidget.AnyWidget):
    """The buttons, the speed, and a column for each process: its state, its source, its variables."""

    _esm = front_end("frames.js", "source.js", "processes.js")
    _css = front_end("live.css", "processes.css")

    listings: Any = traitlets.List().tag(sync=True)
    speed = traitlets.Float(0.0).tag(sync=True)
    """Steps a second; 0 for full speed."""

    def __init__(self, processes: Sequence[Process], act: Callable[[str, str | None], None], speed: float):
        self._processes = tuple(processes)
        self._act = act
        self._last: object = None
        super().__init__(listings=[_listing(each) for each in processes], speed=speed)
        self.loop = FrameLoop(
            self._tick,
            RATE,
            refresh=self._forget,
            alive=lambda: self.comm is not None,
            name="shmlab-controls",
        )
        self.on_msg(self._received)

    def close(self) -> None:
        super().close()
        if loop := self.__dict__.get("loop"):
            loop.stop()

    def say(self, words: str) -> None:
        """Show a sentence below the buttons; an empty one hides it."""
        self.send({"say": words})

    def _tick(self, number: int) -> bool:
        states = [_shown(each) for each in self._processes]
        if states == self._last:
            return False
        self.send({"states": states, "frame": number, "heard": self.loop.acknowledged})
        self._last = states
        return True

    def _forget(self) -> None:
        self._last = None

    def _received(self, _widget: object, content: object, _buffers: object) -> None:
        if self.loop.received(content) or not isinstance(content, dict):
            return
        if what := content.get("do"):
            self.loop.start()
            try:
                self._act(str(what), content.get("label"))
                self.say("")
            except Exception as error:  # a click has no traceback: the panel says what went wrong
                self.say(str(error) or type(error).__name__)


class Panel(ipywidgets.VBox):
    """Processes with their controls, and *views* (byte grids, live plots) of what they share.

    Processes without a label or colour of their own become A, B, C … in the palette's order. *speed* is how
    many steps a second they take after Start, None for as fast as they can. *on_reset* is called by Reset
    once the processes are gone: the place to write the memory's first contents again.

    Raises ValueError for two processes of one label, or none at all.
    """

    def __init__(
        self,
        *processes: Process,
        views: Sequence[LiveView] = (),
        speed: float | None = 4.0,
        on_reset: Callable[[], object] | None = None,
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
        self.controls = Controls(processes, self._act, 0.0 if speed is None else _speed(speed))
        super().__init__(children=[self.controls, *views])
        self.controls.observe(self._speed_changed, "speed")

    def __repr__(self) -> str:
        return self.sentence

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
            self._on_reset()

    def close(self) -> None:
        """End the processes and the frames and take the panel off the page. May be called twice."""
        if "controls" in self.__dict__:
            self.stop()
            self.controls.close()
            for view in self.views:
                view.close()
        super().close()

    def picture(self) -> None:
        """Display what there is now as a picture that stays, and one sentence below it."""
        from IPython.display import display

        bundle, metadata = self._still()
        display(bundle, metadata=metadata, raw=True)
        display({"text/plain": bundle["text/plain"]}, raw=True)

    def _process(self, label: str) -> Process:
        for process in self.processes:
            if process.label == label:
                return process
        raise ValueError(
            f"no process {label!r} here: there is {', '.join(each.label for each in self.processes)}"
        )

    def _available(self) -> list[Process]:
        return [each for each in self.processes if not _unavailable(each)]

    def _act(self, what: str, label: str | None) -> None:
        """Do what a button says."""
        actions: dict[str, Callable[[], None]] = {
            "start": self.start,
            "pause": self.pause,
            "stop": self.stop,
            "reset": self.reset,
            "step": lambda: self.step(label),
        }
        actions[what]()

    def _speed_changed(self, _change: object) -> None:
        for process in self.processes:
            if process.free:
                process.run(self.speed)

    def _still(self) -> tuple[dict[str, Any], dict[str, Any]]:
        sentence = self.sentence
        with DRAWING:
            drawn = figures.draw_listings([_still_listing(each) for each in self.processes])
            parts = [figures.png(drawn)]
        parts += [part for view in self.views if (part := view.still()) is not None]
        return {"text/plain": sentence, "image/png": figures.stack(parts)}, {"image/png": {"alt": sentence}}

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle, metadata = self._still()
        shown = super()._repr_mimebundle_(**kwargs)
        if shown is None:
            return bundle, metadata
        self.controls.loop.start()
        for view in self.views:
            with contextlib.suppress(Exception):
                view.start()
        data, more = shown if isinstance(shown, tuple) else (shown, {})
        return data | bundle, more | metadata


def _speed(speed: float) -> float:
    if not speed > 0:
        raise ValueError(f"speed is steps a second and must be greater than 0, not {speed!r}")
    return float(speed)


def _unavailable(process: Process) -> str:
    """Why a process can't run on this machine; empty when it can."""
    if process.program.language == "C" and find_compiler() is None:
        return "Not here: there is no C compiler on this machine. Install the package gcc."
    return ""


def _listing(process: Process) -> dict[str, Any]:
    return {
        "label": process.label,
        "colour": process.colour,
        "program": process.program.name,
        "language": process.program.language,
        "source": process.program.source.splitlines(),
        "unavailable": _unavailable(process),
    }


def _shown(process: Process) -> dict[str, Any]:
    state = process.state
    return {
        "kind": state.kind,
        "words": str(state),
        "step": state.step,
        "line": state.line or 0,
        "locals": state.locals,
        # What faulthandler reports of a fatal signal, the marked line shows better.
        "output": process.output.partition("Fatal Python error: ")[0][-SHOWN_OUTPUT:],
    }


def _still_listing(process: Process) -> figures.Listing:
    state = process.state
    title = f"{process.label}  {process.program.name} · {process.program.language}"
    words = _unavailable(process) or str(state)
    return figures.Listing(
        title, process.colour, words, tuple(process.program.source.splitlines()), state.line
    )
