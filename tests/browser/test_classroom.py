"""The classroom board in a real browser: each screen by its key, and started; in JupyterLab, and in Voilà."""

import importlib.util
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from shmlab import names

CLOSED = 15.0
"""Seconds after which nothing of a closed page is left: its kernel is asked to end at once."""

CELL = "from shmlab.panels import Classroom\nClassroom()"


def shoot(page: Any, name: str) -> None:
    if folder := os.environ.get("SHMLAB_SHOTS"):
        page.screenshot(path=str(Path(folder) / f"classroom-{name}.png"))


def press(page: Any, words: str) -> None:
    page.locator("button").get_by_text(words, exact=True).last.click()


def show(page: Any, number: int, question: str) -> None:
    page.locator(".shmlab-screens h2").click()  # the focus isn't in a panel
    page.keyboard.press(str(number))
    page.locator(".shmlab-screens h2").get_by_text(question).wait_for(timeout=20_000)


def through_all_screens(page: Any) -> None:
    page.locator(".shmlab-screens").wait_for(timeout=60_000)
    press(page, "Step A")
    page.get_by_text('paused after step 1 at line 3 ("shm_open")').wait_for(timeout=20_000)
    show(page, 2, "Which line kills A?")
    for _ in range(3):
        press(page, "Step A")
    page.get_by_text("killed by signal 7 (SIGBUS: Bus error)").wait_for(timeout=20_000)
    shoot(page, "bus")
    show(page, 3, "at full speed")
    press(page, "Start")
    page.get_by_text(re.compile(r"[1-9][\d,]* of [\d,]+ lost")).first.wait_for(timeout=30_000)
    show(page, 4, "can you get 1?")
    for count, who in enumerate("ABAB", 1):
        press(page, f"Step {who}")
        page.locator(f".shmlab-scheduler[data-turns='{count}']").wait_for(timeout=20_000)
    assert page.locator(".shmlab-scheduler .memory dd").first.inner_text() == "1"
    page.keyboard.press("1")  # the focus is on Step B: it steps A, which can't, and shows no other screen
    assert page.locator(".shmlab-screens h2").inner_text().endswith("can you get 1?")
    shoot(page, "scheduler")
    show(page, 5, "one consumer")
    press(page, "Start")
    page.get_by_text(re.compile(r"[1-8] of 8 slots full")).first.wait_for(timeout=30_000)
    show(page, 6, "what does the kernel keep of each?")
    press(page, "Start")
    page.get_by_text("10000").first.wait_for(timeout=30_000)
    shoot(page, "kernel")
    show(page, 1, "seven calls")


def test_in_jupyterlab(notebook: Callable[..., Any]) -> None:
    book = notebook([CELL], width=1280, height=900)
    book.run_all()
    through_all_screens(book.page)
    assert not book.console


def test_keys_press_what_is_on_screen_and_nothing_of_jupyterlabs(notebook: Callable[..., Any]) -> None:
    book = notebook([CELL, "# typed into"], width=1280, height=800)
    book.run_all()
    page = book.page
    show(page, 4, "can you get 1?")
    page.locator(".shmlab-scheduler").wait_for(timeout=20_000)
    for count, key in enumerate("abAB", 1):  # JupyterLab would insert cells above and below
        page.keyboard.press(key)
        page.locator(f".shmlab-scheduler[data-turns='{count}']").wait_for(timeout=20_000)
    page.keyboard.press("Backspace")
    page.locator(".shmlab-scheduler[data-turns='3']").wait_for(timeout=20_000)
    page.locator(".shmlab-scheduler .title").click()
    page.keyboard.press("0")  # out of the panel: the digit after it is the board's
    page.keyboard.press("1")
    page.locator(".shmlab-walk").wait_for(timeout=20_000)
    page.keyboard.press("f")
    page.wait_for_function("() => document.fullscreenElement?.classList.contains('shmlab-classroom')")
    page.keyboard.press("a")
    page.get_by_text('paused after step 1 at line 3 ("shm_open")').wait_for(timeout=20_000)
    shoot(page, "full")
    page.keyboard.press("2")
    page.locator(".shmlab-screens h2").get_by_text("Which line kills A?").wait_for(timeout=20_000)
    page.keyboard.press("f")
    page.wait_for_function("() => !document.fullscreenElement")
    page.locator(".cm-content").last.click()
    page.keyboard.type("fn41")
    cells = page.evaluate("() => jupyterapp.shell.currentWidget.model.toJSON().cells")
    assert [(cell["cell_type"], "fn41" in "".join(cell["source"])) for cell in cells] == [
        ("code", False),
        ("code", True),
    ]
    assert page.locator(".shmlab-screens h2").inner_text().endswith("Which line kills A?")
    assert not book.console


@pytest.fixture
def voila(tmp_path: Path) -> Iterator[str]:
    """The address of the board, served by ``shmlab demo``."""
    if importlib.util.find_spec("voila") is None:
        pytest.skip("no Voilà: pip install voila")
    environment = {key: value for key, value in os.environ.items() if key != names.SESSION_VARIABLE}
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "shmlab", "demo", "--no-browser", "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
            text=True,
            start_new_session=True,
        )
    assert server.stdout is not None
    try:
        told = re.search(r"http://\S+", server.stdout.readline())
        assert told
        yield told[0]
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait(10)
        server.stdout.close()


def test_in_voila_which_shmlab_demo_starts(voila: str, chromium: Any) -> None:
    before = set(os.listdir("/dev/shm"))
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    for _ in range(100):
        try:
            page.goto(voila, timeout=60_000)
            break
        except Exception:
            page.wait_for_timeout(200)  # it isn't listening yet
    through_all_screens(page)
    assert set(os.listdir("/dev/shm")) - before
    page.close(run_before_unload=True)
    deadline = monotonic() + CLOSED
    while left := set(os.listdir("/dev/shm")) - before:
        assert monotonic() < deadline, f"the page was closed, and there is still {left}"
        sleep(0.2)
    context.close()
