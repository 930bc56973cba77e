"""The panel of ipcs in a real JupyterLab: every button, and a segment that comes, changes and goes."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

Open = Callable[..., Any]

SETTING = """
from shmlab import Process, own_key, sysv
from shmlab.panels import IpcsView, Panel
flags = sysv.IPC_CREAT | sysv.IPC_EXCL | 0o600
first = sysv.shmget(own_key("first"), 4096, flags)
second = sysv.shmget(own_key("second"), 5000, flags)
def visitor(shmid):
    attached = sysv.shmat(shmid)
    yield "shmat"
    sysv.shmctl(shmid, sysv.IPC_RMID)
    yield "mark"
    sysv.shmdt(attached)
    yield "shmdt"
"""
VIEW = "view = IpcsView()\nview"
WITH_PROCESS = "view = IpcsView()\npanel = Panel(Process(visitor, second), views=[view])\npanel"


def opened(notebook: Open, cell: str = VIEW, width: int = 1280, height: int = 1000) -> Any:
    book = notebook([SETTING, cell], width=width, height=height)
    book.run_all()
    assert not book.errors()
    book.page.wait_for_selector(".printed[data-frame]")
    book.first, book.second = book.ask("print(first, second)").split()
    return book


def shown(page: Any) -> str:
    """The text on the page as somebody would copy it, without the signs."""
    return str(
        page.evaluate(
            "[...document.querySelectorAll('.printed .words')].map(line => line.textContent).join('\\n')"
        )
    )


def until_marked(page: Any, mark: str, words: str) -> Any:
    """Wait for a line with this mark and words in it; returns it."""
    line = page.locator(f".printed .lines > div[data-mark='{mark}']", has_text=words).first
    line.wait_for(timeout=10_000)
    return line


def until_shown(page: Any, command: str, words: str = "") -> None:
    page.locator(".shmlab-live .title", has_text=command).wait_for(timeout=10_000)
    page.wait_for_function(
        "words => document.querySelector('.printed').textContent.includes(words)", arg=words, timeout=10_000
    )


def pressed(page: Any) -> list[str]:
    return list(
        page.evaluate(
            "[...document.querySelectorAll('.options button[aria-pressed=true]')].map(b => b.dataset.option)"
        )
    )


def button(page: Any, option: str) -> Any:
    return page.locator(f".options button[data-option='{option}']")


def by_hand(*options: str) -> str:
    environment = os.environ | {"LC_ALL": "C"}
    ran = subprocess.run(["ipcs", *options], env=environment, capture_output=True, text=True, timeout=10)
    return "\n".join(line.rstrip() for line in ran.stdout.expandtabs().strip("\n").splitlines())


def shoot(page: Any, name: str) -> None:
    """Leave a picture, for whoever wants to look (SHMLAB_SHOTS names a folder)."""
    if folder := os.environ.get("SHMLAB_SHOTS"):
        page.locator(".printed").first.scroll_into_view_if_needed()
        page.screenshot(path=str(Path(folder) / f"{name}.png"))


def test_each_button_shows_what_ipcs_prints(notebook: Open) -> None:
    book = opened(notebook)
    page = book.page
    for option in ("-p", "-t", "-c", "-u", "-l", "-m"):
        button(page, option).click()
        command = "ipcs -m" if option == "-m" else f"ipcs -m {option}"
        page.wait_for_function(
            "t => document.querySelector('.shmlab-live .title').textContent === t", arg=f"$ {command}"
        )
        assert shown(page) == by_hand(*command.split()[1:])
        assert pressed(page) == [option]
        assert book.ask("print(view.option)").strip() == option
        shoot(page, f"ipcs{option}")
    assert not book.console


def test_a_segment_comes_changes_and_goes(notebook: Open) -> None:
    book = opened(notebook)
    page = book.page
    until_shown(page, "ipcs -m", book.first)
    assert page.locator(".printed [data-mark]").count() == 0
    third = book.ask("third = sysv.shmget(sysv.IPC_PRIVATE, 8192, flags); print(third)").strip()
    line = until_marked(page, "+", "8192")
    assert line.locator(".sign").get_attribute("aria-label") == "new"
    shoot(page, "ipcs-new")
    book.ask("attached = sysv.shmat(third)")
    line = until_marked(page, "~", "8192")
    assert line.locator("mark").all_text_contents() == ["1"]
    book.ask("sysv.shmctl(third, sysv.IPC_RMID)")
    page.locator(".printed mark", has_text="dest").wait_for()
    shoot(page, "ipcs-changed")
    book.ask("sysv.shmdt(attached)")
    line = until_marked(page, "-", "8192")
    struck = "node => getComputedStyle(node).textDecorationLine"
    assert line.locator(".words").evaluate(struck) == "line-through"
    shoot(page, "ipcs-gone")
    page.wait_for_function(
        "id => document.querySelector('.printed').getAttribute('aria-label')?.includes(`gone: id ${id}.`)",
        arg=third,
    )
    book.ask("sysv.shmctl(second, sysv.IPC_RMID)")
    until_marked(page, "-", "5000")
    assert third not in [row.split()[1] for row in shown(page).splitlines()[2:]], "until the next change"
    assert not book.console


def test_one_segment_is_chosen_by_its_id(notebook: Open) -> None:
    book = opened(notebook)
    page = book.page
    choice = page.locator(".options select")
    assert choice.locator("option").count() == 2
    button(page, "-i").click()
    until_shown(page, f"ipcs -m -i {book.first}", f"shmid={book.first}")
    assert pressed(page) == ["-i"]
    choice.select_option(book.second)
    until_shown(page, f"ipcs -m -i {book.second}", "bytes=5000")
    book.ask("attached = sysv.shmat(second)")
    until_marked(page, "~", "nattch=1")
    shoot(page, "ipcs-one")
    book.ask("sysv.shmdt(attached); sysv.shmctl(second, sysv.IPC_RMID)")
    until_marked(page, "+", f"id {book.second} not found")
    assert choice.input_value() == book.second
    shoot(page, "ipcs-one-gone")
    choice.select_option(book.first)
    until_shown(page, f"ipcs -m -i {book.first}", "bytes=4096")
    assert not book.console


def test_everybodys(notebook: Open) -> None:
    book = notebook([SETTING, "view = IpcsView(ids=[first])\nview"], width=1280)
    book.run_all()
    page = book.page
    first, second = book.ask("print(first, second)").split()
    until_shown(page, "ipcs -m", "4096")
    assert "5000" not in shown(page)
    page.get_by_text("those chosen, 1 more hidden").wait_for()
    page.locator(".options input[type=checkbox]").check()
    until_shown(page, "ipcs -m", "5000")
    assert shown(page) == by_hand("-m")
    assert book.ask("print(view.everything)").strip() == "True"
    page.locator(".options input[type=checkbox]").uncheck()
    page.wait_for_function("!document.querySelector('.printed').textContent.includes('5000')")
    book.ask("view.everything = True")
    until_shown(page, "ipcs -m", "5000")
    assert page.locator(".options input[type=checkbox]").is_checked()
    assert first != second


def test_the_keyboard_reaches_everything(notebook: Open) -> None:
    book = opened(notebook)
    page = book.page
    button(page, "-m").focus()
    reached = []
    for _ in range(8):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("document.activeElement.dataset.option ?? document.activeElement.tagName")
        )
    assert reached == ["-p", "-t", "-c", "-u", "-l", "-i", "SELECT", "INPUT"]
    button(page, "-t").focus()
    page.keyboard.press("Space")
    until_shown(page, "ipcs -m -t", "Shared Memory Attach/Detach/Change Times")
    button(page, "-u").focus()
    page.keyboard.press("Enter")
    until_shown(page, "ipcs -m -u", "segments allocated")
    assert pressed(page) == ["-u"]


def test_code_presses_the_buttons_too(notebook: Open) -> None:
    book = opened(notebook)
    page = book.page
    book.ask("view.show('-c')")
    until_shown(page, "ipcs -m -c", "Creators/Owners")
    assert pressed(page) == ["-c"]
    book.ask("view.show(f'-i {second}')")
    until_shown(page, "ipcs -m -i", "bytes=5000")
    assert pressed(page) == ["-i"]
    assert page.locator(".options select").input_value() == book.second


def test_a_stopped_view_is_woken_by_a_button(notebook: Open) -> None:
    book = opened(notebook)
    page = book.page
    book.ask("view.stop()")
    page.locator(".shmlab-live[data-state=stopped]").wait_for()
    button(page, "-u").click()
    until_shown(page, "ipcs -m -u", "segments allocated")
    page.locator(".shmlab-live[data-state=live]").wait_for()
    book.ask("view.stop()")
    page.locator(".shmlab-live[data-state=stopped]").wait_for()
    page.locator(".say button.again").click()
    page.locator(".shmlab-live[data-state=live]").wait_for()


def test_beside_a_process_that_is_stepped(notebook: Open) -> None:
    book = opened(notebook, WITH_PROCESS, height=1300)
    page = book.page
    step = page.locator(".shmlab-processes button", has_text="Step A")
    step.click()
    assert until_marked(page, "~", "5000").locator("mark").all_text_contents() == ["1"]
    shoot(page, "ipcs-panel")
    step.click()
    page.locator(".printed mark", has_text="dest").wait_for()
    step.click()
    until_marked(page, "-", "5000")
    assert book.second not in book.ask(
        "from shmlab import observe; print([s.id for s in observe.segments()])"
    )
    assert not book.console


def test_without_ipcs_it_says_so(notebook: Open) -> None:
    book = notebook(["import os; os.environ['PATH'] = ''", SETTING, VIEW])
    book.run_all()
    book.page.get_by_text("ipcs is not installed (package util-linux)").first.wait_for()
    assert book.page.locator(".printed").is_hidden()
    assert not book.errors()


def test_in_the_dark_and_narrow(notebook: Open) -> None:
    book = opened(notebook)
    page = book.page
    button(page, "-t").click()
    until_shown(page, "ipcs -m -t")
    book.ask("attached = sysv.shmat(second); third = sysv.shmget(sysv.IPC_PRIVATE, 8192, flags)")
    until_marked(page, "~", book.second)
    fits = "document.querySelector('.printed').scrollWidth <= document.querySelector('.printed').clientWidth"
    assert page.evaluate(fits), "the longest of ipcs' tables fits at a width of 1280"
    shoot(page, "ipcs-times")
    book.theme("JupyterLab Dark")
    shoot(page, "ipcs-dark")
    page.set_viewport_size({"width": 800, "height": 1000})
    shoot(page, "ipcs-narrow")
