"""Running ipcs: what it prints is handed on unaltered, and what goes wrong is said."""

import errno
import importlib
import os
import subprocess
from pathlib import Path

import pytest

from shmlab import observe, own_key, sysv


def by_hand(*options):
    environment = os.environ | {"LC_ALL": "C"}
    return subprocess.run(["ipcs", *options], env=environment, capture_output=True, text=True, timeout=10)


@pytest.fixture
def segment():
    shmid = sysv.shmget(own_key("ipcs"), 5000, sysv.IPC_CREAT | sysv.IPC_EXCL | 0o640)
    yield shmid
    sysv.shmctl(shmid, sysv.IPC_RMID)


@pytest.mark.parametrize("options", [("-m",), ("-m", "-p"), ("-m", "-t"), ("-m", "-c"), ("-m", "-l"), ()])
def test_it_says_what_ipcs_says(segment, options):
    assert observe.ipcs(*options) == by_hand(*options).stdout


def test_a_segment_is_told_of(segment):
    assert f"shmid={segment}" in observe.ipcs("-m", "-i", str(segment))


def test_a_complaint_is_part_of_it():
    said = by_hand("-m", "-i", "999999").stderr
    assert "not found" in said
    assert observe.ipcs("-m", "-i", "999999") == said


def test_a_refused_option_is_an_error_in_its_own_words():
    with pytest.raises(OSError, match="invalid option -- 'z'") as caught:
        observe.ipcs("-z")
    assert (caught.value.errno, caught.value.filename) == (errno.EINVAL, "ipcs -z")


def test_without_ipcs_it_says_which_package(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"package util-linux\): 'ipcs -m'"):
        observe.ipcs("-m")


def test_an_ipcs_that_hangs_is_ended(monkeypatch, tmp_path):
    tool = Path(tmp_path / "ipcs")
    tool.write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(importlib.import_module("shmlab.observe.ipcs"), "SECONDS", 0.2)
    with pytest.raises(TimeoutError, match=r"didn't end within 0\.2 s"):
        observe.ipcs("-m")
