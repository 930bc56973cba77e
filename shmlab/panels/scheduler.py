"""The scheduler: several processes side by side, what they share between them, and you say who goes next.

Each step is a real process's, on real memory; what the buttons do is
:class:`~shmlab.processes.interleaving.Interleaving`'s, and can be done from code as well as by clicking.
Imported by lessons through :mod:`shmlab.panels`.
"""

import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import traitlets

from shmlab.panels import cards, stage
from shmlab.panels.moving import Moving, front_end
from shmlab.panels.panel import renew
from shmlab.panels.still import DRAWING, Bundle, Still
from shmlab.processes.interleaving import Interleaving
from shmlab.processes.process import Process
from shmlab.processes.schedule_table import ScheduleTable
from shmlab.processes.surroundings import Watch
from shmlab.processes.turns import Run, Turn

PATIENCE = 0.4
"""Seconds that a step may take before the panel calls its process running and listens to you again."""

T = TypeVar("T")

_live: "weakref.WeakSet[Scheduler]" = weakref.WeakSet()


class Scheduler(Still, Moving):
    """*processes* (two to four) on screen, with a Step button and a key each: the letter of its label.

    *setup*, *watch* and *outcome* are those of :class:`Interleaving`: what makes the memory ready before each
    run, what is shown of it, and what a finished run came to. *title* stands above. Everything a button does
    can be done from code. A new panel on the same objects stops the processes of the one before it.

    Raises ValueError for one process, more than four, or two of one label.
    """

    _esm = front_end("frames.js", "source.js", "cards.js", "scheduler.js")
    _css = front_end("live.css", "processes.css", "scheduler.css")

    listings: Any = traitlets.List().tag(sync=True)
    title = traitlets.Unicode("").tag(sync=True)
    table: Any = traitlets.Dict().tag(sync=True)
    """What is shown of the runs that :meth:`offer` was given; empty before."""

    def __init__(
        self,
        processes: Sequence[Process],
        *,
        setup: Callable[[], object] | None = None,
        watch: Watch | None = None,
        outcome: Callable[[Run], object] | None = None,
        title: str | None = None,
        timeout: float = PATIENCE,
    ) -> None:
        processes = tuple(processes)
        if not 1 < len(processes) < 5:
            raise ValueError(f"a scheduler has two to four processes, not {len(processes)}")
        made_ready = None if setup is None else partial(renew, setup)
        self.stage = Interleaving(processes, setup=made_ready, watch=watch, outcome=outcome, timeout=timeout)
        """The processes and their history; what it tells, the panel shows."""
        self._offered = ScheduleTable()
        self._telling = threading.Lock()
        self._number = 0
        heading = title or "You are the scheduler: who goes next?"
        super().__init__(listings=[cards.listing(each) for each in self.stage.processes], title=heading)
        self._take_over()
        _live.add(self)

    @property
    def sentence(self) -> str:
        """What the panel shows right now, in words."""
        return stage.sentence(self.stage)

    # --- what the buttons do -----------------------------------------------------------------------------

    def step(self, who: str) -> Turn:
        """Let one process take one step; start them all when need be. Return what came of it."""
        self._take_over()
        return self._done(self.stage.step(who))

    def undo(self) -> Turn | None:
        """Take the last choice back: fresh processes take all the others again."""
        return self._done(self.stage.undo())

    def replay(self, schedule: "str | Iterable[str] | Run | None" = None) -> Run:
        """Run a schedule from a fresh start: a text (``"AABB"``), a row of a table of schedules, or what was
        done so far."""
        self._take_over()
        if isinstance(schedule, Run):
            return self._done(self.stage.replay(schedule.schedule, finish=True))
        return self._done(self.stage.replay(self.stage.choices if schedule is None else schedule))

    def offer(self, runs: Iterable[Run]) -> None:
        """Show *runs*, the rows of a table of schedules, below the steps: a click on one replays it.

        Raises ValueError for a run of other processes than these.
        """
        table = runs if isinstance(runs, ScheduleTable) else ScheduleTable(runs)
        for run in table:
            if set(run.states) != set(self.stage.labels):
                raise ValueError(
                    f"the schedule {run.schedule} is one of the processes {', '.join(run.states)}; "
                    f"this panel has {', '.join(self.stage.labels)}"
                )
        self._offered = table
        self.table = stage.offered(table) if table else {}

    def random(self, seed: int | None = None) -> Run:
        """Run a schedule drawn at random, from a fresh start to the end; the same *seed* gives the same."""
        self._take_over()
        return self._done(self.stage.random(seed))

    def finish(self) -> Run:
        """Let the first process that can step take all its steps, then the next one, until none can."""
        return self._done(self.stage.finish())

    def let_go(self) -> None:
        """Let all go on by themselves, at full speed."""
        self._take_over()
        self.stage.let_go()
        self._show()

    def pause(self) -> None:
        """After :meth:`let_go`: stop each after the step it is in."""
        self.stage.pause()
        self._show()

    def stop(self) -> None:
        """End every process; what happened stays. May be called twice."""
        self.stage.stop()
        self._show()

    def reset(self) -> None:
        """End every process and be as new, the memory too."""
        self.stage.put_back()
        self._show()

    # --- looking and sending -----------------------------------------------------------------------------

    def _take_over(self) -> None:
        """Stop the processes of other panels on the same memory: they would disturb one another."""
        for other in list(_live):
            if other is not self and other.stage.shares & self.stage.shares and _is_alive(other.stage):
                with suppress(Exception):
                    other.stage.stop()
                    other.say("Another panel uses this memory now: the processes of this one were stopped.")

    def _done(self, result: T) -> T:
        self._show()
        return result

    def _show(self) -> None:
        """Show at once what an order has come to: a frame would come only with the loop's next tick, and not
        at all when that has failed."""
        if self.comm is not None and (self.loop.running or self.loop.ended == "failed"):
            self._tell({})

    def _tell(self, more: dict[str, Any]) -> bool:
        """Send what is to be shown, with *more*, unless it is on its way already; return whether it isn't.

        One thread at a time, and numbered: a frame waits in the browser to be painted, an order's outcome
        doesn't, and the older of them must not be what stays.
        """
        with self._telling:
            content = stage.shown(self.stage)
            if content == self._last:
                return False
            self._number += 1
            self.send({"shown": content, "number": self._number, **more})
            self._last = content
            return True

    def _tick(self, number: int) -> bool:
        with self.stage.at_rest() as nobody_steps:
            if not nobody_steps:  # whoever steps shows what came of it, whole
                return False
            self.stage.notice()
            return self._tell({"frame": number, "heard": self.loop.acknowledged})

    def _order(self, content: dict[str, Any]) -> Callable[[], object] | None:
        orders: dict[object, Callable[[], object]] = {
            "step": lambda: self.step(str(content.get("label"))),
            "undo": self.undo,
            "replay": lambda: self.replay(str(content.get("schedule") or "") or None),
            "replay row": lambda: self.replay(self._offered[_row(content.get("row"))]),
            "random": lambda: self.random(_seed(content.get("seed"))),
            "start": self.let_go,
            "pause": self.pause,
            "stop": self.stop,
            "reset": self.reset,
        }
        return orders.get(content.get("do"))

    def _end(self) -> None:
        # Only once: the collector closes what it collects, and mustn't set about processes then.
        if self in _live:
            _live.discard(self)
            self.stage.close()

    # --- the still picture -------------------------------------------------------------------------------

    def _still(self) -> Bundle:
        self.stage.notice()
        sentence = self.sentence
        with DRAWING:
            picture = stage.still(self.stage)
        return {"text/plain": sentence, "image/png": picture}, {"image/png": {"alt": sentence}}


def _is_alive(stage: Interleaving) -> bool:
    return any(state.kind not in ("not started", "ended") for state in stage.states.values())


def _row(number: object) -> int:
    """Return the number of a row, counted from 0, as the browser sends it; ValueError for anything else."""
    if not isinstance(number, int) or number < 0:
        raise ValueError(f"{number!r} isn't the number of a row")
    return number


def _seed(text: object) -> int | None:
    """Return the seed that was typed, or None for nothing. Raises ValueError for what is no number."""
    word = str(text if text is not None else "").strip()
    if not word:
        return None
    try:
        return int(word)
    except ValueError:
        raise ValueError(f"the seed of a random schedule is a whole number, not {word!r}") from None
