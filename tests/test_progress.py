"""What is remembered of exercises: in one file of the user's, by real kernels, told by the command line."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from shmlab import course, progress
from shmlab.cli.terminal import HAVE, LACK

ROOT = Path(__file__).parent.parent


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "here" / "progress.jsonl"
    monkeypatch.setenv(progress.VARIABLE, str(path))
    return path


def command(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "shmlab", "progress", *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(progress.VARIABLE, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert progress.file() == tmp_path / "shmlab" / "progress.jsonl"
    monkeypatch.setenv("HOME", "/home/x")
    for nowhere in ("relative", ""):
        monkeypatch.setenv("XDG_DATA_HOME", nowhere)
        assert progress.file() == Path("/home/x/.local/share/shmlab/progress.jsonl")
    monkeypatch.delenv("XDG_DATA_HOME")
    assert progress.file() == Path("/home/x/.local/share/shmlab/progress.jsonl")
    monkeypatch.setenv(progress.VARIABLE, "")
    assert progress.file() is None
    progress.note("01-a", True)
    assert progress.recall() == {}
    assert not progress.forget()


def test_attempts_are_counted_and_the_first_pass_is_kept(file: Path) -> None:
    for passed in (False, False, True, False, True):
        progress.note("01-a", passed)
    progress.note("02-b", False)
    found = progress.recall()
    assert list(found) == ["01-a", "02-b"]
    assert found["01-a"].attempts == 5
    third = json.loads(file.read_text().splitlines()[2])
    assert found["01-a"].first_passed == third["at"]
    assert found["02-b"] == progress.Record("02-b", 1, None)
    assert set(third) == {"exercise", "passed", "at"}  # and nothing about the person, nor the answer
    assert file.stat().st_mode & 0o777 == 0o600
    assert progress.forget()
    assert not file.exists()


def test_damaged_lines_cost_themselves_alone(file: Path) -> None:
    progress.note("01-a", True)
    with file.open("ab") as more:
        more.write(b'\xff\xfe\n{}\n[]\nnull\n{"exercise": 3, "passed": true, "at": ""}\n{"exercise": ')
    progress.note("01-b", True)  # after half a line, as a full disk leaves it
    assert list(progress.recall()) == ["01-a", "01-b"]
    assert progress.passed() == {"01-a", "01-b"}


def test_a_lesson_goes_on_without_what_cannot_be_read(file: Path) -> None:
    file.mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        progress.recall()
    assert progress.passed() == frozenset()


FULL = """
import resource, signal
from shmlab import progress
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
progress.note("01-a", True)
size = progress.file().stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, size + 20))
progress.note("01-b", True)
try:
    progress.note("01-c", True)
except OSError as error:
    print(error.strerror)
"""


def test_where_no_room_is_left_a_line_is_lost_and_no_other(file: Path) -> None:
    said = subprocess.run([sys.executable, "-c", FULL], capture_output=True, text=True, timeout=30)
    assert said.stdout == "File too large\n", said.stderr
    assert len(file.read_bytes().splitlines()[1]) == 20  # half of the second line
    progress.note("02-a", True)
    assert progress.passed() == {"01-a", "02-a"}


def test_two_kernels_write_at_once(file: Path) -> None:
    script = "from shmlab import progress\nfor _ in range(300): progress.note('01-a', True)"
    writers = [subprocess.Popen([sys.executable, "-c", script]) for _ in range(2)]
    threads = [threading.Thread(target=lambda: [progress.note("01-a", True) for _ in range(300)])]
    for each in threads:
        each.start()
    for each in [*threads]:
        each.join(30)
    assert [each.wait(30) for each in writers] == [0, 0]
    assert progress.recall()["01-a"].attempts == 900
    assert len(file.read_text().splitlines()) == 900


def ran(cells: list[str], **environment: str) -> list[Any]:
    """Run cells in a real kernel; return each one's outputs."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=60, kernel_name="python3").execute(env=os.environ | environment)
    return [cell.outputs for cell in notebook.cells]


PASS = """
from shmlab import check
def howdy(memory):
    memory[0:5] = b"howdy"
    yield
check.exercise("00-a", howdy)
""".strip()


def test_a_notebook_notes_what_a_student_did_and_no_solution_of_ours(file: Path) -> None:
    wrong = PASS.replace('b"howdy"', 'b"hello"')
    ran([wrong, f"# A solution\n{PASS}", wrong], **{progress.VARIABLE: str(file)})
    assert progress.recall() == {"00-a": progress.Record("00-a", 2, None)}
    ran([PASS], **{progress.VARIABLE: str(file)})
    assert progress.recall()["00-a"].first_passed


def test_where_nothing_can_be_written_it_is_said_once(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    outputs = ran([PASS, PASS], **{progress.VARIABLE: str(blocked / "progress.jsonl")})
    said = [[each.get("text", "") for each in cell if each.output_type == "stream"] for cell in outputs]
    assert "can't be remembered here" in "".join(said[0])
    assert said[1] == []
    assert "Right" in outputs[1][-1]["data"]["text/plain"]


def test_the_command_tells_and_forgets(file: Path) -> None:
    progress.note("01-a", False)
    progress.note("01-a", True)
    progress.note("01-b", False)
    told = command()
    assert told.returncode == 0, told.stderr
    (line,) = [line for line in told.stdout.splitlines() if line.startswith("01 ")]
    assert line.split(maxsplit=5)[-1].endswith(f"{HAVE} {LACK} {LACK}  3 attempts")
    assert "1 of " in told.stdout
    assert str(file) in told.stdout
    found = json.loads(command("--json").stdout)
    assert found["file"] == str(file)
    by_id = {each["exercise"]: each for each in found["exercises"]}
    assert set(by_id) == {each for lesson in course.lessons() for each in lesson.exercises}
    assert by_id["01-a"]["attempts"] == 2
    assert by_id["01-a"]["first_passed"]
    assert by_id["02-a"] == {"exercise": "02-a", "attempts": 0, "first_passed": None}
    assert "removed" in command("--forget").stdout
    assert not file.exists()
    assert "nothing was remembered" in command("--forget").stdout


def test_the_command_says_why_it_cannot(tmp_path: Path) -> None:
    told = command(**{progress.VARIABLE: str(tmp_path)})
    assert told.returncode == 1
    assert "Is a directory" in told.stderr


def test_the_course_is_read_from_the_notebooks() -> None:
    found = course.lessons()
    assert [each.number for each in found] == [path.name[:2] for path in course.paths()]
    by_number = {each.number: each for each in found}
    assert by_number["04"].builds_on == ("01", "02", "03")  # "01 to 03"
    assert by_number["10"].builds_on == ("01", "06")
    assert by_number["10"].question == "why is 1 + 1 sometimes 1?"
    assert all(each.minutes > 0 and each.exercises for each in found)
    assert {need for each in found for need in each.builds_on} <= set(by_number)


def test_a_notebook_that_says_nothing_of_itself_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "42-nothing.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# 42")]), path)
    with pytest.raises(ValueError, match=r"42-nothing\.ipynb has no title"):
        course.read(path)
