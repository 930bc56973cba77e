"""What the tests of the command line share: the command run as people run it, and the system's own tools."""

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from shmlab.__main__ import main

ROOT = Path(__file__).parents[2]
PYTHON = [sys.executable, "-m", "shmlab"]
ENVIRONMENT = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "CC")}


def shmlab(*arguments: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    options = {
        "capture_output": True,
        "text": True,
        "timeout": 20,
        "env": ENVIRONMENT,
        "check": False,
    } | options
    return subprocess.run([*PYTHON, *arguments], **options)


def answer(*arguments: str, **options: Any) -> Any:
    done = shmlab(*arguments, "--json", **options)
    assert done.stderr == ""
    return json.loads(done.stdout)


def tool(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout


def row(lines: str, word: str) -> str:
    (line,) = [line for line in lines.splitlines() if word in line]
    return line


def printed(*arguments: str) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main(arguments) == 0
    return out.getvalue()
