"""The race in a real JupyterLab: processes race, the switch is clicked, and the page says what is lost."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shmlab.programs import find_compiler

Open = Callable[..., Any]

SETTING = """
from shmlab import Process, cleanup, in_c, own_key, own_name, posix, sysv
from shmlab.panels import Panel, RacePlot
from shmlab.programs.racer import CURES, racer
m = posix.create(own_name("counter"), 4096)
words = m.buf.cast("Q")
mutex = posix.sem_open(own_name("mutex"), posix.O_CREAT | posix.O_EXCL, value=1)
key = own_key("mutex")
semid = sysv.semget(key, 1, sysv.IPC_CREAT | sysv.IPC_EXCL | 0o600)
def new_race():
    for place in range(len(words)):
        words[place] = 0
    while not posix.sem_getvalue(mutex):
        posix.sem_post(mutex)
    sysv.semctl(semid, 0, sysv.SETVAL, 1)
new_race()
"""
PYTHON = """
pair = [Process(racer, m.name, who, 10**9, mutex.name, key) for who in (1, 2)]
plot = RacePlot(m.name)
panel = Panel(*pair, views=[plot], speed=None, on_reset=new_race)
panel
"""
IN_C = """
pair = [Process(in_c(racer), m.name, str(who), str(10**9), mutex.name, str(key)) for who in (1, 2, 3)]
plot = RacePlot(m.name, CURES)
panel = Panel(*pair, views=[plot], speed=None, on_reset=new_race)
panel
"""
FOUR = PYTHON.replace("(1, 2)", "(1, 2, 3, 4)").replace("speed=None", "views_first=True, speed=None")
needs_cc = pytest.mark.skipif(find_compiler() is None, reason="no C compiler: install the package gcc")
BAND = (0xD5, 0x5E, 0x00)


def opened(notebook: Open, panel: str, width: int = 1500) -> Any:
    # What is out of sight gets no frames; on a narrow page it stands below the sources.
    book = notebook([SETTING, panel], height=1700 if width > 1000 else 2800, width=width)
    book.run_all()
    book.page.wait_for_selector(".shmlab-live canvas[data-frame]")
    return book


def button(page: Any, words: str) -> Any:
    return page.locator(".shmlab-processes button", has_text=words).first


def cure(page: Any, name: str) -> Any:
    return page.locator(f".cures button[data-cure='{name}']")


def until_said(page: Any, pattern: str, seconds: float = 20) -> str:
    """Wait until the canvas describes itself with words of this pattern; return them all."""
    page.wait_for_function(
        "p => RegExp(p).test(document.querySelector('.shmlab-live canvas').getAttribute('aria-label') ?? '')",
        arg=pattern,
        timeout=seconds * 1000,
    )
    said: str = page.locator(".shmlab-live canvas").get_attribute("aria-label")
    return said


def shoot(page: Any, name: str) -> None:
    """Leave a picture, for whoever wants to look (SHMLAB_SHOTS names a folder)."""
    if folder := os.environ.get("SHMLAB_SHOTS"):
        page.locator(".shmlab-live canvas").first.scroll_into_view_if_needed()
        page.screenshot(path=str(Path(folder) / f"{name}.png"))


def reddish(page: Any) -> int:
    """How many pixels have the hatching's colour, more or less: it's translucent."""
    return int(
        page.evaluate(
            """() => {
                const canvas = document.querySelector('.shmlab-live canvas');
                const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
                let found = 0;
                for (let at = 0; at < data.length; at += 4)
                    if (data[at + 3] > 0 && data[at] > data[at + 2] + 100) found += 1;
                return found;
            }"""
        )
    )


def columns(page: Any) -> int:
    """How many columns the sources stand in."""
    style = page.locator(".cards").last.evaluate("node => getComputedStyle(node).gridTemplateColumns")
    return len(style.split())


def test_the_band_grows_and_the_switch_stops_it(notebook: Open) -> None:
    book = opened(notebook, PYTHON)
    page = book.page
    until_said(page, "nobody has added anything yet")
    before = reddish(page)  # the legend's
    assert cure(page, "none").get_attribute("aria-pressed") == "true"
    button(page, "Start").click()
    until_said(page, r"[1-9][\d,]+ of [\d,]{6,} lost")
    until_said(page, r"updates a second: none [\d,.]+")
    assert reddish(page) > before + 500
    shoot(page, "race-none")
    for name in ("POSIX semaphore", "System V semaphore", "flock"):
        cure(page, name).click()
        until_said(page, rf"cure: {name}; updates a second: .*{name} [\d,.]+")
        assert cure(page, name).get_attribute("aria-pressed") == "true"
    cure(page, "none").click()
    until_said(page, "cure: none")
    shoot(page, "race-cures")
    button(page, "Pause").click()
    page.locator(".shmlab-processes .process .state", has_text="paused").first.wait_for()
    button(page, "Stop").click()
    button(page, "Reset").click()
    until_said(page, "nobody has added anything yet|0 of 0")
    assert book.ask("print(words[0], posix.sem_getvalue(mutex))").split() == ["0", "1"]
    assert not book.console


def test_four_race_on_one_screen_and_no_field_stays_empty(notebook: Open) -> None:
    book = opened(notebook, FOUR)
    page = book.page
    cards = page.locator(".shmlab-processes .process")
    assert cards.count() == 4
    button(page, "Start").click()
    until_said(page, r"[1-9][\d,]+ of [\d,]{5,} lost")
    for card in cards.all():
        card.locator(".state", has_text="running").wait_for()
    counted = "sum(words[OWN * who] > 0 for who in (1, 2, 3, 4))"
    assert book.ask(f"from shmlab.programs.racer import OWN\nprint({counted})").strip() == "4"
    assert columns(page) == 2, "two rows of two"
    plot, sources = (page.locator(each).last.bounding_box() for each in (".shmlab-live canvas", ".cards"))
    assert plot["y"] + plot["height"] <= sources["y"], "the plot stands above the sources"
    shoot(page, "race-four")
    button(page, "Stop").click()
    cards.last.locator(".state", has_text="stopped").wait_for()
    assert not book.console


@needs_cc
def test_three_in_c_with_the_atomic_addition_too_and_a_narrow_page(notebook: Open) -> None:
    book = opened(notebook, IN_C, width=900)
    page = book.page
    button(page, "Start").click()
    cure(page, "atomic").click()
    until_said(page, "cure: atomic; updates a second: .*atomic")
    button(page, "Pause").click()
    said = until_said(page, "cure: atomic")
    assert re.search(r"atomic [\d.]+ million|atomic [\d,]+", said)
    shoot(page, "race-c-narrow")
    button(page, "Reset").click()
    until_said(page, "nobody has added anything yet")
    assert not book.console
