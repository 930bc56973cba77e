"""The byte grid: every byte of an object as a cell that flashes when it changes.

Raw bytes go to the browser, as they are, and are painted there (grid.js); larger objects are sampled here, so
that a frame has at most 64 KiB whatever the size. Never through a trait: a notebook would store them.
Imported by lessons through :mod:`shmlab.panels`.
"""

from typing import Any

import traitlets

from shmlab import figures, observe
from shmlab.panels.live import LiveView, Look
from shmlab.panels.moving import front_end

RUNS, RUN = 256, 256
"""Of an object above 64 KiB, so many runs of so many bytes are shown, one a row."""


class ByteGrid(LiveView):
    """A live grid of the bytes of the object *name* (``/mymem``), changed ones flashing.

    *offset* and *length* (bytes) choose a part, *columns* how many bytes make a row; *rows* limits the length
    when *length* isn't given. Up to 512 bytes are written out, in :attr:`notation` ``"hex"``, ``"decimal"``
    or ``"characters"``; up to 64 KiB every byte is a dot, dark for 0 and bright for 255; of more, 256 bytes
    from each of 256 places, and the caption says so. Point at a byte, or use the arrow keys, to read it.

    The object needn't exist: the grid says so, and shows it when it appears. *rate* is frames a second at
    most. Raises ValueError for arguments that no grid can have.
    """

    _esm = front_end("frames.js", "live.js", "grid.js")

    notation = traitlets.Enum(figures.NOTATIONS, default_value="hex").tag(sync=True)

    def __init__(
        self,
        name: str,
        columns: int | None = None,
        rows: int | None = None,
        offset: int = 0,
        length: int | None = None,
        notation: str = "hex",
        rate: float = 60.0,
    ) -> None:
        for word, value, least in (
            ("columns", columns, 1), ("rows", rows, 1), ("offset", offset, 0), ("length", length, 1)
        ):  # fmt: skip
            if value is not None and (not isinstance(value, int) or value < least):
                raise ValueError(f"{word}={value!r}: a grid needs a whole number from {least}")
        if notation not in figures.NOTATIONS:
            raise ValueError(f"notation {notation!r} isn't one of {', '.join(figures.NOTATIONS)}")
        if rows is not None and length is None:
            length = rows * (columns or 16)
            columns = columns or 16
        self._columns, self._offset, self._length = columns, offset, length
        super().__init__(name, rate)
        self.notation = notation

    def _sample(self, sampler: observe.Sampler) -> observe.Sample:
        return sampler.sample(RUNS, RUN, self._offset, self._length)

    def _frame(self, look: Look) -> tuple[dict[str, Any], list[bytes]]:
        sample = look.sample
        assert sample is not None
        columns, rows = figures.layout(len(sample.data), self._row(sample))
        content = {
            "offset": sample.offset,
            "stride": sample.stride,
            "run": sample.run,
            "inode": str(sample.inode),
            "columns": columns,
            "rows": rows,
            "text": len(sample.data) <= figures.TEXT_LIMIT,
        }
        return content, [sample.data]

    def _row(self, sample: observe.Sample) -> int | None:
        return sample.run if self._columns is None and figures.is_sampled(sample) else self._columns

    def _draw(self, axes: Any, sample: observe.Sample) -> None:
        figures.draw_bytes(axes, sample, self.name, self._row(sample), self.notation)

    def _still_size(self, sample: observe.Sample) -> tuple[int, int]:
        _, rows = figures.layout(len(sample.data), self._row(sample))
        return 900, 110 + (30 * min(rows, 32) if len(sample.data) <= figures.TEXT_LIMIT else 400)

    def _describe(self, sample: observe.Sample) -> str:
        return figures.describe_bytes(self.name, sample)
