"""The walkthrough in a real JupyterLab: each button, the keys, what stands on the page after each step."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shmlab import observe
from shmlab.programs import find_compiler

Open = Callable[..., Any]

WALK = """
import os
from shmlab import in_c, own_name, posix
from shmlab.panels import Walkthrough
from shmlab.processes import Walk
from shmlab.programs.seven_calls import seven_calls
name = own_name("mymem")
w = Walkthrough(Walk(seven_calls, name, "hello"))
w
"""
IN_C = WALK.replace("Walk(seven_calls", "Walk(in_c(seven_calls)")
FOUR_CALLS = """
from shmlab import own_key
from shmlab.panels import Walkthrough
from shmlab.processes import Walk
from shmlab.programs.four_calls import four_calls
key = own_key("mykey")
w = Walkthrough(Walk(four_calls, key, "hello"))
w
"""
NO_STRACE = WALK.replace("import os\n", "import os\nos.environ['PATH'] = ''\n", 1)
NO_COMPILER = IN_C.replace("import os\n", "import os\nos.environ['PATH'] = os.environ['CC'] = ''\n", 1)
BUS_ERROR = """
def unsized(name):
    fd = posix.shm_open(name, posix.O_CREAT | posix.O_EXCL | posix.O_RDWR)
    yield "shm_open"
    m = posix.mmap(None, 4096, posix.PROT_READ | posix.PROT_WRITE, posix.MAP_SHARED, fd)
    yield "mmap"
    m.buf[0] = 1
    yield "store"
w = Walkthrough(Walk(unsized, name))
w
"""
KEPT = """
def kept(name):
    fd = posix.shm_open(name, posix.O_CREAT | posix.O_EXCL | posix.O_RDWR)
    posix.ftruncate(fd, 300_000)
    m = posix.mmap(None, 300_000, posix.PROT_READ | posix.PROT_WRITE, posix.MAP_SHARED, fd)
    yield "mmap"
    posix.shm_unlink(name)
    yield "shm_unlink"
    m.buf[40960] = 1
    yield "store"
w = Walkthrough(Walk(kept, name), title="What outlives its name")
w
"""
SETTING = WALK.partition("w = ")[0]
ARROWS = """
from shmlab.programs.producer import producer
w = Walkthrough(Walk(in_c(producer), name, "1", "1", "/e", "/f", "/m"))
w
"""
BROKEN = """() => {
    const code = [...document.querySelectorAll(".shmlab-walk .source code")];
    const broken = (node, offset) => {
        const range = document.createRange();
        range.setStart(node, offset);
        range.setEnd(node, offset + 2);
        return range.getClientRects().length > 1;
    };
    const found = [0, 0]; // arrows, and those in two
    for (const line of code) {
        const texts = document.createTreeWalker(line, NodeFilter.SHOW_TEXT);
        while (texts.nextNode()) {
            const { data } = texts.currentNode;
            for (let at = data.indexOf("->"); at >= 0; at = data.indexOf("->", at + 1)) {
                found[0] += 1;
                found[1] += broken(texts.currentNode, at);
            }
        }
    }
    return found;
}"""
"""How many arrows a source has, and how many of them end on another line than they began on."""

needs_strace = pytest.mark.skipif(observe.strace_available() is not None, reason="strace can't be used here")


def shoot(page: Any, name: str) -> None:
    if folder := os.environ.get("SHMLAB_SHOTS"):
        page.locator(".shmlab-walk").first.scroll_into_view_if_needed()
        page.screenshot(path=str(Path(folder) / f"walkthrough-{name}.png"))


def press(page: Any, words: str) -> None:
    page.locator(".shmlab-walk button").get_by_text(words, exact=True).click()


def expect_step(page: Any, step: int, timeout: float = 20) -> None:
    page.locator(f".shmlab-walk[data-step='{step}']").wait_for(timeout=timeout * 1000)


def words(page: Any, name: str) -> str:
    return page.locator(f".shmlab-walk {name}").inner_text()


def marked(page: Any) -> list[str]:
    """The marked rows of the kernel's view: mark and first cell, addresses left out."""
    rows = page.locator(".shmlab-walk tr.new, .shmlab-walk tr.changed, .shmlab-walk tr.gone").all()
    cells = [row.locator("td").all_inner_texts()[:2] for row in rows]
    return [f"{mark} {re.sub('[0-9a-f]{8,}', '…', first.split(chr(10))[0])}" for mark, first in cells]


def opened(notebook: Open, *cells: str, step: int = 0, **size: int) -> Any:
    book = notebook(list(cells), **size)
    book.run_all()
    expect_step(book.page, step)
    return book


def test_seven_calls_are_walked_forth_and_back(notebook: Open) -> None:
    book = opened(notebook, WALK)
    page = book.page
    name = book.ask("print(name)").strip()
    shoot(page, "before")
    press(page, "Step A")
    expect_step(page, 1)
    assert words(page, ".prototype") == "int shm_open(const char *name, int oflag, mode_t mode);"
    assert words(page, ".result") == "fd = 3"
    assert words(page, ".call").startswith("fd = posix.shm_open(name")
    assert marked(page) == [f"+ {name}", "+ 3"]
    assert words(page, ".line.current code").strip() == 'yield "shm_open"'
    press(page, "Step A")
    expect_step(page, 2)
    assert marked(page) == [f"~ {name}"]
    assert page.locator(".shmlab-walk .differs").all_inner_texts() == ["10,000 B"]
    press(page, "Step A")
    expect_step(page, 3)
    assert "+ …-…" in marked(page)
    shoot(page, "mmap")
    press(page, "Step A")
    expect_step(page, 4)
    assert page.locator(".shmlab-walk .differs").all_inner_texts() == ["4 KiB"]
    shoot(page, "store")
    drawing = page.locator(".shmlab-walk .drawing")
    assert "1 of 3 pages allocated" in drawing.get_attribute("alt")
    assert drawing.evaluate("image => image.complete && image.naturalWidth === 1000")
    pid = book.ask("print(w.walk.process.pid)")
    press(page, "Undo")
    expect_step(page, 3)
    assert book.ask("print(w.walk.process.pid)") != pid
    press(page, "Start")
    expect_step(page, 9)
    assert words(page, ".state") == "exited with status 0"
    assert page.locator(".shmlab-walk header button").is_disabled()
    shoot(page, "end")
    press(page, "Undo")
    expect_step(page, 8)
    assert marked(page) == [f"- {name}"]
    shoot(page, "unlinked")
    press(page, "Reset")
    expect_step(page, 0)
    assert book.ask("print(w.walk.process.state)").strip() == "not started"
    assert not book.console


@needs_strace
@pytest.mark.skipif(find_compiler() is None, reason="no C compiler: install the package gcc")
def test_the_c_twin_shows_its_calls_as_strace_does(notebook: Open) -> None:
    book = opened(notebook, IN_C)
    page = book.page
    press(page, "Step A")
    expect_step(page, 1)
    assert words(page, ".calls").startswith('openat(AT_FDCWD, "/dev/shm/')
    press(page, "Step A")
    expect_step(page, 2)
    assert words(page, ".calls") == "ftruncate(3, 10000) = 0"
    press(page, "Step A")
    expect_step(page, 3)
    assert words(page, ".calls").startswith("mmap(NULL, 10000, PROT_READ|PROT_WRITE, MAP_SHARED, 3, 0) = 0x")
    shoot(page, "c-mmap")
    assert not book.console


def test_keys_step_while_the_focus_is_in_the_panel(notebook: Open) -> None:
    book = opened(notebook, WALK)
    page = book.page
    page.locator(".shmlab-walk .drawing").click()
    page.keyboard.press("a")
    expect_step(page, 1)
    page.keyboard.press("1")
    expect_step(page, 2)
    page.keyboard.press("Backspace")
    expect_step(page, 1)
    page.keyboard.press("Backspace")
    expect_step(page, 0)
    page.keyboard.press("Backspace")  # there is nothing to go back to, and no cell is inserted
    button = page.locator(".shmlab-walk .tools button", has_text="Start")
    button.focus()
    page.keyboard.press("Enter")
    expect_step(page, 9)
    page.keyboard.press("Backspace")  # Start is disabled now, under the focus: keys are heard all the same
    expect_step(page, 8)
    assert len(book.outputs()) == 1
    assert not book.console


def test_a_bus_error_is_drawn_as_a_death(notebook: Open) -> None:
    book = opened(notebook, SETTING, BUS_ERROR)
    page = book.page
    press(page, "Start")
    expect_step(page, 3)
    assert "SIGBUS" in words(page, ".heading")
    assert words(page, ".call") == "m.buf[0] = 1"
    assert "m.buf[0] = 1" in words(page, ".line.current code")
    assert "killed by signal 7" in page.locator(".shmlab-walk .drawing").get_attribute("alt")
    shoot(page, "bus-error")
    assert book.ask("print(1 + 1)").strip() == "2"
    assert not book.console


def test_an_object_outlives_its_name(notebook: Open) -> None:
    book = opened(notebook, SETTING, KEPT)
    page = book.page
    assert words(page, "> .title") == "What outlives its name"
    press(page, "Step A")
    expect_step(page, 1)
    press(page, "Step A")
    expect_step(page, 2)
    assert any(each.startswith("+ (was /shmlab") for each in marked(page))
    shoot(page, "unnamed")
    assert not book.console


def test_without_strace_the_panel_says_so_and_walks(notebook: Open) -> None:
    book = opened(notebook, NO_STRACE)
    page = book.page
    press(page, "Step A")
    expect_step(page, 1)
    assert words(page, ".calls") == "not seen: strace is not installed (package strace)"
    assert words(page, ".result") == "fd = 3"
    shoot(page, "no-strace")
    assert not book.console


def test_without_a_compiler_the_panel_says_so(notebook: Open) -> None:
    book = opened(notebook, NO_COMPILER)
    page = book.page
    assert "no C compiler" in words(page, ".state")
    assert page.locator(".shmlab-walk header button").is_disabled()
    assert "no C compiler" in book.ask("w.step()")
    assert not book.console


def test_a_failing_click_says_why(notebook: Open) -> None:
    book = opened(
        notebook, SETTING, 'w = Walkthrough(Walk(seven_calls, name, "x", on_reset=lambda: 1 / 0))\nw'
    )
    page = book.page
    press(page, "Step A")
    expect_step(page, 1)
    press(page, "Reset")
    page.locator(".shmlab-walk .say", has_text="division by zero").wait_for(timeout=10_000)
    assert not book.console


def test_driven_from_code_and_after_a_restart(notebook: Open) -> None:
    book = opened(notebook, WALK, "w.step(); w.step()", step=2)
    page = book.page
    bundle = book.outputs()[0][0]["data"]
    assert {"image/png", "text/plain", "application/vnd.jupyter.widget-view+json"} <= bundle.keys()
    pid = book.ask("print(w.walk.process.pid)").strip()
    book.restart()
    page.locator(".shmlab-walk .say", has_text="gone").wait_for(timeout=15_000)
    gone = f"import os, time\nwhile os.path.exists('/proc/{pid}'): time.sleep(0.05)\nprint('gone')"
    assert book.ask(gone).strip() == "gone"
    book.run_all()
    expect_step(page, 2)


def test_a_narrow_page_and_the_dark_theme(notebook: Open) -> None:
    book = opened(notebook, WALK, width=900, height=1400)
    page = book.page
    for step in (1, 2, 3):
        press(page, "Step A")
        expect_step(page, step)
    shoot(page, "narrow")
    wide = page.locator(".shmlab-walk").evaluate("root => root.scrollWidth <= root.clientWidth + 1")
    assert wide
    book.theme("JupyterLab Dark")
    shoot(page, "dark")
    assert not book.console


def test_the_four_calls_of_system_v_are_walked(notebook: Open) -> None:
    book = opened(notebook, FOUR_CALLS)
    page = book.page
    shoot(page, "four-before")
    press(page, "Step A")
    expect_step(page, 1)
    assert words(page, ".prototype") == "int shmget(key_t key, size_t size, int shmflg);"
    key = book.ask("print(f'0x{key & 0xFFFFFFFF:08x}')").strip()
    assert page.locator(".shmlab-walk caption").first.inner_text() == "/proc/sysvipc/shm"
    assert page.locator(".shmlab-walk tr.new td").all_inner_texts()[1] == key
    press(page, "Step A")
    expect_step(page, 2)
    shoot(page, "four-shmat")
    assert "attaches 12 KiB (rw-s)" in page.locator(".shmlab-walk .drawing").get_attribute("alt")
    press(page, "Step A")
    expect_step(page, 3)
    press(page, "Undo")  # with IPC_EXCL: the segment of the first time is gone
    expect_step(page, 2)
    press(page, "Start")
    expect_step(page, 7)
    assert words(page, ".state") == "exited with status 0"
    shoot(page, "four-end")
    press(page, "Undo")
    expect_step(page, 6)
    assert [each.partition(" ")[0] for each in marked(page)] == ["-"]
    shoot(page, "four-removed")
    press(page, "Reset")
    expect_step(page, 0)
    assert not book.console


@pytest.mark.skipif(find_compiler() is None, reason="no C compiler: install the package gcc")
def test_an_arrow_stays_whole_however_narrow_the_page(notebook: Open) -> None:
    page = notebook([SETTING + ARROWS], width=1400).page
    page.evaluate("() => jupyterapp.commands.execute('notebook:run-all-cells')")
    page.locator(".shmlab-walk .source code").first.wait_for()
    source = page.locator(".shmlab-walk .source")
    told = page.evaluate("() => document.querySelector('.shmlab-walk .source').textContent")
    assert told.count("buffer->tail") > 1, "what is copied is what is written"

    def in_two() -> int:
        found = 0
        for width in range(180, 420, 12):
            source.evaluate("(node, width) => { node.style.width = `${width}px`; }", width)
            arrows, broken = page.evaluate(BROKEN)
            assert arrows == told.count("->")
            found += broken
        return found

    assert in_two() == 0
    page.add_style_tag(content=".shmlab-processes .arrow { white-space: inherit !important; }")
    assert in_two() > 0, "so narrow that a browser left to itself breaks some"
