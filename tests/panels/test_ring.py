"""The ring without a browser: what it reads, whom it says to wait, and the panel with a speed for each."""

import io
import os
import signal
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any

import pytest
from PIL import Image

from shmlab import Process, Shared, figures, own_name, palette, posix
from shmlab.figures import RingGate, RingItem, RingState
from shmlab.panels import RingPanel, RingView
from shmlab.programs.consumer import consumer
from shmlab.programs.producer import FIRST, HEAD, SLOTS, TAIL, producer

Make = Callable[..., Any]
Until = Callable[..., None]

BLUE, RED = palette.PROCESS_COLOURS[:2]


class Buffer:
    def __init__(self, slots: int) -> None:
        self.mapping = posix.create(own_name("buffer"), 4096)
        self.name = self.mapping.name or ""
        self.words = self.mapping.buf.cast("Q")
        self.words[SLOTS] = slots
        flags = posix.O_CREAT | posix.O_EXCL
        self.gates = [
            posix.sem_open(own_name(word), flags, value=value)
            for word, value in (("empty", slots), ("full", 0), ("mutex", 1))
        ]
        self.arguments = [each.name for each in self.gates]

    def remove(self) -> None:
        self.words.release()
        posix.munmap(self.mapping)
        posix.shm_unlink(self.name)
        for each in self.arguments:
            posix.sem_unlink(each)


@pytest.fixture
def buffer() -> Iterator[Buffer]:
    made = Buffer(4)
    yield made
    made.remove()


@pytest.fixture
def panel(buffer: Buffer) -> Iterator[RingPanel]:
    shared = Shared(buffer.name)
    made = RingPanel(
        buffer.name,
        Process(producer, shared, 1, 1000, *buffer.arguments),
        Process(producer, shared, 2, 1000, *buffer.arguments),
        Process(consumer, shared, 2000, *buffer.arguments),
        gates=buffer.gates,
        speed=100,
    )
    yield made
    made.close()


def test_it_shows_items_ends_and_values(buffer: Buffer, panel: RingPanel, browse: Make, until: Until) -> None:
    page = browse(panel.ring).opens()
    until(lambda: page.frames)
    assert (page.last["head"], page.last["tail"], page.last["items"]) == (0, 0, [None] * 4)
    assert page.last["gates"] == [
        ["empty", "4", "nobody waits", False],
        ["full", "0", "nobody waits", False],
        ["mutex", "1", "nobody waits", False],
    ]
    for label in "AAAAAABBBBBBCCCCCC":
        panel.step(label)
    until(lambda: (page.last["head"], page.last["tail"], page.last["gates"][0][1]) == (1, 2, "3"))
    assert page.last["items"] == [
        ["A1", BLUE, False, palette.PAPER],
        ["B1", RED, True, palette.PAPER],
        None,
        None,
    ]
    assert page.last["buffers"] == []
    assert page.last["caption"] == "1 of 4 slots full · head 1 · tail 2"


def test_a_semaphore_alone_moves_it(buffer: Buffer, panel: RingPanel, browse: Make, until: Until) -> None:
    page = browse(panel.ring).opens()
    until(lambda: page.frames)
    posix.sem_post(buffer.gates[1])
    until(lambda: page.last["gates"][1][1] == "1")


def test_who_waits_is_who_the_kernel_says(
    buffer: Buffer, panel: RingPanel, browse: Make, until: Until
) -> None:
    page = browse(panel.ring).opens()
    panel.step("C")
    until(lambda: page.frames and page.last["gates"][1] == ["full", "0", "C waits", True])
    panel.step("A"), panel.step("A")
    panel.step("B"), panel.step("B")
    until(lambda: page.last["gates"][2] == ["mutex", "0", "B waits", True])
    assert "semaphore mutex 0, B waits" in panel.ring.sentence
    assert "semaphore full 0, C waits" in panel.sentence


def test_a_killed_holder_leaves_everybody_waiting_and_stop_ends_them(
    buffer: Buffer, panel: RingPanel
) -> None:
    a, b, c = panel.processes
    panel.step("A"), panel.step("A")
    os.kill(a.pid or 0, signal.SIGKILL)
    a.wait()
    panel.start()
    deadline = monotonic() + 5
    while "semaphore mutex 0, B waits" not in panel.ring.sentence:
        assert monotonic() < deadline, panel.sentence
    begin = monotonic()
    panel.stop()
    assert monotonic() - begin < 1
    assert (b.state.kind, c.state.kind) == ("ended", "ended")


def test_each_has_a_speed_and_all_have_one(panel: RingPanel) -> None:
    assert [panel.speed_of(label) for label in "ABC"] == [100, 100, 100]
    panel.set_speed("B", 7)
    panel.set_speed("C", None)
    assert panel.ring.speeds == [100, 7, 0]
    panel.speed = 250
    assert panel.ring.speeds == [250, 250, 250]
    panel.speed = None
    assert [panel.speed_of(label) for label in "ABC"] == [None] * 3
    with pytest.raises(ValueError, match="greater than 0"):
        panel.set_speed("A", -1)
    with pytest.raises(ValueError, match="no process 'D' here"):
        panel.set_speed("D", 1)


def test_who_is_slow_sets_the_pace(panel: RingPanel, until: Until) -> None:
    """A thousand steps a second against ten: the buffer is full, and the producers wait."""
    panel.set_speed("A", 1000)
    panel.set_speed("B", 1000)
    panel.set_speed("C", 2)
    panel.start()
    until(lambda: "A and B wait" in panel.ring.sentence)
    assert "4 of 4 slots are full" in panel.ring.sentence
    panel.set_speed("C", None)
    until(lambda: panel.processes[2].state.step > 200)
    panel.set_speed("A", 8)
    panel.set_speed("B", 8)
    # Whoever was slowed down within the mutex holds it for three of its steps, and there may be four items.
    until(lambda: "semaphore full 0, C waits" in panel.ring.sentence, timeout=20)


def test_a_slider_moved_in_the_browser_is_heard(panel: RingPanel) -> None:
    panel.start()
    panel.ring.set_state({"speeds": [1.0, 2.0, 0.0]})
    assert panel.speed_of("B") == 2
    assert panel.speed_of("C") is None


def test_what_is_no_buffer_is_said_in_words() -> None:
    name = own_name("nothing")
    view = RingView(name)
    assert "doesn't exist yet" in view.sentence
    with posix.create(name, 100) as memory:
        assert "is no buffer yet" in view.sentence
        words = memory.buf[:96].cast("Q")
        words[SLOTS] = 5
        assert "is no buffer yet" in view.sentence, "it ends before its last slot"
        words[SLOTS] = 4
        assert "0 of 4 slots are full" in view.sentence
        words[SLOTS] = 2**63
        assert "is no buffer yet" in view.sentence
        words.release()
    assert "is gone" in view.sentence
    view.close()


def test_semaphores_that_are_not_there(buffer: Buffer) -> None:
    view = RingView(buffer.name, gates=["/nobody", buffer.gates[2]])
    assert "semaphore /nobody not there, nobody waits; semaphore mutex 1" in view.sentence
    view.close()


def test_items_of_strangers_and_large_numbers(buffer: Buffer) -> None:
    buffer.words[FIRST : FIRST + 1] = memoryview((10**9 * 7 + 12345).to_bytes(8, "little")).cast("Q")
    buffer.words[TAIL] = 1
    view = RingView(buffer.name)
    assert "(7:…345)" in view.sentence
    view.close()


def test_more_than_it_holds_and_less_than_nothing(buffer: Buffer) -> None:
    view = RingView(buffer.name)
    buffer.words[TAIL] = 6
    assert "6 of 4 slots are full, head 0, tail 6, 2 overwritten before they were taken" in view.sentence
    buffer.words[HEAD] = 7
    assert "1 taken that nobody had put" in view.sentence
    view.close()


def test_a_still_picture(panel: RingPanel) -> None:
    for label in "AAAAAABBBBBB":
        panel.step(label)
    picture = panel.ring.still()
    assert picture is not None
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    colours = {colour for _, colour in image.getcolors(1 << 20) or []}

    def near(wanted: str) -> bool:
        rgb = tuple(bytes.fromhex(wanted[1:]))
        return any(sum(abs(a - b) for a, b in zip(colour, rgb, strict=True)) < 12 for colour in colours)

    assert near(BLUE)
    assert near(RED)
    assert image.size == (900, 480)


def test_the_ring_stands_between_the_buttons_and_the_sources(
    panel: RingPanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    buttons, ring, sources = panel.children
    assert (buttons.toolbar, sources.toolbar, ring) == (True, False, panel.ring)
    assert (len(buttons.listings), len(sources.listings)) == (0, 3)
    stacked: list[bytes] = []
    monkeypatch.setattr(figures, "stack", lambda parts: stacked.extend(parts) or b"")
    panel._repr_mimebundle_()
    assert (len(stacked), stacked[0]) == (2, panel.ring.still())


def test_a_click_wakes_a_view_that_was_stopped(panel: RingPanel, browse: Make, until: Until) -> None:
    page = browse(panel.ring)
    page.opens()
    until(lambda: page.frames)
    panel.ring.stop()
    panel.step("A")
    assert not panel.ring.running, "code doesn't"
    panel.controls._received(panel.controls, {"do": "step", "label": "A"}, None)
    assert panel.ring.running
    until(lambda: page.frames[-1]["gates"][2][1] == "0")


def test_reset_after_the_lesson_has_taken_the_memory_away(buffer: Buffer) -> None:
    view = buffer.mapping.buf[:8].cast("Q")

    def fresh() -> None:
        view[0] = 0

    made = RingPanel(buffer.name, Process(producer, Shared(buffer.name), 1, 9), on_reset=fresh)
    said: list[str] = []
    made.controls.say = said.append  # type: ignore[method-assign]
    view.release()
    made.controls._received(made.controls, {"do": "reset"}, None)
    assert said[1:] == ["The memory has been unmapped since. Run the lesson's cells again from the top."]
    made.close()


ITEM = RingItem("A1", BLUE, True)


@pytest.mark.parametrize(("head", "tail"), [(0, 0), (3, 6), (1, 9), (2, 1), (0, 8)])
@pytest.mark.parametrize("slots", [1, 4, 8, 32])
def test_nothing_is_written_outside_or_too_small(head: int, tail: int, slots: int) -> None:
    canvas, ax = figures.figure(900, 480)
    gates = (RingGate("empty", 1, ("A", "B")), RingGate("full", None), RingGate("mutex", 0, ("C",)))
    figures.draw_ring(ax, RingState(head, tail, (ITEM,) * slots, gates), "/buffer")
    canvas.draw()
    words = [text.get_text() for text in ax.texts]
    assert {"head", "tail", "slots full", f"{tail - head} of {slots}", "A and B wait", "C waits"} <= set(
        words
    )
    for text in ax.texts:
        box = text.get_window_extent()
        assert min(box.x0, box.y0) >= 0
        assert box.x1 <= 900
        assert box.y1 <= 480
        assert text.get_fontsize() >= figures.TYPE
    head_box, tail_box = (
        text.get_window_extent() for text in ax.texts if text.get_text() in ("head", "tail")
    )
    assert slots > 8 or not head_box.overlaps(tail_box)


def test_it_is_said_in_a_sentence() -> None:
    taken = RingItem("A1", BLUE, False)
    state = RingState(
        1, 3, (RingItem("B2", RED, True), taken, RingItem("B1", RED, True)), (RingGate("full", 2),)
    )
    said = figures.describe_ring(state, "/b")
    assert said == (
        "The buffer '/b': 2 of 3 slots are full (B1, B2), head 1, tail 3; semaphore full 2, nobody waits."
    )
