"""How lively are the live views, in a real JupyterLab in a real Chromium, and what do they cost the kernel?

A writer changes every byte that is shown 120 times a second. A page counts the frames that differ, as it
paints them (``requestAnimationFrame``). The peer is what most notebooks do: a loop in a cell that clears an
Output and displays a figure into it (made once, its data set: the quick way to do it). Every view and the
peer have a page and a kernel of their own, all in one browser; only the one whose turn it is runs.
"""

import importlib.util
import json
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import browser
from benchmarks.browser import Notebook
from benchmarks.measure import quantile, ratio, take_turns
from benchmarks.programs import ROOM, patches, picture, waves
from benchmarks.rows import Goal, Row
from shmlab import Process, Shared, own_name, posix

SMALL, LARGE = 1 << 16, 1 << 30
POINTS = 2000
OUTPUT = "Output + clear_output"

GOALS = {
    "grid": ("byte grid, 64 KiB: distinct frames a second", Goal("ours", "≥", 55, "fps")),
    "grid-peer": ("byte grid, 64 KiB: frames beside the usual way", Goal("ratio", "≥", 3)),
    "grid-late": ("byte grid, 64 KiB: write to pixel, 95 in 100", Goal("ours", "≤", 50, "ms")),
    "grid-cpu": ("byte grid, 64 KiB: kernel's CPU", Goal("ours", "≤", 15, "%")),
    "large": ("byte grid, 1 GiB: frames beside 64 KiB", Goal("ratio", "≥", 0.9)),
    "plot": (f"live plot, {POINTS:,} points: distinct frames a second", Goal("ours", "≥", 25, "fps")),
    "plot-cpu": (f"live plot, {POINTS:,} points: kernel's CPU", Goal("ours", "≤", 60, "%")),
    "grid-busy": ("byte grid while a cell computes", Goal("ours", "≥", 20, "fps")),
    "plot-busy": ("live plot while a cell computes", Goal("ours", "≥", 5, "fps")),
}

COUNT = """async ([seconds, live]) => {
    const shown = live
        ? () => document.querySelector('.shmlab-live canvas').dataset.frame
        : () => document.querySelector('.jp-Notebook img')?.src;
    const begin = performance.now();
    let frames = 0, longest = 0, last = shown(), at = begin;
    for (let now = begin; now < begin + seconds * 1000; now = performance.now()) {
        await new Promise(requestAnimationFrame);
        const is = shown();
        if (!is || is === last) continue;
        const then = performance.now();
        longest = Math.max(longest, then - at);
        [last, at, frames] = [is, then, frames + 1];
    }
    const end = performance.now();
    return [1000 * frames / (end - begin), Math.max(longest, end - at)];
}"""

# The line below the grid is written in the same go as the canvas, and says what the byte under the cursor is.
# Views paint in an animation frame's callback, after the one that waits here, and pixels are made when all
# callbacks have run. A message to oneself arrives right after that: what is read then has just been painted.
READ = """async seconds => {
    document.querySelector('.shmlab-live canvas').focus();
    const line = document.querySelector('.shmlab-live .readout');
    const seen = [];
    const painted = new MessageChannel();
    let last = '';
    for (const end = performance.now() + seconds * 1000; performance.now() < end;) {
        await new Promise((resolve) => {
            painted.port1.onmessage = resolve;
            requestAnimationFrame(() => painted.port2.postMessage(0));
        });
        const text = line.textContent;
        if (text === last) continue;
        last = text;
        const value = /^offset 0 .*decimal (\\d+)/.exec(text);
        if (value) seen.push([Number(value[1]), performance.now() / 1000]);
    }
    return seen;
}"""

EXECUTE = """code => {
    const { kernel } = jupyterapp.shell.currentWidget.sessionContext.session;
    kernel.requestExecute({ code, stop_on_error: false });
}"""

COMPUTE = "import time\nend = time.monotonic() + {seconds}\nn = 0\nwhile time.monotonic() < end:\n    n += 1"

USUAL = """
import time
import ipywidgets, matplotlib.pyplot as plt, numpy as np
from IPython.display import clear_output, display
memory = np.memmap("/dev/shm{name}", np.uint8, "r")
drawing, axes = plt.subplots(figsize=(9, 4))
if {as_plot}:
    line, = axes.plot(memory[:: len(memory) // {points}][:{points}])
    axes.set_ylim(0, 255)
    update = lambda: line.set_ydata(memory[:: len(memory) // {points}][:{points}])
else:
    image = axes.imshow(memory.reshape(256, 256), cmap="cividis", vmin=0, vmax=255)
    update = lambda: image.set_data(memory.reshape(256, 256))
plt.close(drawing)
out = ipywidgets.Output()

def watch(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        update()
        with out:
            clear_output(wait=True)
            display(drawing)
"""


@dataclass(frozen=True)
class Window:
    """What one window showed: frames a second, the longest time without one (ms), the kernel's CPU (%)."""

    fps: float
    longest: float
    cpu: float


class Page:
    """A notebook that shows something, which moves only while it's that page's turn."""

    def __init__(self, notebook: Notebook, writer: Process, live: bool) -> None:
        self.notebook, self.writer, self.live = notebook, writer, live
        self.pid = int(self._ask("import os; print(os.getpid())"))

    def _ask(self, code: str) -> str:
        said = self.notebook.ask(code)
        if "Error" in said:
            raise RuntimeError(f"{code!r} in a notebook: {said}")
        return said

    @contextmanager
    def turn(self, seconds: float) -> Iterator[None]:
        """Have it move for the block, which takes *seconds* at most; when it starts, frames flow."""
        assert self.writer.pid is not None
        os.kill(self.writer.pid, signal.SIGCONT)
        try:
            if self.live:
                self._ask("view.start()")
            else:
                self.notebook.page.evaluate(EXECUTE, f"watch({seconds + 2})")
            first = self._frames(0.2)
            end = time.monotonic() + 30
            while not first:
                if time.monotonic() > end:
                    said = self.notebook.errors() + self.notebook.console
                    raise TimeoutError(f"no frame came within 30 s; the page says {said}")
                first = self._frames(0.2)
            yield
            self.notebook.wait_idle()
            if self.live:
                self._ask("view.stop()")
        finally:
            os.kill(self.writer.pid, signal.SIGSTOP)

    def _frames(self, seconds: float) -> float:
        return self.notebook.page.evaluate(COUNT, [seconds, self.live])[0]

    def count(self, seconds: float, computing: bool = False) -> Window:
        """Count the frames of a window, while a cell computes if asked for."""
        import psutil

        kernel = psutil.Process(self.pid)
        with self.turn(seconds):
            if computing:
                self.notebook.page.evaluate(EXECUTE, COMPUTE.format(seconds=seconds + 1))
                self._frames(0.5)
            else:
                self._frames(0.3)
            begin, before = time.monotonic(), kernel.cpu_times()
            fps, longest = self.notebook.page.evaluate(COUNT, [seconds, self.live])
            after, took = kernel.cpu_times(), time.monotonic() - begin
        used = after.user + after.system - before.user - before.system
        return Window(fps, longest, 100 * used / took)

    def late(self, seconds: float, stamps: "memoryview[float]") -> list[float]:
        """Return how long (ms) each write of the first byte took to be painted.

        One that never was, because the next came first, counts until that was.
        """
        with self.turn(seconds):
            self._frames(0.3)
            ahead = self._clock()
            first = int(stamps[0])
            seen = self.notebook.page.evaluate(READ, seconds)
            last = int(stamps[0])
        written = {n: stamps[1 + n % ROOM] for n in range(first + 1, last + 1)}
        painted = []
        number = first
        for value, at in seen:
            # The byte holds the number of its write modulo 256, and goes up.
            number += (value - number + 128) % 256 - 128
            painted.append((number, at + ahead))
        waits = []
        for n, at in written.items():
            shown = next((when for number, when in painted if number >= n), None)
            if shown is not None:
                waits.append(1000 * (shown - at))
        if len(waits) < len(written) / 2:
            raise RuntimeError(f"of {len(written)} writes, {len(waits)} were seen painted")
        return waits

    def _clock(self) -> float:
        """Return the seconds that our clock is ahead of the page's, from the quickest of many questions."""
        asked = []
        for _ in range(30):
            begin = time.monotonic()
            theirs = self.notebook.page.evaluate("() => performance.now() / 1000")
            end = time.monotonic()
            asked.append((end - begin, (begin + end) / 2 - theirs))
        return min(asked)[1]


def missing() -> str:
    """Return what this machine lacks for these figures, and what brings it; empty when nothing."""
    for package in ("playwright", "psutil"):
        if importlib.util.find_spec(package) is None:
            return f"not measurable here: no Python package {package} (pip install -e '.[test]')"
    if browser.find_chromium() is None:
        return "not measurable here: no Chromium (install the package chromium)"
    return ""


def measure(quick: bool) -> Iterator[Row]:
    """Take turns in one browser; the goals are GOALS."""
    if reason := missing():
        yield from (Row(question, goal, note=reason) for question, goal in GOALS.values())
        return
    rounds, seconds = (1, 1.0) if quick else (4, 4.0)
    with ExitStack() as stack:
        pages, stamps, version = _open(stack)
        found = take_turns({word: partial(page.count, seconds) for word, page in pages.items()}, rounds)
        late = [each for _ in range(rounds) for each in pages["grid"].late(seconds, stamps)]
        busy = take_turns(
            {word: partial(pages[word].count, seconds, computing=True) for word in ("grid", "plot")}, rounds
        )
    fps = {word: [window.fps for window in windows] for word, windows in found.items()}
    cpu = {word: [window.cpu for window in windows] for word, windows in found.items()}
    windows = f"Chromium {version}, {rounds} windows of {seconds:g} s each, by turns"

    def against(word: str, key: str, figures: dict[str, list[float]], unit: str, peer: str, name: str) -> Row:
        question, goal = GOALS[key]
        return Row(
            question=question,
            goal=goal,
            ours=median(figures[word]),
            unit=unit,
            peer=median(figures[peer]),
            peer_name=name,
            ratio=ratio(figures[word], figures[peer]) if min(figures[peer]) > 0 else None,
            note=f"{windows}.",
        )

    yield against("grid", "grid", fps, "fps", "usual picture", OUTPUT)
    yield against("grid", "grid-peer", fps, "fps", "usual picture", OUTPUT)
    yield Row(
        *GOALS["grid-late"],
        ours=quantile(late, 0.95),
        unit="ms",
        note=f"{len(late)} writes of one byte, 25 to 60 ms apart: the median is {median(late):.0f} ms, "
        f"the longest {max(late):.0f} ms.",
    )
    yield against("grid", "grid-cpu", cpu, "%", "usual picture", OUTPUT)
    yield against("large", "large", fps, "fps", "grid", "64 KiB")
    yield against("plot", "plot", fps, "fps", "usual plot", OUTPUT)
    yield against("plot", "plot-cpu", cpu, "%", "usual plot", OUTPUT)
    for word in ("grid", "plot"):
        longest = max(window.longest for window in busy[word])
        yield Row(
            *GOALS[f"{word}-busy"],
            ours=median(window.fps for window in busy[word]),
            unit="fps",
            note=f"{windows}; longest time without a frame {longest:.0f} ms. "
            f"{OUTPUT} runs in the cell itself: none.",
        )


def _open(stack: ExitStack) -> tuple[dict[str, Page], "memoryview[float]", str]:
    """Create the objects, start writers, server and browser, show everything, and have it stand still."""
    objects = {"grid": SMALL, "plot": SMALL, "large": LARGE, "stamps": 8 * (ROOM + 1)}
    names = {word: own_name(word) for word in objects}
    for word, size in objects.items():
        fd = posix.shm_open(names[word], os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        stack.callback(posix.shm_unlink, names[word])
        # Holes: the writer fills what is sampled, 64 KiB in all.
        posix.ftruncate(fd, size)
        if word == "stamps":
            mapping = stack.enter_context(posix.mmap(None, size, posix.PROT_READ, posix.MAP_SHARED, fd))
            stamps = mapping.buf.cast("d")
            stack.callback(stamps.release)
        posix.close(fd)
    programs: dict[str, Callable[..., Any]] = {"grid": picture, "plot": waves, "large": patches}
    writers = {}
    for word, program in programs.items():
        more = [Shared(names["stamps"], "d")] if word == "grid" else []
        writers[word] = stack.enter_context(
            Process(program, Shared(names[word], "B"), *more, label=word)
        ).run()
    home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="shmlab-")))
    chromium = stack.enter_context(browser.launch_chromium(browser.find_chromium() or ""))
    lab = browser.Lab(home)
    stack.callback(lab.stop)

    view = "from shmlab.panels import ByteGrid, LivePlot\nview = {}\nview"
    cells = {
        "grid": [view.format(f"ByteGrid({names['grid']!r})")],
        "large": [view.format(f"ByteGrid({names['large']!r})")],
        "plot": [view.format(f"LivePlot({names['plot']!r}, points={POINTS})")],
        "usual picture": [USUAL.format(name=names["grid"], as_plot=False, points=POINTS), "out"],
        "usual plot": [USUAL.format(name=names["plot"], as_plot=True, points=POINTS), "out"],
    }
    pages = {}
    for word, texts in cells.items():
        notebook = browser.open_notebook(lab, chromium, texts)
        stack.callback(notebook.close)
        notebook.run_all()
        if errors := notebook.errors():
            raise RuntimeError(f"the notebook of {word}: {json.dumps(errors)}")
        live = not word.startswith("usual")
        if live:
            notebook.page.wait_for_selector(".shmlab-live[data-state='live']", timeout=30_000)
            notebook.ask("view.stop()")
        writer = writers[word if live else {"usual picture": "grid", "usual plot": "plot"}[word]]
        pages[word] = Page(notebook, writer, live)
    for writer in writers.values():
        assert writer.pid is not None
        os.kill(writer.pid, signal.SIGSTOP)
    return pages, stamps, chromium.version
