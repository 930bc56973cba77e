"""The ring in a real JupyterLab: real processes put and take, and the page says who waits."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shmlab.programs import find_compiler

Open = Callable[..., Any]

SETTING = """
from shmlab import Process, Shared, cleanup, in_c, own_name, posix
from shmlab.panels import RingPanel, RingView
from shmlab.programs.consumer import consumer
from shmlab.programs.producer import FIRST, HEAD, SLOTS, TAIL, producer
m = posix.create(own_name("buffer"), 4096)
words = m.buf.cast("Q")
words[SLOTS] = 8
flags = posix.O_CREAT | posix.O_EXCL
gates = [posix.sem_open(own_name(w), flags, value=v) for w, v in (("empty", 8), ("full", 0), ("mutex", 1))]
names = [each.name for each in gates]
buffer = Shared(m.name)
"""
PANEL = """
a = Process(producer, buffer, 1, 10**6, *names)
b = Process({second}, buffer, 2, 10**6, *names)
c = Process(consumer, buffer, 10**6, *names)
panel = RingPanel(m.name, a, b, c, gates=gates, speed=16)
panel
"""
needs_cc = pytest.mark.skipif(find_compiler() is None, reason="no C compiler: install the package gcc")


def opened(notebook: Open, second: str = "in_c(producer)") -> Any:
    # A view that is out of sight gets no frames.
    book = notebook([SETTING, PANEL.format(second=second)], height=1500, width=1500)
    book.run_all()
    book.page.wait_for_selector(".shmlab-live canvas[data-frame]")
    return book


def button(page: Any, words: str) -> Any:
    return page.locator(".shmlab-processes button", has_text=words).first


def expect_state(page: Any, label: str, words: str, timeout: float = 10) -> None:
    card = page.locator(f".shmlab-processes .process[data-label='{label}']")
    card.locator(".state", has_text=words).wait_for(timeout=timeout * 1000)


def shoot(page: Any, name: str) -> None:
    """Leave a picture, for whoever wants to look (SHMLAB_SHOTS names a folder)."""
    if folder := os.environ.get("SHMLAB_SHOTS"):
        page.locator(".shmlab-live canvas").first.scroll_into_view_if_needed()
        page.screenshot(path=str(Path(folder) / f"{name}.png"))


def until_said(page: Any, words: str, seconds: float = 15) -> None:
    """Wait until the canvas describes itself with these words."""
    page.wait_for_function(
        "words => document.querySelector('.shmlab-live canvas').getAttribute('aria-label')?.includes(words)",
        arg=words,
        timeout=seconds * 1000,
    )


def slide(page: Any, label: str, position: int) -> None:
    """Move a process's slider, as a hand would: the event is the browser's own."""
    slider = page.locator(f".own-speed[data-label='{label}'] input")
    slider.focus()
    slider.fill(str(position))


def pixels(page: Any, colour: tuple[int, int, int]) -> int:
    """How many pixels of a colour the canvas shows."""
    return int(
        page.evaluate(
            """([r, g, b]) => {
                const canvas = document.querySelector('.shmlab-live canvas');
                const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
                let found = 0;
                for (let at = 0; at < data.length; at += 4)
                    if (data[at] === r && data[at + 1] === g && data[at + 2] === b) found += 1;
                return found;
            }""",
            list(colour),
        )
    )


BLUE, RED = (0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)


@needs_cc
def test_python_and_c_put_into_one_ring_and_each_item_has_its_producers_colour(notebook: Open) -> None:
    book = opened(notebook)
    page = book.page
    until_said(page, "0 of 8 slots are full")
    assert pixels(page, BLUE) == pixels(page, RED) == 0
    for _ in range(6):
        button(page, "Step A").click()
    for _ in range(6):
        button(page, "Step B").click()
    until_said(page, "2 of 8 slots are full (A1, B1), head 0, tail 2")
    until_said(page, "semaphore empty 6, nobody waits; semaphore full 2, nobody waits; semaphore mutex 1")
    assert pixels(page, BLUE) > 1000
    assert pixels(page, RED) > 1000
    shoot(page, "ring-stepped")
    for _ in range(6):
        button(page, "Step C").click()
    until_said(page, "1 of 8 slots are full (B1), head 1, tail 2")
    assert book.ask("print(words[HEAD], words[TAIL])").split() == ["1", "2"]
    assert not book.console


@needs_cc
def test_sliders_decide_who_waits(notebook: Open) -> None:
    book = opened(notebook)
    page = book.page
    button(page, "Start").click()
    slide(page, "A", 11)
    slide(page, "B", 10)
    slide(page, "C", 0)
    until_said(page, "semaphore empty 0, A and B wait")
    until_said(page, "8 of 8 slots are full")
    expect_state(page, "A", "blocked in sem_wait on")
    shoot(page, "ring-full")
    assert book.ask("print(panel.ring.speeds)").strip() == "[0.0, 1000.0, 1.0]"
    slide(page, "C", 11)
    slide(page, "A", 0)
    slide(page, "B", 0)
    until_said(page, "semaphore full 0, C waits")
    shoot(page, "ring-empty")
    speed = page.locator(".shmlab-processes .speed input")
    speed.focus()
    speed.fill("3")
    page.wait_for_function(
        "[...document.querySelectorAll('.own-speed output')].every(o => o.textContent === '8 steps a second')"
    )
    button(page, "Pause").click()
    button(page, "Stop").click()
    expect_state(page, "C", "stopped")
    button(page, "Reset").click()
    expect_state(page, "A", "not started")
    assert not book.console


def test_a_producer_is_killed_and_the_page_says_who_waits(notebook: Open) -> None:
    book = opened(notebook, "producer")
    page = book.page
    for _ in range(2):
        button(page, "Step A").click()
    until_said(page, "semaphore mutex 0, nobody waits")
    book.ask("import os, signal; os.kill(a.pid, signal.SIGKILL); a.wait()")
    expect_state(page, "A", "killed by signal 9")
    button(page, "Start").click()
    until_said(page, "semaphore mutex 0, B waits")
    until_said(page, "semaphore full 0, C waits")
    shoot(page, "ring-killed")
    button(page, "Stop").click()
    expect_state(page, "B", "stopped", timeout=1.5)
    expect_state(page, "C", "stopped", timeout=1.5)
    assert book.ask("print(cleanup()[-1][:0] or 'cleaned')").strip() == "cleaned"
    until_said(page, "is gone")
    assert not book.console


def test_in_the_dark_and_narrow(notebook: Open) -> None:
    book = opened(notebook, "producer")
    page = book.page
    for _ in range(6):
        button(page, "Step A").click()
    until_said(page, "1 of 8 slots are full")
    book.theme("JupyterLab Dark")
    shoot(page, "ring-dark")
    page.set_viewport_size({"width": 800, "height": 1500})
    shoot(page, "ring-narrow")
    assert pixels(page, BLUE) > 500
