"""The frame loop: paced by whoever looks, ended by everything that should end it."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import IPython
import pytest
from IPython.core.events import EventManager, available_events

from shmlab.panels import frames, turns
from shmlab.panels.frames import FrameLoop

Until = Callable[..., None]
SEEN = {"view": "one", "is": "seen"}


class Panel:
    """Something that ticks; it acknowledges its own frames while ``answers``."""

    def __init__(self, answers: bool = True, **options: Any) -> None:
        self.answers, self.changes, self.error = answers, True, None
        self.sent: list[int] = []
        self.ticks = self.refreshed = self.after = 0
        self.ends: list[tuple[str, object]] = []
        self.loop = FrameLoop(self.tick, over=self.over, refresh=self.refresh, **options)

    def tick(self, number: int) -> bool:
        self.ticks += 1
        self.after += not self.loop.running
        if self.error:
            raise self.error
        if self.changes:
            self.sent.append(number)
            if self.answers:
                self.loop.received({"ack": number})
        return self.changes

    def refresh(self) -> None:
        self.refreshed += 1

    def over(self, reason: str, error: object) -> None:
        self.ends.append((reason, error))


@pytest.fixture
def panel() -> Iterator[Callable[..., Panel]]:
    made: list[Panel] = []

    def make(**options: Any) -> Panel:
        made.append(Panel(**options))
        return made[-1]

    yield make
    for one in made:
        one.loop.stop()
        assert not one.loop.running
    assert not [thread for thread in threading.enumerate() if thread.name == "shmlab-frames"]


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """An IPython with a kernel, as far as the loop can see; its events are the real ones."""
    fake = SimpleNamespace(kernel=object())
    fake.events = EventManager(fake, available_events)
    fake.cell = lambda event, error=None: fake.events.trigger(
        event, SimpleNamespace(error_in_exec=error, error_before_exec=None)
    )
    monkeypatch.setattr(IPython, "get_ipython", lambda: fake)
    return fake


def test_no_thread_until_somebody_looks(panel: Callable[..., Panel], until: Until) -> None:
    one = panel()
    assert not one.loop.running
    assert one.loop.received(SEEN)
    assert one.loop.running
    until(lambda: len(one.sent) > 5)
    assert one.sent == list(range(1, len(one.sent) + 1))


def test_the_rate_is_kept(panel: Callable[..., Panel]) -> None:
    one = panel(rate=50)
    one.loop.received(SEEN)
    time.sleep(1)
    assert 35 <= len(one.sent) <= 52


def test_frames_are_held_back_until_acknowledged(
    panel: Callable[..., Panel], monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    monkeypatch.setattr(frames, "PATIENCE", 0.3)
    one = panel(answers=False)
    one.loop.received(SEEN)
    until(lambda: len(one.sent) == frames.WINDOW)
    time.sleep(0.15)
    assert len(one.sent) == frames.WINDOW
    one.loop.received(SEEN | {"ack": frames.WINDOW})
    until(lambda: len(one.sent) > frames.WINDOW, timeout=0.2)


def test_a_slow_browser_is_not_buried(panel: Callable[..., Panel]) -> None:
    one = panel(answers=False)
    one.loop.received(SEEN)
    time.sleep(1)
    assert len(one.sent) <= frames.WINDOW + 1 / frames.PATIENCE + 1


def test_over_a_slow_line_few_frames_are_on_their_way(
    panel: Callable[..., Panel], monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    monkeypatch.setattr(frames, "SLOW", 0.02)
    monkeypatch.setattr(frames, "PATIENCE", 2.0)
    one = panel(answers=False, rate=200)
    one.loop.received(SEEN)
    until(lambda: len(one.sent) == frames.WINDOW)
    time.sleep(0.05)
    one.loop.received(SEEN | {"ack": frames.WINDOW})
    until(lambda: len(one.sent) == frames.WINDOW + frames.WINDOW_SLOW)
    time.sleep(0.1)
    assert len(one.sent) == frames.WINDOW + frames.WINDOW_SLOW


def test_nothing_changes_nothing_is_sent_and_little_is_asked(
    panel: Callable[..., Panel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "STILL", 0.0)
    one = panel()
    one.changes = False
    one.loop.received(SEEN)
    time.sleep(1)
    assert 5 <= one.ticks <= 32
    assert one.sent == []


def test_now_and_then_it_asks_whether_anybody_is_there(
    panel: Callable[..., Panel], monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    monkeypatch.setattr(frames, "ASK", 0.1)
    one = panel()
    one.changes = False
    one.loop.received(SEEN)
    until(lambda: one.refreshed > 3)


def test_stop_ends_the_thread_and_may_be_called_twice(panel: Callable[..., Panel], until: Until) -> None:
    one = panel()
    one.loop.received(SEEN)
    until(lambda: one.sent)
    one.loop.stop()
    assert (one.loop.running, one.loop.ended) == (False, "stopped")
    sent = len(one.sent)
    one.loop.stop()
    one.loop.received(SEEN | {"ack": sent})
    time.sleep(0.05)
    assert len(one.sent) == sent
    assert ("stopped", None) in one.ends


def test_a_view_that_comes_after_the_end_gets_one_frame(panel: Callable[..., Panel]) -> None:
    one = panel()
    one.loop.stop()
    one.loop.received(SEEN)
    assert one.sent == [1]
    assert not one.loop.running


def test_start_goes_on_even_while_the_thread_is_ending(panel: Callable[..., Panel], until: Until) -> None:
    one = panel()
    one.loop.received(SEEN)
    until(lambda: one.sent)
    for _ in range(20):
        one.loop._halt.set()
        one.loop.start()
        sent = len(one.sent)
        until(lambda sent=sent: len(one.sent) > sent)
    assert one.loop.ended == ""


def test_a_tick_that_raises_ends_it_once_and_says_so(panel: Callable[..., Panel], until: Until) -> None:
    one = panel()
    one.error = ValueError("no such thing")
    one.loop.received(SEEN)
    until(lambda: one.ends)
    assert one.ends == [("failed", one.error)]
    assert (one.loop.running, one.loop.ended, one.ticks) == (False, "failed", 1)
    one.error = None
    one.loop.start()
    until(lambda: one.sent)


def test_a_closed_widget_ends_it(panel: Callable[..., Panel], until: Until) -> None:
    alive = threading.Event()
    alive.set()
    one = panel(alive=alive.is_set)
    one.loop.received(SEEN)
    until(lambda: one.sent)
    alive.clear()
    until(lambda: not one.loop.running)
    assert one.loop.ended == "closed"
    one.loop.start()
    one.loop.received(SEEN)
    assert not one.loop.running


@pytest.mark.parametrize("how", ["hidden", "gone"])
def test_nobody_looks_so_it_ends_and_begins_again(
    panel: Callable[..., Panel], monkeypatch: pytest.MonkeyPatch, how: str, until: Until
) -> None:
    monkeypatch.setattr(frames, "ABSENT", 0.1)
    one = panel()
    one.loop.received(SEEN)
    until(lambda: one.sent)
    one.loop.received({"view": "one", "is": how})
    until(lambda: not one.loop.running)
    assert one.loop.ended == "unseen"
    sent = len(one.sent)
    one.loop.received(SEEN)
    until(lambda: len(one.sent) > sent)


def test_one_of_two_views_is_enough(panel: Callable[..., Panel], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "ABSENT", 0.05)
    one = panel()
    one.loop.received(SEEN)
    one.loop.received({"view": "two", "is": "seen"})
    one.loop.received({"view": "one", "is": "gone"})
    time.sleep(0.3)
    assert one.loop.running


def test_a_page_that_vanished_without_a_word_and_one_that_was_only_slow(
    panel: Callable[..., Panel], monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    monkeypatch.setattr(frames, "ABSENT", 0.2)
    monkeypatch.setattr(frames, "PATIENCE", 0.02)
    one = panel(answers=False)
    one.loop.received(SEEN)
    until(lambda: not one.loop.running)
    assert one.loop.ended == "unseen"
    sent, refreshed = len(one.sent), one.refreshed
    one.loop.received(SEEN | {"ack": one.loop.frame})  # the kernel, or the browser, was busy meanwhile
    until(lambda: len(one.sent) > sent)
    assert one.refreshed > refreshed


def test_while_a_cell_runs_silence_means_nothing(
    panel: Callable[..., Panel], shell: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    monkeypatch.setattr(frames, "ABSENT", 0.2)
    one = panel(answers=False)
    one.loop.start()
    time.sleep(1)
    assert 20 <= len(one.sent) <= frames.WINDOW + 1 / frames.PATIENCE_BUSY + 2
    assert one.refreshed >= 2
    shell.cell("post_run_cell")
    until(lambda: not one.loop.running)
    assert one.loop.ended == "unseen"


def test_threads_take_short_turns_only_while_a_cell_runs_and_frames_flow(
    panel: Callable[..., Panel], shell: SimpleNamespace
) -> None:
    usual = sys.getswitchinterval()
    one, two = panel(), panel()
    for each in (one, two):
        each.loop.received(SEEN)
    assert sys.getswitchinterval() == usual
    shell.cell("pre_run_cell")
    assert sys.getswitchinterval() == pytest.approx(turns.SHORT)
    one.loop.stop()
    assert sys.getswitchinterval() == pytest.approx(turns.SHORT)
    shell.cell("post_run_cell")
    assert sys.getswitchinterval() == usual
    two.loop.start()
    shell.cell("pre_run_cell")
    two.loop.stop()
    assert sys.getswitchinterval() == usual


def test_cells_run_one_after_the_other_keep_no_thread_that_nobody_looks_at(
    panel: Callable[..., Panel], shell: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    monkeypatch.setattr(frames, "ABSENT", 0.2)
    one = panel()
    one.loop.received(SEEN)
    one.loop.received({"view": "one", "is": "gone"})

    def a_cell_ends_it() -> bool:
        shell.cell("pre_run_cell")
        shell.cell("post_run_cell")
        return not one.loop.running

    until(a_cell_ends_it)


def test_an_interrupted_cell_ends_it(
    panel: Callable[..., Panel], shell: SimpleNamespace, until: Until
) -> None:
    one = panel()
    one.loop.received(SEEN)
    shell.cell("pre_run_cell")
    shell.cell("post_run_cell", ValueError("not an interrupt"))
    until(lambda: one.sent)
    assert one.loop.running
    shell.cell("pre_run_cell")
    shell.cell("post_run_cell", KeyboardInterrupt())
    until(lambda: not one.loop.running)
    assert one.loop.ended == "interrupted"
    until(lambda: one.ends == [("interrupted", None)])
    assert one.after == 1, "what has become of it is shown"
    assert not any(one.loop._cell_ends in callbacks for callbacks in shell.events.callbacks.values())


def test_a_hidden_view_may_be_scrolled_to_while_a_cell_runs(
    panel: Callable[..., Panel], shell: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    monkeypatch.setattr(frames, "ABSENT", 0.05)
    one = panel()
    one.loop.received(SEEN)
    one.loop.received({"view": "one", "is": "hidden"})
    until(lambda: not one.loop.running)
    sent = len(one.sent)
    shell.cell("pre_run_cell")
    shell.cell("post_run_cell")
    assert not one.loop.running
    shell.cell("pre_run_cell")
    until(lambda: len(one.sent) > sent)
    shell.cell("post_run_cell")
    until(lambda: not one.loop.running)


@pytest.mark.parametrize("content", [None, 3, "ack", [], {}, {"again": True}, {"event": "click"}])
def test_what_is_not_for_it_is_left_alone(panel: Callable[..., Panel], content: object) -> None:
    one = panel()
    assert one.loop.received(content) is False
    assert not one.loop.running


def test_an_acknowledgement_may_come_before_the_tick_returns(
    panel: Callable[..., Panel], monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    monkeypatch.setattr(frames, "ABSENT", 0.2)
    one = panel()
    one.loop.received(SEEN)
    until(lambda: one.sent)
    one.changes = False  # nothing more to acknowledge: if the last one was not believed, silence would end it
    time.sleep(0.6)
    assert one.loop.running


def test_an_acknowledgement_of_the_future_is_not_believed(panel: Callable[..., Panel]) -> None:
    one = panel(answers=False)
    one.loop.received(SEEN)
    one.loop.received(SEEN | {"ack": 1_000_000})
    assert one.loop.acknowledged <= one.loop.frame + 1


@pytest.mark.parametrize("rate", [0, -1, 1000, float("nan")])
def test_rates_that_no_loop_can_have(rate: float) -> None:
    with pytest.raises(ValueError, match="frames a second"):
        FrameLoop(lambda number: True, rate)


def test_repr_has_no_address() -> None:
    assert repr(FrameLoop(lambda number: True)) == "FrameLoop(unseen, 60 frames a second at most)"
