"""A kernel killed with -9 in the middle of a lesson leaves no process, no object, no segment and no
semaphore set."""

import json
import os
import signal
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
from jupyter_client.manager import start_new_kernel

from shmlab import names

LESSONS = sorted((Path(__file__).parent.parent / "notebooks").glob("[0-9]*.ipynb"))
PATIENCE = 10.0
"""Seconds that the supervisor gets: 0.1 is usual, on a machine that has nothing else to do."""

pytestmark = pytest.mark.slow


def code_cells(lesson: Path) -> list[str]:
    cells: list[dict[str, Any]] = json.loads(lesson.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def run(client: Any, code: str) -> None:
    reply = client.execute_interactive(code, timeout=60, store_history=False, output_hook=lambda _: None)
    assert reply["content"]["status"] == "ok", "\n".join(reply["content"].get("traceback", []))


def ask(client: Any, code: str) -> str:
    said: list[str] = []

    def hear(message: dict[str, Any]) -> None:
        said.append(message["content"].get("text", ""))

    client.execute_interactive(code, timeout=30, store_history=False, output_hook=hear)
    return "".join(said).strip()


def left(token: str) -> list[str]:
    """What a session still has: processes by their mark, objects by their name."""
    mark = f"{names.SESSION_VARIABLE}={token}".encode()
    found = [each for each in os.listdir("/dev/shm") if f"-{token}-" in each]
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            if mark in Path(f"/proc/{entry}/environ").read_bytes().split(b"\0"):
                found.append(f"process {entry}")
        except OSError:
            continue
    return found


def system_v() -> set[str]:
    """Ids of every segment and semaphore set there is."""
    return {
        f"{kind} {row.split()[1]}"
        for kind in ("shm", "sem")
        for row in Path(f"/proc/sysvipc/{kind}").read_text().splitlines()[1:]
    }


@pytest.mark.parametrize("part", [0.6])
@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name[:2])
def test_nothing_outlives_a_kernel_killed_in_the_middle(lesson: Path, part: float) -> None:
    cells = code_cells(lesson)
    before = system_v()
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        for cell in cells[: int(len(cells) * part)]:
            run(client, cell)
        token = ask(client, "from shmlab import names; print(names.session())")
        assert left(token), "the lesson had begun nothing by then: there is nothing to prove"
        pid = int(ask(client, "import os; print(os.getpid())"))
        os.kill(pid, signal.SIGKILL)
        deadline = monotonic() + PATIENCE
        while left(token) or system_v() - before:
            assert monotonic() < deadline, f"left: {left(token)}, System V {system_v() - before}"
            sleep(0.02)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
