"""Bytes as a grid: one cell a byte, dark 0 to bright 255, written out while they are few."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shmlab.figures.common import TYPE, Bytes, coverage, dress, is_sampled, position, size_text
from shmlab.palette import BYTE_COLOURMAP, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage
    from matplotlib.text import Text

TEXT_LIMIT = 512
"""Up to so many bytes each is written out in its cell; more are pixels."""

NOTATIONS = ("hex", "decimal", "characters")


def byte_text(value: int, notation: str = "hex") -> str:
    """Return one byte as ``hex`` (``41``), ``decimal`` (``65``) or ``characters`` (``A``, ``·`` if none)."""
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


def describe_bytes(name: str, sample: Bytes) -> str:
    """Return one sentence that says what a drawing of these bytes shows, for those who can't see it."""
    if not sample.data:
        return f"{name!r} has no bytes at offset {sample.offset}: its size is {size_text(sample.size)}."
    first = " ".join(f"{value:02x}" for value in sample.data[:16])
    more = " …" if len(sample.data) > 16 else ""
    return f"The bytes of {name!r} ({coverage(sample)}); in hex from offset {sample.offset}: {first}{more}"


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
    dress(ax, "", "byte in the row", "row (bytes)" if rows < 4 else "row offset (bytes)")
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
