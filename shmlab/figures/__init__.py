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
from shmlab.figures.counts import describe_counts, draw_counts
from shmlab.figures.course import describe_course, draw_course
from shmlab.figures.cow import CowMap, CowPage, cow_map, describe_cow, draw_cow
from shmlab.figures.durations import describe_durations, draw_durations
from shmlab.figures.family import FamilyMember, FamilyRange, describe_family, draw_family, one_page
from shmlab.figures.faults import FaultsArtists, describe_faults, draw_faults
from shmlab.figures.history import (
    Report,
    Stretch,
    describe_history,
    draw_history,
    segment_fields,
    stretches,
)
from shmlab.figures.ipcs import MarkedLine, Printout, describe_ipcs, draw_ipcs
from shmlab.figures.listings import Listing, draw_listings
from shmlab.figures.numbers import (
    ValuesArtists,
    describe_values,
    draw_values,
    scalar_dtype,
    update_values,
    values,
)
from shmlab.figures.race import (
    RaceState,
    describe_race,
    describe_rates,
    describe_survivors,
    draw_race,
    draw_rates,
    draw_survivors,
    short_number,
)
from shmlab.figures.ratios import describe_ratios, draw_ratios
from shmlab.figures.ring import RingGate, RingItem, RingState, describe_ring, draw_ring
from shmlab.figures.steps import draw_step
from shmlab.figures.strip import StripStep, StripValue, describe_strip, draw_strip
from shmlab.figures.timeline import Life, Moment, Span, describe_timeline, draw_timeline
from shmlab.figures.world import (
    MARKS,
    World,
    WorldDescriptor,
    WorldMapping,
    WorldObject,
    WorldProcess,
    describe_world,
    draw_world,
    world_figure,
    world_height,
)
from shmlab.figures.world import WIDTH as WORLD_WIDTH

__all__ = [
    "MARKS",
    "NOTATIONS",
    "TEXT_LIMIT",
    "TYPE",
    "WORLD_WIDTH",
    "Bytes",
    "BytesArtists",
    "CowMap",
    "CowPage",
    "FamilyMember",
    "FamilyRange",
    "FaultsArtists",
    "Life",
    "Listing",
    "MarkedLine",
    "Moment",
    "Printout",
    "RaceState",
    "Report",
    "RingGate",
    "RingItem",
    "RingState",
    "Span",
    "Stretch",
    "StripStep",
    "StripValue",
    "ValuesArtists",
    "World",
    "WorldDescriptor",
    "WorldMapping",
    "WorldObject",
    "WorldProcess",
    "byte_text",
    "coverage",
    "cow_map",
    "describe_bytes",
    "describe_counts",
    "describe_course",
    "describe_cow",
    "describe_durations",
    "describe_family",
    "describe_faults",
    "describe_history",
    "describe_ipcs",
    "describe_race",
    "describe_rates",
    "describe_ratios",
    "describe_ring",
    "describe_strip",
    "describe_survivors",
    "describe_timeline",
    "describe_values",
    "describe_world",
    "draw_bytes",
    "draw_counts",
    "draw_course",
    "draw_cow",
    "draw_durations",
    "draw_family",
    "draw_faults",
    "draw_history",
    "draw_ipcs",
    "draw_listings",
    "draw_race",
    "draw_rates",
    "draw_ratios",
    "draw_ring",
    "draw_step",
    "draw_strip",
    "draw_survivors",
    "draw_timeline",
    "draw_values",
    "draw_world",
    "figure",
    "is_sampled",
    "layout",
    "one_page",
    "png",
    "position",
    "scalar_dtype",
    "segment_fields",
    "short_number",
    "size_text",
    "stack",
    "stretches",
    "update_bytes",
    "update_values",
    "values",
    "world_figure",
    "world_height",
]
