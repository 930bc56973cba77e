"""Times messages from a process to its child: by a ring, a pipe, a socket pair, a queue; and mere copying.

Python alone, for some of the ways, multiprocessing's, are Python's. Each message is received whole and
checked; the clock runs from the first put until the child says that it has the last. :mod:`.transports` times
all of them by turns.
"""

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from time import perf_counter_ns

from shmlab import posix, sysv
from shmlab.ring import Ring

Ends = tuple[Callable[[bytes], object], Callable[[int], bytes], Callable[[], object]]

RING_SLOTS = 64
RING_BYTES = 4 << 20
"""A ring of long messages has fewer slots than 64: it doesn't take more than this, or four slots."""


def channel(
    result: memoryview, way: str, times: int, size: int, ring_name: str, cores: int = 2
) -> Iterator[str]:
    """Store in ``result[0]`` the nanoseconds that each of *times* messages of *size* bytes took.

    With *cores* 2 the processes have a processor each, where there are two; with 1 they share one. Left to
    the scheduler they'd change places in mid-run, and a pipe's time with them.
    """
    processors = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, processors[:1])
    if way == "copy":
        messages = numbered(size)
        target = memoryview(bytearray(size))
        begin = perf_counter_ns()
        for number in range(times):
            target[:] = messages[number % 4]
        result[0] = (perf_counter_ns() - begin) // times
    else:
        there = processors[-1:] if cores > 1 else processors[:1]
        result[0] = int(message_time(way, times, size, ring_name, there, warm_up=RING_SLOTS))
    yield way


def message_time(
    way: str, times: int, size: int, ring_name: str, processors: Sequence[int], warm_up: int = 0
) -> float:
    """Return the nanoseconds of one of *times* messages; *processors* are the child's.

    The first *warm_up* messages aren't counted: they touch each page of the ring for the first time.
    """
    messages = numbered(size)
    ready, is_ready = os.pipe()
    put, take, close = open_ends(way, size, ring_name)
    child = os.fork()
    if child == 0:
        os.sched_setaffinity(0, processors)
        receive(take, warm_up, times, size, is_ready)
    os.read(ready, 1)
    for number in range(warm_up):
        put(messages[number % 4])
    os.read(ready, 1)
    begin = perf_counter_ns()
    for number in range(warm_up, warm_up + times):
        put(messages[number % 4])
    os.read(ready, 1)
    taken = (perf_counter_ns() - begin) / times
    assert os.waitpid(child, 0)[1] == 0, "a message did not arrive as it was sent"
    close()
    os.close(ready)
    os.close(is_ready)
    return taken


def numbered(size: int) -> list[bytes]:
    """Return messages of *size* bytes, each of which tells its number, modulo 4."""
    return [bytes([each]) * size for each in range(4)]


def receive(take: Callable[[int], bytes], warm_up: int, times: int, size: int, is_ready: int) -> None:
    """What the child does; it doesn't return."""
    right = True
    os.write(is_ready, b".")
    for number in range(warm_up + times):
        if number == warm_up:
            os.write(is_ready, b".")
        message = take(size)
        right = right and len(message) == size and message[0] == message[-1] == number % 4
    os.write(is_ready, b".")
    os._exit(0 if right else 1)


def open_ends(way: str, size: int, ring_name: str) -> Ends:
    """Return what puts a message, what takes the next one of so many bytes, and what ends it all."""
    if way in ("ring", "segment"):
        slots = max(4, min(RING_SLOTS, RING_BYTES // size))
        ring = Ring.create(ring_name, slots, size, segment if way == "segment" else posix.create)
        return ring.put, lambda _: ring.take(), ring.close
    if way == "pipe":
        reader, writer = os.pipe()
        return (
            partial(os.write, writer),
            lambda left: pieces(left, partial(os.read, reader)),
            partial(shut, partial(os.close, reader), partial(os.close, writer)),
        )
    if way == "socket pair":
        ours, theirs = socket.socketpair()
        return ours.sendall, lambda left: pieces(left, theirs.recv), partial(shut, ours.close, theirs.close)
    from multiprocessing import get_context

    context = get_context("fork")
    if way == "connection":
        incoming, outgoing = context.Pipe(duplex=False)
        close = partial(shut, incoming.close, outgoing.close)
        return outgoing.send_bytes, lambda _: incoming.recv_bytes(), close
    queue = context.Queue()
    return queue.put, lambda _: queue.get(), partial(shut, queue.close, queue.join_thread)


def segment(_name: str, size: int) -> sysv.Attachment:
    """Return the attachment of a new segment that goes when nobody has it attached any more (F72)."""
    shmid = sysv.shmget(sysv.IPC_PRIVATE, size, 0o600)
    try:
        return sysv.shmat(shmid)
    finally:
        sysv.shmctl(shmid, sysv.IPC_RMID)


def shut(*calls: Callable[[], object]) -> None:
    """Make each of the calls."""
    for call in calls:
        call()


def pieces(left: int, read: Callable[[int], bytes]) -> bytes:
    """Return so many bytes of a stream, which gives as many as it has."""
    parts = []
    while left:
        parts.append(read(left))
        left -= len(parts[-1])
    return parts[0] if len(parts) == 1 else b"".join(parts)
