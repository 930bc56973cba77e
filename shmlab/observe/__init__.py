"""What the kernel says, as frozen values: objects, mappings, System V tables, bytes, waiting processes.

It knows no process of ours and looks at any on the machine. Looking never writes, never allocates a page and
never stops what it looks at. This page only gathers the names; imported by figures, processes, panels, the
command line and lessons.
"""

from shmlab.observe.machine import Machine, machine
from shmlab.observe.maps import MapLine, Mapper, mappers, mappers_of, mappings
from shmlab.observe.objects import ObjectEntry, object_entry, objects
from shmlab.observe.sampling import Sample, Sampler
from shmlab.observe.sysv import Segment, SemaphoreSet, segments, semaphore_sets
from shmlab.observe.table import Table
from shmlab.observe.waiting import Waiting, waiting

__all__ = [
    "Machine",
    "MapLine",
    "Mapper",
    "ObjectEntry",
    "Sample",
    "Sampler",
    "Segment",
    "SemaphoreSet",
    "Table",
    "Waiting",
    "machine",
    "mappers",
    "mappers_of",
    "mappings",
    "object_entry",
    "objects",
    "segments",
    "semaphore_sets",
    "waiting",
]
