"""What every panel that moves does with a click and with a frame that fails, and what stays of each."""

import contextlib
import errno
import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from ipywidgets.widgets.widget import _instances

from shmlab import Process
from shmlab.panels import (
    ByteGrid,
    Classroom,
    IpcsView,
    LivePlot,
    Panel,
    RacePlot,
    RingView,
    Scheduler,
    Statements,
    Walkthrough,
)
from shmlab.panels.moving import INTERRUPTED, Moving
from shmlab.panels.panel import renew
from shmlab.panels.still import Still
from shmlab.processes import Walk

WIDGET = "application/vnd.jupyter.widget-view+json"


def endless():
    while True:
        yield "on"


class Count(Moving):
    """Sends how often it was clicked; from *broken* on it can't."""

    def __init__(self, broken: int = 100) -> None:
        self.broken, self.clicks = broken, 0
        super().__init__()

    def _tick(self, number: int) -> bool:
        clicks = self.clicks  # once: the next click may come between two looks
        if clicks == self._last:
            return False
        if clicks >= self.broken:
            raise ValueError(f"{clicks} is too much")
        self.send({"clicks": clicks, "frame": number, "heard": self.loop.acknowledged})
        self._last = clicks
        return True

    def _order(self, content: dict[str, Any]) -> Callable[[], object] | None:
        orders = {"click": self._click, "fail": self._fail, "fail silently": self._fail_silently}
        return orders.get(str(content.get("do")))

    def _click(self) -> None:
        self.clicks += 1

    def _fail(self) -> None:
        raise OSError(2, "there is none", "/mymem")

    def _fail_silently(self) -> None:
        raise ZeroDivisionError


def test_a_click_is_done_and_shown(browse, until):
    page = browse(Count()).opens()
    page.says({"do": "click"})
    until(lambda: page.frames and page.last["clicks"] == 1)
    assert page.said == [""]


def test_a_click_that_fails_says_why_until_the_next_one(browse):
    page = browse(Count()).opens()
    page.says({"do": "fail"})
    assert page.said[-1] == "[Errno 2] there is none: '/mymem'"
    page.says({"do": "fail silently"})
    assert page.said[-1] == "ZeroDivisionError"
    page.says({"do": "click"})
    assert page.said[-1] == ""


@pytest.mark.parametrize("content", [{"do": "dance"}, {"do": None}, {}, [], "click", None])
def test_what_is_no_order_is_passed_over(browse, content):
    page = browse(Count()).opens()
    page.says(content)
    assert page.view.clicks == 0
    assert page.said == []


def test_a_frame_that_fails_is_said_and_stays_said(browse, until):
    page = browse(Count(broken=2)).opens()
    until(lambda: page.frames)
    page.says({"do": "click"})
    until(lambda: page.last["clicks"] == 1)
    page.says({"do": "click"})
    until(lambda: page.view.loop.ended == "failed")
    until(lambda: page.said[-1] == "This can't be shown: ValueError: 2 is too much")
    page.view.broken = 100
    page.says({"do": "click"})
    until(lambda: page.last["clicks"] == 3)
    assert page.said[-1] == "", "it moves again"


def test_what_was_said_of_a_frame_goes_when_it_moves_again_by_itself(browse, until):
    page = browse(Count(broken=0)).opens()
    until(lambda: page.said == ["This can't be shown: ValueError: 0 is too much"])
    page.says({"view": "two", "is": "seen"})
    assert page.said[-1] == page.said[0], "a new view hears it, too"
    page.view.broken = 100
    page.view.loop.start()  # as displaying it again does
    until(lambda: page.said[-1] == "")


def test_after_an_interrupt_it_shows_what_is_left_and_says_so(browse, until):
    page = browse(Count()).opens()
    until(lambda: page.frames)
    page.view.clicks = 5  # by the cell that is interrupted
    page.view.loop._cell_ends(SimpleNamespace(error_in_exec=KeyboardInterrupt()))
    until(lambda: page.said == [INTERRUPTED])
    assert page.last["clicks"] == 5
    assert not page.view.loop.running
    page.says({"do": "click"})
    until(lambda: page.last["clicks"] == 6)
    assert page.said[-1] == ""


def test_a_close_that_fails_leaves_the_picture_and_no_frames(browse, until):
    class Fails(Still, Count):
        sentence = "a count"

        def _still(self) -> Any:
            return {"text/plain": self.sentence}, {}

        def _end(self) -> None:
            raise TimeoutError("not yet")

    page = browse(Fails()).opens()
    until(lambda: page.frames)
    with pytest.raises(TimeoutError):
        page.view.close()
    assert not page.view.loop.running
    assert page.view._repr_mimebundle_() == ({"text/plain": "a count"}, {})
    page.view._end = lambda: None


def test_a_rate_there_can_not_be_leaves_no_widget():
    before = set(_instances)
    with pytest.raises(ValueError, match="frames a second"):
        ByteGrid("/nothing", rate=0)
    assert set(_instances) == before


def test_a_click_begins_what_has_ended(browse, until):
    page = browse(Count()).opens()
    until(lambda: page.frames)
    page.view.loop.stop()
    page.says({"do": "click"})
    until(lambda: page.last["clicks"] == 1)


def failing(*_: object) -> None:
    raise ValueError("nobody can look")


def walkthrough() -> Any:
    return Walkthrough(Walk(endless))


def controls() -> Any:
    return Panel(Process(endless)).controls


@pytest.mark.parametrize(
    ("make", "looks"),
    [(walkthrough, "walkthrough.shown"), (controls, "panel.shown")],
    ids=["walk", "controls"],
)
def test_a_panel_that_can_not_be_shown_says_so(make, looks, browse, until, monkeypatch):
    page = browse(make()).opens()
    until(lambda: page.frames)
    with monkeypatch.context() as patched:
        patched.setattr(f"shmlab.panels.{looks}", failing)
        page.view._forget()
        until(lambda: page.said and "ValueError: nobody can look" in page.said[-1])
    page.says({"do": "reset"})
    before = len(page.frames)
    page.view._forget()
    until(lambda: len(page.frames) > before)
    assert page.said[-1] == ""


def test_start_of_what_has_ended_says_what_to_do(browse, until):
    with contextlib.closing(Panel(Process(endless))) as panel:
        page = browse(panel.controls).opens()
        page.says({"do": "start"})
        page.says({"do": "stop"})
        page.says({"do": "start"})
        assert page.said[-1] == "They have all ended. Reset makes them as new."
        page.says({"do": "reset"})
        page.says({"do": "start"})
        assert page.said[-1] == ""


def test_a_click_wakes_cards_that_stand_below_the_views(browse, until):
    with contextlib.closing(Panel(Process(endless), views=[ByteGrid("/nothing")], views_first=True)) as panel:
        buttons, cards = browse(panel.controls).opens(), browse(panel._cards[0]).opens()
        until(lambda: cards.frames)
        for each in (panel.controls, *panel._cards):
            each.loop._cell_ends(SimpleNamespace(error_in_exec=KeyboardInterrupt()))
        until(lambda: cards.said == [INTERRUPTED])
        buttons.says({"do": "start"})
        until(lambda: cards.last["states"][0]["kind"] == "running")


@pytest.mark.parametrize("number", [errno.EIDRM, errno.EINVAL])
def test_a_reset_of_what_was_removed_says_what_to_do(number):
    def setup() -> None:
        raise OSError(number, os.strerror(number), "id 0")

    with pytest.raises(RuntimeError, match=r"'id 0' has been removed since\. Run the lesson's cells again"):
        renew(setup)


def test_a_reset_that_fails_otherwise_says_how():
    def setup() -> None:
        raise OSError(errno.EINVAL, "Invalid argument", "/mymem")

    with pytest.raises(OSError, match="Invalid argument: '/mymem'"):
        renew(setup)


# --- what stays ----------------------------------------------------------------------------------------

PANELS = {
    "grid": lambda: ByteGrid("/nothing"),
    "ipcs": IpcsView,
    "plot": lambda: LivePlot("/nothing"),
    "race": lambda: RacePlot("/nothing"),
    "ring": lambda: RingView("/nothing"),
    "panel": lambda: Panel(Process(endless), views=[ByteGrid("/nothing")]),
    "scheduler": lambda: Scheduler([Process(endless, label="A"), Process(endless, label="B")]),
    "statements": Statements,
    "walkthrough": walkthrough,
    "classroom": Classroom,
}


def test_every_panel_is_here():
    from shmlab import panels

    shown = [getattr(panels, name) for name in panels.__all__]
    stays = {each.__name__ for each in shown if isinstance(each, type) and issubclass(each, Still)}
    here = set()
    for make in PANELS.values():
        with contextlib.closing(make()) as panel:
            here.add(type(panel).__name__)
    assert stays - here == {"RingPanel"}, "a Panel with a RingView"


@pytest.mark.parametrize("make", PANELS.values(), ids=PANELS)
def test_a_closed_panel_is_its_picture_and_sentence(make):
    panel = make()
    try:
        live, _ = panel._repr_mimebundle_()
        assert live[WIDGET]["model_id"] == panel.model_id
        assert live["text/plain"] == panel.sentence
    finally:
        panel.close()
    closed, _ = panel._repr_mimebundle_()
    assert WIDGET not in closed
    assert closed.keys() == live.keys() - {WIDGET}
    panel.close()
    assert panel._repr_mimebundle_()[0].keys() == closed.keys()
