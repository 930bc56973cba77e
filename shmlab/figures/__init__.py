"""matplotlib figures of what was observed: ``draw_*`` creates the artists once, ``update_*`` moves them.

Each takes plain values (an :class:`observe.Sample`, or anything with its fields) and one Axes, and knows
no widget: panels draw live with them, lessons and static pictures use the same ones, so that both look alike.
No figure of pyplot's is touched (:func:`figure` makes its own canvas), and matplotlib is loaded at the first
drawing. One module a kind of drawing. Imported by :mod:`shmlab.panels` and by lessons.
"""

from shmlab.figures.bytes import (
    NOTATIONS,
    TEXT_LIMIT,
    BytesArtists,
    byte_text,
    describe_bytes,
    draw_bytes,
    layout,
    update_bytes,
)
from shmlab.figures.common import TYPE, Bytes, coverage, figure, is_sampled, png, position, size_text, stack
from shmlab.figures.listings import Listing, draw_listings
from shmlab.figures.numbers import (
    ValuesArtists,
    describe_values,
    draw_values,
    scalar_dtype,
    update_values,
    values,
)

__all__ = [
    "NOTATIONS",
    "TEXT_LIMIT",
    "TYPE",
    "Bytes",
    "BytesArtists",
    "Listing",
    "ValuesArtists",
    "byte_text",
    "coverage",
    "describe_bytes",
    "describe_values",
    "draw_bytes",
    "draw_listings",
    "draw_values",
    "figure",
    "is_sampled",
    "layout",
    "png",
    "position",
    "scalar_dtype",
    "size_text",
    "stack",
    "update_bytes",
    "update_values",
    "values",
]
