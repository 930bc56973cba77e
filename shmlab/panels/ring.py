"""The ring: a bounded buffer as it fills and empties, and a panel of the processes that put and take.

:class:`RingView` shows the slots, each item in its producer's colour, head, tail and fill level, and of every
semaphore its value and who waits on it: as the kernel says. :class:`RingPanel` puts the usual controls above
it and gives each process a speed of its own. Imported by lessons through :mod:`shmlab.panels`; the still
picture is drawn in :mod:`shmlab.figures.ring`.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import traitlets

from shmlab import figures, names, observe, posix
from shmlab.figures.ring import MOST_SLOTS, RingGate, RingItem, RingState
from shmlab.palette import QUIET, ink_on
from shmlab.panels.live import LiveView, Look
from shmlab.panels.moving import front_end
from shmlab.panels.panel import Panel, _speed
from shmlab.processes import Process, start
from shmlab.programs.producer import FIRST, HEAD, SLOTS, TAIL

WORD = struct.Struct("=Q")
PAGE = 4096
"""Bytes that are looked at: the buffer's first page, where all of it stands."""

EACH = 10**9
"""Item *n* of producer *k* is the number ``k * EACH + n``."""

AGAIN = 3
"""Looks at a buffer whose head and tail don't fit together: they are read one after the other."""


@dataclass(frozen=True, slots=True)
class RingLook(Look):
    """A look at the buffer and its semaphores."""

    state: RingState | None = None


class RingView(LiveView):
    """A live view of the bounded buffer in the object *name*.

    *processes* are those that use it, the producers first: what producer 1 puts is written with the label and
    in the colour of the first. *gates* are its semaphores, or their names; each is shown with its value and
    with those of *processes* that the kernel says wait on it. *rate* is frames a second at most.

    The buffer is an object of 64-bit words: items taken, items put, slots (32 at most), and from word 8 the
    slots (programs/producer.py). As long as there is no such thing, the view says so.
    """

    _esm = front_end("frames.js", "live.js", "ring.js")
    _css = front_end("live.css", "ring.css")

    listings: Any = traitlets.List().tag(sync=True)
    """The processes that have a slider for their speed: label, colour, program."""
    speeds: Any = traitlets.List(traitlets.Float()).tag(sync=True)
    """Steps a second of each of them; 0 for full speed."""

    def __init__(
        self,
        name: str,
        processes: Sequence[Process] = (),
        gates: Sequence["posix.Semaphore | str"] = (),
        rate: float = 30.0,
    ) -> None:
        self._processes = tuple(processes)
        self._gates = tuple(each if isinstance(each, str) else each.name for each in gates)
        super().__init__(name, rate)

    def _sample(self, sampler: observe.Sampler) -> observe.Sample:
        return sampler.sample(PAGE, 1, 0, PAGE)

    def _look(self) -> Look:
        gates = tuple(self._gate(each) for each in self._gates)
        for _ in range(AGAIN):
            look = super()._look()
            if look.sample is None:
                return look
            state = self._state(look.sample, gates)
            if state is None:
                problem = f"{self.name!r} is no buffer yet: word {SLOTS} says how many slots it has."
                return Look(None, problem=problem)
            if not state.trouble:
                break
        return RingLook(look.sample, look.allocated, state=state)

    def _state(self, sample: observe.Sample, gates: tuple[RingGate, ...]) -> RingState | None:
        """Return the buffer that the bytes are, or None when they are none."""
        words = [each for (each,) in WORD.iter_unpack(sample.data[: len(sample.data) // 8 * 8])]
        slots = words[SLOTS] if len(words) > SLOTS else 0
        if not 1 <= slots <= MOST_SLOTS or len(words) < FIRST + slots:
            return None
        head, tail = words[HEAD], words[TAIL]
        full = {place % slots for place in range(max(head, tail - slots), tail)}
        items = tuple(
            self._item(value, place in full) for place, value in enumerate(words[FIRST : FIRST + slots])
        )
        return RingState(head, tail, items, gates)

    def _item(self, value: int, waiting: bool) -> RingItem | None:
        if value == 0:
            return None
        who, number = divmod(value, EACH)
        told = str(number) if number < 1000 else f"…{number % 1000:03}"
        if 1 <= who <= len(self._processes):
            process = self._processes[who - 1]
            return RingItem(f"{process.label}{told}", process.colour, waiting)
        return RingItem(f"{who}:{told}", QUIET, waiting)

    def _gate(self, name: str) -> RingGate:
        owned = names.parse(name)
        word = owned.word if owned is not None else name
        on = f"sem_wait on '{name}'"
        waiting = tuple(
            each.label for each in self._processes if each.pid is not None and each.state.on == on
        )
        try:
            state = observe.named_semaphore(name)
        except OSError:
            state = None
        return RingGate(word, None if state is None else state.value, waiting)

    def _frame(self, look: Look) -> tuple[dict[str, Any], list[bytes]]:
        state = _of(look)
        items = [each and [each.text, each.colour, each.waiting, ink_on(each.colour)] for each in state.items]
        gates = [[each.word, each.told, each.words, bool(each.waiting)] for each in state.gates]
        content = {"head": state.head, "tail": state.tail, "items": items, "gates": gates}
        return content | {"trouble": state.trouble}, []

    def _caption(self, look: Look) -> str:
        state = _of(look)
        return f"{state.fill} of {len(state.items)} slots full · head {state.head} · tail {state.tail}"

    def _sentence(self, look: Look) -> str:
        return look.problem if look.sample is None else figures.describe_ring(_of(look), self.name)

    def _still_size(self, sample: observe.Sample) -> tuple[int, int]:
        return 900, 480

    def _draw(self, axes: Any, sample: observe.Sample) -> None:
        state = self._state(sample, tuple(self._gate(each) for each in self._gates))
        assert state is not None
        figures.draw_ring(axes, state, self.name)


def _of(look: Look) -> RingState:
    assert isinstance(look, RingLook)
    assert look.state is not None
    return look.state


class RingPanel(Panel):
    """The processes of a bounded buffer: their controls, a slider for the speed of each, a :class:`RingView`
    of the buffer, and below it their sources.

    *name* is the buffer's, *gates* are its semaphores. The *speed* of the controls is everybody's: whoever
    changes it changes each process's own (:meth:`set_speed`).
    """

    def __init__(
        self,
        name: str,
        *processes: Process,
        gates: Sequence["posix.Semaphore | str"] = (),
        speed: float | None = 4.0,
        on_reset: Callable[[], object] | None = None,
    ) -> None:
        self.ring = RingView(name, processes, gates)
        super().__init__(*processes, views=[self.ring], speed=speed, on_reset=on_reset, views_first=True)
        self.ring.listings = [
            {"label": each.label, "colour": each.colour, "program": each.program.name} for each in processes
        ]
        self.ring.speeds = [self.controls.speed] * len(processes)
        self.ring.observe(self._own_speed_changed, "speeds")

    def speed_of(self, label: str) -> float | None:
        """Steps a second of one process, or None for full speed."""
        return self.ring.speeds[self.processes.index(self._process(label))] or None

    def set_speed(self, label: str, speed: float | None) -> None:
        """Let one process take so many steps a second, None for as many as it can; at once, if it runs."""
        place = self.processes.index(self._process(label))
        wanted = list(self.ring.speeds)
        wanted[place] = 0.0 if speed is None else _speed(speed)
        self.ring.speeds = wanted

    def start(self) -> None:
        """Start what was not started, and let each go on at its own speed."""
        ready = self._available()
        start(*ready)
        for process in ready:
            process.run(self.speed_of(process.label))

    def _speed_changed(self, _change: object) -> None:
        self.ring.speeds = [self.controls.speed] * len(self.processes)

    def _own_speed_changed(self, change: Any) -> None:
        for process, old, new in zip(self.processes, change["old"], change["new"], strict=True):
            if old != new and process.free:
                process.run(new or None)
