"""Eight users of one JupyterHub on one machine (`make hub`): real accounts and servers, lessons all at once.

Slow, and not part of `make test`: it needs root, JupyterHub, and its proxy from npm.
"""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.hub, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
LESSONS = ("01", "01", "05", "06", "08", "09", "10", "11")
"""Two of the eight run the same lesson."""
PROXY = ROOT / "build/hub/node_modules/.bin/configurable-http-proxy"


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    if os.geteuid() != 0:
        pytest.skip("only root can be eight users")
    if importlib.util.find_spec("jupyterhub") is None:
        pytest.skip("no JupyterHub: `make hub` installs it")
    proxy = str(PROXY) if PROXY.exists() else shutil.which("configurable-http-proxy")
    if proxy is None:
        pytest.skip("no configurable-http-proxy: `make hub` installs it, with npm")
    notebooks = [str(next((ROOT / "notebooks").glob(f"{number}-*.ipynb"))) for number in LESSONS]
    with tempfile.TemporaryDirectory(prefix="hub-") as folder:
        os.chmod(folder, 0o755)
        script = (
            'mount -t tmpfs -o size=1g,mode=1777 tmpfs /dev/shm && mount -t tmpfs tmpfs /mnt && exec "$@"'
        )
        namespaces = ["unshare", "--mount", "--ipc", "--pid", "--fork", "--mount-proc", "--kill-child"]
        drive = [sys.executable, str(Path(__file__).with_name("drive.py")), folder, proxy, *notebooks]
        done = subprocess.run(
            [*namespaces, "sh", "-c", script, "sh", *drive],
            capture_output=True,
            text=True,
            timeout=900,
            stdin=subprocess.DEVNULL,
        )
        log = Path(folder, "hub.log")
        told = log.read_text()[-3000:] if log.exists() else ""
        assert done.returncode == 0, f"{done.stderr[-5000:]}\n{told}"
        print(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_all_eight_run_their_lessons_at_once(seen: dict[str, Any]) -> None:
    assert set(seen["lessons"].values()) == {"ran"}, seen["lessons"]


def test_everybody_has_names_and_keys_of_his_own(seen: dict[str, Any]) -> None:
    assert not seen["held"]
    held = [name for name in seen["names"] if re.fullmatch(r"shmlab-\d+-\w+-held", name)]
    assert len(held) == 8
    assert len({name.split("-")[1] for name in held}) == 8  # the uid is part of the name


def test_nobody_gets_into_what_another_has(seen: dict[str, Any]) -> None:
    for found in seen["trespass"]:
        assert found["names"] >= 7 * 3, found  # the kernel shows everybody's names and rows ...
        assert found["rows"] >= 7
        for way in ("objects", "semaphores", "segments", "sets", "removed", "unlinked"):
            assert found[way] == ["PermissionError"], (way, found)  # ... and that's all


def test_cleaning_up_removes_nothing_of_others_nor_of_living_sessions(seen: dict[str, Any]) -> None:
    found = [each for said in seen["clean"] for each in json.loads(said)["found"]]
    assert {each["outcome"] for each in found} == {"left"}
    assert {each["reason"] for each in found} == {"its session is alive"}
    assert seen["still"] == 8 * ["True"]


def test_nothing_is_left_after_hub_and_servers_were_killed(seen: dict[str, Any]) -> None:
    assert seen["servers outlive the hub"], "they do: a hub that is started again finds them"
    nothing = {"entries": 0, "segments": 0, "sets": 0, "processes": 0}
    assert seen["gone by themselves"], seen["still running"]
    assert seen["left of those whose server was killed"] == 7 * [nothing]
    assert seen["left of the one killed whole"]["entries"] > 0  # nobody was left to clean up
    assert seen["left after clean"] == nothing, seen["cleaned"]
