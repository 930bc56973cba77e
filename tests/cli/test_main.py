"""The command line as a whole: help, refusals, closed pipes, and how fast it starts."""

import os
import re
import resource
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import SimpleNamespace

import pytest

from shmlab import __version__, own_name
from shmlab.__main__ import COMMANDS, main
from tests.cli.commands import ENVIRONMENT, shmlab

HEAVY = {"numpy", "matplotlib", "IPython", "ipywidgets", "anywidget", "jupyterlab", "traitlets"}


class TestEveryCommand:
    def test_the_entry_point_is_the_module(self, tmp_path: Path) -> None:
        script = Path(sysconfig.get_path("scripts")) / "shmlab"
        by_script = subprocess.run(
            [script, "--version"], capture_output=True, text=True, timeout=20, check=True, cwd=tmp_path
        )
        by_module = shmlab("--version", cwd=tmp_path)
        assert by_script.stdout == by_module.stdout == f"shmlab {__version__}\n"
        assert shmlab("ls", cwd=tmp_path).returncode == 0

    @pytest.mark.parametrize("arguments", [(), ("-h",)])
    def test_help_has_a_line_and_an_example_for_each(self, arguments: tuple[str, ...]) -> None:
        done = shmlab(*arguments)
        assert (done.returncode, done.stderr) == (0, "")
        for name, (what, example) in COMMANDS.items():
            assert example.startswith(f"shmlab {name}")
            assert re.search(rf"^ +{re.escape(example)} +{re.escape(what)}$", done.stdout, re.MULTILINE)
            assert example in shmlab(name, "-h").stdout

    def test_every_example_is_understood(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("shmlab.__main__.import_module", lambda name: SimpleNamespace(run=lambda _: 0))
        for _, example in COMMANDS.values():
            assert main(example.split()[1:]) == 0

    @pytest.mark.parametrize(
        "arguments", [("sl",), ("ls", "-x"), ("lab", "--port", "65536"), ("lab", "--port", "a")]
    )
    def test_a_wrong_command_line_is_refused(self, arguments: tuple[str, ...]) -> None:
        done = shmlab(*arguments)
        assert done.returncode == 2
        assert "usage: shmlab" in done.stderr
        assert "Traceback" not in done.stderr

    @pytest.mark.parametrize("command", [("ls",), ("doctor",), ("clean", "--dry-run"), ()])
    def test_a_closed_pipe_is_no_error(self, command: tuple[str, ...]) -> None:
        readable, writable = os.pipe()
        os.close(readable)
        done = shmlab(*command, capture_output=False, stdout=writable, stderr=subprocess.PIPE)
        os.close(writable)
        assert (done.stderr, done.returncode) == ("", 141)

    def test_help_into_a_closed_pipe_is_silent(self) -> None:
        readable, writable = os.pipe()
        os.close(readable)
        done = shmlab("--help", capture_output=False, stdout=writable, stderr=subprocess.PIPE)
        os.close(writable)
        # argparse itself swallows the error where output isn't buffered.
        assert done.stderr == ""
        assert done.returncode in (0, 141)

    def test_an_interrupt_is_no_traceback(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupted(_: object) -> int:
            raise KeyboardInterrupt

        monkeypatch.setattr("shmlab.cli.ls.run", interrupted)
        assert main(["ls"]) == 130

    @pytest.mark.parametrize(
        "command",
        [("--version",), ("ls", "--all"), ("doctor",), ("clean", "--dry-run"), ("progress",)],
    )
    def test_it_starts_at_once_without_the_scientific_libraries(self, command: tuple[str, ...]) -> None:
        own_name("here")
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "shmlab", *command],
            capture_output=True, text=True, timeout=20, check=True,
        )  # fmt: skip
        loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
        assert "shmlab" in loaded
        assert not loaded & HEAVY
        assert any(self.seconds_of_cpu(command) < 0.2 for _ in range(5))

    def seconds_of_cpu(self, command: tuple[str, ...]) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert shmlab(*command).returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime

    @pytest.mark.parametrize("command", ["ls", "doctor", "clean"])
    def test_no_colour_and_no_letter_that_the_terminal_lacks(self, command: str) -> None:
        options = ["--dry-run"] if command == "clean" else []
        done = shmlab(command, *options, env={**ENVIRONMENT, "PYTHONIOENCODING": "latin-1", "COLUMNS": "70"})
        assert (done.returncode, done.stderr) == (0, "")
        assert "\x1b" not in done.stdout
        assert all(len(line) <= 70 for line in done.stdout.splitlines())
