"""The content of a buffer as numbers: value against index, a line that moves while the axes stand still."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shmlab.figures.common import TYPE, Bytes, dress, is_sampled, size_text
from shmlab.palette import INK, PROCESS_COLOURS, QUIET

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D


@dataclass(frozen=True)
class ValuesArtists:
    """What :func:`draw_values` created."""

    ax: "Axes"
    line: "Line2D"
    dtype: "np.dtype[Any]"
    name: str


def scalar_dtype(dtype: object) -> "np.dtype[Any]":
    """Return the numpy dtype for numbers in memory; ValueError names what can't be drawn."""
    import numpy as np

    try:
        if dtype is None:
            raise TypeError("numpy takes None for float64")
        found = np.dtype(dtype)  # type: ignore[call-overload]
    except TypeError as error:
        raise ValueError(f"{dtype!r} isn't a numpy dtype: try 'uint8', 'int32' or 'float64'") from error
    if found.kind not in "iuf" or found.itemsize > 8:
        raise ValueError(f"dtype {found} can't be drawn as a line: try 'uint8', 'int32' or 'float64'")
    return found


def values(sample: Bytes, dtype: object = "uint8") -> "tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]":
    """Read a sample as numbers: (index of each, counted from the sample's offset; value of each).

    Bytes at the end that don't fill a number are left out. A sample with gaps must have runs and strides
    that are multiples of the number's size.
    """
    import numpy as np

    kind = scalar_dtype(dtype)
    count = len(sample.data) // kind.itemsize
    numbers = np.frombuffer(sample.data, dtype=kind, count=count)
    index = np.arange(count)
    if is_sampled(sample):
        if sample.run % kind.itemsize or sample.stride % kind.itemsize:
            raise ValueError(
                f"runs of {sample.run} bytes every {sample.stride} "
                f"cut values of {kind} ({kind.itemsize} bytes) apart"
            )
        a_run = sample.run // kind.itemsize
        index = index // a_run * (sample.stride // kind.itemsize) + index % a_run
    return index, numbers


def draw_values(
    ax: "Axes", sample: Bytes, name: str = "", dtype: object = "uint8", unit: str = "", colour: str = ""
) -> ValuesArtists:
    """Draw the content of a buffer as numbers: value against index, a step a value while they are few.

    *unit* is what one value counts, for the axis. Returns the artists for :func:`update_values`.
    """
    kind = scalar_dtype(dtype)
    (line,) = ax.plot([], [], color=colour or PROCESS_COLOURS[0], linewidth=1.5)
    from_there = f", from offset {sample.offset}" if sample.offset else ""
    plural = "" if kind.itemsize == 1 else "s"
    x = f"index of the value ({kind.itemsize} byte{plural} each{from_there})"
    dress(ax, "", x, f"value in {unit}" if unit else f"value ({kind})")
    ax.grid(color=QUIET, alpha=0.25)
    ax.set_ylim(*_limits(values(sample, kind)[1], kind, None))
    artists = ValuesArtists(ax, line, kind, name)
    update_values(artists, sample)
    return artists


def update_values(artists: ValuesArtists, sample: Bytes) -> bool:
    """Show another sample; return True when axes or title moved too, so that more than the line is stale."""
    index, numbers = values(sample, artists.dtype)
    few = len(numbers) <= 64
    line, ax = artists.line, artists.ax
    line.set_drawstyle("steps-mid" if few else "default")
    line.set_marker("o" if few else "")
    line.set_data(index, numbers)
    title = f"{artists.name}  {_values_shown(sample, artists.dtype, len(numbers))}".strip()
    last = max(1, int(index[-1])) if len(index) else 1
    limits = _limits(numbers, artists.dtype, ax.get_ylim())
    x_limits = (-0.5, last + 0.5) if few else (0.0, float(last))
    if title == ax.get_title("left") and limits == ax.get_ylim() and x_limits == ax.get_xlim():
        return False
    ax.set_title(title, fontsize=TYPE + 2, color=INK, loc="left")
    ax.set_xlim(*x_limits)
    ax.set_ylim(*limits)
    return True


def describe_values(name: str, sample: Bytes, dtype: object = "uint8") -> str:
    """Return one sentence that says what a plot of these numbers shows."""
    kind = scalar_dtype(dtype)
    _, numbers = values(sample, kind)
    if not len(numbers):
        return (
            f"{name!r} holds no whole {kind} at offset {sample.offset}: its size is {size_text(sample.size)}."
        )
    spread = f"between {numbers.min():g} and {numbers.max():g}" if len(numbers) > 1 else f"{numbers[0]:g}"
    return f"{_values_shown(sample, kind, len(numbers)).capitalize()} in {name!r}, {spread}."


def _values_shown(sample: Bytes, kind: "np.dtype[Any]", count: int) -> str:
    total = max(0, sample.size - sample.offset) // kind.itemsize
    if count < total:
        return f"{count:,} of {total:,} values of {kind}"
    return f"{count:,} value{'' if count == 1 else 's'} of {kind}"


def _limits(numbers: Any, kind: "np.dtype[Any]", now: tuple[float, float] | None) -> tuple[float, float]:
    """Return axis limits that stay where they are while they fit: an axis that breathes can't be read."""
    if kind.itemsize == 1:
        return (-5.0, 260.0) if kind.kind == "u" else (-133.0, 132.0)
    import numpy as np

    finite = numbers[np.isfinite(numbers)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    low, high = max(low, -1e300), min(high, 1e300)
    reach = max(abs(low), abs(high), 1.0)
    top = 10.0 ** math.ceil(math.log10(reach))
    nice = next(top * part for part in (0.1, 0.2, 0.5, 1.0) if top * part >= reach)
    wanted = (-1.05 * nice if low < 0 else -0.05 * nice, 1.05 * nice if high > 0 else 0.05 * nice)
    if (
        now is not None
        and now[0] <= low
        and now[1] >= high
        and (now[1] - now[0]) < 8 * (wanted[1] - wanted[0])
    ):
        return now
    return wanted
