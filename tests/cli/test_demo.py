"""``shmlab demo``: which server it becomes, with what; that it says where."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from shmlab import course
from shmlab.__main__ import main
from shmlab.cli import demo, lab


class Started(Exception):  # noqa: N818
    """Raised in the place of becoming the server."""


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    found: list[Any] = []

    def execve(program: str, command: list[str], environment: dict[str, str]) -> None:
        found.extend([program, command, environment])
        raise Started

    monkeypatch.setattr(os, "execve", execve)
    monkeypatch.delenv("JUPYTER_TOKEN", raising=False)
    return found


def test_with_voila_the_page_is_the_board(
    started: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "find_spec", lambda name: object())
    with pytest.raises(Started):
        main(["demo", "--no-browser", "--port", "0"])
    program, command, environment = started
    assert program == sys.executable
    assert str(course.folder() / "classroom.ipynb") in command
    token = environment["JUPYTER_TOKEN"]
    assert len(token) >= 32
    assert not any(token in word for word in command)  # everybody may read a command line
    said = capsys.readouterr().out
    port = next(word for word in command if word.startswith("--port="))[7:]
    assert f"http://127.0.0.1:{port}/?token={token}" in said


@pytest.mark.parametrize("options", [["--lab"], []])
def test_without_it_or_when_asked_it_opens_in_jupyterlab(
    options: list[str],
    started: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(demo, "find_spec", lambda name: object() if options else None)
    with pytest.raises(Started):
        main(["demo", "--no-browser", "--port", "0", *options])
    assert "jupyterlab" in started[1]
    said = capsys.readouterr().out
    assert "/lab/tree/notebooks/classroom.ipynb?token=" in said
    assert ("note: no Voilà here" in said) == (not options)


def test_without_the_notebook_it_says_where_it_comes_from(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(course, "folder", lambda: tmp_path)
    with pytest.raises(SystemExit, match="comes with the repository"):
        main(["demo"])


def test_a_page_without_a_lesson_has_an_address() -> None:
    assert lab.address("::1", 80, None, "t") == "http://[::1]:80/?token=t"
