"""The walkthrough without a browser: what it sends at each step, what its buttons do, what it leaves."""

import contextlib
import io
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from PIL import Image

from shmlab import in_c, observe, own_key, own_name, posix, sysv
from shmlab.panels import Walkthrough
from shmlab.panels.scene import scene
from shmlab.processes import Walk
from shmlab.programs.seven_calls import seven_calls

WIDGET = "application/vnd.jupyter.widget-view+json"


def endless():
    while True:
        yield "on"


def broken(name):
    fd = posix.shm_open(name, posix.O_RDWR)
    yield fd


def kept(name):
    fd = posix.shm_open(name, posix.O_CREAT | posix.O_EXCL | posix.O_RDWR)
    posix.ftruncate(fd, 8192)
    yield "ftruncate"
    posix.shm_unlink(name)
    yield "shm_unlink"


@pytest.fixture
def walkthroughs(browse: Any) -> Iterator[Callable[..., Any]]:
    """Open walkthroughs in a browser that only answers; they are closed when the test ends."""
    made: list[Walkthrough] = []

    def make(program: Any, *arguments: Any, title: str | None = None, **options: Any) -> Any:
        made.append(Walkthrough(Walk(program, *arguments, **options), title))
        return browse(made[-1])

    yield make
    for each in made:
        with contextlib.suppress(ZeroDivisionError):
            each.walk.reset()
        each.close()


def tables(content: dict[str, Any]) -> dict[str, list[str]]:
    """Each table of a frame as lines of text: the mark and the first line of each cell."""
    return {
        table["caption"].split(":")[0].rpartition("/")[2]: [
            " ".join([row["mark"], *(cell[0][0] for cell in row["cells"])]).strip() for row in table["rows"]
        ]
        for table in content["tables"]
    }


def test_each_step_is_sent_with_its_picture(walkthroughs, until) -> None:
    name = own_name("mymem")
    page = walkthroughs(seven_calls, name, "hello").opens()
    until(lambda: page.frames)
    assert (page.last["step"], page.last["heading"]) == (0, "Before the first step")
    assert page.last["can"] == {"step": True, "start": True, "undo": False, "reset": False}
    assert page.last["words"] == "not started"
    page.says({"do": "step"})
    until(lambda: page.last["step"] == 1)
    assert page.last["prototype"] == "int shm_open(const char *name, int oflag, mode_t mode);"
    assert page.last["result"] == "fd = 3"
    assert page.last["line"] == 3
    assert tables(page.last) == {
        "shm": [f"+ {name} 0 B 0 B 0600"],
        "maps": [],
        "fd": ["0 to 2  standard input, output and error", f"+ 3 O_RDWR /dev/shm{name}"],
    }
    page.says({"do": "step"})
    until(lambda: page.last["step"] == 2)
    assert tables(page.last)["shm"] == [f"~ {name} 10,000 B 0 B 0600"]
    changed = [
        text
        for row in page.last["tables"][0]["rows"]
        for cell in row["cells"]
        for text, is_new in cell
        if is_new
    ]
    assert changed == ["10,000 B"]
    assert page.last["result"] == "no variable changed"
    pictures = {frame["step"]: frame["buffers"][0] for frame in page.frames}
    assert len(set(pictures.values())) == 3
    with Image.open(io.BytesIO(pictures[2])) as picture:
        assert picture.width == 1000
    page.says({"do": "start"})
    until(lambda: page.last["step"] == 9)
    assert page.last["can"] == {"step": False, "start": False, "undo": True, "reset": True}
    assert tables(page.last) == {"shm": [], "maps": [], "fd": []}
    page.says({"do": "undo"})
    until(lambda: page.last["step"] == 8)
    assert tables(page.last)["shm"] == [f"- {name} 10,000 B 4 KiB 0600"]
    page.says({"do": "reset"})
    until(lambda: page.last["step"] == 0)
    assert set(page.said) == {""}


def test_an_object_that_lost_its_name_is_shown_with_what_it_was(walkthroughs, until) -> None:
    name = own_name("mymem")
    page = walkthroughs(kept, name).opens()
    page.view.step()
    page.view.step()
    until(lambda: page.frames and page.last["step"] == 2)
    assert tables(page.last)["shm"] == [
        f"- {name} 8,192 B 0 B 0600",
        f"+ (was {name}) 8,192 B 0 B",
    ]
    assert tables(page.last)["fd"][1] == f"~ 3 O_RDWR /dev/shm{name} (deleted)"


def marked_then_left(key):
    m = sysv.shmat(sysv.shmget(key, 8192, sysv.IPC_CREAT | sysv.IPC_EXCL | 0o600))
    yield "shmat"
    sysv.shmctl(m.shmid, sysv.IPC_RMID)
    yield "shmctl IPC_RMID"
    sysv.shmdt(m)
    yield "shmdt"


def test_a_segment_that_is_marked_is_shown_without_its_key(walkthroughs, until) -> None:
    key = own_key("mykey")
    text = f"0x{key & 0xFFFFFFFF:08x}"
    page = walkthroughs(marked_then_left, key).opens()
    for step in (1, 2, 3):
        page.view.step()
        until(lambda step=step: page.frames and page.last["step"] == step)
        (row,) = page.last["tables"][0]["rows"]
        mark, (shown_key, _, _, mode, nattch, status) = row["mark"], [cell[0][0] for cell in row["cells"]]
        world = scene(page.view.walk, page.view.walk.moment)
        (segment,) = world.objects
        assert (page.last["tables"][0]["caption"], world.system_v) == ("/proc/sysvipc/shm", True)
        if step == 1:
            assert (mark, shown_key, mode, nattch, status) == ("+", text, "0600", "1", "")
            assert (segment.name, segment.was) == (f"key {text}", "")
        else:
            # What is gone is shown as it was.
            assert (mark, shown_key, nattch, status) == (MARKS[step], "0x00000000", "1", "dest")
            assert (segment.name, segment.was) == ("", f"key {text}")


MARKS = {2: "~", 3: "-"}


def test_a_walk_that_does_not_move_sends_nothing(walkthroughs, until) -> None:
    view = walkthroughs(endless, trace=False).opens().view
    view.step()
    until(lambda: view._last is not None and view._last[0] is view.walk.moment)
    assert not view._tick(99)
    drawn = view._png(view.walk.moment)
    assert view._png(view.walk.moment) is drawn  # drawn once, however often it's sent


def test_a_click_that_fails_says_why(walkthroughs, until) -> None:
    page = walkthroughs(broken, own_name("absent"), on_reset=lambda: 1 / 0).opens()
    page.says({"do": "step"})
    until(lambda: page.frames and page.last["step"] == 1)
    assert "FileNotFoundError" in page.last["heading"]  # what the program does is no failure of the click's
    page.says({"do": "reset"})
    until(lambda: "division by zero" in page.said)
    page.says({"do": "nonsense"})
    page.says({"neither": "one"})


def test_without_a_compiler_it_says_so(walkthroughs, monkeypatch, until) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CC", "")
    page = walkthroughs(in_c("seven_calls"), own_name("mymem"), "x").opens()
    until(lambda: page.frames)
    assert "no C compiler" in page.view.listing["unavailable"]
    assert page.last["can"] == {"step": False, "start": False, "undo": False, "reset": False}
    page.says({"do": "step"})
    until(lambda: any("no C compiler" in words for words in page.said))


@pytest.mark.skipif(observe.strace_available() is not None, reason="strace can't be used here")
def test_without_strace_it_says_so(walkthroughs, monkeypatch, until) -> None:
    monkeypatch.setenv("PATH", "")
    page = walkthroughs(seven_calls, own_name("mymem"), "x").opens()
    page.view.step()
    until(lambda: page.frames and page.last["step"] == 1)
    assert (page.last["calls"], page.last["none"]) == (
        [],
        "not seen: strace is not installed (package strace)",
    )


def test_it_leaves_a_picture_and_sentences(walkthroughs) -> None:
    name = own_name("mymem")
    view = walkthroughs(seven_calls, name, "hello", title="Seven calls").view
    assert view.sentence.startswith("seven_calls in Python. Before the first step. Process A (not started)")
    view.step()
    view.step()
    bundle, metadata = view._repr_mimebundle_()
    assert {WIDGET, "image/png", "text/plain"} <= bundle.keys()
    assert bundle["text/plain"] == repr(view) == metadata["image/png"]["alt"]
    assert "Step 2: ftruncate." in bundle["text/plain"]
    assert "0x" not in bundle["text/plain"]
    assert str(view.walk.process.pid) not in bundle["text/plain"]
    with Image.open(io.BytesIO(bundle["image/png"])) as picture:
        assert picture.width == 1000
        assert picture.height > 600
    assert len(bundle["image/png"]) < 100_000
    view.close()
    closed, _ = view._repr_mimebundle_()
    assert WIDGET not in closed
    assert "image/png" in closed


def test_code_drives_it(walkthroughs) -> None:
    view = walkthroughs(seven_calls, own_name("mymem"), "hello").view
    assert view.step().label == "shm_open"
    assert view.step().label == "ftruncate"
    assert view.undo().label == "shm_open"
    assert view.run().label == "exit"
    view.reset()
    assert view.walk.process.pid is None
    view.step()
    pid = view.walk.process.pid
    view.close()
    view.close()
    assert not os.path.exists(f"/proc/{pid}")


def test_it_wants_a_walk() -> None:
    with pytest.raises(TypeError, match="shows a Walk"):
        Walkthrough(seven_calls)  # type: ignore[arg-type]
