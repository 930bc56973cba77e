"""The table of statements in a real JupyterLab: filters, search, one, all, stop, links, the keyboard."""

import os
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

Open = Callable[..., Any]

TABLE = """
from shmlab import document
from shmlab.document import Statement, fails
from shmlab.panels import Statements
panel = Statements()
panel
"""
RED = """
def otherwise():
    yield fails("shm_open returned 0", False)
panel = Statements([Statement("X1", "shm_open returns 0.", document.WRONG, "A descriptor.", "02", otherwise)])
panel
"""

WATCH = """() => {
    window.seen = [];
    const root = document.querySelector(".shmlab-statements");
    const look = () => window.seen.push(root.querySelectorAll("tr[data-status='agrees']").length);
    const what = {subtree: true, attributes: true, attributeFilter: ["data-status"]};
    new MutationObserver(look).observe(root, what);
}"""
FOCUSED = """() => {
    const { ariaLabel, className } = document.activeElement;
    return ariaLabel ?? className;
}"""
WITH_A_LESSON = f"""
from pathlib import Path
import nbformat
nbformat.write(nbformat.v4.new_notebook(), "03-x.ipynb")
{TABLE}"""


def shoot(page: Any, name: str) -> None:
    if folder := os.environ.get("SHMLAB_SHOTS"):
        page.locator(".shmlab-statements").first.scroll_into_view_if_needed()
        page.screenshot(path=str(Path(folder) / f"statements-{name}.png"))


def opened(notebook: Open, *cells: str, **size: int) -> Any:
    book = notebook(list(cells), **size)
    book.run_all()
    book.page.locator(".shmlab-statements tbody tr").first.wait_for(timeout=20_000)
    return book


def row(page: Any, id_: str) -> Any:
    return page.locator(f".shmlab-statements tr[data-id={id_}]")


def visible(page: Any) -> list[str]:
    rows = page.locator(".shmlab-statements tbody tr:not([hidden])")
    return [each.get_attribute("data-id") for each in rows.all()]


def tool(page: Any, words: str) -> Any:
    return page.locator(".shmlab-statements .tools button", has_text=words)


def wait_for_count(page: Any, words: str) -> None:
    page.locator(".shmlab-statements .count", has_text=words).wait_for(timeout=10_000)


def test_filter_search_and_run(notebook: Open) -> None:
    book = opened(notebook, TABLE)
    page = book.page
    shoot(page, "new")
    assert len(visible(page)) == 93
    search = page.locator(".shmlab-statements input.search")
    search.fill("SIGBUS ftruncate")
    wait_for_count(page, "2 of 93")
    assert visible(page) == ["D17", "D77"]
    row(page, "D17").get_by_role("button", name="Run D17").click()
    row(page, "D17").locator(".status", has_text="✓ agrees: ").wait_for(timeout=10_000)
    said = row(page, "D17").locator(".seen li").all_inner_texts()
    assert len(said) == 3
    assert "SIGBUS" in said[0]
    assert book.ask("print(panel.shown, list(panel.findings))").strip() == "['D17', 'D77'] ['D17']"
    shoot(page, "search")
    search.fill("no such words")
    wait_for_count(page, "0 of 93")
    assert page.locator(".shmlab-statements .none").is_visible()
    assert tool(page, "Run these 0").is_disabled()
    search.fill("")
    page.locator(".shmlab-statements select.by-verdict").select_option("wrong")
    page.locator(".shmlab-statements select.by-section").select_option("shmget")
    wait_for_count(page, "2 of 93")
    assert visible(page) == ["D30", "D37"]
    until = monotonic() + 10  # what is chosen reaches the kernel one message at a time
    while book.ask("print(panel.verdict, panel.section)").strip() != "wrong shmget":
        assert monotonic() < until
    book.ask("panel.find()")
    wait_for_count(page, "93 of 93")
    page.set_viewport_size({"width": 900, "height": 800})
    assert page.locator(".shmlab-statements td.words").first.evaluate("node => node.clientWidth") > 200
    shoot(page, "narrow")
    assert not book.console


def test_run_all_and_stop(notebook: Open) -> None:
    book = opened(notebook, TABLE)
    page = book.page
    tool(page, "Run all").click()
    page.locator(".shmlab-statements[data-running=true]").wait_for(timeout=5_000)
    tool(page, "Stop").click()
    page.locator(".shmlab-statements[data-running=false]").wait_for(timeout=10_000)
    some = int(book.ask("print(len(panel.findings))"))
    assert 0 < some < 93
    shoot(page, "stopped")
    tool(page, "Run all").click()
    page.locator(".shmlab-statements .sum", has_not_text="not run yet").wait_for(timeout=60_000)
    page.locator(".shmlab-statements[data-running=false]").wait_for(timeout=30_000)
    assert "differently" not in page.locator(".shmlab-statements .sum").inner_text()
    assert page.locator(".shmlab-statements tr[data-status='answers differently']").count() == 0
    shoot(page, "all")
    page.locator(".shmlab-statements select.by-verdict").select_option("wrong")
    shoot(page, "wrong")
    book.theme("JupyterLab Dark")
    page.locator("#jupyterlab-splash").wait_for(state="detached")
    shoot(page, "dark")
    assert not book.console


def test_a_running_cell_does_not_freeze_it(notebook: Open) -> None:
    book = opened(notebook, TABLE)
    page = book.page
    page.evaluate(WATCH)
    assert "93 statements" in book.ask("print(panel.run_all())", timeout=60)
    page.locator(".shmlab-statements .sum", has_not_text="not run yet").wait_for(timeout=60_000)
    between = set(page.evaluate("() => window.seen"))
    assert len([each for each in between if 0 < each < 93]) > 3, "what it showed while the cell ran"
    decided = page.locator(".shmlab-statements tr[data-status='agrees']").count()
    assert decided > 70
    assert f"{decided} agree" in page.locator(".shmlab-statements .sum").inner_text()


def test_a_different_answer_is_red_and_says_what(notebook: Open) -> None:
    book = opened(notebook, TABLE.replace("panel\n", ""), RED)
    page = book.page
    row(page, "X1").get_by_role("button", name="Run X1").click()
    status = row(page, "X1").locator(".status", has_text="✗ answers differently: true")
    status.wait_for(timeout=10_000)
    assert row(page, "X1").locator(".seen .surprise").all_inner_texts() == ["unexpected: shm_open returned 0"]
    assert status.evaluate("node => getComputedStyle(node).backgroundColor") == "rgb(179, 71, 0)"
    shoot(page, "differs")


def test_the_keyboard_reaches_everything(notebook: Open) -> None:
    book = opened(notebook, TABLE)
    page = book.page
    page.locator(".shmlab-statements input.search").focus()
    page.keyboard.type("D78")
    wait_for_count(page, "1 of 93")
    reached = []
    for _ in range(7):
        page.keyboard.press("Tab")
        reached.append(page.evaluate(FOCUSED))
    wanted = ["by-verdict", "by-section", "run", "Run D78"]
    assert [each for each in reached if each in wanted] == wanted
    row(page, "D78").get_by_role("button", name="Run D78").focus()
    page.keyboard.press("Enter")
    row(page, "D78").locator(".status", has_text="✓ agrees: ").wait_for(timeout=10_000)


def test_a_lesson_is_opened_by_its_link(notebook: Open) -> None:
    book = opened(notebook, WITH_A_LESSON)
    page = book.page
    link = row(page, "D17").locator("a.lesson")
    assert link.get_attribute("href") == "03-x.ipynb"
    assert row(page, "D37").locator("a.lesson").count() == 0, "a lesson that isn't there has no link"
    link.click()
    page.locator(".lm-TabBar-tabLabel", has_text="03-x.ipynb").first.wait_for(timeout=10_000)
    for session in book.lab.api("GET", "sessions"):
        if session["path"] == "03-x.ipynb":
            book.lab.api("DELETE", f"sessions/{session['id']}")
    (book.lab.root / "03-x.ipynb").unlink()
