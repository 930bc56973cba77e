"""Run every lesson from a clean kernel and store its output, so that it reads well without one.

Usage: python tools/execute_notebooks.py [NOTEBOOK ...]     (default: notebooks/*.ipynb; `make notebooks`)

A lesson that raises is left as it was. What's stored holds nothing that changes for no reason: no timestamps,
no widget state, one kernel name, no patch version of Python. A widget's view is dropped where a picture or a
table stands beside it: a stored view shows as nothing without its kernel. What a prediction asks for is
folded in: JupyterLab shows it when the cell is run, and not before. Lessons over 300 kB are refused.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

LIMIT = 300_000
"""Largest stored lesson, bytes."""

CELL_TIMEOUT = 60
"""Seconds that one cell may take, as in `make lessons`."""

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
STATIC = ("image/png", "image/svg+xml", "text/html")
ASKS = "check.predict("
"""A cell with it asks for a prediction; the next cell without one shows what comes of it."""

GIVES_AWAY = "gives-away"
"""Tag of another cell whose stored output isn't to be seen before the cell is run."""

TIMING_KEYS = ("execution", "ExecuteTime")

KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
LANGUAGE_INFO = {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"}


def read(path: Path) -> nbformat.NotebookNode:
    """Return the notebook at *path*, format 4; a cell without an id gets one that is the same every time."""
    raw = json.loads(path.read_text(encoding="utf-8"))
    if raw.get("nbformat") != 4:
        raise ValueError(f"a notebook of format {raw.get('nbformat')!r}, expected 4")
    raw["nbformat_minor"] = 5
    for number, cell in enumerate(raw["cells"], start=1):
        # nbformat would draw a random id, and every run would change the file.
        cell.setdefault("id", f"cell-{number:02}")
    return nbformat.reads(json.dumps(raw), as_version=4)


def normalise(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return *notebook*, changed in place, without what differs between two good runs or needs a kernel."""
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNELSPEC, "language_info": LANGUAGE_INFO})
    for cell in notebook.cells:
        for key in TIMING_KEYS:
            cell.metadata.pop(key, None)
        for output in cell.get("outputs", []):
            data: dict[str, Any] = output.get("data", {})
            if WIDGET_VIEW in data and any(kind in data for kind in STATIC):
                del data[WIDGET_VIEW]
    fold(notebook)
    return notebook


def fold(notebook: nbformat.NotebookNode) -> None:
    """Fold in the output of each cell that answers a prediction; JupyterLab unfolds it when it's run."""
    asked = False
    for cell in (each for each in notebook.cells if each.cell_type == "code"):
        asks = ASKS in cell.source
        folded = (asked and not asks) or GIVES_AWAY in cell.metadata.get("tags", [])
        asked = asks
        view = cell.metadata.pop("jupyter", {})
        view.pop("outputs_hidden", None)
        if folded:
            view["outputs_hidden"] = True
        if view:
            cell.metadata["jupyter"] = view


def execute(path: Path) -> nbformat.NotebookNode:
    """Run the lesson at *path* in a new kernel, in its own folder, and return it with its output, normalised.

    Raises CellExecutionError for a cell that raises (unless tagged raises-exception), CellTimeoutError after
    CELL_TIMEOUT seconds in one cell, DeadKernelError when the kernel dies.
    """
    notebook = read(path)
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT,
        kernel_name=KERNELSPEC["name"],
        resources={"metadata": {"path": str(path.parent)}},
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
    )
    client.execute()
    return normalise(notebook)


def store(path: Path, notebook: nbformat.NotebookNode) -> int:
    """Write *notebook* to *path* in one move; return its size in bytes. ValueError: it's over LIMIT."""
    text = nbformat.writes(notebook) + "\n"
    size = len(text.encode())
    if size > LIMIT:
        _, number = max((len(str(cell.get("outputs", ""))), n) for n, cell in enumerate(notebook.cells, 1))
        raise ValueError(f"{size:,} bytes, the limit is {LIMIT:,}; cell {number} has the largest output")
    nbformat.validate(notebook)
    beside = path.with_name(path.name + ".new")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)
    return size


def main(arguments: list[str]) -> int:
    """Run and store the lessons named, or all of them; return 1 at the first that fails."""
    paths = [Path(argument) for argument in arguments] or sorted(Path("notebooks").glob("*.ipynb"))
    if not paths:
        print("no lesson in notebooks/ yet")
    for path in paths:
        started = time.monotonic()
        try:
            size = store(path, execute(path))
        except (CellExecutionError, CellTimeoutError, DeadKernelError, ValueError, OSError) as error:
            print(f"{path}: left as it was: {error}", file=sys.stderr)
            return 1
        print(f"{path}: {time.monotonic() - started:.1f} s, {size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
