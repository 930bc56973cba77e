"""The scheduler panel without a browser: what it sends, what its buttons do, what it leaves."""

import contextlib
import io
import os
import threading
from time import monotonic

import pytest
from PIL import Image

from shmlab import Process, Shared, cleanup, every_schedule, own_name, posix, run_schedule
from shmlab.panels import Scheduler, tabulate
from shmlab.programs.increment import increment
from shmlab.programs.increment_posix_semaphore import increment_posix_semaphore
from shmlab.programs.two_semaphores import two_semaphores

WIDGET = "application/vnd.jupyter.widget-view+json"


def forever(counter):
    while True:
        counter[0] += 1
        yield "add"


def spins():
    yield "first"
    while True:
        pass


def broken(counter):
    yield "first"
    raise KeyError("no such thing")


@pytest.fixture
def counter():
    name = own_name("counter")
    with posix.create(name, 4096) as mapping:
        numbers = mapping.buf.cast("Q")
        yield numbers, name
        numbers.release()


@pytest.fixture
def mutexes():
    names = [own_name(word) for word in ("mutex", "other")]
    for name in names:
        posix.sem_close(posix.sem_open(name, os.O_CREAT | os.O_EXCL, 0o600, 1))
    yield names
    for name in names:
        posix.sem_unlink(name)


@pytest.fixture
def scheduler(browse):
    """Open schedulers in a browser that only answers; they are closed when the test ends."""
    made = []

    def make(*processes, **options):
        made.append(Scheduler(processes, **options))
        page = browse(made[-1])
        page.view.send = wrapped(page)
        return page

    yield make
    for each in made:
        with contextlib.suppress(ZeroDivisionError):
            each.close()


def last(page):
    """What the page shows now: the newest content, frame or not."""
    return page.frames[-1]["shown"]


def two(name, program=increment, *more):
    return [Process(program, Shared(name), *more, 1) for _ in "AB"]


def verdict(run):
    return "right" if run.memory["counter"] == 2 else "one update is lost"


class TestButtons:
    @pytest.fixture
    def page(self, scheduler, counter, until):
        page = scheduler(*two(counter[1]), outcome=verdict)
        page.opens()
        until(lambda: page.frames)
        return page

    def test_before_the_first_step(self, page):
        content = last(page)
        assert [each["words"] for each in content["processes"]] == ["not started", "not started"]
        assert content["memory"] == [["counter", "0", False]]
        assert content["turns"] == []
        assert content["can"] == {
            "undo": False,
            "replay": True,
            "random": True,
            "start": True,
            "pause": False,
            "stop": False,
            "reset": False,
        }

    def test_steps_undo_and_the_end(self, page, counter):
        for who in "ABAB":
            page.says({"do": "step", "label": who})
        content = last(page)
        assert content["schedule"] == "ABAB"
        assert [turn["brief"] for turn in content["turns"]] == ["load", "load", "store", "store"]
        assert content["memory"] == [["counter", "1", False]]
        assert content["processes"][0]["line"] == 6
        assert ("value", "0") in content["processes"][0]["locals"]
        page.says({"do": "undo"})
        assert last(page)["schedule"] == "ABA"
        assert last(page)["memory"] == [["counter", "1", True]]
        for who in "BAB":
            page.says({"do": "step", "label": who})
        content = last(page)
        assert content["verdict"] == "ABAB: one update is lost."
        assert content["kind"] == "over"
        assert [each["can"] for each in content["processes"]] == [False, False]
        assert set(page.said) == {""}

    def test_replay_typed_and_the_history(self, page, counter):
        page.says({"do": "replay", "schedule": "aabb"})
        assert (last(page)["schedule"], counter[0][0]) == ("AABB", 2)
        page.says({"do": "replay", "schedule": ""})
        assert (last(page)["schedule"], counter[0][0]) == ("AABB", 2)
        page.says({"do": "replay", "schedule": "AXB"})
        assert page.said[-1] == "no process 'X' here: there is A, B"
        assert last(page)["schedule"] == "AABB"

    def test_random(self, page):
        page.says({"do": "random", "seed": "7"})
        first = last(page)["schedule"]
        page.says({"do": "random", "seed": "7"})
        assert last(page)["schedule"] == first
        assert len(first) == 4
        page.says({"do": "random", "seed": ""})
        assert last(page)["kind"] == "over"
        page.says({"do": "random", "seed": "x"})
        assert page.said[-1] == "the seed of a random schedule is a whole number, not 'x'"

    def test_stop_and_reset(self, page, counter):
        page.says({"do": "step", "label": "A"})
        page.says({"do": "step", "label": "A"})
        page.says({"do": "stop"})
        assert [each["words"] for each in last(page)["processes"]] == ["stopped", "stopped"]
        assert last(page)["schedule"] == "AA"
        page.says({"do": "reset"})
        assert [each["words"] for each in last(page)["processes"]] == ["not started", "not started"]
        assert last(page)["turns"] == []
        assert counter[0][0] == 0


def wrapped(page):
    """Keep what is shown at once beside the frames; only frames are acknowledged."""
    receive = page.view.send

    def send(content, buffers=None):
        if "shown" in content and "frame" not in content:
            page.frames.append(content)
        else:
            receive(content, buffers)

    return send


def test_let_go_and_pause(scheduler, counter, until):
    page = scheduler(Process(forever, Shared(counter[1])), Process(forever, Shared(counter[1])))
    page.opens()
    page.says({"do": "start"})
    assert last(page)["can"]["pause"]
    assert not last(page)["can"]["start"]
    until(lambda: int(last(page)["memory"][0][1]) > 1000)
    assert "running" in last(page)["processes"][0]["words"]
    page.says({"do": "pause"})
    reached = counter[0][0]
    assert {each["kind"] for each in last(page)["processes"]} == {"paused"}
    page.says({"do": "step", "label": "B"})
    assert counter[0][0] == reached + 1
    page.says({"do": "undo"})
    assert (counter[0][0], last(page)["turns"]) == (0, [])


def test_a_deadlock_is_named_and_stopped_soon(scheduler, mutexes, until):
    page = scheduler(Process(two_semaphores, *mutexes), Process(two_semaphores, *reversed(mutexes)))
    panel = page.view
    for who in "ABAB":
        panel.step(who)
    assert "Deadlock: A waits for other, held by B; B waits for mutex, held by A." in panel.sentence
    page.opens()
    until(lambda: page.frames)
    content = last(page)
    assert content["kind"] == "stuck"
    assert content["processes"][0]["words"] == "blocked in sem_wait on other after step 1"
    assert [each["can"] for each in content["processes"]] == [False, False]
    assert content["semaphores"] == [
        {"name": "mutex", "value": 0, "waiters": ["B"], "holders": ["A"]},
        {"name": "other", "value": 0, "waiters": ["A"], "holders": ["B"]},
    ]
    begin = monotonic()
    panel.stop()
    assert monotonic() - begin < 1
    panel.undo()
    assert panel.stage.deadlock is None
    panel.reset()
    for name in mutexes:
        sem = posix.sem_open(name, 0)
        assert posix.sem_getvalue(sem) == 1
        posix.sem_close(sem)


def test_a_holder_killed_from_outside_is_noticed_by_itself(scheduler, counter, mutexes, until):
    page = scheduler(*two(counter[1], increment_posix_semaphore, mutexes[0]))
    panel = page.view
    page.opens()
    panel.step("A")
    panel.step("B")
    os.kill(panel.stage.processes[0].pid, 9)
    until(lambda: page.frames and last(page)["kind"] == "stuck")
    content = last(page)
    assert content["verdict"] == "Blocked for ever: B waits for mutex, held by A, which has ended."
    assert content["processes"][0]["words"] == "killed by signal 9 (SIGKILL: Killed)"
    assert content["turns"][-1]["brief"] == "killed"


def test_a_program_that_blocks_for_ever_listens_to_stop(scheduler, counter):
    page = scheduler(Process(spins), *two(counter[1]))
    panel = page.view
    panel.step("A")
    panel.step("A")
    assert panel.stage.states["A"].kind == "running"
    assert panel.step("B").kind == "step"
    thread = threading.Thread(target=panel.step, args=["A"])
    thread.start()
    begin = monotonic()
    panel.stop()
    thread.join(5)
    assert monotonic() - begin < 1


def test_a_program_that_raises(scheduler, counter):
    panel = scheduler(Process(broken, Shared(counter[1])), *two(counter[1])).view
    panel.replay("AA")
    assert "A (broken in Python): raised KeyError: 'no such thing'." in panel.sentence


def test_a_row_of_a_table_is_replayed_to_its_end(scheduler, counter):
    processes = two(counter[1])
    table = every_schedule(processes, outcome=verdict).all()
    panel = scheduler(*processes, outcome=verdict).view
    for row in table:
        run = panel.replay(row)
        assert (run.schedule, run.result, run.ok) == (row.schedule, row.result, True)


def test_rows_that_are_offered_are_replayed_by_a_click(scheduler, counter):
    processes = two(counter[1])
    table = every_schedule(processes, outcome=verdict).all()
    page = scheduler(*processes, outcome=verdict)
    panel = page.view
    assert panel.table == {}
    panel.offer(table)
    assert panel.table["headings"] == ["schedule", "counter", "result"]
    assert [row["cells"][0] for row in panel.table["rows"]] == [run.schedule for run in table]
    letters = [text for _who, text, _chosen, _words in panel.table["rows"][1]["turns"]]
    assert "".join(letters) == table[1].schedule == "ABAB"
    assert panel.table["remarks"] == ["6 schedules: 4 one update is lost, 2 right"]
    for number, row in enumerate(table):
        page.says({"do": "replay row", "row": number})
        assert (panel.stage.schedule, panel.stage.so_far.result) == (row.schedule, row.result)
    panel.offer([run for run in table if run.result == "right"])
    page.says({"do": "replay row", "row": 1})
    assert panel.stage.schedule == "BBAA"
    page.says({"do": "replay row", "row": -1})
    assert page.said[-1] == "-1 isn't the number of a row"
    panel.offer([])
    assert panel.table == {}


def test_rows_of_other_processes_are_refused(scheduler, counter):
    three = [Process(increment, Shared(counter[1]), 1) for _ in range(3)]
    run = run_schedule(three, "ABC")
    with pytest.raises(ValueError, match=r"ABC.* is one of the processes A, B, C; this panel has A, B"):
        scheduler(*two(counter[1])).view.offer([run])


def test_memory_that_the_lesson_has_taken_away(scheduler):
    with posix.create(own_name("counter"), 4096) as mapping:
        numbers = mapping.buf.cast("Q")

        def fresh():
            numbers[0] = 0

        page = scheduler(*two(mapping.name), setup=fresh)
        page.view.replay("AB")
        numbers.release()
    cleanup()
    page.says({"do": "replay", "schedule": "AB"})
    assert page.said[-1] == ("The memory has been unmapped since. Run the lesson's cells again from the top.")


def test_a_new_panel_on_the_same_memory_stops_the_old_ones_processes(scheduler, counter):
    old = scheduler(*two(counter[1]))
    old.view.step("A")

    def increment(counter, times):
        counter[0] += 1
        yield "at once"

    new = scheduler(*two(counter[1], increment))
    assert [each.kind for each in old.view.stage.states.values()] == ["ended", "ended"]
    assert old.said[-1].startswith("Another panel uses this memory now")
    assert new.view.replay("AB").memory["counter"] == 2
    old.view.reset()
    old.view.step("A")
    assert {each.kind for each in new.view.stage.states.values()} == {"ended"}


def test_functions_of_the_lesson_that_fail(scheduler, counter, until):
    def reads():
        if counter[0][0]:
            raise RuntimeError("not readable")
        return 0

    page = scheduler(*two(counter[1]), watch={"x": reads}, outcome=verdict)
    page.opens()
    until(lambda: page.frames)
    page.says({"do": "replay", "schedule": "AA"})
    assert last(page)["memory"] == [["x", "raised RuntimeError: not readable", True]]
    page.says({"do": "replay", "schedule": "AABBAB"})
    assert page.said[-1] == "'counter'"
    assert "what it came to can't be said: KeyError: 'counter'" in page.view.sentence
    assert page.view.loop.running


def test_every_schedule_with_a_progress_bar(counter, monkeypatch):
    shown = []

    class Handle:
        def update(self, what):
            shown.append(what)

    monkeypatch.setattr("IPython.display.display", lambda what, display_id: shown.append(what) or Handle())
    monkeypatch.setattr("shmlab.panels.schedules.EVERY", 0)
    table = tabulate(every_schedule(two(counter[1]), outcome=verdict))
    assert table.counts == {"one update is lost": 4, "right": 2}
    first, *between, last = shown
    assert repr(first) == "0 schedules run"
    assert [repr(each) for each in between] == [f"{n} of at most 6 schedules run" for n in range(1, 7)]
    assert 'value="0.500"' in between[2]._repr_html_()
    assert repr(last) == repr(table)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_two_to_four(count):
    with pytest.raises(ValueError, match=f"two to four processes, not {count}"):
        Scheduler([Process(spins) for _ in range(count)])


def test_still_picture_and_sentence(scheduler, counter, mutexes):
    panel = scheduler(*two(counter[1], increment_posix_semaphore, mutexes[0])).view
    panel.replay("AB")
    bundle, metadata = panel._repr_mimebundle_()
    assert WIDGET in bundle
    assert metadata["image/png"]["alt"] == bundle["text/plain"] == repr(panel)
    assert repr(panel) == (
        'A (increment_posix_semaphore in Python): paused after step 1 at line 5 ("sem_wait"). '
        "B (increment_posix_semaphore in Python): blocked in sem_wait on mutex after step 0. "
        "counter = 0; mutex = 0, B waiting. Schedule AB."
    )
    with Image.open(io.BytesIO(bundle["image/png"])) as picture:
        assert picture.width == 1000
    panel.close()
    panel.close()
    bundle, _ = panel._repr_mimebundle_()
    assert WIDGET not in bundle
    assert panel.comm is None


def test_a_step_reaches_the_browser_within_milliseconds(scheduler, counter, until):
    page = scheduler(Process(forever, Shared(counter[1])), Process(forever, Shared(counter[1])))
    page.opens()
    until(lambda: page.frames)
    page.says({"do": "step", "label": "A"})
    taken = []
    for number in range(60):
        begin = monotonic()
        page.says({"do": "step", "label": "AB"[number % 2]})
        taken.append(monotonic() - begin)
        assert len(last(page)["turns"]) == number + 2
    assert sorted(taken)[len(taken) // 2] < 0.005


def test_no_frame_while_somebody_is_at_work_and_all_of_it_after(scheduler, counter, until):
    page = scheduler(*two(counter[1])).opens()
    until(lambda: page.frames)
    begun, on = threading.Event(), threading.Event()

    def half_done():
        with page.view.stage.at_rest():  # an order of somebody else's
            begun.set()
            page.view.stage.step("A")
            on.wait(10)

    thread = threading.Thread(target=half_done)
    ticks = []
    tick = page.view.loop._tick
    page.view.loop._tick = lambda number: ticks.append(tick(number)) or ticks[-1]
    thread.start()
    assert begun.wait(10)
    before, ticked = len(page.frames), len(ticks)
    page.view._forget()  # there would be something to show
    until(lambda: page.view.stage.turns and len(ticks) > ticked + 3)
    assert len(page.frames) == before
    on.set()
    thread.join()
    until(lambda: last(page)["schedule"] == "A")


def test_what_can_not_be_shown_is_said(scheduler, counter, until):
    page = scheduler(*two(counter[1]), watch={"counter": Shared(counter[1], "Q")}).opens()
    until(lambda: page.frames)

    def look():
        raise ValueError("nobody can look")

    page.view.stage._surroundings.look = look
    until(lambda: page.view.loop.ended == "failed")
    until(lambda: page.said and "ValueError: nobody can look" in page.said[-1])
    del page.view.stage._surroundings.look
    page.says({"do": "step", "label": "A"})
    assert last(page)["schedule"] == "A"
