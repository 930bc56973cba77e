"""A ring of slots in shared memory for one producer and one consumer: messages without a system call.

Nobody waits on a semaphore as long as the other keeps up. The producer alone stores the *tail* (messages put
so far), the consumer alone stores the *head* (messages taken so far), and neither is ever stored by two, so
nothing can be lost to a race. Who finds the ring full or empty spins a little, then yields the processor, and
only then blocks on a semaphore.

**What it relies on.** Whoever sees the new tail must see the message, which was stored before it. Python has
no way to say so to the processor. On x86-64 it needs none: other processors see a processor's stores in the
order in which it made them (total store order). AArch64, RISC-V and POWER promise no such thing, and there
this module is **not guaranteed** (`ORDERED` says which it is): use C, which says ``__ATOMIC_RELEASE`` and
``__ATOMIC_ACQUIRE`` (programs/lone_producer.c). That a number of 8 bytes is never torn is FACTS F62 and F63.

Imported by programs, so it stays light. One producer, one consumer: with two of either, use semaphores.
"""

import errno
import os
from time import monotonic

from shmlab import posix

TYPE_CHECKING = False  # typing's own costs a worker milliseconds
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

ORDERED = os.uname().machine in ("x86_64", "i686", "s390x")
"""Whether this processor shows stores in the order in which they were made."""

# Numbers of words in the first page. Head and tail, each stored by another process, have a cache line each.
SLOTS, SIZE, HEAD, TAIL, CONSUMER_SLEEPS, PRODUCER_SLEEPS = 0, 1, 8, 16, 24, 32
HEADER = 4096
"""Bytes before the first slot."""
LINE = 64
"""Bytes of a cache line: what a slot's length stands in, before its message."""

SPINS, YIELDS = 100, 1000
"""Looks before the processor is yielded, and yields before blocking: about a millisecond in all."""
NAP = 0.01
"""Seconds that one wait on a semaphore takes at most. Going to sleep is: store that I sleep, then look once
more. Even x86-64 may do the two in the other order, and then a wake-up is missed: for a nap, not for ever."""


class Ring:
    """One end of a ring. Made by :meth:`create`, found by others with :meth:`open`.

    A context manager: leaving it closes this end, and for who created the ring it removes the names as well.
    """

    def __init__(
        self, name: str, mapping: "Any", bells: "tuple[posix.Semaphore, posix.Semaphore]", owner: bool
    ):
        self.name = name
        self._mapping, self._owner = mapping, owner
        self._bytes = mapping.buf
        self._words = mapping.buf.cast("Q")
        self._consumers_bell, self._producers_bell = bells
        self.slots, self.size = self._words[SLOTS], self._words[SIZE]
        """How many slots there are, and how many bytes the longest message may have."""
        self._stride = LINE + _rounded(self.size)

    @classmethod
    def create(
        cls, name: str, slots: int, size: int, memory: "Callable[[str, int], Any]" = posix.create
    ) -> "Ring":
        """Create a ring of *slots* slots for messages of at most *size* bytes, as the object *name* and two
        semaphores ``name.c`` and ``name.p``. *memory* is called with the name and a number of bytes: by
        default it makes the object; what returns the attachment of a System V segment will do as well, for
        children that inherit it.

        Raises ValueError for no slot or no size, FileExistsError, OSError (ENOSPC) when /dev/shm has no room.
        """
        if slots < 1 or size < 1:
            raise ValueError(f"a ring has at least one slot of one byte, not slots={slots}, size={size}")
        mapping = memory(name, HEADER + slots * (LINE + _rounded(size)))
        try:
            bells = tuple(posix.sem_open(each, posix.O_CREAT | posix.O_EXCL) for each in _bells(name))
        except BaseException:
            _let_go(mapping)
            _unlink(name)
            raise
        words = mapping.buf.cast("Q")
        words[SLOTS], words[SIZE] = slots, size
        words.release()
        return cls(name, mapping, bells, True)  # type: ignore[arg-type]

    @classmethod
    def open(cls, name: str) -> "Ring":
        """Open a ring that exists. Raises FileNotFoundError, PermissionError; ValueError when the object of
        that name is no ring.
        """
        fd = posix.shm_open(name, posix.O_RDWR)
        try:
            length = os.fstat(fd).st_size
            if length <= HEADER:
                raise ValueError(f"{name} is no ring: it has {length} bytes")
            mapping = posix.mmap(None, length, posix.PROT_READ | posix.PROT_WRITE, posix.MAP_SHARED, fd)
        finally:
            os.close(fd)
        try:
            with mapping.buf[:HEADER].cast("Q") as words:
                slots, size = words[SLOTS], words[SIZE]
            if not slots or HEADER + slots * (LINE + _rounded(size)) != length:
                raise ValueError(f"{name} is no ring: {slots} slots of {size} bytes aren't {length} bytes")
            bells = tuple(posix.sem_open(each, 0) for each in _bells(name))
        except BaseException:
            posix.munmap(mapping)
            raise
        return cls(name, mapping, bells, False)  # type: ignore[arg-type]

    def __repr__(self) -> str:
        return f"<Ring {self.name!r}, {self.slots} slots of {self.size} bytes>"

    def __enter__(self) -> "Ring":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        """How many messages wait to be taken."""
        return self._words[TAIL] - self._words[HEAD]

    def put(self, message: "bytes | bytearray | memoryview", timeout: float = 10.0) -> None:
        """Copy a message into the next slot, waiting *timeout* seconds at most while all of them are full.

        Raises TimeoutError; ValueError for a message that is longer than a slot.
        """
        words, length = self._words, len(message)
        if length > self.size:
            raise ValueError(f"a message of {length} bytes is longer than a slot of {self.name}: {self.size}")
        tail = words[TAIL]
        if tail - words[HEAD] == self.slots:
            self._wait(HEAD, tail - self.slots, PRODUCER_SLEEPS, self._producers_bell, timeout)
        at = HEADER + tail % self.slots * self._stride
        words[at >> 3] = length
        self._bytes[at + LINE : at + LINE + length] = message
        words[TAIL] = tail + 1  # last: who sees it may take the message
        if words[CONSUMER_SLEEPS]:
            words[CONSUMER_SLEEPS] = 0
            posix.sem_post(self._consumers_bell)

    def take(self, timeout: float = 10.0) -> bytes:
        """Return the next message, waiting *timeout* seconds at most while there is none.

        Raises TimeoutError.
        """
        words = self._words
        head = words[HEAD]
        if words[TAIL] == head:
            self._wait(TAIL, head, CONSUMER_SLEEPS, self._consumers_bell, timeout)
        at = HEADER + head % self.slots * self._stride + LINE
        message = bytes(self._bytes[at : at + words[(at - LINE) >> 3]])
        words[HEAD] = head + 1  # last: who sees it may store into the slot
        if words[PRODUCER_SLEEPS]:
            words[PRODUCER_SLEEPS] = 0
            posix.sem_post(self._producers_bell)
        return message

    def close(self) -> None:
        """Unmap the ring, and remove its names if this end created it. May be called twice."""
        if self._mapping is None:
            return
        self._words.release()
        self._bytes.release()
        _let_go(self._mapping)
        self._mapping = None
        for bell in (self._consumers_bell, self._producers_bell):
            posix.sem_close(bell)
        if self._owner:
            _unlink(self.name)

    def _wait(self, word: int, old: int, sleeps: int, bell: posix.Semaphore, timeout: float) -> None:
        """Return when word number *word* isn't *old* any more: spin, then yield, then block."""
        words = self._words
        for _ in range(SPINS):
            if words[word] != old:
                return
        give_way = os.sched_yield
        for _ in range(YIELDS):
            give_way()
            if words[word] != old:
                return
        deadline = monotonic() + timeout
        while True:
            words[sleeps] = 1
            if words[word] != old:
                break
            left = deadline - monotonic()
            if left <= 0:
                words[sleeps] = 0
                what = "room for a message" if sleeps == PRODUCER_SLEEPS else "message"
                raise TimeoutError(errno.ETIMEDOUT, f"no {what} in {timeout:g} s", self.name)
            try:  # noqa: SIM105  contextlib costs each worker a millisecond
                posix.sem_timedwait(bell, min(left, NAP))
            except TimeoutError:
                pass
        words[sleeps] = 0


def _let_go(memory: "Any") -> None:
    with memory:  # whose end unmaps a mapping, and detaches a segment
        pass


def _rounded(size: int) -> int:
    return -(-size // LINE) * LINE


def _bells(name: str) -> "tuple[str, str]":
    return f"{name}.c", f"{name}.p"


def _unlink(name: str) -> None:
    for unlink, each in ((posix.shm_unlink, name), *((posix.sem_unlink, bell) for bell in _bells(name))):
        try:  # noqa: SIM105  see above
            unlink(each)
        except FileNotFoundError:
            pass
