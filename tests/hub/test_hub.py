"""Eight users of one JupyterHub on one machine (`make hub`): real accounts, real servers, every lesson by two
at once.

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
LESSONS = sorted(ROOT.glob("notebooks/[0-9][0-9]-*.ipynb"))
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
    with tempfile.TemporaryDirectory(prefix="hub-") as folder:
        os.chmod(folder, 0o755)
        script = (
            'mount -t tmpfs -o size=1g,mode=1777 tmpfs /dev/shm && mount -t tmpfs tmpfs /mnt && exec "$@"'
        )
        namespaces = ["unshare", "--mount", "--ipc", "--pid", "--fork", "--mount-proc", "--kill-child"]
        drive = [sys.executable, str(Path(__file__).with_name("drive.py")), folder, proxy, *map(str, LESSONS)]
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


NOTHING = {"entries": 0, "segments": 0, "sets": 0, "processes": 0}


def test_every_lesson_runs_for_two_at_once_and_leaves_nothing(seen: dict[str, Any]) -> None:
    assert len(seen["lessons"]) == 2 * len(LESSONS)
    assert set(seen["lessons"].values()) == {"ran"}, seen["lessons"]


def test_what_eight_need_at_once_is_far_below_the_limits(seen: dict[str, Any]) -> None:
    most = seen["most at once"]
    print(most, seen["bytes held"], seen["memory"])
    assert 0 < most["bytes of /dev/shm"] < 64 << 20, "what a container has by default is enough for all"
    assert 0 < most["segments"] < 4096 // 8
    assert 0 < most["semaphore sets"] < 32000 // 8
    assert 0 < max(seen["memory"]) < 512 << 20


def test_everybody_has_names_and_keys_of_his_own(seen: dict[str, Any]) -> None:
    assert seen["held"] == 9 * [""]
    held = [name.split("-") for name in seen["names"] if re.fullmatch(r"shmlab-\d+-\w+-held", name)]
    assert len(held) == 9
    assert len({uid for _, uid, _, _ in held}) == 8  # the uid is part of the name ...
    assert len({token for _, _, token, _ in held}) == 9  # ... and one of them has two kernels


def test_nobody_gets_into_what_another_has(seen: dict[str, Any]) -> None:
    for said in seen["trespass"]:
        found = json.loads(said)
        assert found["names"] >= 7 * 3, found  # the kernel shows everybody's names and rows ...
        assert found["rows"] >= 7 * 2
        assert found["pids"] >= 7 * 4
        for way in ("objects", "semaphores", "segments", "sets", "removed", "unlinked", "signalled"):
            assert found[way] == ["PermissionError"], (way, found)  # ... and that's all
        assert found["mappings"] == 0
        assert found["unseen"] >= 7 * 4  # a zombie has no mappings, and nothing to hide


def test_of_others_things_the_lab_says_what_the_kernel_tells_and_no_more(seen: dict[str, Any]) -> None:
    for user, said in zip(("student1", "student2"), seen["ls"], strict=True):
        told = json.loads(said)
        assert told["unseen_processes"] > 0
        assert {each["name"] for each in told["entries"] if each["kind"] == "object"} == {
            f"/{name}" for name in seen["names"] if not name.startswith("sem.")
        }
        others = [each for each in told["entries"] if each["owner"] != user]
        assert len({each["owner"] for each in others}) == 7
        assert not any(each["mapped_by"] for each in others)
        assert not [each for each in others if each["kind"] == "object" and each["use"] == "unused"]
        assert not [each for each in others if each["session"] and each["session"]["state"] == "orphan"]


def test_cleaning_up_removes_nothing_of_others_nor_of_living_sessions(seen: dict[str, Any]) -> None:
    found = [each for said in seen["clean"] for each in json.loads(said)["found"]]
    assert len(found) == 9 * 6
    assert {each["outcome"] for each in found} == {"left"}
    assert {each["reason"] for each in found} == {"its session is alive"}
    assert seen["still"] == 9 * ["True"]


def test_nothing_is_left_after_an_orderly_end(seen: dict[str, Any]) -> None:
    assert seen["left of the one whom the hub stopped"] == NOTHING
    assert seen["left of the one who was told to end"] == NOTHING


def test_nothing_is_left_after_hub_and_servers_were_killed(seen: dict[str, Any]) -> None:
    assert seen["servers outlive the hub"], "they do: a hub that is started again finds them"
    assert seen["left of those whose server was killed"] == 4 * [NOTHING]


def test_what_nobody_was_left_to_clean_up_goes_later(seen: dict[str, Any]) -> None:
    everything = {"entries": 3, "segments": 2, "sets": 1, "processes": 0}
    assert seen["left of those killed whole"] == 2 * [everything]
    assert seen["while the next session lives"] == {"entries": 1}, "the next session's board"
    assert seen["after the next session"] == NOTHING
    assert seen["after clean"] == NOTHING, seen["cleaned"]
