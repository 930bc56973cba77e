"""The byte grid without a browser: which frames go out, what they say, and what stays behind."""

import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shmlab import figures, palette
from shmlab.panels import ByteGrid, grid, live

Make = Callable[..., Any]
Until = Callable[..., None]


def test_the_bytes_arrive_as_they_are(thing: Make, browse: Make, until: Until) -> None:
    one = thing("bytes").create(b"Hello\0\xff", 64)
    page = browse(ByteGrid(one.name)).opens()
    until(lambda: page.frames)
    assert page.last["buffers"] == [b"Hello\0\xff" + bytes(57)]
    assert page.last["title"] == one.name
    assert page.last["caption"] == "all 64 bytes · 4 KiB allocated"
    assert (page.last["columns"], page.last["rows"], page.last["text"]) == (16, 4, True)
    assert page.last["sentence"].endswith("from offset 0: 48 65 6c 6c 6f 00 ff 00 00 00 00 00 00 00 00 00 …")


def test_a_change_is_sent_and_nothing_else_is(thing: Make, browse: Make, until: Until) -> None:
    one = thing("change").create(bytes(64))
    page = browse(ByteGrid(one.name)).opens()
    until(lambda: page.frames)
    time.sleep(0.3)
    assert len(page.frames) == 1
    one.write(b"A", 10)
    until(lambda: len(page.frames) == 2)
    assert page.last["buffers"][0][10:12] == b"A\0"
    assert [frame["frame"] for frame in page.frames] == [1, 2]


def test_a_new_view_gets_a_whole_frame(thing: Make, browse: Make, until: Until) -> None:
    one = thing("again").create(b"still")
    page = browse(ByteGrid(one.name)).opens()
    until(lambda: page.frames)
    page.says({"view": "two", "is": "seen"})
    until(lambda: len(page.frames) == 2)
    assert page.last["buffers"] == [b"still"]


def test_an_object_that_comes_grows_and_goes(thing: Make, browse: Make, until: Until) -> None:
    one = thing("life")
    page = browse(ByteGrid(one.name)).opens()
    until(lambda: page.frames)
    assert (
        page.last["problem"] == f"{one.name!r} doesn't exist yet. It's shown as soon as a process creates it."
    )
    assert page.last["buffers"] == []
    one.create()
    until(lambda: "has size 0" in page.last["problem"])
    os.truncate(one.path, 8)
    until(lambda: page.last["buffers"] == [bytes(8)])
    one.remove()
    until(lambda: "was unlinked" in page.last["problem"])
    one.create(b"another")
    until(lambda: page.last["buffers"] == [b"another"])


def test_an_object_replaced_by_another_of_the_same_name(thing: Make, browse: Make, until: Until) -> None:
    one = thing("twice").create(b"first")
    page = browse(ByteGrid(one.name)).opens()
    until(lambda: page.frames)
    inode = page.last["inode"]
    other = thing("twice-new").create(b"other")
    other.path.rename(one.path)
    until(lambda: page.last["buffers"] == [b"other"])
    assert page.last["inode"] != inode


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_one_that_may_not_be_read_says_why(thing: Make) -> None:
    one = thing("secret").create(b"secret")
    one.path.chmod(0)
    assert ByteGrid(one.name).sentence == f"{one.name!r} can't be read: Permission denied."


def test_a_large_object_is_sampled_without_allocating(thing: Make, browse: Make, until: Until) -> None:
    one = thing("large").create(size=1 << 30)
    one.write(b"at 4 MiB", 4 << 20)
    before = one.path.stat().st_blocks
    page = browse(ByteGrid(one.name)).opens()
    until(lambda: page.frames)
    assert page.last["caption"] == "64 KiB of 1 GiB: 256 bytes from every 4 MiB · 4 KiB allocated"
    assert len(page.last["buffers"][0]) == 65536
    assert page.last["buffers"][0][256:264] == b"at 4 MiB"
    assert (page.last["columns"], page.last["rows"], page.last["stride"], page.last["run"]) == (
        256,
        256,
        4 << 20,
        256,
    )
    assert one.path.stat().st_blocks == before


def test_a_part_of_an_object(thing: Make, browse: Make, until: Until) -> None:
    one = thing("part").create(bytes(range(100)))
    page = browse(ByteGrid(one.name, columns=8, rows=2, offset=16)).opens()
    until(lambda: page.frames)
    assert page.last["buffers"] == [bytes(range(16, 32))]
    assert (page.last["offset"], page.last["columns"], page.last["rows"]) == (16, 8, 2)
    assert page.last["caption"].startswith("16 bytes of 100 bytes, from offset 16")
    assert ByteGrid(one.name, offset=100).sentence == f"{one.name!r} has 100 bytes: none at offset 100."


def test_close_ends_the_thread(thing: Make, browse: Make, until: Until) -> None:
    one = thing("close").create(b"x")
    view = ByteGrid(one.name)
    page = browse(view).opens()
    until(lambda: page.frames)
    view.close()
    view.close()
    assert (view.running, view.comm, view.loop.ended) == (False, None, "closed")
    view.start()
    assert not view.running


def test_stop_says_so_and_the_button_goes_on(thing: Make, browse: Make, until: Until) -> None:
    one = thing("stop").create(b"x")
    view = ByteGrid(one.name)
    page = browse(view).opens()
    until(lambda: page.frames)
    view.stop()
    assert page.said == ["Stopped."]
    one.write(b"y")
    page.says({"again": True})
    until(lambda: page.last["buffers"] == [b"y"])


def test_an_error_while_looking_is_said_once(
    thing: Make, browse: Make, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = thing("error").create(b"x")
    view = ByteGrid(one.name)
    page = browse(view)
    monkeypatch.setattr(view, "_sample", lambda sampler: 1 / 0)
    page.opens()
    until(lambda: page.said)
    assert page.said == ["Stopped by an error: ZeroDivisionError: division by zero"]
    assert not view.running


def test_what_is_stored_beside_the_widget(thing: Make, browse: Make) -> None:
    one = thing("stored").create(b"stored bytes")
    view = ByteGrid(one.name)
    browse(view)
    data, metadata = view._repr_mimebundle_()
    assert set(data) == {"application/vnd.jupyter.widget-view+json", "image/png", "text/plain"}
    assert data["image/png"].startswith(b"\x89PNG")
    assert data["text/plain"].startswith(
        f"The bytes of {one.name!r} (all 12 bytes); in hex from offset 0: 73 74"
    )
    assert metadata["image/png"]["alt"] == data["text/plain"]


def test_what_is_stored_when_there_is_nothing(browse: Make) -> None:
    view = ByteGrid("/shmlab-nothing")
    browse(view)
    data, _ = view._repr_mimebundle_()
    assert "image/png" not in data
    assert "doesn't exist yet" in data["text/plain"]


def test_no_bytes_in_the_state_that_a_notebook_stores(thing: Make, browse: Make, until: Until) -> None:
    one = thing("state").create(b"NOTINSTATE" * 400)
    view = ByteGrid(one.name)
    page = browse(view).opens()
    until(lambda: page.frames)
    state = {key: value for key, value in view.get_state().items() if key not in ("_esm", "_css")}
    assert len(json.dumps(state)) < 1000
    assert "NOTINSTATE" not in str(state)


def test_a_picture_that_stays(thing: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[dict[str, Any]] = []
    monkeypatch.setattr("IPython.display.display", lambda data, **options: shown.append(data))
    ByteGrid(thing("still").create(b"AB").name).picture()
    ByteGrid("/shmlab-nothing").picture()
    assert [sorted(data) for data in shown] == [["image/png", "text/plain"], ["text/plain"], ["text/plain"]]
    assert shown[1]["text/plain"].endswith("41 42")


def test_repr_is_stable(thing: Make) -> None:
    assert repr(ByteGrid("/mymem")) == "ByteGrid('/mymem')"


@pytest.mark.parametrize(
    "options",
    [
        {"columns": 0},
        {"rows": -1},
        {"offset": -1},
        {"length": 0},
        {"columns": 2.5},
        {"notation": "octal"},
        {"rate": 0},
    ],
)
def test_arguments_that_no_grid_can_have(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        ByteGrid("/mymem", **options)


@pytest.mark.parametrize("name", ["", "/", 3])
def test_names_that_no_object_can_have(name: Any) -> None:
    with pytest.raises(ValueError, match="name of an object"):
        ByteGrid(name)


# --- what the front end repeats of ours -------------------------------------------------------------------

SCRIPT = (Path(grid.__file__).parent / "grid.js").read_text(encoding="utf-8")


def test_the_colours_are_cividis_and_ours() -> None:
    from matplotlib import colormaps

    found = bytes.fromhex("".join(re.findall(r'"([0-9a-f]{90,})"', SCRIPT)))
    wanted = (colormaps[palette.BYTE_COLOURMAP](range(256))[:, :3] * 255).round().astype("uint8")
    assert found == wanted.tobytes()
    red, green, blue = re.search(r"CHANGED = \[0x(..), 0x(..), 0x(..)\]", SCRIPT).groups()  # type: ignore[union-attr]
    assert f"#{red}{green}{blue}".upper() == palette.CHANGED
    assert palette.CHANGED.lower() in live.LiveView._css.lower()


def test_the_notations_are_ours() -> None:
    listed = re.search(r"const NOTATIONS = \{(.*?)\}", SCRIPT).group(1)  # type: ignore[union-attr]
    assert tuple(re.findall(r"(\w+):", listed)) == figures.NOTATIONS
