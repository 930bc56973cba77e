"""The race without a browser: what it reads and keeps, its switch, and processes that race for real."""

import io
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from PIL import Image

from shmlab import Process, figures, own_key, own_name, palette, posix, sysv
from shmlab.figures import RaceState
from shmlab.panels import Panel, RacePlot
from shmlab.panels.race import POINTS, STILL, History
from shmlab.programs.racer import CURES, MOST, OWN, racer

Make = Callable[..., Any]
Until = Callable[..., None]


class Race:
    def __init__(self) -> None:
        self.mapping = posix.create(own_name("race"), 4096)
        self.name = self.mapping.name or ""
        self.words = self.mapping.buf.cast("Q")
        self.mutex = posix.sem_open(own_name("mutex"), posix.O_CREAT | posix.O_EXCL, value=1)
        self.key = own_key("mutex")
        self.set = sysv.semget(self.key, 1, sysv.IPC_CREAT | sysv.IPC_EXCL | 0o600)
        sysv.semctl(self.set, 0, sysv.SETVAL, 1)

    def put(self, count: int, *own: int) -> None:
        self.words[0] = count
        for who, times in enumerate(own, start=1):
            self.words[OWN * who] = times

    def racers(self, count: int = 2) -> list[Process]:
        arguments = (10**9, self.mutex.name, self.key)
        return [Process(racer, self.name, who, *arguments) for who in range(1, count + 1)]

    def remove(self) -> None:
        self.words.release()
        posix.munmap(self.mapping)
        posix.shm_unlink(self.name)
        posix.sem_unlink(self.mutex.name)
        sysv.semctl(self.set, 0, sysv.IPC_RMID)


@pytest.fixture
def race() -> Iterator[Race]:
    made = Race()
    yield made
    made.remove()


def points(frame: dict[str, Any]) -> list[tuple[float, ...]]:
    return list(struct.iter_unpack("=3d", frame["buffers"][0]))


# --- the history -------------------------------------------------------------------------------------------


def test_its_clock_stands_still_while_nobody_adds() -> None:
    history = History(10.0, 0, 0, 0)
    for now in (20.0, 20.05):
        history.note(now, 0, 0, 0)
    history.note(20.10, 0, 100, 90)  # began at most one look ago
    history.note(20.15, 0, 200, 150)
    for now in (20.2, 25.0, 30.0):
        history.note(now, 0, 200, 150)
    history.note(30.05, 0, 300, 200)
    seconds = [round(each, 3) for each, _, _ in history.points]
    assert seconds == [0, 0.05, 0.1, 0.15]
    assert [each[1:] for each in history.points] == [(0, 0), (100, 90), (200, 150), (300, 200)]


def test_a_late_look_moves_the_clock_by_no_more_than_it_must() -> None:
    history = History(0.0, 0, 0, 0)
    history.note(50.0, 0, 1000, 1000)
    assert history.points[-1][0] == STILL


def test_each_cure_has_its_spell_and_its_rate() -> None:
    history = History(0.0, 0, 0, 0)
    for tick in range(1, 101):
        history.note(tick / 50, 0 if tick <= 50 else 1, tick * 10 if tick <= 50 else 500 + tick, 0)
    assert [(round(begin, 2), cure) for begin, cure in history.spells] == [(0.0, 0), (1.02, 1)]
    assert history.rates[0] == pytest.approx(500)
    assert history.rates[1] == pytest.approx(50)


def test_a_cure_under_which_nobody_added_leaves_no_spell() -> None:
    history = History(0.0, 0, 0, 0)
    for now, cure in ((1.0, 1), (2.0, 2), (3.0, 1)):
        history.note(now, cure, 0, 0)
    assert history.spells == [(0.0, 1)]


def test_a_long_history_is_thinned_and_keeps_its_ends() -> None:
    history = History(0.0, 0, 0, 0)
    for tick in range(1, 5001):
        history.note(tick / 50, 0, tick, tick)
    assert len(history.points) <= POINTS
    assert history.points[0] == (0.0, 0, 0)
    assert history.points[-1][1] == 5000


# --- the view ----------------------------------------------------------------------------------------------


def test_expected_actual_and_what_is_lost(race: Race, browse: Make, until: Until) -> None:
    plot = RacePlot(race.name)
    page = browse(plot).opens()
    until(lambda: page.frames)
    assert page.last["caption"] == "nobody has added anything yet"
    race.put(70, 60, 40)
    until(lambda: page.last["caption"] == "30 of 100 lost (30.0%)")
    assert [each[1:] for each in points(page.last)] == [(0, 0), (100, 70)]
    assert page.last["cure"] == "none"
    assert page.last["rates"][0] == ["none", None, "not tried"]
    assert "30 of 100 lost" in page.last["sentence"]


def test_a_counter_ahead_of_its_notes_has_lost_nothing(race: Race) -> None:
    race.put(101, 60, 40)
    state = RacePlot(race.name).state
    assert state is not None
    assert (state.lost, state.words) == (0, "0 of 100 lost (none)")


def test_a_count_that_goes_back_is_another_race(race: Race) -> None:
    plot = RacePlot(race.name)
    race.put(10, 20)
    assert plot.state.expected == (0, 20)
    race.put(3, 3)
    assert plot.state.expected == (3,)


def test_the_switch_from_code_and_from_the_browser(race: Race, browse: Make, until: Until) -> None:
    plot = RacePlot(race.name)
    page = browse(plot).opens()
    plot.cure = "flock"
    assert race.words[1] == CURES.index("flock")
    until(lambda: page.frames and page.last["cure"] == "flock")
    page.says({"cure": "POSIX semaphore"})
    assert plot.cure == "POSIX semaphore"
    until(lambda: page.last["cure"] == "POSIX semaphore")
    page.says({"cure": "atomic"})
    assert plot.cure == "POSIX semaphore"
    assert "can't be moved: 'atomic' isn't among the cures" in page.said[-1]


def test_what_is_no_cure() -> None:
    with pytest.raises(ValueError, match="no cure 'prayer': there is none, POSIX semaphore"):
        RacePlot("/shmlab-0-none-gone", cures=["prayer"])


def test_what_is_no_race_is_said_in_words() -> None:
    name = own_name("small")
    plot = RacePlot(name)
    assert "doesn't exist yet" in plot.sentence
    with pytest.raises(FileNotFoundError):
        plot.cure = "flock"
    with pytest.raises(FileNotFoundError):
        _ = plot.cure
    with posix.create(name, 64) as small:
        assert plot.sentence == f"{name!r} is no race: it has 64 bytes, and needs {8 * (OWN * MOST + 1)}."
        posix.shm_unlink(name)
        del small
    with posix.create(name, 4096) as memory:
        memory.buf.cast("Q")[1] = 99
        assert "word 1 is 99, and none of its cures" in plot.sentence
        posix.shm_unlink(name)
    plot.close()


def test_real_processes_race_and_the_switch_ends_the_losing(race: Race) -> None:
    plot = RacePlot(race.name)
    panel = Panel(*race.racers(3), views=[plot], speed=None)
    panel.start()
    plot.watch(0.3)
    assert plot.state.expected[-1] > 1000
    panel.reset()
    race.put(0, 0, 0, 0)
    plot.cure = "POSIX semaphore"
    panel.start()
    plot.watch(0.4)
    panel.stop()
    state = plot.state
    assert state.cure == "POSIX semaphore"
    assert state.expected[-1] > 1000
    assert abs(state.expected[-1] - state.actual[-1]) <= 3  # those who were stopped between store and note
    assert dict(state.rates)["POSIX semaphore"] > 0
    assert "cure: POSIX semaphore" in panel.sentence
    panel.close()


# --- the picture -------------------------------------------------------------------------------------------

STATE = RaceState(
    (0.0, 1.0, 2.0, 3.0),
    (0, 1000, 1500, 2500),
    (0, 700, 1200, 1900),
    ((0.0, "none"), (1.0, "POSIX semaphore"), (2.0, "none")),
    (("none", 1000.0), ("POSIX semaphore", 500.0), ("flock", None)),
)


def drawn(state: RaceState) -> tuple[Any, list[Any]]:
    canvas, ax = figures.figure(1000, 460)
    figures.draw_race(ax, state, "/race")
    canvas.draw()
    return canvas, [text for axes in ax.figure.axes for text in axes.texts]


@pytest.mark.parametrize("state", [STATE, RaceState((0.0,), (0,), (0,), ((0.0, "none"),), (("none", None),))])
def test_nothing_is_written_outside_or_too_small(state: RaceState) -> None:
    canvas, texts = drawn(state)
    width, height = canvas.get_width_height()
    for text in texts:
        box = text.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= width, text.get_text()
        assert box.y0 >= 0
        assert box.y1 <= height, text.get_text()
        assert text.get_size() >= 13


def test_the_band_is_between_expected_and_actual_in_its_own_colour() -> None:
    canvas, texts = drawn(STATE)
    assert [text.get_text() for text in texts[:3]] == ["nothing", "POSIX", "nothing"]
    assert {line.get_color() for line in canvas.figure.axes[0].lines} >= {
        palette.INK,
        palette.PROCESS_COLOURS[0],
    }
    assert "600 of 2,500 lost (24.0%)" in canvas.figure.axes[0].get_title(loc="left")


def test_a_still_picture_and_its_sentence(race: Race) -> None:
    plot = RacePlot(race.name)
    race.put(70, 60, 40)
    bundle, _ = plot._still()
    image = Image.open(io.BytesIO(bundle["image/png"]))
    assert image.size == (1000, 460)
    assert "30 of 100 lost (30.0%), expected 100, counted 70" in bundle["text/plain"]
    plot.close()
