"""The live plot: the numbers in a buffer as a line that follows them, drawn by matplotlib in the kernel.

Axes, labels and title are drawn once and kept; a frame restores them, draws the line, and sends the part that
moved as a PNG (compressed lightly: at level 1 the file is made in a third of the time). Imported by lessons
through :mod:`shmlab.panels`; the drawing itself is in :mod:`shmlab.figures`.
"""

import io
from typing import Any

from shmlab import figures, observe
from shmlab.panels.live import DRAWING, LiveView, Look, front_end


class Canvas:
    """A figure of values kept between frames: what stands still as pixels, the line as an artist."""

    def __init__(
        self, sample: observe.Sample, name: str, dtype: object, unit: str, colour: str, size: tuple[int, int]
    ):
        self._canvas, axes = figures.figure(*size)
        self._artists = figures.draw_values(axes, sample, name, dtype, unit, colour)
        self._artists.line.set_animated(True)
        self._ground: Any = None

    def draw(self, sample: observe.Sample, whole: bool) -> tuple[bool, int, int, bytes]:
        """Draw a sample; return whether the PNG is the whole picture, its place (x, y, in pixels), and the PNG."""
        moved = figures.update_values(self._artists, sample)
        axes = self._artists.ax
        if moved or self._ground is None:
            self._canvas.draw()
            self._ground = self._canvas.copy_from_bbox(axes.figure.bbox)
            whole = True
        else:
            self._canvas.restore_region(self._ground)
        axes.draw_artist(self._artists.line)
        if whole:
            return True, 0, 0, self._png(slice(None), slice(None))
        height = self._canvas.get_width_height()[1]
        box = axes.bbox
        left, right = int(box.x0), int(box.x1) + 1
        top, bottom = height - int(box.y1) - 1, height - int(box.y0)
        return False, left, top, self._png(slice(top, bottom), slice(left, right))

    def _png(self, rows: slice, columns: slice) -> bytes:
        import numpy as np
        from PIL import Image

        pixels = np.ascontiguousarray(np.asarray(self._canvas.buffer_rgba())[rows, columns, :3])
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "PNG", compress_level=1)
        return stream.getvalue()


class LivePlot(LiveView):
    """A live plot of the numbers in the object *name* (``/mymem``): value against index.

    *dtype* is what the bytes are read as (numpy's name of an integer or float, ``"uint8"``, ``"int32"``,
    ``"float64"``); *offset* and *length* (bytes) choose a part; of more than *points* numbers, evenly spaced ones
    are shown, and the title says so. *unit* is what a value counts, for the axis; *colour* a process's colour.
    *width* and *height* are pixels, *rate* frames a second at most.

    The object needn't exist: the plot says so, and shows it when it appears. Raises ValueError for a *dtype*
    that can't be drawn and for arguments that no plot can have.
    """

    _esm = front_end("live.js", "picture.js")

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
        rate: float = 30.0,
    ) -> None:
        for word, value, least in (
            ("points", points, 2), ("offset", offset, 0), ("length", length, 1), ("width", width, 300), ("height", height, 200)
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
            whole, x, y, png = self._canvas.draw(look.sample, unseen)
        width, height = self._size
        return {"part": not whole, "x": x, "y": y, "width": width, "height": height}, [png]

    def _draw(self, axes: Any, sample: observe.Sample) -> None:
        figures.draw_values(axes, sample, self.name, self._dtype, self._unit, self._colour)

    def _still_size(self, sample: observe.Sample) -> tuple[int, int]:
        return self._size

    def _describe(self, sample: observe.Sample) -> str:
        return figures.describe_values(self.name, sample, self._dtype)
