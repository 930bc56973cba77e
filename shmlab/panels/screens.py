"""The screens of the classroom board: for each its word, its question, and what makes its panel.

The panels and the programs are those of the lessons. A maker creates the objects that its panel needs, all of
them the session's, and starts nothing. Imported by :mod:`shmlab.panels.classroom`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shmlab import observe, posix, sysv
from shmlab.panels.grid import ByteGrid
from shmlab.panels.ipcs import IpcsView
from shmlab.panels.panel import Panel
from shmlab.panels.race import RacePlot
from shmlab.panels.ring import RingPanel
from shmlab.panels.scheduler import Scheduler
from shmlab.panels.walkthrough import Walkthrough
from shmlab.processes import Process, Run, Shared, Walk, own_key, own_name
from shmlab.programs.consumer import consumer
from shmlab.programs.four_calls import four_calls
from shmlab.programs.increment import increment
from shmlab.programs.producer import SLOTS, producer
from shmlab.programs.racer import racer
from shmlab.programs.seven_calls import seven_calls
from shmlab.programs.touch import touch

NEW = posix.O_CREAT | posix.O_EXCL
ROOM = 8
"""Slots of the ring."""


@dataclass(frozen=True)
class Screen:
    """One screen: its *word* on the button, the *question* above it, and what *makes* its panel."""

    word: str
    question: str
    make: Callable[[], Any]


def walkthrough() -> Walkthrough:
    return Walkthrough(Walk(seven_calls, own_name("walk"), "hello"))


def bus_error() -> Panel:
    unsized, sized = own_name("unsized"), own_name("sized")
    posix.close(posix.shm_open(unsized, NEW | posix.O_RDWR))
    posix.munmap(posix.create(sized, 4096))
    pair = [Process(touch, name, 4096, 0, 3) for name in (unsized, sized)]
    return Panel(*pair, views=[ByteGrid(sized, rows=1)])  # the sources first: of them one line is fatal


def race() -> Panel:
    memory = posix.create(own_name("race"), 4096)
    words = memory.buf.cast("Q")
    mutex = posix.sem_open(own_name("race-mutex"), NEW, 0o600, 1)
    key = own_key("race-mutex")
    semid = sysv.semget(key, 1, sysv.IPC_CREAT | sysv.IPC_EXCL | 0o600)

    def fresh() -> None:
        for place in range(len(words)):
            words[place] = 0
        set_to(mutex, 1)
        sysv.semctl(semid, 0, sysv.SETVAL, 1)

    fresh()
    racers = [Process(racer, memory.name, who, 10**9, mutex.name, key) for who in (1, 2)]
    return Panel(*racers, views=[RacePlot(memory.name or "")], views_first=True, speed=None, on_reset=fresh)


def scheduler() -> Scheduler:
    memory = posix.create(own_name("counter"), 4096)
    words = memory.buf.cast("Q")

    def fresh() -> None:
        words[0] = 0

    def told(run: Run) -> str:
        return "right" if run.memory["counter"] == 2 else "lost update"

    pair = [Process(increment, Shared(memory.name or ""), 1) for _ in range(2)]
    return Scheduler(pair, setup=fresh, outcome=told)


def ring() -> RingPanel:
    memory = posix.create(own_name("buffer"), 4096)
    words = memory.buf.cast("Q")
    gates = [posix.sem_open(own_name(word), NEW, 0o600) for word in ("empty", "full", "mutex")]

    def fresh() -> None:
        for place in range(64):
            words[place] = 0
        words[SLOTS] = ROOM
        for gate, value in zip(gates, (ROOM, 0, 1), strict=True):
            set_to(gate, value)

    fresh()
    name, names = memory.name or "", [gate.name for gate in gates]
    a, b = (Process(producer, Shared(name), who, 10**6, *names) for who in (1, 2))
    c = Process(consumer, Shared(name), 10**6, *names)
    return RingPanel(name, a, b, c, gates=gates, speed=8, on_reset=fresh)


def kernel() -> Panel:
    name, key = own_name("seen"), own_key("seen")

    def mine() -> list[int]:
        return [row.id for row in observe.segments() if row.key == key]

    def remove() -> None:
        for shmid in mine():
            sysv.shmctl(shmid, sysv.IPC_RMID)
        if observe.object_entry(name) is not None:
            posix.shm_unlink(name)

    pair = Process(seven_calls, name, "hello"), Process(four_calls, key, "hello")
    views = [ByteGrid(name, rows=1), IpcsView(ids=mine)]
    return Panel(*pair, views=views, views_first=True, speed=1, on_reset=remove)


def set_to(semaphore: posix.Semaphore, value: int) -> None:
    """Give a semaphore that nobody waits on a value."""
    while posix.sem_getvalue(semaphore) > value:
        posix.sem_trywait(semaphore)
    while posix.sem_getvalue(semaphore) < value:
        posix.sem_post(semaphore)


SCREENS = (
    Screen(
        "walkthrough",
        "What does each of the seven calls do, and what does the kernel have then?",
        walkthrough,
    ),
    Screen("Bus error", "A's object was never given a size, B's was. Which line kills A?", bus_error),
    Screen(
        "race", "Two processes count at full speed. How much is lost, and what does each cure cost?", race
    ),
    Screen("scheduler", "A and B each add 1. You say who goes next: can you get 1?", scheduler),
    Screen("ring", "Two producers, one consumer. Who waits on what, when one of them is slow?", ring),
    Screen("kernel", "An object and a segment: what does the kernel keep of each?", kernel),
)
