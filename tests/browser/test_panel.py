"""The panel in a real JupyterLab: every button is pressed, and real processes answer."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shmlab.programs import find_compiler

Open = Callable[..., Any]

SETTING = """
import os
from shmlab import Process, cleanup, in_c, own_name, posix
from shmlab.panels import ByteGrid, Panel
from shmlab.programs.writer import writer
name = own_name("mymem")
fd = posix.shm_open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR)
posix.ftruncate(fd, 64)
"""
TWO = """
text = "to be or not to be " * 3
a, b = Process(writer, name, text), Process(in_c(writer), name, text.upper())
panel = Panel(a, b, views=[ByteGrid(name)], speed=8)
panel
"""
ENDLESS = """
def spin(name):
    fd = posix.shm_open(name, os.O_RDWR)
    m = posix.mmap(None, 64, posix.PROT_READ | posix.PROT_WRITE, posix.MAP_SHARED, fd)
    i = 0
    while True:
        m.buf[i % 64] = i % 256
        i += 1
        yield "store"
panel = Panel(Process(spin, name), Process(spin, name), views=[ByteGrid(name)], speed=50)
panel
"""


def shots() -> Path | None:
    """Where to leave pictures, for whoever wants to look (SHMLAB_SHOTS names a folder)."""
    folder = os.environ.get("SHMLAB_SHOTS")
    return Path(folder) if folder else None


def shoot(page: Any, name: str) -> None:
    if folder := shots():
        page.locator(".shmlab-processes").first.scroll_into_view_if_needed()
        page.screenshot(path=str(folder / f"{name}.png"))


def button(page: Any, words: str) -> Any:
    return page.locator(".shmlab-processes button", has_text=words).first


def card(page: Any, label: str) -> Any:
    return page.locator(f".shmlab-processes .process[data-label='{label}']")


def expect_state(page: Any, label: str, words: str, timeout: float = 10) -> None:
    card(page, label).locator(".state", has_text=words).wait_for(timeout=timeout * 1000)


def frame(page: Any) -> int:
    return int(page.locator(".shmlab-live canvas").get_attribute("data-frame") or 0)


@pytest.mark.skipif(find_compiler() is None, reason="no C compiler: install the package gcc")
def test_python_and_c_are_stepped_by_hand_and_write_one_memory(notebook: Open) -> None:
    book = notebook([SETTING, TWO], height=1500)  # a view that is out of sight gets no frames
    book.run_all()
    page = book.page
    expect_state(page, "A", "not started")
    button(page, "Step A").click()
    expect_state(page, "A", 'paused after step 1 at line 3 ("shm_open")')
    assert card(page, "A").locator(".line.current code").inner_text().strip() == 'yield "shm_open"'
    expect_state(page, "B", "not started")
    for _ in range(3):
        button(page, "Step B").click()
    expect_state(page, "B", "after step 3")
    assert 'step("store")' in card(page, "B").locator(".line.current code").inner_text()
    assert book.ask("print(os.pread(fd, 2, 0))").strip() == r"b'T\x00'"
    shoot(page, "panel-stepped")
    button(page, "Start").click()
    expect_state(page, "A", "running")
    page.wait_for_function("Number(document.querySelector('.shmlab-live canvas').dataset.frame) > 5")
    shoot(page, "panel-running")
    button(page, "Pause").click()
    expect_state(page, "A", "paused after step")
    expect_state(page, "B", "paused after step")
    before = book.ask("print(a.state.step, b.state.step)")
    assert book.ask("print(a.state.step, b.state.step)") == before
    button(page, "Stop").click()
    expect_state(page, "A", "stopped")
    assert button(page, "Step A").is_disabled()
    button(page, "Reset").click()
    expect_state(page, "A", "not started")
    assert not book.console


def test_start_changes_bytes_on_screen_until_stop(notebook: Open) -> None:
    book = notebook([SETTING, ENDLESS], height=1500)
    book.run_all()
    page = book.page
    page.wait_for_selector(".shmlab-live canvas[data-frame]")
    button(page, "Start").click()
    expect_state(page, "A", "running")
    seen = frame(page)
    page.wait_for_function(
        f"Number(document.querySelector('.shmlab-live canvas').dataset.frame) > {seen + 20}"
    )
    speed = page.locator(".shmlab-processes input[type=range]")
    speed.focus()
    page.keyboard.press("End")  # full speed
    page.locator(".shmlab-processes .speed output", has_text="full speed").wait_for()
    # At 50 steps a second this would take seven minutes: the slider reached the processes.
    page.wait_for_function(
        "Number(document.querySelector(\".process[data-label='A']\").dataset.step) > 20000", timeout=30_000
    )
    shoot(page, "panel-full-speed")
    button(page, "Stop").click()
    expect_state(page, "A", "stopped")
    expect_state(page, "B", "stopped")
    assert book.ask("print([p.outcome.kind for p in panel.processes])").strip() == "['stopped', 'stopped']"
    assert not book.console


def test_buttons_in_the_wrong_order_and_by_keyboard(notebook: Open) -> None:
    book = notebook([SETTING, TWO.replace("in_c(writer)", "writer").replace("speed=8", "speed=40")])
    book.run_all()
    page = book.page
    for words in ("Stop", "Pause", "Reset", "Stop"):
        button(page, words).click()
    expect_state(page, "A", "not started")
    button(page, "Step A").focus()
    page.keyboard.press("Enter")
    expect_state(page, "A", "after step 1")
    page.keyboard.press("b")  # as in the scheduler: a letter, or a number
    expect_state(page, "B", "after step 1")
    card(page, "B").locator(".state").click()
    page.keyboard.press("1")
    expect_state(page, "A", "after step 2")
    assert page.locator(".jp-Cell").count() == 2, "in a notebook the key b makes a cell, and mustn't here"
    button(page, "Step A").focus()
    page.keyboard.press("Space")
    expect_state(page, "A", "after step 3")
    button(page, "Start").click()
    button(page, "Reset").click()
    expect_state(page, "A", "not started")
    button(page, "Start").click()
    expect_state(page, "A", "exited with status 0", timeout=30)
    button(page, "Start").click()
    expect_state(page, "A", "exited with status 0")
    assert not book.console


def test_an_interrupted_cell_stops_the_processes_and_a_second_run_works(notebook: Open) -> None:
    book = notebook([SETTING, ENDLESS, "panel.start()\nwhile True: pass"])
    book.run_all(wait=False)
    page = book.page
    expect_state(page, "A", "running", timeout=30)
    book.interrupt()
    book.wait_idle()
    left = "import os\nprint([n for n in os.listdir('/dev/shm') if name.rpartition('-')[0][1:] in n])"
    assert book.ask(left).strip() == "[]"
    assert book.ask("print([p.pid for p in panel.processes if p.outcome is None])").strip() == "[]"
    assert any("Interrupted" in str(each) for each in book.outputs()[2])
    book.ask(
        SETTING + ENDLESS.removesuffix("panel\n") + "panel.start(); panel.pause(); print(panel.processes)"
    )
    assert "step" in book.ask("print(panel.processes[0].state)")


def test_a_restarted_kernel_leaves_nothing_and_the_page_says_so(notebook: Open) -> None:
    book = notebook([SETTING, ENDLESS])
    book.run_all()
    page = book.page
    button(page, "Start").click()
    expect_state(page, "A", "running")
    pids = book.ask("print([p.pid for p in panel.processes])")
    prefix = book.ask("print(name.rpartition('-')[0][1:])").strip()
    book.restart()
    page.locator(".shmlab-processes .say", has_text="gone").wait_for(timeout=15_000)
    gone = f"""
import os, time
deadline = time.monotonic() + 10
alive = lambda: [p for p in {pids.strip()} if os.path.exists(f"/proc/{{p}}")]
mine = lambda: [n for n in os.listdir("/dev/shm") if {prefix!r} in n]
while (alive() or mine()) and time.monotonic() < deadline: time.sleep(0.05)
print(alive(), mine())
"""
    assert book.ask(gone).strip() == "[] []"
    book.run_all()
    expect_state(page, "A", "not started")
    button(page, "Step A").click()
    expect_state(page, "A", "after step 1")
