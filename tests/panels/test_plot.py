"""The live plot without a browser: whole pictures and parts, the numbers it reads, and what it refuses."""

import io
import os
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from shmlab import figures
from shmlab.panels import LivePlot

Make = Callable[..., Any]
Until = Callable[..., None]
BLUE = (0, 0x72, 0xB2)


def line_of(frame: dict[str, Any]) -> Image.Image:
    return Image.open(io.BytesIO(frame["buffers"][-1])).convert("RGBA")


def painted(frame: dict[str, Any], on: dict[str, Any] | None = None) -> Image.Image:
    """Put the line of a frame on the axes of this one or an earlier one, as the page does."""
    ground = Image.open(io.BytesIO((on or frame)["buffers"][0])).convert("RGBA")
    ground.alpha_composite(line_of(frame), (frame["x"], frame["y"]))
    return ground.convert("RGB")


def has_line(image: Image.Image) -> bool:
    return bool((np.abs(np.asarray(image).astype(int) - BLUE).sum(axis=2) < 10).any())


def test_first_axes_and_line_then_the_line_alone(thing: Make, browse: Make, until: Until) -> None:
    one = thing("parts").create(bytes(range(200)))
    page = browse(LivePlot(one.name, width=600, height=300)).opens()
    until(lambda: page.frames)
    whole = page.last
    assert (whole["part"], len(whole["buffers"]), whole["width"], whole["height"]) == (False, 2, 600, 300)
    assert painted(whole).size == (600, 300)
    assert has_line(painted(whole))
    one.write(bytes(reversed(range(200))))
    until(lambda: len(page.frames) == 2)
    assert (page.last["part"], len(page.last["buffers"])) == (True, 1)
    assert has_line(painted(page.last, whole))
    assert line_of(page.last).tobytes() != line_of(whole).tobytes()


def test_what_the_page_puts_together_is_what_matplotlib_draws(
    thing: Make, browse: Make, until: Until
) -> None:
    one = thing("whole").create(bytes(500))
    view = LivePlot(one.name)
    page = browse(view).opens()
    until(lambda: page.frames)
    one.write(os.urandom(500))
    until(lambda: page.last["part"])
    canvas, axes = figures.figure()
    view._draw(axes, view._look().sample)
    canvas.draw()
    drawn = Image.frombuffer("RGBA", canvas.get_width_height(), canvas.buffer_rgba()).convert("RGB")
    here, there = np.asarray(painted(page.last, page.frames[0])).astype(int), np.asarray(drawn).astype(int)
    left, top = page.last["x"], page.last["y"]
    inside = np.s_[
        top + 3 : top + line_of(page.last).height - 3, left + 3 : left + line_of(page.last).width - 3
    ]
    assert np.abs(here - there)[inside].max() <= 6
    assert (here != 255).any()


def test_numbers_outside_the_axis_draw_it_anew(thing: Make, browse: Make, until: Until) -> None:
    one = thing("range").create(struct.pack("<4i", 1, 2, 3, 4))
    page = browse(LivePlot(one.name, dtype="<i4")).opens()
    until(lambda: page.frames)
    one.write(struct.pack("<i", 100_000))
    until(lambda: len(page.frames) == 2)
    assert not page.last["part"]
    assert "between 2 and 100000" in page.last["sentence"]


@pytest.mark.parametrize("dtype", ["uint8", "int16", "<i4", "uint64", "float32", "float64"])
def test_the_numbers_of_a_large_object_are_not_cut_apart(thing: Make, dtype: str) -> None:
    kind = np.dtype(dtype)
    numbers = (np.arange(100_003) % 120).astype(kind)
    one = thing("numbers").create(numbers.tobytes())
    view = LivePlot(one.name, dtype=dtype, points=1000)
    assert "values of" in view.sentence
    assert view.sentence.endswith("between 0 and 119.")
    sample = view._look().sample
    assert sample is not None
    read = np.frombuffer(sample.data, kind)
    assert 500 <= len(read) <= 1000
    assert read.tolist() == [numbers[at // kind.itemsize] for at in sample.offsets]


def test_what_no_axis_can_hold_is_drawn_all_the_same(thing: Make, browse: Make, until: Until) -> None:
    values = [float("nan"), float("inf"), -1.7e308, 1.7e308, 0.0]
    one = thing("wild").create(struct.pack("<5d", *values))
    page = browse(LivePlot(one.name, dtype="float64")).opens()
    until(lambda: page.frames or page.said)
    assert page.said == []
    one.write(struct.pack("<5d", *[float("nan")] * 5))
    until(lambda: len(page.frames) == 2 or page.said)
    assert page.said == []


def test_bytes_that_fill_no_number(thing: Make, browse: Make, until: Until) -> None:
    one = thing("short").create(b"abc")
    page = browse(LivePlot(one.name, dtype="float64")).opens()
    until(lambda: page.frames or page.said)
    assert page.said == []
    assert "no whole float64" in page.last["sentence"]


def test_an_object_that_is_not_there_and_comes(thing: Make, browse: Make, until: Until) -> None:
    one = thing("comes")
    page = browse(LivePlot(one.name)).opens()
    until(lambda: page.frames)
    assert "doesn't exist yet" in page.last["problem"]
    one.create(bytes(10))
    until(lambda: not page.last["problem"])
    assert not page.last["part"]


@pytest.mark.parametrize(
    "dtype", ["complex128", "S4", "object", "i4,f8", "bool", "float128", "nonsense", None, 7]
)
def test_types_that_are_no_line(dtype: Any) -> None:
    with pytest.raises(ValueError, match="dtype"):
        LivePlot("/mymem", dtype=dtype)


@pytest.mark.parametrize(
    "options", [{"points": 1}, {"offset": -1}, {"length": 0}, {"width": 10}, {"height": 10}]
)
def test_arguments_that_no_plot_can_have(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        LivePlot("/mymem", **options)


def test_what_is_stored_beside_the_widget(thing: Make, browse: Make) -> None:
    one = thing("stored").create(bytes(range(10)))
    view = LivePlot(one.name)
    browse(view)
    data, metadata = view._repr_mimebundle_()
    assert Image.open(io.BytesIO(data["image/png"])).size == (900, 400)
    assert data["text/plain"] == f"10 values of uint8 in {one.name!r}, between 0 and 9."
    assert metadata["image/png"]["alt"] == data["text/plain"]
    assert repr(view) == f"LivePlot({one.name!r})"
