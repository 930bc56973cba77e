"""The table of statements without a browser: filters, runs, what it sends, what it leaves."""

import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from shmlab import document
from shmlab.document import Case, Statement, fails, holds
from shmlab.palette import WRONG
from shmlab.panels import Statements
from shmlab.panels.moving import INTERRUPTED

WIDGET = "application/vnd.jupyter.widget-view+json"


class Held:
    """Statements whose probes wait until they're let go, one after another."""

    def __init__(self, count: int) -> None:
        self.gate, self.begun = threading.Semaphore(0), threading.Semaphore(0)
        self.statements = [self._made(f"X{number}") for number in range(1, count + 1)]

    def _made(self, id_: str) -> Statement:
        def probe() -> Iterator[Case]:
            self.begun.release()
            yield holds("it was let go", self.gate.acquire(timeout=10))

        return Statement(id_, f"Statement {id_} waits.", document.TRUE, "", "01", probe)


@pytest.fixture
def table(browse: Any) -> Callable[..., Any]:
    """Open a table in a browser that only answers; it's closed when the test ends."""
    return lambda statements=None: browse(Statements(statements))


def test_all_rows_are_there_undecided(table) -> None:
    view = table().view
    assert [row["id"] for row in view.rows] == list(document.statements())
    assert {row["section"] for row in view.rows} == set(document.SECTIONS.values())
    assert view.findings == {}
    begun = "93 statements: 52 true, 2 true on Linux, 32 imprecise, 7 wrong."
    assert repr(view).startswith(begun)
    assert "None of them has been decided" in view.sentence


def test_filters_from_code(table) -> None:
    view = table().view
    assert view.find("ftruncate SIGBUS") == ["D17", "D77"]
    assert view.find(verdict="wrong") == ["D14", "D28", "D30", "D37", "D63", "D72", "D78"]
    assert view.find(section="ftruncate", verdict="wrong") == ["D78"] == view.shown
    assert view.find("D17") == ["D17"]
    assert view.find("no such words at all") == []
    assert len(view.find()) == 93
    for bad in ({"verdict": "maybe"}, {"section": "libc"}):
        with pytest.raises(ValueError, match="there are"):
            view.find(**bad)


def test_one_is_run_from_code(table) -> None:
    view = table().view
    found = view.run("d78")
    assert found
    assert view.findings == {"D78": found}
    assert "1 agrees, 92 not run yet" in view.sentence
    with pytest.raises(KeyError, match="D01 to D93"):
        view.run("D94")
    with pytest.raises(KeyError, match="doesn't have D17"):
        table([document.find("D78")]).view.run("D17")


def test_run_all_runs_those_that_are_shown(table) -> None:
    view = table().view
    view.find(verdict="wrong")
    said = view.run_all()
    assert set(view.findings) == set(view.shown)
    assert said == view.sentence
    assert not view.running


def test_each_finding_is_sent_and_nothing_twice(table, until) -> None:
    held = Held(2)
    page = table(held.statements).opens()
    until(lambda: page.frames)
    assert page.last["findings"] == {}
    assert not page.last["running"]
    page.says({"run": ["X1", "X2"]})
    until(lambda: page.last["now"] == "X1")
    assert (page.last["running"], page.last["waiting"], page.last["asked"]) == (True, ["X2"], 2)
    held.gate.release()
    until(lambda: page.last["now"] == "X2")
    assert page.last["findings"]["X1"]["words"] == "✓ agrees: true"
    assert (page.last["answered"], page.last["waiting"]) == (1, [])
    held.gate.release()
    until(lambda: not page.last["running"])
    assert page.last["findings"].keys() == {"X1", "X2"}
    assert page.last["sentence"] == page.view.sentence
    assert not page.view._tick(99)


def test_stop_ends_it_after_the_one_that_is_being_decided(table, until) -> None:
    held = Held(3)
    page = table(held.statements).opens()
    page.says({"run": ["X1", "X2", "X3"]})
    assert held.begun.acquire(timeout=5)
    page.says({"run": ["X1", "X2"]})  # is being decided, waits already: not a second time
    page.says({"do": "stop"})
    held.gate.release()
    until(lambda: not page.view.running)
    assert set(page.view.findings) == {"X1"}
    page.view.stop()
    held.gate.release()
    page.says({"run": ["X3"]})
    until(lambda: set(page.view.findings) == {"X1", "X3"})


def test_an_interrupted_run_stops(table, monkeypatch) -> None:
    held = Held(3)
    view = table(held.statements).view
    join = threading.Thread.join

    def interrupted(thread: threading.Thread, timeout: float | None = None) -> None:
        monkeypatch.setattr(threading.Thread, "join", join)
        assert held.begun.acquire(timeout=5)
        threading.Timer(0.1, held.gate.release).start()  # while it's being stopped
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "join", interrupted)
    with pytest.raises(KeyboardInterrupt):
        view.run_all()
    assert not view.running
    assert set(view.findings) == {"X1"}


def test_a_click_that_makes_no_sense_does_nothing(table) -> None:
    page = table([document.find("D78")]).opens()
    for content in (
        {"run": ["D17"]},
        {"run": "D78"},
        {"run": [7]},
        {"do": "nonsense"},
        {"neither": "one"},
        "?",
    ):
        page.says(content)
    assert not page.view.running
    assert page.view.findings == {}


def test_closing_ends_a_run(table, until) -> None:
    held = Held(2)
    view = table(held.statements).view
    view.run_all(wait=False)
    assert held.begun.acquire(timeout=5)
    held.gate.release()
    view.close()
    view.close()
    until(lambda: not [each for each in threading.enumerate() if each.name == "shmlab-statements"])
    assert "X2" not in view.findings


def test_a_kernel_that_answers_differently_is_red_and_says_what(table) -> None:
    def probe() -> Iterator[Case]:
        yield fails("it returned 0", False)

    view = table([Statement("X1", "It returns 0.", document.WRONG, "It doesn't.", "01", probe)]).view
    assert not view.run("X1")
    html = view._table()
    assert f"background:{WRONG}" in html
    assert "✗ answers differently: true" in html
    assert "unexpected: it returned 0" in html
    assert "1 answers differently" in view.sentence


def test_it_leaves_a_table_and_a_sentence(table, monkeypatch, tmp_path) -> None:
    (tmp_path / "03-bus-error.ipynb").write_text("{}")
    monkeypatch.chdir(tmp_path)
    view = table().view
    view.run_all(["D17", "D93"])
    data, _ = view._repr_mimebundle_()
    assert {WIDGET, "text/html", "text/plain"} <= data.keys()
    html = data["text/html"]
    assert html.count("<tr>") == 94
    assert len(html) < 80_000
    assert '<a href="03-bus-error.ipynb">lesson&nbsp;03</a>' in html
    assert "not run yet" in html
    assert "SIGBUS" in html
    view.find(verdict="wrong")
    assert view._table().count("<tr>") == 8
    view.close()
    assert WIDGET not in view._repr_mimebundle_()


def test_an_interrupted_cell_ends_a_run_and_the_page_says_so(table, until) -> None:
    held = Held(3)
    page = table(held.statements).opens()
    page.view.run_all(wait=False)
    assert held.begun.acquire(timeout=5)
    until(lambda: page.frames and page.last["running"])
    page.view.loop._cell_ends(SimpleNamespace(error_in_exec=KeyboardInterrupt()))
    until(page.view._halt.is_set)  # or the next one would begin, and hold up the end
    held.gate.release()
    until(lambda: page.said == [INTERRUPTED])
    assert not page.last["running"]
    assert set(page.last["findings"]) == {"X1"}
