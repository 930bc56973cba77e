"""matplotlib figures of what was observed: ``draw_*`` creates the artists once, ``update_*`` moves them.

Each takes a :class:`shmlab.observe.Sample` (or anything with its fields) and one Axes, and knows no widget:
panels draw live with them, lessons and static pictures use the same ones, so that both look alike. No figure
of pyplot's is touched (:func:`figure` makes its own canvas), and matplotlib is loaded at the first drawing.
Imported by :mod:`shmlab.panels` and by lessons.
"""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from shmlab.palette import BYTE_COLOURMAP, INK, PROCESS_COLOURS, QUIET

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.image import AxesImage
    from matplotlib.lines import Line2D
    from matplotlib.text import Text

TEXT_LIMIT = 512
"""Up to so many bytes each is written out in its cell; more are pixels."""

TYPE = 14
"""Smallest type in a figure, in points at 100 dots an inch: readable from the back row."""

NOTATIONS = ("hex", "decimal", "characters")


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


def byte_text(value: int, notation: str = "hex") -> str:
    """Return one byte as ``hex`` (``41``), ``decimal`` (``65``) or ``characters`` (``A``; a dot if unprintable)."""
    if notation == "decimal":
        return str(value)
    if notation == "characters":
        return chr(value) if 0x20 < value < 0x7F else "␣" if value == 0x20 else "·"
    return f"{value:02x}"


def layout(count: int, columns: int | None = None) -> tuple[int, int]:
    """Return (columns, rows) for *count* bytes: powers of two, so that rows begin at round offsets."""
    if columns is None:
        if count <= 16:
            columns = max(count, 1)
        elif count <= 256:
            columns = 16
        elif count <= TEXT_LIMIT:
            columns = 32
        else:
            columns = min(1 << math.ceil(math.log2(math.sqrt(count))), 256)
    return columns, max(1, -(-count // columns))


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
        return f"{size_text(shown)} of {size_text(size)}: {size_text(sample.run)} from every {size_text(sample.stride)}"
    if shown < size:
        return f"{size_text(shown)} of {size_text(size)}, from offset {sample.offset}"
    return f"all {size_text(size)}" if size > 1 else size_text(size)


def describe_bytes(name: str, sample: Bytes) -> str:
    """Return one sentence that says what a drawing of these bytes shows, for those who can't see it."""
    if not sample.data:
        return f"{name!r} has no bytes at offset {sample.offset}: its size is {size_text(sample.size)}."
    first = " ".join(f"{value:02x}" for value in sample.data[:16])
    more = " …" if len(sample.data) > 16 else ""
    return f"The bytes of {name!r} ({coverage(sample)}); in hex from offset {sample.offset}: {first}{more}"


def figure(width: int = 900, height: int = 400) -> "tuple[FigureCanvasAgg, Axes]":
    """Return (canvas, axes) of a new figure of so many pixels that no global state knows of."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    owner = Figure(figsize=(width / 100, height / 100), dpi=100, layout="constrained", facecolor="white")
    return FigureCanvasAgg(owner), owner.add_subplot()


def png(canvas: "FigureCanvasAgg") -> bytes:
    """Return the canvas as a PNG file."""
    stream = io.BytesIO()
    canvas.print_png(stream)
    return stream.getvalue()


def stack(pictures: Sequence[bytes]) -> bytes:
    """Return PNG files as one, each below the one before."""
    from PIL import Image

    images = [Image.open(io.BytesIO(each)).convert("RGB") for each in pictures]
    whole = Image.new("RGB", (max(each.width for each in images), sum(each.height for each in images)), "white")
    top = 0
    for image in images:
        whole.paste(image, (0, top))
        top += image.height
    stream = io.BytesIO()
    whole.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _dress(ax: "Axes", title: str, x: str, y: str) -> None:
    ax.set_title(title, fontsize=TYPE + 2, color=INK, loc="left")
    ax.set_xlabel(x, fontsize=TYPE, color=INK)
    ax.set_ylabel(y, fontsize=TYPE, color=INK)
    ax.tick_params(labelsize=TYPE, colors=INK)


# --- bytes -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BytesArtists:
    """What :func:`draw_bytes` created: the image, and at small sizes one text a byte."""

    ax: "Axes"
    image: "AxesImage"
    texts: "Sequence[Text]"
    shape: tuple[int, int]
    count: int
    name: str
    notation: str


def draw_bytes(
    ax: "Axes", sample: Bytes, name: str = "", columns: int | None = None, notation: str = "hex"
) -> BytesArtists:
    """Draw bytes as a grid, one cell a byte, dark 0 to bright 255; up to 512 are written out as well.

    Rows are labelled with the offset of their first byte, columns with what to add to it. *notation* is one
    of ``hex``, ``decimal``, ``characters``. Returns the artists for :func:`update_bytes`.
    """
    if notation not in NOTATIONS:
        raise ValueError(f"notation {notation!r} isn't one of {', '.join(NOTATIONS)}")
    count = len(sample.data)
    if columns is None and is_sampled(sample):
        columns = sample.run
    columns, rows = layout(count, columns)
    image = ax.imshow(
        _matrix(sample.data, columns, rows),
        cmap=BYTE_COLOURMAP,
        vmin=0,
        vmax=255,
        aspect="auto",
        interpolation="nearest",
    )
    texts = []
    if count <= TEXT_LIMIT:
        size = TYPE if columns <= 16 else TYPE * 0.75
        for index in range(count):
            at = (index % columns, index // columns)
            texts.append(ax.text(*at, "", ha="center", va="center", fontsize=size, family="monospace"))
    _dress(ax, "", "byte in the row", "row offset (bytes)")
    _label_rows(ax, sample, columns, rows)
    artists = BytesArtists(ax, image, texts, (rows, columns), count, name, notation)
    update_bytes(artists, sample)
    return artists


def update_bytes(artists: BytesArtists, sample: Bytes) -> None:
    """Show another sample of the same length with the artists of :func:`draw_bytes`.

    Raises ValueError when the number of bytes differs: then the grid has to be drawn anew.
    """
    if len(sample.data) != artists.count:
        raise ValueError(
            f"{len(sample.data)} bytes for a grid that was drawn for {artists.count}: draw it anew"
        )
    rows, columns = artists.shape
    artists.image.set_data(_matrix(sample.data, columns, rows))
    for text, value in zip(artists.texts, sample.data, strict=False):
        text.set_text(byte_text(value, artists.notation))
        text.set_color("white" if value < 128 else INK)
    artists.ax.set_title(
        f"{artists.name}  {coverage(sample)}".strip(), fontsize=TYPE + 2, color=INK, loc="left"
    )


def _matrix(data: bytes, columns: int, rows: int) -> Any:
    import numpy as np

    cells = np.full(columns * rows, np.nan, dtype=np.float32)
    cells[: len(data)] = np.frombuffer(data, dtype=np.uint8)
    return cells.reshape(rows, columns)


def _label_rows(ax: "Axes", sample: Bytes, columns: int, rows: int) -> None:
    every = max(1, -(-rows // 16))
    shown = range(0, rows, every)
    ax.set_yticks(list(shown), [f"{position(sample, row * columns):#x}" for row in shown])
    step = max(1, columns // 16) if columns > 16 else 1
    ticks = range(0, columns, step if columns <= 32 else max(1, columns // 8))
    ax.set_xticks(list(ticks), [f"+{column:x}" for column in ticks])


# --- values ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ValuesArtists:
    """What :func:`draw_values` created."""

    ax: "Axes"
    line: "Line2D"
    dtype: "np.dtype[Any]"
    name: str


def scalar_dtype(dtype: object) -> "np.dtype[Any]":
    """Return the numpy dtype for numbers in memory; ValueError names what can't be drawn."""
    import numpy as np

    try:
        if dtype is None:
            raise TypeError("numpy takes None for float64")
        found = np.dtype(dtype)  # type: ignore[call-overload]
    except TypeError as error:
        raise ValueError(f"{dtype!r} isn't a numpy dtype: try 'uint8', 'int32' or 'float64'") from error
    if found.kind not in "iuf" or found.itemsize > 8:
        raise ValueError(f"dtype {found} can't be drawn as a line: try 'uint8', 'int32' or 'float64'")
    return found


def values(sample: Bytes, dtype: object = "uint8") -> "tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]":
    """Read a sample as numbers: (index of each, counted from the sample's offset; value of each).

    Bytes at the end that don't fill a number are left out. A sample with gaps must have runs and strides
    that are multiples of the number's size.
    """
    import numpy as np

    kind = scalar_dtype(dtype)
    count = len(sample.data) // kind.itemsize
    numbers = np.frombuffer(sample.data, dtype=kind, count=count)
    index = np.arange(count)
    if is_sampled(sample):
        if sample.run % kind.itemsize or sample.stride % kind.itemsize:
            raise ValueError(
                f"runs of {sample.run} bytes every {sample.stride} cut values of {kind} ({kind.itemsize} bytes) apart"
            )
        a_run = sample.run // kind.itemsize
        index = index // a_run * (sample.stride // kind.itemsize) + index % a_run
    return index, numbers


def draw_values(
    ax: "Axes", sample: Bytes, name: str = "", dtype: object = "uint8", unit: str = "", colour: str = ""
) -> ValuesArtists:
    """Draw the content of a buffer as numbers: value against index, a step a value while they are few.

    *unit* is what one value counts, for the axis. Returns the artists for :func:`update_values`.
    """
    kind = scalar_dtype(dtype)
    (line,) = ax.plot([], [], color=colour or PROCESS_COLOURS[0], linewidth=1.5)
    from_there = f", from offset {sample.offset}" if sample.offset else ""
    plural = "" if kind.itemsize == 1 else "s"
    x = f"index of the value ({kind.itemsize} byte{plural} each{from_there})"
    _dress(ax, "", x, f"value in {unit}" if unit else f"value ({kind})")
    ax.grid(color=QUIET, alpha=0.25)
    ax.set_ylim(*_limits(values(sample, kind)[1], kind, None))
    artists = ValuesArtists(ax, line, kind, name)
    update_values(artists, sample)
    return artists


def update_values(artists: ValuesArtists, sample: Bytes) -> bool:
    """Show another sample; return True when axes or title moved too, so that more than the line is stale."""
    index, numbers = values(sample, artists.dtype)
    few = len(numbers) <= 64
    line, ax = artists.line, artists.ax
    line.set_drawstyle("steps-mid" if few else "default")
    line.set_marker("o" if few else "")
    line.set_data(index, numbers)
    title = f"{artists.name}  {_values_shown(sample, artists.dtype, len(numbers))}".strip()
    last = max(1, int(index[-1])) if len(index) else 1
    limits = _limits(numbers, artists.dtype, ax.get_ylim())
    x_limits = (-0.5, last + 0.5) if few else (0.0, float(last))
    if title == ax.get_title("left") and limits == ax.get_ylim() and x_limits == ax.get_xlim():
        return False
    ax.set_title(title, fontsize=TYPE + 2, color=INK, loc="left")
    ax.set_xlim(*x_limits)
    ax.set_ylim(*limits)
    return True


def describe_values(name: str, sample: Bytes, dtype: object = "uint8") -> str:
    """Return one sentence that says what a plot of these numbers shows."""
    kind = scalar_dtype(dtype)
    _, numbers = values(sample, kind)
    if not len(numbers):
        return (
            f"{name!r} holds no whole {kind} at offset {sample.offset}: its size is {size_text(sample.size)}."
        )
    spread = f"between {numbers.min():g} and {numbers.max():g}" if len(numbers) > 1 else f"{numbers[0]:g}"
    return f"{_values_shown(sample, kind, len(numbers)).capitalize()} in {name!r}, {spread}."


def _values_shown(sample: Bytes, kind: "np.dtype[Any]", count: int) -> str:
    total = max(0, sample.size - sample.offset) // kind.itemsize
    if count < total:
        return f"{count:,} of {total:,} values of {kind}"
    return f"{count:,} value{'' if count == 1 else 's'} of {kind}"


def _limits(numbers: Any, kind: "np.dtype[Any]", now: tuple[float, float] | None) -> tuple[float, float]:
    """Return axis limits that stay where they are while they fit: an axis that breathes can't be read."""
    if kind.itemsize == 1:
        return (-5.0, 260.0) if kind.kind == "u" else (-133.0, 132.0)
    import numpy as np

    finite = numbers[np.isfinite(numbers)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    low, high = max(low, -1e300), min(high, 1e300)
    reach = max(abs(low), abs(high), 1.0)
    top = 10.0 ** math.ceil(math.log10(reach))
    nice = next(top * part for part in (0.1, 0.2, 0.5, 1.0) if top * part >= reach)
    wanted = (-1.05 * nice if low < 0 else -0.05 * nice, 1.05 * nice if high > 0 else 0.05 * nice)
    if (
        now is not None
        and now[0] <= low
        and now[1] >= high
        and (now[1] - now[0]) < 8 * (wanted[1] - wanted[0])
    ):
        return now
    return wanted
