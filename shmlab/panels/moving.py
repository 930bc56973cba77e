"""A widget that moves: frames while somebody looks, and what is clicked.

The frame loop has the frames' pace, and the front end (``follow`` in frames.js) its other half; here stands
what lies between them and a panel. A panel says what a frame is and what a click asks for. Whatever goes
wrong, in a click or in a frame, is said on the page: neither has a traceback that anybody would see.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget

from shmlab.panels.frames import FrameLoop

HERE = Path(__file__).parent

INTERRUPTED = (
    "A cell was interrupted, and what ran here was stopped. To go on, run the lesson from its first cell."
)

RATE = 30.0
"""Frames a second, at most, of a panel that doesn't say another rate."""


def front_end(*names: str) -> str:
    """Return the JavaScript, or the style sheet, of a widget: the files *names* of this folder, one after the
    other."""
    return "\n".join((HERE / name).read_text(encoding="utf-8") for name in names)


def begin(widget: Any) -> None:
    """Let a widget move, and all that it's made of: it's being displayed."""
    if isinstance(widget, Moving):
        widget.loop.start()
    for child in getattr(widget, "children", ()):
        begin(child)


class Moving(anywidget.AnyWidget):
    """A widget with a frame loop, of at most *rate* frames a second; *traits* are those of its class.

    Subclasses say what a frame is (:meth:`_tick`), what a click asks for (:meth:`_order`), and what closing
    ends (:meth:`_end`).
    """

    _last: Any = None
    """What was sent last; None when a view has come since, which has seen nothing of it."""

    _at_rest = False
    """Whether the page says that nothing moves, and why."""

    def __init__(self, rate: float = RATE, **traits: Any) -> None:
        self.loop = FrameLoop(
            self._send_frame,
            rate,
            refresh=self._forget,
            alive=lambda: self.comm is not None,
            over=self._over,
        )
        """The frame loop that sends the frames."""
        super().__init__(**traits)
        self.on_msg(self._received)

    def close(self) -> None:
        """Take it off the page, and end the frames and all else that moves it. May be called twice."""
        super().close()
        if loop := self.__dict__.get("loop"):
            try:
                self._end()
            finally:
                loop.stop()

    def say(self, words: str) -> None:
        """Show a sentence on the page; an empty one hides it."""
        self.send({"say": words})

    # --- for subclasses ----------------------------------------------------------------------------------

    def _tick(self, number: int) -> bool:
        """Send frame *number* and return True; or return False when it would be what was sent last."""
        raise NotImplementedError

    def _order(self, content: dict[str, Any]) -> Callable[[], object] | None:
        """Return what a message asks for; None when it asks for nothing."""
        return None

    def _end(self) -> None:
        """End what was set about; the frames end by themselves."""

    def _over(self, reason: str, error: Exception | None) -> None:
        """Hear that no more frames come, and why (:class:`FrameLoop`)."""
        says = {"interrupted": INTERRUPTED, "failed": f"This can't be shown: {type(error).__name__}: {error}"}
        if reason in says:
            self._at_rest = True
            self.say(says[reason])

    def _forget(self) -> None:
        self._last = None

    def _send_frame(self, number: int) -> bool:
        sent = self._tick(number)
        if self._at_rest and self.loop.running:  # it moves again
            self._at_rest = False
            self.say("")
        return sent

    # --- what the browser says ---------------------------------------------------------------------------

    def _received(self, _widget: object, content: object, _buffers: object) -> None:
        if self.loop.received(content) or not isinstance(content, dict):
            return
        order = self._order(content)
        if order is None:
            return
        # Before it's done, for what is said of a frame meanwhile is to stay.
        self._at_rest = False
        self.say("")
        self.loop.start()  # whoever clicks wants to see what comes of it
        try:
            order()
        except Exception as error:
            self.say(str(error) or type(error).__name__)
