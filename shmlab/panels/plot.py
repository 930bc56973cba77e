"""The live plot: the numbers in a buffer as a line that follows them, drawn by matplotlib in the kernel.

Axes, labels and title are drawn once and sent once; a frame draws the line alone and sends it as a PNG, which
the browser puts on top of them (picture.js). Compressed lightly: at level 1 it takes a third of the time.
Imported by lessons through :mod:`shmlab.panels`; the drawing itself is in :mod:`shmlab.figures`.
"""

import io
from typing import Any

import numpy as np
from PIL import Image

from shmlab import figures, observe
from shmlab.panels.live import LiveView, Look
from shmlab.panels.moving import front_end
from shmlab.panels.still import DRAWING


class Canvas:
    """A figure of values kept between frames: what stands still, and the line drawn on nothing."""

    def __init__(
        self, sample: observe.Sample, name: str, dtype: object, unit: str, colour: str, size: tuple[int, int]
    ):
        self._canvas, axes = figures.figure(*size)
        self._artists = figures.draw_values(axes, sample, name, dtype, unit, colour)
        self._artists.line.set_animated(True)
        self._ground = b""

    def draw(self, sample: observe.Sample, whole: bool) -> tuple[int, int, list[bytes]]:
        """Draw a sample; return where the line's picture goes (x, y, in pixels) and the PNGs.

        The last one is the line; before it stands the picture to put it on, if *whole* or if that one
        changed.
        """
        if figures.update_values(self._artists, sample) or not self._ground:
            self._canvas.draw()
            self._ground = _png(Image.fromarray(self._pixels()[:, :, :3]))
            whole = True
        axes, line = self._artists.ax, self._artists.line
        self._canvas.get_renderer().clear()
        axes.draw_artist(line)
        height = self._canvas.get_width_height()[1]
        left, right = int(axes.bbox.x0), int(axes.bbox.x1) + 1
        top, bottom = height - int(axes.bbox.y1) - 1, height - int(axes.bbox.y0)
        # Of a line in one colour the opacity says everything: a palette of that colour in 256 opacities takes
        # a quarter of the bytes, and so of the time to compress them.
        opacity = Image.fromarray(np.ascontiguousarray(self._pixels()[top:bottom, left:right, 3]))
        opacity.putpalette(_rgb(line.get_color()) * 256)
        above = _png(opacity, transparency=bytes(range(256)))
        return left, top, [self._ground, above] if whole else [above]

    def _pixels(self) -> Any:
        return np.asarray(self._canvas.buffer_rgba())


def _rgb(colour: Any) -> list[int]:
    from matplotlib.colors import to_rgb

    return [round(255 * part) for part in to_rgb(colour)]


def _png(image: Image.Image, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=1, **options)
    return stream.getvalue()


class LivePlot(LiveView):
    """A live plot of the numbers in the object *name* (``/mymem``): value against index.

    *dtype* is what the bytes are read as (numpy's name of an integer or float, ``"uint8"``, ``"int32"``,
    ``"float64"``); *offset* and *length* (bytes) choose a part; of more than *points* numbers, evenly spaced
    ones are shown, and the title says so. *unit* is what a value counts, for the axis; *colour* a process's
    colour. *width* and *height* are pixels, *rate* frames a second at most.

    The object needn't exist: the plot says so, and shows it when it appears. Raises ValueError for a *dtype*
    that can't be drawn and for arguments that no plot can have.
    """

    _esm = front_end("frames.js", "live.js", "picture.js")

    def __init__(
        self,
        name: str,
        dtype: object = "uint8",
        points: int = 2000,
        offset: int = 0,
        length: int | None = None,
        unit: str = "",
        colour: str = "",
        width: int = 900,
        height: int = 400,
        rate: float = 40.0,
    ) -> None:
        for word, value, least in (
            ("points", points, 2), ("offset", offset, 0), ("length", length, 1), ("width", width, 300),
            ("height", height, 200)
        ):  # fmt: skip
            if value is not None and (not isinstance(value, int) or value < least):
                raise ValueError(f"{word}={value!r}: a plot needs a whole number from {least}")
        self._dtype = figures.scalar_dtype(dtype)
        self._points, self._offset, self._length = points, offset, length
        self._unit, self._colour, self._size = unit, colour, (width, height)
        self._canvas: Canvas | None = None
        super().__init__(name, rate)

    def _sample(self, sampler: observe.Sampler) -> observe.Sample:
        return sampler.sample(self._points, self._dtype.itemsize, self._offset, self._length)

    def _frame(self, look: Look) -> tuple[dict[str, Any], list[bytes]]:
        assert look.sample is not None
        with DRAWING:
            if self._canvas is None:
                self._canvas = Canvas(
                    look.sample, self.name, self._dtype, self._unit, self._colour, self._size
                )
            # Whoever hasn't seen the frame before this one needs the whole picture.
            unseen = self._last is None or self._last.sample is None
            x, y, pictures = self._canvas.draw(look.sample, unseen)
        width, height = self._size
        return {"part": len(pictures) == 1, "x": x, "y": y, "width": width, "height": height}, pictures

    def _draw(self, axes: Any, sample: observe.Sample) -> None:
        figures.draw_values(axes, sample, self.name, self._dtype, self._unit, self._colour)

    def _still_size(self, sample: observe.Sample) -> tuple[int, int]:
        return self._size

    def _describe(self, sample: observe.Sample) -> str:
        return figures.describe_values(self.name, sample, self._dtype)
