"""What the kernel says, as frozen values: objects, mappings, pages, System V tables, bytes, who waits.

It knows no process of ours and looks at any on the machine. Looking never writes, never allocates a page and
never stops what it looks at; only tracing system calls does, and has to be asked for. This page only gathers
the names; imported by figures, processes, panels, the command line and lessons.
"""

from shmlab.observe.descriptors import Descriptor, descriptors
from shmlab.observe.machine import Machine, machine
from shmlab.observe.maps import MapLine, Mapper, mappers, mappers_of, mappings
from shmlab.observe.objects import ObjectEntry, object_entry, objects
from shmlab.observe.pages import Extent, Extents, Memory, Page, Pages, allocated_pages, memory, pages
from shmlab.observe.sampling import Sample, Sampler
from shmlab.observe.syscalls import Call, Calls
from shmlab.observe.sysv import Segment, SemaphoreSet, segments, semaphore_sets
from shmlab.observe.table import Table
from shmlab.observe.tracing import Tracer, strace_available, trace
from shmlab.observe.waiting import Waiting, waiting
from shmlab.observe.whose import hidden, ours

__all__ = [
    "Call",
    "Calls",
    "Descriptor",
    "Extent",
    "Extents",
    "Machine",
    "MapLine",
    "Mapper",
    "Memory",
    "ObjectEntry",
    "Page",
    "Pages",
    "Sample",
    "Sampler",
    "Segment",
    "SemaphoreSet",
    "Table",
    "Tracer",
    "Waiting",
    "allocated_pages",
    "descriptors",
    "hidden",
    "machine",
    "mappers",
    "mappers_of",
    "mappings",
    "memory",
    "object_entry",
    "objects",
    "ours",
    "pages",
    "segments",
    "semaphore_sets",
    "strace_available",
    "trace",
    "waiting",
]
