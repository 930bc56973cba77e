"""The benchmarks: each runs (``--quick``), has its rows, and leaves nothing. No test looks at a time."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as command
from benchmarks import browser, rows
from benchmarks.measure import ratio, spread, take_turns
from benchmarks.rows import Goal, Row
from shmlab import names

ROOT = Path(__file__).resolve().parents[1]
ROWS = {
    "cycle": 2,
    "sysv": 5,
    "step": 2,
    "schedule": 3,
    "race": 4,
    "sampling": 2,
    "watched": 2,
    "launch": 2,
    "ring": 6,
    "inspect": 2,
    "views": 9,
}


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A short path for temporary files: Chromium puts a socket there, and a socket's name is short."""
    with tempfile.TemporaryDirectory(prefix="b-") as folder:
        yield Path(folder)


def run(*arguments: str, temporary: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    variables = {key: value for key, value in os.environ.items() if key != names.SESSION_VARIABLE}
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        env=variables | {"TMPDIR": str(temporary)} | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def processes_of(token: str) -> list[str]:
    """Return the commands of processes that carry a session's token, or are its supervisor."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            environment = Path(f"/proc/{entry}/environ").read_bytes().split(b"\0")
            words = Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if f"{names.SESSION_VARIABLE}={token}".encode() in environment or token.encode() in words:
            found.append(b" ".join(words).decode(errors="replace"))
    return found


def check(answer: "subprocess.CompletedProcess[str]", name: str, temporary: Path) -> list[dict[str, Any]]:
    """Check what every quick run must show; return its rows."""
    assert answer.returncode == 0, answer.stderr
    told = json.loads(answer.stdout)
    assert told["quick"] is True
    assert told["failed"] == []
    assert [row["benchmark"] for row in told["rows"]] == [name] * ROWS[name]
    assert {"python", "kernel", "cores", "load", "load_after", "versions"} <= told["machine"].keys()
    # Nothing is left: neither what the session's end would have swept up, nor what it would have missed.
    assert told["left"] == []
    end = time.monotonic() + 5
    while left := processes_of(told["session"]):
        assert time.monotonic() < end, left
        time.sleep(0.05)
    assert [each for each in os.listdir("/dev/shm") if f"-{told['session']}-" in each] == []
    assert os.listdir(temporary) == []
    return told["rows"]


@pytest.mark.parametrize(
    "name", ["cycle", "sysv", "step", "schedule", "sampling", "watched", "launch", "ring", "inspect"]
)
def test_it_runs_and_leaves_nothing(name: str, temporary: Path) -> None:
    for row in check(run("--json", "--quick", "--only", name, temporary=temporary), name, temporary):
        assert isinstance(row["ours"], float)
        assert isinstance(row["peer"], float)
        assert row["reached"] in (True, False)
        assert row["goal"]["text"]


@pytest.mark.browser
@pytest.mark.slow
def test_the_views_run_and_leave_nothing(temporary: Path) -> None:
    pytest.importorskip("playwright.sync_api", reason="no browser without the Python package playwright")
    if browser.find_chromium() is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no browser without Chromium: install the package chromium", pytrace=False)
        pytest.skip("no browser without Chromium: install the package chromium")
    for row in check(run("--json", "--quick", "--only", "views", temporary=temporary), "views", temporary):
        assert row["ours"] > 0
        assert row["reached"] in (True, False)


def test_without_chromium_the_questions_are_there_and_say_why(temporary: Path) -> None:
    answer = run("--json", "--quick", "--only", "views", temporary=temporary, PATH=str(temporary))
    for row in check(answer, "views", temporary):
        assert row["ours"] is None
        assert row["reached"] is None
        assert "install the package chromium" in row["note"]


def test_a_table_by_default(temporary: Path) -> None:
    answer = run("--quick", "--only", "cycle", temporary=temporary)
    assert answer.returncode == 0, answer.stderr
    assert "load average before" in answer.stdout
    assert answer.stdout.count("create, map, unmap, unlink") == 2
    assert f"Python {sys.version.split()[0]}" in answer.stdout
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.stdout)


def test_an_unknown_name_is_refused(temporary: Path) -> None:
    answer = run("--only", "nonsense", temporary=temporary)
    assert answer.returncode == 2
    assert "cycle" in answer.stderr


def test_a_benchmark_that_fails_is_reported_and_the_others_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks import cycle, step

    def broken(quick: bool) -> Iterator[Row]:
        raise OSError("no such luck")

    monkeypatch.setattr(cycle, "measure", broken)
    monkeypatch.setattr(step, "measure", lambda quick: iter([Row("is it?", Goal("ours", "≤", 1, "ms"), 0.5)]))
    assert command.main(["--json", "--only", "cycle", "--only", "step"]) == 1
    said = capsys.readouterr()
    told = json.loads(said.out)
    assert told["failed"] == ["cycle"]
    assert [row["question"] for row in told["rows"]] == ["is it?"]
    assert "no such luck" in said.err


def test_a_goal_is_for_the_figure_or_for_the_ratio() -> None:
    least = Goal("ours", "≥", 55, "fps")
    most = Goal("ratio", "≤", 0.6)
    assert Row("", least, ours=55.0, ratio=0.1).reached is True
    assert Row("", least, ours=54.9, ratio=99.0).reached is False
    assert Row("", most, ours=99.0, ratio=0.6).reached is True
    assert Row("", most, ours=0.1, ratio=0.61).reached is False
    assert Row("", most, ours=0.1).reached is None
    text = rows.table([Row("a", least, 60.0, "fps", note="why"), Row("b", most, note="why"), Row("c", most)])
    assert text.count("why") == 1
    assert [line.split()[0] for line in text.splitlines()[2:5]] == ["a", "b", "c"]


def test_candidates_take_turns_and_ratios_are_of_the_same_round() -> None:
    order: list[str] = []

    def of(name: str) -> int:
        order.append(name)
        return len(order)

    found = take_turns({"a": lambda: of("a"), "b": lambda: of("b"), "c": lambda: of("c")}, 4)
    assert "".join(order) == "abcbcacababc"
    assert found == {"a": [1, 6, 8, 10], "b": [2, 4, 9, 11], "c": [3, 5, 7, 12]}
    # A machine that becomes ten times slower changes no ratio.
    assert ratio([1.0, 10.0, 100.0], [2.0, 20.0, 200.0]) == 0.5
    # The 40th and the 61st of a hundred, as tables of the sign test have it.
    assert spread([float(each) for each in range(1, 101)]) == (50.5, 40, 61)
