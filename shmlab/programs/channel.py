"""Times messages from a process to its child: by a ring, a pipe, a socket pair, a queue; and mere copying.

Python alone, for one of the ways, multiprocessing's queue, is Python's. Each message is received whole and
checked; the clock runs from the first put until the child says that it has the last.
"""

import os
import socket
from collections.abc import Callable, Iterator
from functools import partial
from time import perf_counter_ns

from shmlab.ring import Ring

Ends = tuple[Callable[[bytes], object], Callable[[int], bytes], Callable[[], object]]

RING_SLOTS = 64


def channel(
    result: memoryview, way: str, times: int, size: int, ring_name: str, cores: int = 2
) -> Iterator[str]:
    """Store in ``result[0]`` the nanoseconds that each of *times* messages of *size* bytes took.

    With *cores* 2 the processes have a processor each, where there are two; with 1 they share one. Left to
    the scheduler they'd change places in mid-run, and a pipe's time with them.
    """
    processors = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, processors[:1])
    messages = [bytes([each]) * size for each in range(4)]
    if way == "copy":
        target = memoryview(bytearray(size))
        begin = perf_counter_ns()
        for number in range(times):
            target[:] = messages[number % 4]
        result[0] = (perf_counter_ns() - begin) // times
        yield way
        return
    ready, is_ready = os.pipe()
    put, take, close = open_ends(way, size, ring_name)
    child = os.fork()
    if child == 0:
        os.sched_setaffinity(0, processors[-1:] if cores > 1 else processors[:1])
        receive(take, times, size, is_ready)
    os.read(ready, 1)
    begin = perf_counter_ns()
    for number in range(times):
        put(messages[number % 4])
    os.read(ready, 1)
    result[0] = (perf_counter_ns() - begin) // times
    assert os.waitpid(child, 0)[1] == 0, "a message did not arrive as it was sent"
    close()
    yield way


def receive(take: Callable[[int], bytes], times: int, size: int, is_ready: int) -> None:
    """What the child does; it doesn't return."""
    right = True
    os.write(is_ready, b".")
    for number in range(times):
        message = take(size)
        right = right and len(message) == size and message[0] == message[-1] == number % 4
    os.write(is_ready, b".")
    os._exit(0 if right else 1)


def open_ends(way: str, size: int, ring_name: str) -> Ends:
    """Return what puts a message, what takes the next one of so many bytes, and what ends it all."""
    if way == "ring":
        ring = Ring.create(ring_name, RING_SLOTS, size)
        return ring.put, lambda _: ring.take(), ring.close
    if way == "pipe":
        reader, writer = os.pipe()
        return (
            partial(os.write, writer),
            lambda left: pieces(left, partial(os.read, reader)),
            partial(os.close, writer),
        )
    if way == "socket pair":
        ours, theirs = socket.socketpair()
        return ours.sendall, lambda left: pieces(left, theirs.recv), ours.close
    from multiprocessing import get_context

    queue = get_context("fork").Queue()
    return queue.put, lambda _: queue.get(), queue.close


def pieces(left: int, read: Callable[[int], bytes]) -> bytes:
    """Return so many bytes of a stream, which gives as many as it has."""
    parts = []
    while left:
        parts.append(read(left))
        left -= len(parts[-1])
    return parts[0] if len(parts) == 1 else b"".join(parts)
