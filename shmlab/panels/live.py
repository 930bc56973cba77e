"""What the live views have in common: an object that is watched by name.

A view says in words when there is nothing to see (no such object yet, size 0, no permission), and starts to
show it by itself when there is. What is drawn, and how, stands in :mod:`shmlab.panels.grid`,
:mod:`shmlab.panels.plot` and the others that subclass :class:`LiveView`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shmlab import figures, observe
from shmlab.panels.moving import Moving, front_end
from shmlab.panels.still import DRAWING, Bundle, Still


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at an object found: a sample of its bytes, or the sentence that says why there is none."""

    sample: observe.Sample | None
    allocated: int = 0
    problem: str = ""


class LiveView(Still, Moving):
    """A live view of the object called *name*; subclasses say what to sample and how to draw it.

    Frames are sent while the view is on screen. :meth:`stop` freezes it, :meth:`start` goes on; ``close``
    removes it. An interrupted cell freezes it too.
    """

    _css = front_end("live.css")

    def __init__(self, name: str, rate: float = 60.0) -> None:
        if not isinstance(name, str) or not name.strip("/"):
            raise ValueError(f"{name!r} isn't the name of an object: give one like '/mymem'")
        self.name = name
        self._sampler: observe.Sampler | None = None
        self._existed = False
        super().__init__(rate)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    @property
    def running(self) -> bool:
        """Whether frames are being sent (they are only while somebody looks)."""
        return self.loop.running

    @property
    def sentence(self) -> str:
        """What the view shows right now, in one sentence."""
        return self._sentence(self._look())

    def start(self) -> None:
        """Show live again after :meth:`stop`, an interrupt or an error."""
        self.loop.start()

    def stop(self) -> None:
        """Send no more frames; the last one stays on screen. May be called twice."""
        self.loop.stop()

    # --- for subclasses ----------------------------------------------------------------------------------

    def _sample(self, sampler: observe.Sampler) -> observe.Sample:
        raise NotImplementedError

    def _frame(self, look: Look) -> tuple[dict[str, Any], list[bytes]]:
        """Return what a frame says and its buffers; *look* has a sample with bytes."""
        raise NotImplementedError

    def _draw(self, axes: Any, sample: observe.Sample) -> None:
        """Draw a still picture."""
        raise NotImplementedError

    def _still_size(self, sample: observe.Sample) -> tuple[int, int]:
        """Return width and height of the still picture in pixels."""
        return 900, 400

    def _describe(self, sample: observe.Sample) -> str:
        raise NotImplementedError

    def _caption(self, look: Look) -> str:
        assert look.sample is not None
        return f"{figures.coverage(look.sample)} · {figures.size_text(look.allocated)} allocated"

    # --- looking and sending -----------------------------------------------------------------------------

    def _look(self) -> Look:
        try:
            if self._sampler is None:
                self._sampler = observe.Sampler(self.name)
            sample, allocated = self._sample(self._sampler), self._sampler.allocated
        except FileNotFoundError:
            if self._existed:
                return Look(
                    None,
                    problem=f"{self.name!r} is gone: its name was unlinked. Whoever maps it keeps the bytes.",
                )
            return Look(
                None, problem=f"{self.name!r} doesn't exist yet. It's shown as soon as a process creates it."
            )
        except OSError as error:
            return Look(None, problem=f"{self.name!r} can't be read: {error.strerror}.")
        self._existed = True
        if sample.size == 0:
            return Look(
                None, problem=f"{self.name!r} exists and has size 0: no bytes until ftruncate gives it some."
            )
        if not sample.data:
            size = figures.size_text(sample.size)
            return Look(None, problem=f"{self.name!r} has {size}: none at offset {sample.offset}.")
        return Look(sample, allocated)

    def _sentence(self, look: Look) -> str:
        return look.problem if look.sample is None else self._describe(look.sample)

    def _tick(self, number: int) -> bool:
        look = self._look()
        if look == self._last:
            return False
        content, buffers = self._content(look)
        content |= {"sentence": self._sentence(look), "frame": number, "heard": self.loop.acknowledged}
        self.send(content, buffers)
        self._last = look
        return True

    def _content(self, look: Look) -> tuple[dict[str, Any], list[bytes]]:
        """Return all that a frame says of *look*, and its buffers."""
        content: dict[str, Any] = {"title": self.name, "caption": "", "problem": look.problem}
        if look.sample is None:
            return content, []
        more, buffers = self._frame(look)
        return content | {"caption": self._caption(look)} | more, buffers

    def _over(self, reason: str, error: Exception | None) -> None:
        says = {
            "stopped": "Stopped.",
            "interrupted": "Stopped by an interrupt.",
            "failed": f"Stopped by an error: {type(error).__name__}: {error}",
        }
        if reason in says:
            self.say(says[reason])

    def _order(self, content: dict[str, Any]) -> Callable[[], object] | None:
        return self.start if content.get("again") else None

    # --- the still picture -------------------------------------------------------------------------------

    def still(self) -> bytes | None:
        """Return what there is now as a PNG, or None when there is nothing to see."""
        return self._painted(self._look())

    def _painted(self, look: Look) -> bytes | None:
        if look.sample is None:
            return None
        with DRAWING:
            canvas, axes = figures.figure(*self._still_size(look.sample))
            self._draw(axes, look.sample)
            return figures.png(canvas)

    def _still(self) -> Bundle:
        look = self._look()
        sentence = self._sentence(look)
        picture = self._painted(look)
        if picture is None:
            return {"text/plain": sentence}, {}
        return {"text/plain": sentence, "image/png": picture}, {"image/png": {"alt": sentence}}
