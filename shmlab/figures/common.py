"""What every figure shares: a canvas of its own, type that reads from the back row, sizes in words."""

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from shmlab.palette import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

TYPE = 14
"""Smallest type in a figure, in points at 100 dots an inch: readable from the back row."""


class Bytes(Protocol):
    """What a figure needs to know of a sample: where its bytes stood, and the bytes.

    Byte *i* of ``data`` stands at ``offset + (i // run) * stride + i % run``.
    """

    @property
    def size(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def stride(self) -> int: ...
    @property
    def run(self) -> int: ...
    @property
    def data(self) -> bytes: ...


def size_text(count: int) -> str:
    """Return a number of bytes in words: ``1 byte``, ``100 bytes``, ``64 KiB``, ``1.5 MiB``."""
    if count < 1024:
        return f"{count} byte{'' if count == 1 else 's'}"
    power = min(int(math.log2(count)) // 10, 4)
    scaled = count / 1024**power
    digits = (
        f"{scaled:.0f}" if scaled == int(scaled) else f"{scaled:.3g}" if scaled < 1000 else f"{scaled:.0f}"
    )
    return f"{digits} {' KMGT'[power]}iB"


def position(sample: Bytes, index: int) -> int:
    """Return the offset in the object of byte *index* of a sample."""
    return sample.offset + index // max(sample.run, 1) * sample.stride + index % max(sample.run, 1)


def is_sampled(sample: Bytes) -> bool:
    """Return whether bytes between the runs were left out."""
    return sample.stride > sample.run


def coverage(sample: Bytes) -> str:
    """Return what part of the object a sample shows: ``64 KiB of 1 GiB: 256 bytes from every 4 MiB``."""
    shown, size = len(sample.data), sample.size
    if is_sampled(sample):
        each = f"{size_text(sample.run)} from every {size_text(sample.stride)}"
        return f"{size_text(shown)} of {size_text(size)}: {each}"
    if shown < size:
        return f"{size_text(shown)} of {size_text(size)}, from offset {sample.offset}"
    return f"all {size_text(size)}" if size > 1 else size_text(size)


def figure(width: int = 900, height: int = 400) -> "tuple[FigureCanvasAgg, Axes]":
    """Return (canvas, axes) of a new figure of so many pixels that no global state knows of."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    owner = Figure(figsize=(width / 100, height / 100), dpi=100, layout="constrained", facecolor="white")
    return FigureCanvasAgg(owner), owner.add_subplot()


def png(canvas: "FigureCanvasAgg") -> bytes:
    """Return the canvas as a PNG file."""
    from PIL import Image

    canvas.draw()
    return _packed(Image.frombuffer("RGBA", canvas.get_width_height(), canvas.buffer_rgba()))


def stack(pictures: Sequence[bytes]) -> bytes:
    """Return PNG files as one, each below the one before."""
    from PIL import Image

    images = [Image.open(io.BytesIO(each)).convert("RGB") for each in pictures]
    whole = Image.new(
        "RGB", (max(each.width for each in images), sum(each.height for each in images)), "white"
    )
    top = 0
    for image in images:
        whole.paste(image, (0, top))
        top += image.height
    return _packed(whole)


def _packed(image: "Image.Image") -> bytes:
    """Return a PNG of 128 colours: a third of the size, and a notebook stores every picture."""
    stream = io.BytesIO()
    image.convert("RGB").quantize(128).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def tint(colour: str) -> tuple[float, ...]:
    """Return *colour* so light that black type on it is easy to read."""
    from matplotlib.colors import to_rgb

    return tuple(0.85 + 0.15 * part for part in to_rgb(colour))


def dress(ax: "Axes", title: str, x: str, y: str) -> None:
    ax.set_title(title, fontsize=TYPE + 2, color=INK, loc="left")
    ax.set_xlabel(x, fontsize=TYPE, color=INK)
    ax.set_ylabel(y, fontsize=TYPE, color=INK)
    ax.tick_params(labelsize=TYPE, colors=INK)
