"""Lesson 11 in a real JupyterLab, as a class has it: its two panels clicked, what they say, Stop."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

LESSON = Path(__file__).parents[2] / "notebooks" / "11-semaphores.ipynb"


def cells_to_the_second_panel() -> list[str]:
    """The lesson's code cells up to the one that shows its second panel."""
    cells = json.loads(LESSON.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    _, second = (number for number, source in enumerate(code) if source.endswith("\npanel"))
    return code[: second + 1]


class Clicked:
    """One of the page's panels."""

    def __init__(self, page: Any, number: int) -> None:
        self.page, self.panel = page, page.locator(".shmlab-scheduler").nth(number)

    def press(self, words: str) -> None:
        self.panel.locator("button").get_by_text(words, exact=True).click()

    def step(self, schedule: str) -> None:
        for count, who in enumerate(schedule, 1):
            self.press(f"Step {who}")
            self.page.wait_for_function(
                "([panel, count]) => panel.dataset.turns === String(count)",
                arg=[self.panel.element_handle(), count],
                timeout=20_000,
            )

    def state(self, label: str) -> str:
        said: str = self.panel.locator(f".process[data-label='{label}'] .state").inner_text()
        return said

    def shoot(self, name: str) -> None:
        if folder := os.environ.get("SHMLAB_SHOTS"):
            self.panel.scroll_into_view_if_needed()
            self.page.screenshot(path=str(Path(folder) / f"lesson-11-{name}.png"))


@pytest.mark.slow
def test_a_waiter_is_seen_a_deadlock_named_and_stopped(notebook: Callable[..., Any]) -> None:
    book = notebook(cells_to_the_second_panel())
    book.run_all(timeout=90)
    assert not book.errors()

    waits = Clicked(book.page, 0)
    waits.step("AAB")
    assert waits.state("A") == 'paused after step 2 at line 7 ("load")'
    assert waits.state("B") == "blocked in sem_wait on mutex after step 0"
    assert waits.panel.get_by_text("Step B", exact=True).is_disabled()
    waits.shoot("waits")

    crossed = Clicked(book.page, 1)
    crossed.step("ABAB")
    verdict = crossed.panel.locator(".verdict").inner_text()
    assert verdict == "Deadlock: A waits for two, held by B; B waits for one, held by A."
    crossed.shoot("deadlock")
    begin = monotonic()
    crossed.press("Stop")
    crossed.panel.locator(".process[data-label='B'][data-kind='ended']").wait_for(timeout=10_000)
    assert monotonic() - begin < 2  # 1 s, and the browser's own
