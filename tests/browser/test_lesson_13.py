"""Lesson 13 in a real JupyterLab: its panel clicked to the end of both programs, its figures seen whole."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

LESSON = Path(__file__).parents[2] / "notebooks" / "13-posix-or-system-v.ipynb"

SEEN = "\npanel", "One life of", "draw_ratios("
"""What stands in the cells that show the panel and the two figures that are measured."""


def cells_that_show_something() -> list[str]:
    """The lesson's code cells up to its panel, and then those that measure."""
    cells = json.loads(LESSON.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    panel, *measuring = (next(n for n, source in enumerate(code) if words in source) for words in SEEN)
    assert code[panel].endswith("\npanel")
    return [*code[: panel + 1], *(code[number] for number in measuring)]


class Clicked:
    """The page's panel."""

    def __init__(self, page: Any) -> None:
        self.page, self.panel = page, page.locator(".shmlab-processes").first

    def press(self, words: str) -> None:
        self.panel.locator("button", has_text=words).first.click()

    def step(self, label: str, times: int, at: str) -> None:
        for _ in range(times):
            self.press(f"Step {label}")
        state = self.panel.locator(f".process[data-label='{label}'] .state")
        state.filter(has_text=at).wait_for(timeout=20_000)

    def until_ipcs(self, mark: str, words: str) -> None:
        """Wait for a row of ipcs with this mark and these words."""
        row = self.page.locator(f".printed .lines > div[data-mark='{mark}']", has_text=words)
        row.first.wait_for(timeout=20_000)

    def shoot(self, name: str, what: Any = None) -> None:
        if folder := os.environ.get("SHMLAB_SHOTS"):
            (what or self.panel).scroll_into_view_if_needed()
            self.page.screenshot(path=str(Path(folder) / f"lesson-13-{name}.png"))


@pytest.mark.slow
def test_both_programs_are_stepped_to_their_ends_and_the_figures_are_whole(
    notebook: Callable[..., Any],
) -> None:
    book = notebook(cells_that_show_something(), height=1500)  # a view that is out of sight gets no frames
    book.run_all(timeout=90)
    assert not book.errors()
    panel = Clicked(book.page)
    panel.panel.scroll_into_view_if_needed()

    panel.step("A", 0, '"store"')
    panel.step("B", 1, '"shmctl IPC_STAT"')
    panel.shoot("stored")
    panel.step("B", 1, '"shmdt"')
    panel.until_ipcs("~", "10000")
    assert book.ask("print(sysv.shmctl(mine()[0], sysv.IPC_STAT).shm_nattch)").strip() == "0"
    panel.step("B", 1, '"shmctl IPC_RMID"')
    panel.until_ipcs("-", "10000")
    panel.step("A", 4, '"shm_unlink"')
    assert book.ask("print(mine(), observe.object_entry(own_name('panel')))").strip() == "[] None"
    panel.shoot("removed")
    panel.press("Reset")
    panel.step("B", 0, "not started")
    panel.step("B", 1, '"shmget"')
    panel.until_ipcs("+", "10000")
    panel.shoot("again")

    figures = book.page.locator(".jp-RenderedImage img")
    assert figures.count() == 3  # the picture of the setting, and what was measured
    for number in range(3):
        figure = figures.nth(number)
        figure.scroll_into_view_if_needed()
        box = figure.bounding_box()
        assert figure.evaluate("image => image.naturalWidth") == 1000
        assert box
        assert box["x"] + box["width"] <= book.page.viewport_size["width"]
        panel.shoot(f"figure-{number}", figure)
    assert not book.console
