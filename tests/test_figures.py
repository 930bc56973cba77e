"""Figures: artists made once and moved, type that can be read, and nothing of pyplot's touched."""

import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shmlab import figures
from shmlab.figures.numbers import _limits


@dataclass(frozen=True)
class Taken:
    """A sample as the figures see one."""

    data: bytes
    size: int = 0
    offset: int = 0
    stride: int = 1
    run: int = 1


def whole(data: bytes) -> Taken:
    return Taken(data, len(data), run=256, stride=256)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"), (1, "1 byte"), (100, "100 bytes"), (1023, "1023 bytes"), (1024, "1 KiB"),
        (1536, "1.5 KiB"), (65536, "64 KiB"), (1 << 20, "1 MiB"), (1 << 30, "1 GiB"),
        ((1 << 30) - 1, "1024 MiB"), (3 << 40, "3 TiB"),
        (5 << 60, "5242880 TiB"),
    ],
)  # fmt: skip
def test_sizes_in_words(count: int, text: str) -> None:
    assert figures.size_text(count) == text


@pytest.mark.parametrize(
    ("value", "texts"),
    [(0x41, ("41", "65", "A")), (0, ("00", "0", "·")), (255, ("ff", "255", "·")), (32, ("20", "32", "␣"))],
)
def test_a_byte_in_each_notation(value: int, texts: tuple[str, ...]) -> None:
    assert tuple(figures.byte_text(value, notation) for notation in figures.NOTATIONS) == texts


@given(st.integers(1, 65536))
def test_rows_begin_at_round_offsets_and_hold_everything(count: int) -> None:
    columns, rows = figures.layout(count)
    assert columns * rows >= count > columns * (rows - 1)
    assert count <= 16 or columns & (columns - 1) == 0
    assert columns <= 256


@settings(max_examples=50)
@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 50), st.integers(1, 40))
def test_a_position_is_where_the_byte_was(run: int, gap: int, offset: int, runs: int) -> None:
    memory = np.arange(offset + runs * (run + gap), dtype=np.uint16)
    taken = [memory[offset + n * (run + gap) :][:run] for n in range(runs)]
    flat = np.concatenate(taken)
    sample = Taken(bytes(len(flat)), len(memory), offset, run + gap, run)
    assert [figures.position(sample, index) for index in range(len(flat))] == flat.tolist()


def test_bytes_are_drawn_once_and_moved() -> None:
    canvas, ax = figures.figure()
    artists = figures.draw_bytes(ax, whole(b"Hello"), "/mymem")
    assert ax.get_title("left") == "/mymem  all 5 bytes"
    assert [text.get_text() for text in artists.texts] == ["48", "65", "6c", "6c", "6f"]
    children = ax.get_children()
    first = figures.png(canvas)
    figures.update_bytes(artists, whole(b"World"))
    assert [text.get_text() for text in artists.texts] == ["57", "6f", "72", "6c", "64"]
    assert ax.get_children() == children
    assert figures.png(canvas) != first
    with pytest.raises(ValueError, match="6 bytes for a grid that was drawn for 5"):
        figures.update_bytes(artists, whole(b"longer"))


def test_many_bytes_are_dots() -> None:
    _, ax = figures.figure()
    artists = figures.draw_bytes(ax, whole(bytes(range(256)) * 4))
    assert artists.texts == []
    assert artists.image.get_array().shape == artists.shape == (32, 32)  # type: ignore[union-attr]


def test_a_notation_that_there_is_not() -> None:
    with pytest.raises(ValueError, match="octal"):
        figures.draw_bytes(figures.figure()[1], whole(b"x"), notation="octal")


def test_values_are_drawn_once_and_moved() -> None:
    _, ax = figures.figure()
    numbers = np.array([3, -1, 4], dtype="<i4")
    artists = figures.draw_values(ax, whole(numbers.tobytes()), "/mymem", "<i4", unit="items")
    assert artists.line.get_ydata().tolist() == [3, -1, 4]  # type: ignore[union-attr]
    assert artists.line.get_xdata().tolist() == [0, 1, 2]  # type: ignore[union-attr]
    assert ax.get_ylabel() == "value in items"
    assert "4 bytes each" in ax.get_xlabel()
    assert figures.update_values(artists, whole(np.array([2, 2, 2], dtype="<i4").tobytes())) is False
    assert figures.update_values(artists, whole(np.array([2, 200, 2], dtype="<i4").tobytes())) is True
    low, high = ax.get_ylim()
    assert low < 2
    assert high > 200


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(width=64), min_size=1, max_size=20),
    st.lists(st.floats(width=64), min_size=1, max_size=20),
)
def test_whatever_the_numbers_the_axis_holds_the_finite_ones(first: list[float], then: list[float]) -> None:
    kind = np.dtype("float64")
    limits = _limits(np.array(first), kind, None)
    for numbers in (np.array(first), np.array(then)):
        limits = _limits(numbers, kind, limits)
        finite = numbers[np.isfinite(numbers) & (np.abs(numbers) <= 1e300)]
        assert np.isfinite(limits).all()
        assert limits[0] < limits[1]
        assert ((limits[0] <= finite) & (finite <= limits[1])).all()


def test_a_sample_that_cuts_numbers_apart_is_refused() -> None:
    with pytest.raises(ValueError, match="cut values of int32"):
        figures.values(Taken(bytes(8), 100, 0, 10, 4), "int32")


def test_type_is_large_enough() -> None:
    _, ax = figures.figure()
    figures.draw_bytes(ax, whole(bytes(64)), "/mymem")
    sizes = [
        label.get_fontsize()
        for label in (*ax.get_xticklabels(), *ax.get_yticklabels(), ax.xaxis.label, *ax.texts)
    ]
    assert min(sizes) >= 14


def test_sentences() -> None:
    assert (
        figures.describe_bytes("/m", whole(b"\1\2"))
        == "The bytes of '/m' (all 2 bytes); in hex from offset 0: 01 02"
    )
    assert (
        figures.describe_bytes("/m", Taken(b"", 0)) == "'/m' has no bytes at offset 0: its size is 0 bytes."
    )
    assert figures.describe_values("/m", whole(b"\5")) == "1 value of uint8 in '/m', 5."
    assert figures.describe_values("/m", Taken(bytes(10), 1000, 0, 100, 1)) == (
        "10 of 1,000 values of uint8 in '/m', between 0 and 0."
    )


def test_importing_loads_no_matplotlib_and_drawing_no_pyplot() -> None:
    script = """if True:
        import sys
        from shmlab import figures
        assert "matplotlib" not in sys.modules and "numpy" not in sys.modules
        from types import SimpleNamespace
        sample = SimpleNamespace(data=b"abc", size=3, offset=0, stride=1, run=1)
        canvas, ax = figures.figure()
        figures.draw_bytes(ax, sample)
        assert figures.png(canvas).startswith(b"\\x89PNG")
        assert "matplotlib.pyplot" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
