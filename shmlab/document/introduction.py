"""D01 to D05: what the document's introduction says of shared memory as such."""

import fcntl
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from shmlab import posix, sysv
from shmlab.document.probing import a_segment, an_object, ended, stepped, told, unused_name
from shmlab.document.statements import IMPRECISE, TRUE, Case, fails, holds, statement
from shmlab.processes import Process, Shared
from shmlab.programs.hasty_reader import hasty_reader
from shmlab.programs.hasty_writer import hasty_writer
from shmlab.programs.increment import increment
from shmlab.programs.reader import reader
from shmlab.programs.tenant import tenant
from shmlab.programs.writer import writer


def parents(*processes: Process) -> list[int]:
    """Return the parent of each process, as /proc has it."""
    found = []
    for process in processes:
        with open(f"/proc/{process.pid}/stat") as file:
            found.append(int(file.read().rpartition(")")[2].split()[1]))
    return found


@statement(
    "D01", "Two processes that have nothing to do with each other can use the same memory.", TRUE, "01"
)
def strangers_share() -> Iterator[Case]:
    with an_object() as thing, Process(writer, thing.name, "hello") as a, Process(reader, thing.name) as b:
        stepped(a), stepped(b)
        related = {a.pid, b.pid} & set(parents(a, b))
        yield holds("two processes, neither the other's parent", not related)
        a.run().wait(), b.run().wait()
        yield holds(f"one stored 'hello', the other read {b.output.strip()!r}", b.output.strip() == "hello")
    with a_segment() as shmid:
        told(tenant, shmid, "hello")
        (read,) = told(first_bytes, shmid, 5)
        yield holds(f"in a segment likewise: read {read!r}", read == "hello")


def first_bytes(shmid: int, count: int) -> Iterator[str]:
    m = sysv.shmat(shmid, None, sysv.SHM_RDONLY)
    yield "shmat"
    print(bytes(m.buf[:count]).decode())
    yield "print"


def looks_twice(name: str) -> Iterator[str]:
    fd = posix.shm_open(name, posix.O_RDONLY)
    m = posix.mmap(None, 4096, posix.PROT_READ, posix.MAP_SHARED, fd)
    yield f"{m.buf[0]}"
    yield f"{m.buf[0]}"


@statement(
    "D02",
    "What one process stores, all others that can reach the memory see at once.",
    IMPRECISE,
    "01",
    "Through MAP_SHARED and shmat, and without any call. Who has written to the same page of a MAP_PRIVATE "
    "mapping doesn't see it, nor does a C program that keeps the value in a register; and nothing is said "
    "about the order in which several stores are seen.",
)
def stores_are_seen() -> Iterator[Case]:
    with an_object() as thing, thing.shared() as m, thing.private() as copied:
        with Process(looks_twice, thing.name) as other:
            before = stepped(other).at
            m.buf[0] = 7
            after = stepped(other).at
        yield holds(f"another process read {before}, and after our store of 7, {after}", after == "7")
        copied.buf[1] = 1  # its page is a copy from now on
        m.buf[0] = 8
        yield fails(
            f"a MAP_PRIVATE page that was written to reads {copied.buf[0]} after a store of 8",
            copied.buf[0] == 7,
        )


@statement("D03", "Shared memory doesn't make processes wait for each other.", TRUE, "10")
def nothing_waits() -> Iterator[Case]:
    with an_object() as thing:
        with (
            Process(increment, Shared(thing.name), 1) as a,
            Process(increment, Shared(thing.name), 1) as b,
            thing.shared() as m,
        ):
            kinds = [stepped(process).kind for process in (a, b, a, b)]
            count = m.buf[0]
        yield holds("none of two processes had to wait for the other", kinds.count("blocked") == 0)
        yield holds(f"each added 1, in turns: the counter is {count}", count == 1)


def counts_under_flock(name: str) -> Iterator[str]:
    fd = posix.shm_open(name, posix.O_RDWR)
    m = posix.mmap(None, 4096, posix.PROT_READ | posix.PROT_WRITE, posix.MAP_SHARED, fd)
    fcntl.flock(fd, fcntl.LOCK_EX)
    value = m.buf[0]
    yield "load"
    m.buf[0] = value + 1
    fcntl.flock(fd, fcntl.LOCK_UN)
    yield "store"


def counts_under_semaphore(name: str) -> Iterator[str]:
    fd = posix.shm_open(name, posix.O_RDWR)
    m = posix.mmap(None, 4096, posix.PROT_READ | posix.PROT_WRITE, posix.MAP_SHARED, fd)
    semaphore = posix.sem_open(name, posix.O_CREAT, 0o600, 1)
    posix.sem_wait(semaphore)
    value = m.buf[0]
    yield "load"
    m.buf[0] = value + 1
    posix.sem_post(semaphore)
    yield "store"


def counted_by_two(program: Any) -> int:
    """Return what two processes count to, the second begun while the first is between load and store."""
    with an_object() as thing, thing.shared() as m:
        try:
            with Process(program, thing.name) as a, Process(program, thing.name) as b:
                stepped(a), stepped(b)  # waits, if anything makes it wait
                a.run().wait(), b.run().wait()
        finally:
            with suppress(FileNotFoundError):
                posix.sem_unlink(thing.name)
        return m.buf[0]


@statement(
    "D04",
    "Access has to be ordered by means of semaphores.",
    IMPRECISE,
    "11",
    "It has to be ordered, and semaphores do it. So do a process-shared mutex, atomic instructions, and "
    "flock on the object's descriptor.",
)
def semaphores_or_else() -> Iterator[Case]:
    count = counted_by_two(counts_under_semaphore)
    yield holds(f"1 + 1 behind a semaphore: {count}", count == 2)
    count = counted_by_two(counts_under_flock)
    yield fails(f"1 + 1 behind flock, without a semaphore: {count}", count == 2)


@statement(
    "D05",
    "The example that the document links to doesn't synchronise its two programs.",
    TRUE,
    "07",
    "Neither of its sources makes a call of a semaphore. The probe runs our re-creation of the pattern: what "
    "arrives depends on who was first.",
)
def the_example_depends_on_the_order() -> Iterator[Case]:
    with an_object():
        pass  # there is room for one, or it's said here: what comes dies of a Bus error on a full /dev/shm
    with unused_name() as name:
        ended(hasty_writer, name, "hello")
        _, (read,) = ended(hasty_reader, name)
        yield holds(f"the writer first: the reader read {read}", read == "'hello'")
    with unused_name() as name:
        _, (read,) = ended(hasty_reader, name)
        ended(hasty_writer, name, "hello")
        yield holds(f"the reader first: it didn't wait, and read {read}", read == "''")
