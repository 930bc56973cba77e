"""What every panel that moves does with a click and with a frame that fails, and what stays of each."""

import contextlib
from collections.abc import Callable
from typing import Any

import pytest

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
from shmlab.panels.moving import Moving
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
