"""The live views in a real JupyterLab: another process writes, the page shows it, nothing stays behind."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shmlab import names

Open = Callable[..., Any]
VIEW = ".shmlab-live"
CANVAS = f"{VIEW} canvas"
IMPORTS = "from shmlab.panels import ByteGrid, LivePlot"
FRAME_THREADS = (
    "import threading; print([t.name for t in threading.enumerate() if t.name == 'shmlab-frames'])"
)

WRITER = """
import mmap, os, sys, time
fd = os.open("/dev/shm" + sys.argv[1], os.O_RDWR)
memory = mmap.mmap(fd, 0)
value = 0
while True:
    value += 1
    memory[0:len(memory)] = bytes((value + at) % 256 for at in range(len(memory)))
    time.sleep(0.01)
"""

COUNT = """async seconds => {
    const canvas = document.querySelector('.shmlab-live canvas');
    const seen = new Set();
    const end = performance.now() + seconds * 1000;
    while (performance.now() < end) {
        seen.add(canvas.dataset.frame);
        await new Promise(requestAnimationFrame);
    }
    return seen.size - 1;
}"""


class Thing:
    """A shared memory object that the test makes, and processes write to."""

    def __init__(self, word: str) -> None:
        self.name = names.name(word)
        self.path = Path("/dev/shm" + self.name)
        self.writers: list[subprocess.Popen[bytes]] = []

    def create(self, content: bytes) -> None:
        self.path.write_bytes(content)

    def write(self, content: bytes, offset: int) -> None:
        """Have another process write."""
        script = f"import os; os.pwrite(os.open({str(self.path)!r}, os.O_RDWR), {content!r}, {offset})"
        subprocess.run([sys.executable, "-I", "-S", "-c", script], check=True, timeout=10)

    def keep_writing(self) -> None:
        """Have another process change every byte a hundred times a second."""
        self.writers.append(subprocess.Popen([sys.executable, "-I", "-S", "-c", WRITER, self.name]))


@pytest.fixture
def thing() -> Iterator[Callable[[str], Thing]]:
    made: list[Thing] = []

    def name(word: str) -> Thing:
        made.append(Thing(word))
        return made[-1]

    yield name
    for one in made:
        for writer in one.writers:
            writer.kill()
            writer.wait()
        one.path.unlink(missing_ok=True)


def shows(book: Any, state: str = "live", timeout: float = 20) -> Any:
    """Wait until the view is in a state; return its element."""
    return book.page.wait_for_selector(f'{VIEW}[data-state="{state}"]', timeout=timeout * 1000)


def readout(book: Any, pattern: str, timeout: float = 5) -> str:
    """Wait until the line below the grid matches; return it."""
    try:
        book.page.wait_for_function(
            "word => new RegExp(word).test(document.querySelector('.shmlab-live .readout').textContent)",
            arg=pattern,
            timeout=timeout * 1000,
        )
    finally:
        line = book.page.text_content(f"{VIEW} .readout")
    return line


def threads_end(book: Any, timeout: float = 10) -> None:
    """Wait until the kernel has no frame thread."""
    end = time.monotonic() + timeout
    while (found := book.ask(FRAME_THREADS).strip()) != "[]":
        assert time.monotonic() < end, found
        time.sleep(0.1)


def pixel(book: Any, left: float, top: float) -> list[int]:
    """Return the colour of the canvas at a point in CSS pixels."""
    return book.page.evaluate(
        """([left, top]) => {
            const canvas = document.querySelector('.shmlab-live canvas');
            const scale = canvas.width / canvas.getBoundingClientRect().width;
            return [...canvas.getContext('2d').getImageData(left * scale, top * scale, 1, 1).data];
        }""",
        [left, top],
    )


def test_what_another_process_writes_appears(notebook: Open, thing: Callable[[str], Thing]) -> None:
    one = thing("appears")
    one.create(bytes(64))
    book = notebook([IMPORTS, f"view = ByteGrid({one.name!r}); view"])
    book.run_all()
    shows(book)
    assert "64 bytes" in book.page.text_content(f"{VIEW} .caption")

    # By keyboard: the cursor stands on the first byte; the notebook must not take the arrow keys.
    book.page.focus(CANVAS)
    readout(book, r"^offset 0 \(0x0\): hex 00, decimal 0, not printable$")
    for key in ("ArrowDown", "ArrowRight", "ArrowRight"):
        book.page.keyboard.press(key)
    readout(book, r"^offset 18 \(0x12\)")
    one.write(b"A\xff", 18)
    readout(book, r"hex 41, decimal 65, character 'A'$")
    assert book.page.text_content(f"{VIEW} .spoken").startswith("offset 18")

    # By mouse: the byte right of it. Once its flash has faded, its cell has the colour of 255.
    box = book.page.query_selector(CANVAS).bounding_box()
    geometry = book.page.evaluate(
        "() => document.querySelector('.shmlab-live canvas').getBoundingClientRect().width"
    )
    assert geometry > 500
    for left in range(60, int(box["width"]), 8):
        book.page.mouse.move(box["x"] + left, box["y"] + 26 + 36 * 1.5)
        if "offset 19 " in book.page.text_content(f"{VIEW} .readout"):
            break
    readout(book, r"^offset 19 \(0x13\): hex ff, decimal 255, not printable$")
    time.sleep(0.5)
    assert pixel(book, left + 6, 26 + 36 + 6)[:3] == [0xFE, 0xE8, 0x38]
    assert book.console == []


def test_bytes_in_other_notations(notebook: Open, thing: Callable[[str], Thing]) -> None:
    one = thing("notations")
    one.create(b"Hi")
    book = notebook([IMPORTS, f"view = ByteGrid({one.name!r}); view"])
    book.run_all()
    shows(book)
    book.page.click(f"{VIEW} button:text-is('characters')")
    assert book.page.get_attribute(f"{VIEW} button:text-is('characters')", "aria-pressed") == "true"
    assert book.ask("print(view.notation)") == "characters\n"
    book.ask("view.notation = 'decimal'")
    book.page.wait_for_selector(f"{VIEW} button:text-is('decimal')[aria-pressed='true']")


def test_an_object_that_comes_and_goes(notebook: Open, thing: Callable[[str], Thing]) -> None:
    one = thing("comes")
    book = notebook([IMPORTS, f"display(ByteGrid({one.name!r}))"])
    book.run_all()
    # "Waiting" it is from the start; why, it learns with its first frame.
    book.page.locator(f"{VIEW}[data-state='waiting'] .say", has_text="doesn't exist yet").wait_for()
    one.create(b"here")
    shows(book)
    assert not book.page.is_visible(f"{VIEW} .say")
    one.path.unlink()
    shows(book, "waiting")
    assert "was unlinked" in book.page.text_content(f"{VIEW} .say")
    assert book.console == []


def test_a_plot_follows(notebook: Open, thing: Callable[[str], Thing]) -> None:
    one = thing("plot")
    one.create(bytes(2000))
    book = notebook([IMPORTS, f"view = LivePlot({one.name!r}); view"])
    book.run_all()
    shows(book)
    before = pixel(book, 500, 60)
    assert before == [255, 255, 255, 255]
    one.write(b"\xff\0" * 1000, 0)
    end = time.monotonic() + 10
    while pixel(book, 500, 60) == before:
        assert time.monotonic() < end, "the line isn't where the bytes are"
    assert "between 0 and 255" in book.ask("print(view.sentence)")
    assert book.console == []


@pytest.mark.parametrize(("view", "least"), [("ByteGrid", 20), ("LivePlot", 5)])
def test_it_goes_on_while_a_cell_computes(
    notebook: Open, thing: Callable[[str], Thing], view: str, least: int
) -> None:
    one = thing("spins")
    one.create(bytes(4096))
    one.keep_writing()
    spin = "import time\nend = time.monotonic() + 4.5\nn = 0\nwhile time.monotonic() < end:\n    n += 1"
    # Shown and computing in one cell: nothing that the page says is read before the cell ends.
    book = notebook([IMPORTS, f"view = {view}({one.name!r})\ndisplay(view)\n{spin}\nprint('done')"])
    book.run_all(wait=False)
    shows(book)
    frames = book.page.evaluate(COUNT, 2)
    assert "done" not in str(book.outputs())
    # Half of the goal: the machine that runs this has other things to do. The benchmark holds it to the goal.
    assert frames / 2 >= least / 2
    book.wait_idle()
    assert book.page.evaluate(COUNT, 1) >= least / 2
    assert book.errors() == []


def test_an_interrupt_stops_it_and_a_button_goes_on(notebook: Open, thing: Callable[[str], Thing]) -> None:
    one = thing("interrupt")
    one.create(bytes(16))
    one.keep_writing()
    book = notebook([IMPORTS, f"view = ByteGrid({one.name!r}); view", "while True: pass"])
    book.run_all(wait=False)
    shows(book)
    book.interrupt()
    shows(book, "stopped")
    assert "interrupt" in book.page.text_content(f"{VIEW} .say")
    assert book.errors()[0].startswith("KeyboardInterrupt")
    threads_end(book)
    book.page.click(f"{VIEW} button:text-is('Watch again')")
    shows(book)
    assert book.page.evaluate(COUNT, 1) > 5


def test_a_deleted_cell_ends_the_thread(notebook: Open, thing: Callable[[str], Thing]) -> None:
    one = thing("deleted")
    one.create(bytes(16))
    one.keep_writing()
    book = notebook([IMPORTS, f"grid = ByteGrid({one.name!r}); display(grid)"])
    book.run_all()
    shows(book)
    assert book.ask(FRAME_THREADS).strip() == "['shmlab-frames']"
    book.page.evaluate(
        """() => {
            jupyterapp.shell.currentWidget.content.activeCellIndex = 1;
            return jupyterapp.commands.execute('notebook:delete-cell');
        }"""
    )
    threads_end(book)
    assert book.console == []


def test_a_closed_view_is_gone_from_page_and_kernel(notebook: Open, thing: Callable[[str], Thing]) -> None:
    one = thing("closed")
    one.create(bytes(16))
    one.keep_writing()
    book = notebook([IMPORTS, f"grid = ByteGrid({one.name!r}); display(grid)"])
    book.run_all()
    shows(book)
    book.ask("grid.close()")
    book.page.wait_for_selector(VIEW, state="detached")
    threads_end(book)


def test_a_restarted_kernel_and_a_view_that_works_again(
    notebook: Open, thing: Callable[[str], Thing]
) -> None:
    one = thing("restart")
    one.create(bytes(16))
    one.keep_writing()
    book = notebook([IMPORTS, f"view = ByteGrid({one.name!r}); view"])
    book.run_all()
    shows(book)
    book.restart()
    shows(book, "gone")
    assert "kernel that drew this is gone" in book.page.text_content(f"{VIEW} .say")
    assert len(book.console) <= 2, book.console
    book.run_all()
    shows(book)
    assert book.page.locator(VIEW).count() == 1
    assert book.page.evaluate(COUNT, 1) > 5


def test_a_reloaded_page_shows_it_again(notebook: Open, thing: Callable[[str], Thing]) -> None:
    one = thing("reload")
    one.create(b"still the same")
    book = notebook([IMPORTS, f"view = ByteGrid({one.name!r}); view"])
    book.run_all()
    shows(book)
    book.page.evaluate("() => jupyterapp.commands.execute('docmanager:save')")
    book.open()
    shows(book)
    book.page.focus(CANVAS)
    readout(book, "hex 73, decimal 115, character 's'$")


def test_out_of_sight_nothing_is_sent(notebook: Open, thing: Callable[[str], Thing]) -> None:
    one = thing("sight")
    one.create(bytes(256))
    one.keep_writing()
    book = notebook([IMPORTS, f"view = ByteGrid({one.name!r}); view", "print('\\n' * 200)"])
    book.run_all()
    book.page.evaluate("() => document.querySelector('.shmlab-live')?.scrollIntoView()")
    shows(book)
    book.page.evaluate("() => document.querySelectorAll('.jp-Cell')[2].scrollIntoView({block: 'end'})")
    threads_end(book)
    book.page.evaluate("() => document.querySelector('.shmlab-live').scrollIntoView()")
    shows(book)
    assert book.page.evaluate(COUNT, 1) > 5


def test_what_a_stored_notebook_keeps(notebook: Open, thing: Callable[[str], Thing]) -> None:
    one = thing("stored")
    one.create(os.urandom(65536))
    one.keep_writing()
    book = notebook([IMPORTS, f"view = ByteGrid({one.name!r}); view"])
    book.run_all()
    shows(book)
    book.page.evaluate("() => jupyterapp.commands.execute('docmanager:save')")
    stored = book.outputs()[1][0]["data"]
    assert stored["image/png"]
    assert re.match(
        r"The bytes of '/shmlab-\d+-\w+-stored' \(all 64 KiB\); in hex from", "".join(stored["text/plain"])
    )
    assert (book.lab.root / book.path).stat().st_size < 300_000
