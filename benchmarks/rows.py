"""A figure and its goal (:class:`Row`), the table that shows them, and the machine they were taken on.

Knows no benchmark; every benchmark and ``__main__`` import it.
"""

import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    *("shmlab", "posix_ipc", "numpy", "matplotlib", "pillow", "ipykernel", "jupyterlab", "ipywidgets"),
    *("anywidget", "playwright", "psutil", "sysv_ipc"),
)
# By name: a linter takes them for an x and a hyphen.
TIMES, NONE = "\N{MULTIPLICATION SIGN}", "\N{EN DASH}"


@dataclass(frozen=True)
class Goal:
    """What a figure must reach: ``Goal("ratio", "≤", 0.6)``, ``Goal("ours", "≥", 55, "fps")``."""

    of: str
    """``"ours"``, or ``"ratio"`` (ours divided by the peer)."""
    sign: str
    """``"≤"`` or ``"≥"``."""
    bound: float
    unit: str = ""

    def __str__(self) -> str:
        return f"{self.sign} {self.bound:g}" + (TIMES if self.of == "ratio" else f" {self.unit}")

    def reached(self, ours: float | None, ratio: float | None) -> bool | None:
        """Whether it's reached, from figures as exact as they were measured; None without a figure."""
        value = ratio if self.of == "ratio" else ours
        if value is None:
            return None
        return value <= self.bound if self.sign == "≤" else value >= self.bound


@dataclass(frozen=True)
class Row:
    """One line of the table: *ours* and *peer* medians in *unit*, *ratio* the median over the rounds."""

    question: str
    goal: Goal
    ours: float | None = None
    unit: str = ""
    peer: float | None = None
    peer_name: str = ""
    ratio: float | None = None
    note: str = ""

    @property
    def reached(self) -> bool | None:
        return self.goal.reached(self.ours, self.ratio)

    def as_dict(self) -> dict[str, Any]:
        """The row as JSON has it."""
        row = asdict(self)
        row["goal"] = {**row["goal"], "text": str(self.goal)}
        return row | {"reached": self.reached}


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return NONE
    digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f} {unit}".rstrip()


MARKS = {True: "✓", False: "✗", None: NONE}


def table(rows: Sequence[Row]) -> str:
    """Return the rows as aligned text, their notes below it, numbered."""
    head = ["question", "ours", "peer", "ratio", "goal", ""]
    lines, notes = [head], []
    for row in rows:
        mark = MARKS[row.reached]
        if row.note:
            if row.note not in notes:
                notes.append(row.note)
            mark += f" {notes.index(row.note) + 1}"
        ratio = NONE if row.ratio is None else f"{row.ratio:.{3 if row.ratio < 2 else 1}f}{TIMES}"
        peer = _number(row.peer, row.unit) + (f" ({row.peer_name})" if row.peer_name else "")
        lines.append([row.question, _number(row.ours, row.unit), peer, ratio, str(row.goal), mark])
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    lines.insert(1, ["-" * width for width in widths])
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    text += ["", *(f"{number}  {note}" for number, note in enumerate(notes, 1))]
    return "\n".join(line.rstrip() for line in text)


def machine() -> dict[str, Any]:
    """What the figures depend on: the machine, its load, the versions. Nothing that names it."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "python": platform.python_version(),
        "kernel": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "load": [round(each, 2) for each in os.getloadavg()],
        "versions": versions,
    }


def _cpu() -> str:
    try:
        rows = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((row.partition(":")[2].strip() for row in rows if row.startswith("model name")), "")


def header(facts: dict[str, Any]) -> str:
    """Return the machine in three lines, as they stand above the table."""
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    load = " ".join(f"{each:.2f}" for each in facts["load"])
    return (
        f"Python {facts['python']}, {facts['kernel']} {facts['architecture']}, {facts['cores']} cores"
        f"{' of ' + facts['cpu'] if facts['cpu'] else ''}\n{versions}\n"
        f"load average before (1, 5, 15 min): {load}"
    )
