"""Lesson 00: what its judge says, its map from whatever notebooks there are, all of it run as a student does.

Run in a kernel of its own, with progress that is there, and with progress that can't be read nor written.
"""

import json
import os
import shutil
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import nbformat
import pytest
from matplotlib.patches import Polygon
from matplotlib.text import Text
from nbclient import NotebookClient

from shmlab import check, course, figures, progress

LESSON = course.folder() / "00-start-here.ipynb"


# --- its exercise -------------------------------------------------------------------------------------------


def as_it_was(memory: Any) -> Iterator[None]:
    memory[0:5] = b"hello"
    yield


def nothing(memory: Any) -> Iterator[None]:
    yield


def too_long(memory: Any) -> Iterator[None]:
    memory[0:5] = b"goodbye"
    yield


def endless(memory: Any) -> Iterator[None]:
    while True:
        yield


def howdy(memory: Any) -> Iterator[None]:
    memory[0:5] = b"howdy"
    yield


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (as_it_was, "it stores hello, as it did"),
        (nothing, "it stored nothing"),
        (too_long, "ValueError"),
        (endless, "It needs no loop"),
        ("howdy", "hello"),
        (None, "hello"),
    ],
)
def test_what_is_not_yet_right_is_told(answer: Any, said: str) -> None:
    verdict = check.exercise("00-a", answer)
    assert not verdict.passed
    assert said in f"{verdict}"


def test_a_word_of_ones_own_passes() -> None:
    verdict = check.exercise("00-a", howdy)
    assert verdict.passed
    assert "b'howdy'" in f"{verdict}"


# --- its map ------------------------------------------------------------------------------------------------


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of lessons such as a student may have: some are missing, one was copied, one is damaged."""
    for path in course.paths():
        if path.name[:2] in ("00", "01", "02", "06", "10"):
            shutil.copy(path, tmp_path)
    shutil.copy(
        tmp_path / "01-one-memory-two-processes.ipynb", tmp_path / "01-one-memory-two-processes-Copy1.ipynb"
    )
    (tmp_path / "05-fork-inherits.ipynb").write_text('{"cells": [')
    monkeypatch.setattr(course, "folder", lambda: tmp_path)
    return tmp_path


def test_the_map_shows_the_lessons_that_are_there(shelf: Path) -> None:
    found = course.lessons()
    assert [each.number for each in found] == ["00", "01", "02", "06", "10"]
    assert found[1].path == shelf / "01-one-memory-two-processes.ipynb"
    canvas, ax = figures.figure(1000, 470)
    figures.draw_course(ax, found, {"01": 3, "10": 1})
    shown = [text.get_text() for text in ax.texts]
    assert {"01", "02", "06", "10"} <= set(shown)
    assert "00" not in shown
    assert {"3 of 3", "1 of 3"} <= set(shown)
    assert (
        f"4 of {sum(len(each.exercises) for each in found)} exercises are passed"
        in figures.describe_course(found, {"01": 3, "10": 1})
    )
    assert figures.png(canvas)


def test_no_box_of_the_course_hides_another_and_no_title_runs_out_of_its_box() -> None:
    canvas, ax = figures.figure(1000, 470)
    lessons = course.lessons()
    figures.draw_course(ax, lessons, {})
    canvas.draw()  # lays it out
    boxes = [box.get_window_extent() for box in ax.patches if isinstance(box, Polygon)]
    assert len(boxes) == len(lessons) - 1
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    for text in filter(Text.get_text, ax.texts):
        said = text.get_window_extent()
        assert any(box.containsx(said.x0) and box.containsx(said.x1) for box in boxes), text.get_text()


# --- the whole of it ----------------------------------------------------------------------------------------


def run_lesson(where: Path) -> dict[str, str]:
    """Run the lesson in a new kernel, progress at *where*; return what each cell said, by its id."""
    notebook = nbformat.read(LESSON, as_version=4)
    client = NotebookClient(
        notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(LESSON.parent)}}
    )
    client.execute(env=os.environ | {progress.VARIABLE: str(where)})
    return {cell.id: json.dumps(cell.get("outputs", [])) for cell in notebook.cells}


def test_it_shows_what_was_passed_and_running_it_all_passes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "progress.jsonl"
    monkeypatch.setenv(progress.VARIABLE, str(file))
    (first,) = [each for each in course.lessons() if each.number == "01"]
    for id_ in first.exercises:
        progress.note(id_, True)
    said = " ".join(run_lesson(file).values())
    assert f"| {len(first.exercises)} of {len(first.exercises)} |" in said
    assert f"{len(first.exercises)} of " in said
    assert progress.recall()["00-a"] == progress.Record("00-a", 1, None)


def test_it_runs_twice_where_nothing_can_be_read_or_written(tmp_path: Path) -> None:
    """A folder where the file should be: neither read nor written, whoever asks, root too."""
    for _ in range(2):
        said = run_lesson(tmp_path)
        everything = " ".join(said.values())
        assert '"output_type": "error"' not in everything
        assert everything.count("can't be remembered here") == 1
        assert "0 of " in everything
    assert not list(tmp_path.iterdir())
