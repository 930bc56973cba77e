"""The classroom board, driven from code: its screens, what is running when, what is left."""

from collections.abc import Iterator

import pytest

from shmlab import observe, own_name
from shmlab.panels import Classroom
from shmlab.panels.classroom import SCREENS
from shmlab.processes import cleanup

WORDS = [screen.word for screen in SCREENS]


@pytest.fixture
def board() -> Iterator[Classroom]:
    made = Classroom()
    yield made
    made.close()
    cleanup()


def test_every_screen_has_its_panel_and_its_question(board: Classroom) -> None:
    kinds = []
    for screen in SCREENS:
        board.show(screen.word)
        kinds.append(type(board.panel).__name__)
        assert board.word == screen.word
        assert board.children == (board.buttons, board.panel)
        assert board.buttons.question == screen.question
        assert screen.question.endswith("?")
    assert kinds == ["Walkthrough", "Panel", "Panel", "Scheduler", "RingPanel", "Panel"]


def test_nothing_runs_before_somebody_says_so_and_a_screen_is_left_as_new(board: Classroom) -> None:
    board.show("race")
    assert {each.state.kind for each in board.panel.processes} == {"not started"}
    board.panel.start()
    assert {each.state.kind for each in board.panel.processes} == {"running"}
    board.show("ring")
    race = board._made["race"]
    assert {each.state.kind for each in race.processes} == {"not started"}
    board.show("race")
    assert board.panel is race


def test_bus_error_is_one(board: Classroom) -> None:
    board.show("Bus error")
    a, b = board.panel.processes
    for _ in range(3):
        board.panel.step()
    assert a.state.outcome is not None
    assert a.state.outcome.signal == 7
    assert b.state.at == "read 0"


def test_the_scheduler_judges(board: Classroom) -> None:
    board.show("scheduler")
    assert board.panel.replay("ABAB").memory["counter"] == 1
    board.panel.replay("AABB")
    assert board.panel.finish().result == "right"


def test_the_kernels_view_can_be_reset_in_the_middle(board: Classroom) -> None:
    board.show("kernel")
    for _ in range(3):
        board.panel.step()
    assert observe.object_entry(own_name("seen")) is not None
    board.panel.reset()
    assert observe.object_entry(own_name("seen")) is None


def test_an_unknown_screen_is_refused(board: Classroom) -> None:
    with pytest.raises(ValueError, match=r"no screen 'nope'; there are walkthrough, "):
        board.show("nope")


def test_it_reads_without_a_kernel(board: Classroom) -> None:
    data, _ = board._repr_mimebundle_()
    for screen in SCREENS:
        assert screen.question in data["text/plain"]
        assert screen.word in data["text/html"]


def test_a_screen_whose_objects_were_taken_away_is_made_anew(board: Classroom) -> None:
    board.show("race")
    race = board.panel
    cleanup()
    board.show("ring")
    board.show("race")
    assert board.panel is not race
    board.panel.step("A")
    assert board.panel.processes[0].state.at == "load"
