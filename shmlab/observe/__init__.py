"""What the kernel says, as frozen values: objects, mappings, pages, System V tables, bytes, who waits.

It knows no process of ours and looks at any on the machine. Looking never writes, never allocates a page and
never stops what it looks at; only tracing system calls does, and has to be asked for. This page only gathers
the names; imported by figures, processes, panels, the command line and lessons.
"""

from shmlab.observe.descriptors import Descriptor, descriptors
from shmlab.observe.ipcs import ipcs
from shmlab.observe.limits import Limits, Usage, limits, usage
from shmlab.observe.machine import Machine, machine
from shmlab.observe.mappers import Mapper, attachments, mappers, mappers_of
from shmlab.observe.maps import MapLine, mappings
from shmlab.observe.namespaces import IpcNamespace, ipc_namespace
from shmlab.observe.objects import ObjectEntry, object_entry, objects
from shmlab.observe.pages import Extent, Extents, Memory, Page, Pages, allocated_pages, memory, pages
from shmlab.observe.sampling import Sample, Sampler
from shmlab.observe.semaphores import NamedState, SemaphoreState, blocked_on, named_semaphore, semaphores
from shmlab.observe.survey import Survey, Unnamed, survey, unnamed
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
    "IpcNamespace",
    "Limits",
    "Machine",
    "MapLine",
    "Mapper",
    "Memory",
    "NamedState",
    "ObjectEntry",
    "Page",
    "Pages",
    "Sample",
    "Sampler",
    "Segment",
    "SemaphoreSet",
    "SemaphoreState",
    "Survey",
    "Table",
    "Tracer",
    "Unnamed",
    "Usage",
    "Waiting",
    "allocated_pages",
    "attachments",
    "blocked_on",
    "descriptors",
    "hidden",
    "ipc_namespace",
    "ipcs",
    "limits",
    "machine",
    "mappers",
    "mappers_of",
    "mappings",
    "memory",
    "named_semaphore",
    "object_entry",
    "objects",
    "ours",
    "pages",
    "segments",
    "semaphore_sets",
    "semaphores",
    "strace_available",
    "survey",
    "trace",
    "unnamed",
    "usage",
    "waiting",
]
