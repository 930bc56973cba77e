"""The scheduler in a real JupyterLab: every button and key, what the page says, a deadlock, a new program."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from shmlab.programs import find_compiler

Open = Callable[..., Any]

SETTING = """
import os
from shmlab import Process, Shared, every_schedule, in_c, own_name, posix
from shmlab.panels import Scheduler, tabulate
from shmlab.programs.increment import increment
from shmlab.programs.increment_posix_semaphore import increment_posix_semaphore
from shmlab.programs.two_semaphores import two_semaphores
name, mutex, other = own_name("counter"), own_name("mutex"), own_name("other")
memory = posix.create(name, 4096)
counter = memory.buf.cast("Q")
for each in (mutex, other):
    posix.sem_close(posix.sem_open(each, os.O_CREAT | os.O_EXCL, 0o600, 1))
def verdict(run):
    return "right" if run.memory["counter"] == 2 else "one update is lost"
"""
RACE = """
s = Scheduler([Process(increment, Shared(name), 1), Process(increment, Shared(name), 1)], outcome=verdict)
s
"""
IN_C = RACE.replace("Process(increment, Shared(name), 1), ", "Process(in_c(increment), Shared(name), 1), ")
GUARDED = RACE.replace(
    "Process(increment, Shared(name), 1)", "Process(increment_posix_semaphore, Shared(name), mutex, 1)"
)
TABLE = """
every = every_schedule([Process(increment, Shared(name), 1) for _ in "AB"], outcome=verdict)
table = tabulate(every)
"""
DEADLOCK = """
s = Scheduler([Process(two_semaphores, mutex, other), Process(two_semaphores, other, mutex)])
s
"""
FOUR = """
s = Scheduler([Process(increment, Shared(name), 1) for _ in range(4)])
s
"""
FREE = """
def forever(counter):
    while True:
        counter[0] += 1
        yield "add"
s = Scheduler([Process(forever, Shared(name)), Process(forever, Shared(name))])
s
"""
SPINS = """
def spins(counter):
    yield "first"
    while True:
        pass
s = Scheduler([Process(spins, Shared(name)), Process(increment, Shared(name), 1)])
s
"""
EDITED = """
def increment(counter, times):
    counter[0] = counter[0] + 1
    yield "all at once"
s = Scheduler([Process(increment, Shared(name), 1), Process(increment, Shared(name), 1)], outcome=verdict)
s
"""


def shoot(page: Any, name: str) -> None:
    if folder := os.environ.get("SHMLAB_SHOTS"):
        page.locator(".shmlab-scheduler").last.scroll_into_view_if_needed()
        page.screenshot(path=str(Path(folder) / f"scheduler-{name}.png"))


def press(page: Any, words: str) -> None:
    page.locator(".shmlab-scheduler button").get_by_text(words, exact=True).click()


def expect(page: Any, schedule: str, turns: int, timeout: float = 20) -> None:
    at = f".shmlab-scheduler[data-schedule='{schedule}'][data-turns='{turns}']"
    page.locator(at).wait_for(timeout=timeout * 1000)


def texts(page: Any, what: str) -> list[str]:
    return [each.strip() for each in page.locator(f".shmlab-scheduler {what}").all_inner_texts()]


def state(page: Any, label: str) -> str:
    return page.locator(f".shmlab-scheduler .process[data-label='{label}'] .state").inner_text()


def strip(page: Any) -> list[str]:
    return [" ".join(each.split()) for each in texts(page, ".turn")]


def opened(notebook: Open, *cells: str, **size: int) -> Any:
    book = notebook([SETTING, *cells], **{"width": 1280} | size)
    book.run_all()
    page = book.page
    page.locator(".shmlab-scheduler").last.wait_for(timeout=20_000)
    expect(page, "", 0)
    return book


def test_by_hand_by_key_undo_replay_random_stop_reset(notebook: Open) -> None:
    book = opened(notebook, RACE)
    page = book.page
    shoot(page, "before")
    press(page, "Step A")
    expect(page, "A", 1)
    assert state(page, "A") == 'paused after step 1 at line 4 ("load")'
    assert state(page, "B") == "paused before its first step"
    current = page.locator(".process[data-label='A'] .line.current code")
    assert current.inner_text().strip() == 'yield "load"'
    assert "value" in texts(page, ".process[data-label='A'] .locals dt")
    press(page, "Step B")
    expect(page, "AB", 2)
    page.keyboard.press("a")
    expect(page, "ABA", 3)
    assert texts(page, ".memory dd.changed") == ["1"]
    shoot(page, "by-hand")
    page.keyboard.press("2")
    expect(page, "ABAB", 4)
    assert strip(page) == ["A load", "B load", "A store", "B store"]
    press(page, "Undo")
    expect(page, "ABA", 3)
    page.keyboard.press("Backspace")
    expect(page, "AB", 2)
    press(page, "Replay")
    expect(page, "AB", 2)
    field = page.locator(".shmlab-scheduler .schedule input")
    field.fill("")
    field.press_sequentially("aabb")
    expect(page, "AB", 2)  # a letter typed there is no step
    press(page, "Replay")
    expect(page, "AABB", 4)
    assert texts(page, ".memory dd") == ["2"]
    field.fill("ABX")
    field.press("Enter")
    page.locator(".shmlab-scheduler .say:not([hidden])").wait_for(timeout=10_000)
    assert texts(page, ".say") == ["no process 'X' here: there is A, B"]
    page.locator(".shmlab-scheduler .seed input").fill("7")
    press(page, "Random")
    page.locator(".shmlab-scheduler[data-kind='over']").wait_for(timeout=10_000)
    drawn = page.locator(".shmlab-scheduler").get_attribute("data-schedule")
    assert texts(page, ".verdict")[0].startswith(f"{drawn}: ")
    press(page, "Random")
    expect(page, drawn or "", 6)
    shoot(page, "over")
    press(page, "Reset")
    expect(page, "", 0)
    page.locator(".shmlab-scheduler .memory dd", has_text=re.compile(r"^\s*0\s*$")).wait_for(timeout=10_000)
    press(page, "Step B")
    expect(page, "B", 1)
    press(page, "Stop")
    page.locator(".process[data-label='A'][data-kind='ended']").wait_for(timeout=10_000)
    assert state(page, "A") == "stopped"
    assert book.errors() == []
    assert book.console == []


def test_the_lost_update_told_and_a_row_of_the_table(notebook: Open) -> None:
    book = opened(notebook, RACE)
    page = book.page
    assert book.ask("print(s.replay('ABABAB').result)").strip() == "one update is lost"
    expect(page, "ABAB", 6)
    assert texts(page, ".verdict") == ["ABAB: one update is lost."]
    shoot(page, "lost")
    table = "every_schedule([Process(increment, Shared(name), 1) for _ in 'AB'], outcome=verdict).all()"
    replay = f"s.reset()\nt = {table}\nprint(t.counts)\nprint(s.replay(t.where('right')[1]))"
    assert book.ask(replay).splitlines() == ["{'one update is lost': 4, 'right': 2}", "BBAA: right"]
    expect(page, "BBAA", 6)


def test_a_semaphore_waiters_and_a_killed_holder(notebook: Open) -> None:
    book = opened(notebook, GUARDED)
    page = book.page
    press(page, "Step A")
    expect(page, "A", 1)
    press(page, "Step B")
    expect(page, "AB", 2)
    assert state(page, "B") == "blocked in sem_wait on mutex after step 0"
    assert page.locator(".process[data-label='B'] header button").is_disabled()
    assert texts(page, ".semaphore .value") == ["0"]
    assert texts(page, ".waiters .chip") == ["B"]
    assert texts(page, ".holders .chip") == ["A"]
    shoot(page, "blocked")
    for count in (3, 4):
        press(page, "Step A")
        expect(page, "AB" + "A" * (count - 2), count)
    press(page, "Step A")
    expect(page, "ABAAA", 6)
    assert strip(page)[-1] == "B sem_wait"
    assert page.locator(".turn.let-on").count() == 1
    assert texts(page, ".holders .chip") == ["B"]
    book.ask("import os, signal; os.kill(s.stage.processes[1].pid, signal.SIGKILL)")
    page.locator(".process[data-label='B'][data-kind='ended']").wait_for(timeout=10_000)
    press(page, "Step A")
    page.locator(".process[data-label='A'][data-kind='ended']").wait_for(timeout=10_000)
    book.ask("s.replay('A!AB')")
    page.locator(".shmlab-scheduler[data-kind='stuck']").wait_for(timeout=10_000)
    assert texts(page, ".verdict") == ["Blocked for ever: B waits for mutex, held by A, which has ended."]
    shoot(page, "killed")


def test_a_deadlock_is_named_and_stop_ends_it(notebook: Open) -> None:
    book = opened(notebook, DEADLOCK)
    page = book.page
    for count, who in enumerate("ABAB", 1):
        press(page, f"Step {who}")
        expect(page, "ABAB"[:count], count)
    assert texts(page, ".verdict") == [
        "Deadlock: A waits for other, held by B; B waits for mutex, held by A."
    ]
    shoot(page, "deadlock")
    begin = monotonic()
    press(page, "Stop")
    page.locator(".process[data-label='B'][data-kind='ended']").wait_for(timeout=10_000)
    assert monotonic() - begin < 2  # 1 s, and the browser's own
    assert book.ask("print([p.outcome.kind for p in s.stage.processes])").strip() == "['stopped', 'stopped']"


def test_let_go_and_pause(notebook: Open) -> None:
    book = opened(notebook, FREE)
    page = book.page
    press(page, "Start")
    page.locator(".shmlab-scheduler .turn.free").wait_for(timeout=10_000)
    page.wait_for_function(
        "() => Number(document.querySelector('.shmlab-scheduler .memory dd').textContent) > 1000",
        timeout=10_000,
    )
    shoot(page, "free")
    press(page, "Pause")
    page.locator(".process[data-label='A'][data-kind='paused']").wait_for(timeout=10_000)
    reached = int(texts(page, ".memory dd")[0])
    press(page, "Step A")
    expect(page, "A", 2)
    assert int(texts(page, ".memory dd")[0]) == reached + 1


def test_a_step_without_an_end_and_stop(notebook: Open) -> None:
    book = opened(notebook, SPINS)
    page = book.page
    press(page, "Step A")
    expect(page, "A", 1)
    press(page, "Step A")
    expect(page, "AA", 2)
    assert state(page, "A").startswith("running")
    press(page, "Step B")
    expect(page, "AAB", 3)
    begin = monotonic()
    press(page, "Stop")
    page.locator(".process[data-label='A'][data-kind='ended']").wait_for(timeout=10_000)
    assert monotonic() - begin < 2


def test_edited_in_a_cell_and_opened_again(notebook: Open) -> None:
    book = opened(notebook, RACE)
    page = book.page
    press(page, "Step A")
    expect(page, "A", 1)
    pid = book.ask("print(s.stage.processes[0].pid)").strip()
    book.ask(f"from IPython.display import display\n{EDITED}display(s)")
    assert not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text()
    page.locator(".shmlab-scheduler .say:not([hidden])").wait_for(timeout=10_000)
    assert texts(page, ".say")[0].startswith("Another panel uses this memory now")
    assert book.ask("print(s.replay('ABAB').result)").strip() == "right"


def test_every_schedule_in_a_cell(notebook: Open) -> None:
    book = notebook([SETTING, TABLE], width=1280)
    book.run_all()
    page = book.page
    page.locator(".jp-OutputArea td").first.wait_for(timeout=20_000)
    assert page.locator(".jp-OutputArea tbody tr").count() == 6
    assert page.locator(".jp-OutputArea progress").count() == 0
    (output,) = book.outputs()[1]
    assert "".join(output["data"]["text/plain"]).splitlines()[-1] == (
        "6 schedules: 4 one update is lost, 2 right"
    )
    if folder := os.environ.get("SHMLAB_SHOTS"):
        page.screenshot(path=str(Path(folder) / "scheduler-table.png"))


def test_a_row_of_the_table_is_replayed_by_a_click(notebook: Open) -> None:
    book = opened(notebook, RACE)
    page = book.page
    assert page.locator(".shmlab-scheduler .offered").is_hidden()
    book.ask(f"{TABLE}s.offer(table)")
    rows = page.locator(".shmlab-scheduler .offered tbody tr")
    rows.nth(5).wait_for(timeout=20_000)
    assert rows.count() == 6
    assert texts(page, ".offered thead th") == ["schedule", "counter", "result"]
    assert texts(page, ".offered .remark") == ["6 schedules: 4 one update is lost, 2 right"]
    schedules = rows.evaluate_all("rows => rows.map((row) => row.dataset.schedule)")
    at = schedules.index("ABAB")
    rows.nth(at).locator("td").last.click()
    expect(page, "ABAB", 6)
    assert texts(page, ".memory dd") == ["1"]
    assert rows.evaluate_all("rows => rows.map((row) => row.classList.contains('chosen'))").index(True) == at
    shoot(page, "row")
    page.get_by_role("button", name="Replay BBAA").focus()
    page.keyboard.press("Enter")
    expect(page, "BBAA", 6)
    assert texts(page, ".memory dd") == ["2"]
    assert texts(page, ".verdict") == ["BBAA: right."]
    for schedule, turns in (("BBAA", 5), ("BBAA", 4), ("BBA", 3)):  # the ends of both, and A's store
        press(page, "Undo")
        expect(page, schedule, turns)
    assert page.locator(".offered tr.chosen").count() == 0, "it's no row of the table now"
    assert not book.console


@pytest.mark.skipif(find_compiler() is None, reason="no C compiler")
def test_c_beside_python(notebook: Open) -> None:
    book = opened(notebook, IN_C)
    page = book.page
    assert texts(page, ".program") == ["increment · C", "increment · Python"]
    for count, who in enumerate("ABAB", 1):
        page.locator(".shmlab-scheduler .process").first.click()
        page.keyboard.press(who.lower())
        expect(page, "ABAB"[:count], count)
    assert texts(page, ".memory dd") == ["1"]
    assert strip(page) == ["A load", "B load", "A store", "B store"]
    shoot(page, "c")


def test_four_and_dark(notebook: Open) -> None:
    book = opened(notebook, FOUR)
    page = book.page
    for count, who in enumerate("ABCDDCBA", 1):
        press(page, f"Step {who}")
        expect(page, "ABCDDCBA"[:count], count)
    assert texts(page, ".memory dd") == ["1"]
    shoot(page, "four")
    book.theme("JupyterLab Dark")
    page.locator("#jupyterlab-splash").wait_for(state="detached", timeout=10_000)
    shoot(page, "four-dark")
