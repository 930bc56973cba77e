"""The frame loop: one thread that sends frames to a browser no faster than the browser paints them.

Every live panel has one. It knows neither widgets nor what a frame shows: it calls ``tick(n)``, hears from
the views what they painted, and ends its thread as soon as nobody looks. What does *not* stop a frame thread
by itself, measured: closing the widget, interrupting the kernel, deleting the output. So each of them is
asked for here. Imported by :mod:`shmlab.panels.moving`, from which every panel that moves is made.
"""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from shmlab.panels import turns

WINDOW, WINDOW_SLOW = 8, 2
"""Frames that may be on their way before the loop waits for an acknowledgement. Views acknowledge several at
once, hence many; over a slow line a long queue would be nothing but delay, hence few."""

NAME = "shmlab-frames"
"""Of every frame loop's thread."""

SLOW = 0.25
"""Seconds from sending a frame to its acknowledgement after which a line counts as slow."""

PATIENCE = 0.2
"""Seconds it waits for one while the kernel is idle, and so would hear of it: then the browser is slow."""

PATIENCE_BUSY = 0.03
"""Seconds it waits while a cell runs: acknowledgements are then read only after the cell, so that their
absence says nothing, and waiting longer would freeze the picture just when there is something to see."""

ABSENT = 2.0
"""Seconds without any view, or without a word from any, after which the thread ends."""

SHARE = 0.6
"""Part of one processor that drawing may take: frames that cost more come more rarely."""

STILL = 1.0
"""Seconds without change after which the loop looks more rarely, ``IDLE_RATE`` times a second."""

IDLE_RATE = 30.0

ASK = 5.0
"""Seconds without a word after which a frame is sent though nothing changed: is there anybody?"""

LONG = 0.5
"""Seconds after which a cell counts as long."""

REPEAT_BUSY = 0.5
"""Seconds after which, while a cell runs, a whole frame is sent again: a view may have come unheard."""


class FrameLoop:
    """A daemon thread that calls ``tick(n)`` at most *rate* times a second while some view looks on.

    *tick* sends frame *n* and returns True, or returns False when nothing has changed since the last frame.
    *refresh*, if given, is called before a tick that must send a whole frame: a view came that has seen none.
    *alive* says whether there is still somebody to send to (``lambda: widget.comm is not None``). *over*
    is told at every end why, and the exception if *tick* raised one.

    :meth:`received` takes what views send: ``{"view": id, "is": "seen"}`` when one comes into sight,
    ``"hidden"`` when it scrolls away or its tab does, ``"gone"`` when it's removed; the same with
    ``"ack": n`` for a painted frame, so that a view which was given up for its silence is back with it. The
    thread begins with :meth:`start` or with the first view seen. It ends with :meth:`stop`, when
    *alive* says no, when a cell was interrupted, when *tick* raised, and after two seconds with nobody
    looking (and begins again when somebody does). :attr:`ended` says why: ``"stopped"``, ``"closed"``,
    ``"interrupted"``, ``"failed"``, ``"unseen"``; it is empty while frames flow.
    """

    def __init__(
        self,
        tick: Callable[[int], bool],
        rate: float = 60.0,
        *,
        refresh: Callable[[], None] | None = None,
        alive: Callable[[], bool] | None = None,
        over: Callable[[str, Exception | None], None] | None = None,
    ) -> None:
        if not 0 < rate <= 240:
            raise ValueError(f"rate {rate!r} isn't between 0 and 240 frames a second")
        self.rate = float(rate)
        self.frame = 0
        """Number of the last frame sent."""
        self.acknowledged = 0
        """Number of the newest frame that a view has painted."""
        self.ended = "unseen"
        self._tick, self._refresh = tick, refresh or (lambda: None)
        self._alive, self._tell = alive or (lambda: True), over or (lambda reason, error: None)
        self._state = threading.Condition(threading.RLock())
        self._halt = threading.Event()
        self._thread: threading.Thread | None = None
        self._views: dict[str, bool] = {}
        self._busy = self._met = False
        self._later: threading.Timer | None = None
        self._shell: Any = None
        self._error: Exception | None = None
        # Refreshed by the thread that ticks: a view that comes during a tick must not be overruled by it.
        self._whole = False
        self._number = 0  # of the frame that is being made, or was made last
        self._window = WINDOW
        self._times = [0.0] * 32  # when the latest frames were sent
        self._heard = self._unseen = self._sent = self._changed = self._repeated = 0.0

    def __repr__(self) -> str:
        return (
            f"FrameLoop({'running' if self.running else self.ended}, {self.rate:g} frames a second at most)"
        )

    @property
    def running(self) -> bool:
        """Whether the thread is there."""
        return self._thread is not None

    def start(self) -> None:
        """Begin, or begin again after any end but a closed widget. Does nothing while it runs."""
        with self._state:
            if not self._alive() or (self._thread is not None and not self._halt.is_set()):
                return
            # Whoever calls from a notebook does so inside a cell; what comes from a view says so itself.
            self._busy = self._listen()
            self._begin()

    def stop(self, timeout: float = 1.0) -> None:
        """End the thread and wait until it's gone, at most *timeout* seconds. May be called twice, from any
        thread.

        Raises TimeoutError if it's still in a tick by then.
        """
        with self._state:
            thread = self._thread
            if thread is None or not self._halt.is_set():
                self.ended = "stopped" if self._alive() else "closed"
            self._halt.set()
            self._state.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)
            if thread.is_alive():
                raise TimeoutError(
                    f"the frame loop is still sending frame {self.frame + 1} after {timeout:g} s"
                )
        else:
            self._say(self.ended)
        self._deaf()

    def received(self, content: object) -> bool:
        """Take a message from a view; return whether it was one for the loop."""
        if not isinstance(content, Mapping) or not ({"ack", "view"} & content.keys()):
            return False
        with self._state:
            now = self._heard = time.monotonic()
            if threading.current_thread() is threading.main_thread():
                # The main thread reads messages only between cells.
                self._set_busy(False)
            ack = content.get("ack")
            if isinstance(ack, int):
                # It may come before the tick that sent the frame returns.
                ack = min(ack, self._number)
                if self.acknowledged < ack:
                    late = now - self._times[ack % len(self._times)] > SLOW
                    self._window = WINDOW_SLOW if late else WINDOW
                self.acknowledged = max(self.acknowledged, ack)
            if "view" in content:
                self._view(str(content["view"]), str(content.get("is", "seen")), now)
            wanted = "view" not in content or content.get("is", "seen") == "seen"
            if wanted and self._thread is None and self._alive():
                if self.ended == "unseen":
                    self._listen()
                    self._begin()
                elif ack is None and self.ended in ("stopped", "interrupted", "failed"):
                    self._still()
                    self._say(self.ended)
            elif self._thread is None and not self._views:
                self._deaf()
            self._met = True
            self._state.notify_all()
        return True

    # --- with the state held -----------------------------------------------------------------------------

    def _view(self, view: str, what: str, now: float) -> None:
        if what == "gone":
            self._views.pop(view, None)
        else:
            new = view not in self._views
            self._views[view] = what == "seen"
            if new:
                self.acknowledged = max(self.acknowledged, self.frame)
                self._whole = True
        if not any(self._views.values()):
            self._unseen = now

    def _begin(self) -> None:
        self._halt.clear()
        self.ended = ""
        self._error = None
        now = time.monotonic()
        self._heard = self._unseen = self._sent = self._changed = now
        self._repeated = 0.0
        self._met = False
        self.acknowledged = self.frame
        self._whole = True
        if self._thread is not None:  # told to end, and still there: it goes on instead
            return
        self._thread = threading.Thread(target=self._run, name=NAME, daemon=True)
        self._set_busy(self._busy)
        self._thread.start()

    def _set_busy(self, busy: bool) -> None:
        self._busy = busy
        turns.shorten(self, busy and self._thread is not None)

    def _still(self) -> None:
        """Show what there is; nothing moves."""
        self._refresh()
        with contextlib.suppress(Exception):
            self._number = self.frame + 1
            if self._tick(self._number):
                self.frame = self._number

    def _over(self, now: float) -> str:
        if self._halt.is_set():
            return self.ended or "stopped"
        if not self._alive():
            return "closed"
        if self._busy:
            return ""
        if not any(self._views.values()):
            return "unseen" if now - self._unseen > ABSENT else ""
        if self.frame > self.acknowledged and now - max(self._heard, self._sent) > ABSENT:
            # They said they look, and don't: the page was closed or reloaded without a word.
            self._views.clear()
            return "unseen"
        return ""

    # --- the thread --------------------------------------------------------------------------------------

    def _run(self) -> None:
        due = time.monotonic()
        while True:
            self._halt.wait(max(0.0, due - time.monotonic()))
            with self._state:
                # Time passed without an acknowledgement counts from when the waiting began.
                if self.frame <= self.acknowledged:
                    self._sent = time.monotonic()
                self._state.wait_for(self._may_send, PATIENCE_BUSY if self._busy else PATIENCE)
                now = time.monotonic()
                reason = self._over(now)
                if reason:
                    self._end(reason)
                    if reason == "interrupted":  # what has become of it is still to be seen
                        self._still()
                    break
                if now - max(0 if self._busy else self._heard, self._repeated) > (
                    REPEAT_BUSY if self._busy else ASK
                ):
                    self._repeated = now
                    self._whole = True
                look = self._busy or any(self._views.values())
                whole, self._whole = self._whole and look, self._whole and not look
                self._number = number = self.frame + 1
                self._times[number % len(self._times)] = now
            began = time.thread_time()
            try:
                if whole:
                    self._refresh()
                if look and self._tick(number):
                    self.frame = number
                    self._changed = now
            except Exception as error:
                with self._state:
                    reason = "failed" if self._alive() else "closed"
                    self._end(reason)
                    self._error = error
                self._say(reason)
                return
            rate = self.rate if now - self._changed < STILL else min(self.rate, IDLE_RATE)
            spent = time.thread_time() - began
            due = max(due + 1 / rate, time.monotonic() + spent * (1 / SHARE - 1))
        self._say(reason)

    def _may_send(self) -> bool:
        return self._halt.is_set() or self.frame - self.acknowledged < self._window

    def _say(self, reason: str) -> None:
        with contextlib.suppress(Exception):  # there may be nobody left to tell
            self._tell(reason, self._error)

    def _end(self, reason: str) -> None:
        self.ended = reason
        self._thread = None
        self._set_busy(self._busy)
        if reason != "unseen" or not self._views:
            self._deaf()

    # --- what IPython tells ------------------------------------------------------------------------------

    def _listen(self) -> bool:
        """Ask IPython to be told of cells; return whether there is one."""
        if self._shell is None and "IPython" in sys.modules:
            from IPython import get_ipython

            shell = get_ipython()
            if shell is not None and getattr(shell, "kernel", None) is not None:
                shell.events.register("pre_run_cell", self._cell_begins)
                shell.events.register("post_run_cell", self._cell_ends)
                self._shell = shell
        return self._shell is not None

    def _deaf(self) -> None:
        with self._state:
            shell, self._shell = self._shell, None
            self._no_later()
        if shell is not None:
            for event, callback in (("pre_run_cell", self._cell_begins), ("post_run_cell", self._cell_ends)):
                with contextlib.suppress(ValueError):
                    shell.events.unregister(event, callback)

    def _cell_begins(self, _info: object = None) -> None:
        with self._state:
            self._set_busy(True)
            # A view that is out of sight may be scrolled to while a long cell runs, and couldn't tell us.
            if self._thread is None and self._views:
                self._no_later()
                self._later = threading.Timer(LONG, self._cell_is_long)
                self._later.daemon = True
                self._later.start()

    def _cell_is_long(self) -> None:
        with self._state:
            if self._busy and self._thread is None and self.ended == "unseen" and self._alive():
                self._begin()

    def _no_later(self) -> None:
        if self._later is not None:
            self._later.cancel()
            self._later = None

    def _cell_ends(self, result: object = None) -> None:
        error = getattr(result, "error_in_exec", None) or getattr(result, "error_before_exec", None)
        with self._state:
            self._set_busy(False)
            self._no_later()
            self._sent = time.monotonic()
            if not self._met:
                self._unseen = self._sent
            if isinstance(error, KeyboardInterrupt) and self._thread is not None:
                self.ended = "interrupted"
                self._halt.set()
                self._state.notify_all()
