"""``shmlab lab``: a JupyterLab that serves, and everything that comes before."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from shmlab import course, observe
from shmlab.__main__ import main
from shmlab.cli import lab, lessons
from tests.cli.commands import ENVIRONMENT, PYTHON, ROOT, shmlab


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of lessons, which the command takes for the checkout's."""
    folder = tmp_path / "a checkout" / "notebooks"
    folder.mkdir(parents=True)
    for stem in ("01-one-memory", "02-the-race", "10-the-race-again"):
        notebook(folder / f"{stem}.ipynb")
    (folder / "scratch.ipynb").write_text("{}")
    monkeypatch.setattr(course, "folder", lambda: folder)
    return folder


def notebook(path: Path) -> Path:
    path.write_text(json.dumps({"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    return path


class Started(Exception):  # noqa: N818
    """Raised in the place of becoming the server."""


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Run ``shmlab lab`` up to where it becomes the server; return what it printed, its command and token."""
    became: list[tuple[list[str], dict[str, str]]] = []

    def become(path: str, command: list[str], environment: dict[str, str]) -> None:
        assert path == sys.executable
        became.append((command, environment))
        raise Started

    monkeypatch.setattr(os, "execve", become)
    monkeypatch.delenv("JUPYTER_TOKEN", raising=False)

    def run(*arguments: str) -> Any:
        capsys.readouterr()
        with pytest.raises(Started):
            main(["lab", *arguments])
        command, environment = became.pop()
        return SimpleNamespace(
            out=capsys.readouterr().out, command=command, token=environment["JUPYTER_TOKEN"]
        )

    return run


def address_in(text: str) -> urllib.parse.SplitResult:
    (found,) = re.findall(r"^shmlab is at (\S+)$", text, re.MULTILINE)
    return urllib.parse.urlsplit(found)


class TestLab:
    @pytest.mark.parametrize(
        ("wanted", "stem"),
        [
            (None, "01-one-memory"),
            ("1", "01-one-memory"),
            ("02", "02-the-race"),
            ("10", "10-the-race-again"),
            ("again", "10-the-race-again"),
            ("One Memory", "01-one-memory"),
            ("02-the-race.ipynb", "02-the-race"),
        ],
    )
    def test_a_lesson_by_number_or_word(self, shelf: Path, wanted: str | None, stem: str) -> None:
        assert lessons.choose(wanted) == shelf / f"{stem}.ipynb"

    def test_00_comes_first(self, shelf: Path) -> None:
        first = notebook(shelf / "00-start-here.ipynb")
        assert lessons.choose(None) == first

    def test_a_students_copy_is_not_the_lesson(self, shelf: Path) -> None:
        copy = notebook(shelf / "01-one-memory-Copy1.ipynb")  # as JupyterLab's Duplicate names it
        assert sorted(shelf.iterdir())[0] == copy
        assert lessons.choose(None) == lessons.choose("1") == shelf / "01-one-memory.ipynb"
        assert lessons.choose("copy1") == copy

    def test_a_notebook_by_its_path(
        self, shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: Callable[..., Any]
    ) -> None:
        mine = notebook(tmp_path / "mine.ipynb")
        monkeypatch.chdir(tmp_path)
        assert lessons.choose("mine.ipynb") == lessons.choose(str(mine)) == mine
        started = start("mine.ipynb")
        assert address_in(started.out).path == "/lab/tree/mine.ipynb"
        assert f"--ServerApp.root_dir={tmp_path}" in started.command

    @pytest.mark.parametrize(("wanted", "said"), [("7", "no lesson '7'"), ("race", "could be any of")])
    def test_an_unclear_wish_gets_the_list(self, shelf: Path, wanted: str, said: str) -> None:
        with pytest.raises(SystemExit, match=said) as refused:
            lessons.choose(wanted)
        assert "\n  02-the-race" in str(refused.value)
        assert ("01-one-memory" in str(refused.value)) == (wanted == "7")

    def test_the_package_without_lessons_says_where_they_are(self, tmp_path: Path) -> None:
        shutil.copytree(ROOT / "shmlab", tmp_path / "shmlab", ignore=shutil.ignore_patterns("__pycache__"))
        done = shmlab("lab", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (1, "")
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"shmlab: no lessons in {tmp_path / 'notebooks'}")
        assert "clone it and run make lab" in line
        assert "– lessons" in shmlab("doctor", cwd=tmp_path).stdout  # noqa: RUF001

    def test_the_address_is_printed_and_the_token_is_nobody_elses(
        self, shelf: Path, start: Callable[..., Any]
    ) -> None:
        started = start("--port", "0")
        address = address_in(started.out)
        assert address.path == "/lab/tree/notebooks/01-one-memory.ipynb"
        assert address.query == f"token={started.token}"
        assert len(started.token) >= 32
        # What stands on a command line, every user of the machine can read in /proc.
        assert not any(started.token in word for word in started.command)
        assert f"--ServerApp.port={address.port}" in started.command
        assert f"--ServerApp.root_dir={shelf.parent}" in started.command
        assert ("--allow-root" in started.command) == (os.geteuid() == 0)
        assert start("--port", "0").token != started.token

    def test_a_token_of_the_users_own(
        self, shelf: Path, start: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("JUPYTER_TOKEN", "a b")
        started = start("--port", "0")
        assert started.token == "a b"
        assert address_in(started.out).query == "token=a%20b"

    def test_a_busy_port_gives_the_next(self, shelf: Path, start: Callable[..., Any]) -> None:
        with socket.socket() as busy:
            busy.bind(("127.0.0.1", 0))
            busy.listen(1)
            port = busy.getsockname()[1]
            started = start("--port", str(port))
        taken = address_in(started.out).port
        assert taken is not None
        assert port < taken <= port + lab.PORTS
        assert f"note: port {port} is in use, {taken} is free\n" in started.out

    @pytest.mark.parametrize(
        ("ip", "host"),
        [("0.0.0.0", socket.gethostname()), ("localhost", "localhost"), ("", socket.gethostname())],
    )
    def test_an_ip_to_listen_on(self, shelf: Path, start: Callable[..., Any], ip: str, host: str) -> None:
        started = start("--ip", ip, "--port", "0")
        assert address_in(started.out).hostname == host.lower()
        assert f"--ServerApp.ip={ip}" in started.command

    def test_an_ip_of_another_machine(self, shelf: Path) -> None:
        # TEST-NET-1 of RFC 5737: nobody's.
        for ip in ("192.0.2.1", "no address"):
            with pytest.raises(SystemExit, match=f"^shmlab: .*'{ip}'"):
                main(["lab", "--ip", ip])

    @pytest.mark.parametrize(
        ("environment", "opens"),
        [({}, False), ({"BROWSER": "/bin/true"}, True)],
    )
    def test_a_machine_without_a_browser(
        self,
        shelf: Path,
        start: Callable[..., Any],
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        environment: dict[str, str],
        opens: bool,
    ) -> None:
        # w3m is a browser to Python, but one that would take the terminal that the server needs.
        text_browser = tmp_path / "w3m"
        text_browser.write_text("#!/bin/sh\n")
        text_browser.chmod(0o755)
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("PATH", str(tmp_path))
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        import webbrowser

        monkeypatch.setattr(webbrowser, "_tryorder", None)
        monkeypatch.setattr(webbrowser, "_browsers", {})
        assert ("--no-browser" not in start("--port", "0").command) == opens
        assert "--no-browser" in start("--port", "0", "--no-browser").command

    def test_what_is_missing_is_noted_first(
        self, shelf: Path, start: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        machine = replace(observe.machine(), strace=None, chromium=None, second_user=False)
        monkeypatch.setattr(observe, "machine", lambda: machine)
        monkeypatch.setattr("shmlab.programs.find_compiler", lambda: None)
        lines = start("--port", "0").out.splitlines()
        notes = [line for line in lines if line.startswith("note: ")]
        # Of what nobody can bring, and of what only tests want, nothing.
        assert len(notes) == 2
        assert notes == lines[:2]
        assert re.match(
            r"note: C compiler: .* greyed out: lessons .* \(apt-get install gcc libc6-dev\)$", notes[0]
        )
        assert notes[1].endswith("(apt-get install strace)")

    def test_what_the_lab_cannot_run_without_stops_it(
        self, shelf: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        machine = replace(observe.machine(), shm_size=None, shm_free=None)
        monkeypatch.setattr(observe, "machine", lambda: machine)
        with pytest.raises(SystemExit, match=r"^shmlab: /dev/shm: none; .*mount -t tmpfs"):
            main(["lab"])

    def test_it_serves_the_lesson_and_ends_at_the_first_ctrl_c(self, tmp_path: Path) -> None:
        checkout = tmp_path / "a checkout"
        shutil.copytree(ROOT / "shmlab", checkout / "shmlab", ignore=shutil.ignore_patterns("__pycache__"))
        (checkout / "notebooks").mkdir()
        notebook(checkout / "notebooks/01-öne memory.ipynb")
        folders = {f"JUPYTER_{word}_DIR": str(tmp_path / word) for word in ("CONFIG", "DATA", "RUNTIME")}
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        server = subprocess.Popen(
            [*PYTHON, "lab", "--no-browser", "--port", str(port)],
            cwd=checkout, env={**ENVIRONMENT, **folders}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, start_new_session=True,
        )  # fmt: skip
        try:
            assert server.stdout is not None
            lines = iter(server.stdout.readline, "")
            said = next(line for line in lines if line.startswith("shmlab is at "))
            address = address_in(said)
            page, status = self.get(address.geturl(), server)
            assert status == 200
            assert "jupyter-config-data" in page
            token = f"?{address.query}"
            home = f"http://{address.netloc}"
            path = address.path.removeprefix("/lab/tree/")
            content, status = self.get(f"{home}/api/contents/{path}{token}", server)
            assert (status, json.loads(content)["name"]) == (200, "01-öne memory.ipynb")
            assert self.get(f"{home}/api/contents/{path}?token=wrong", server)[1] == 403
            plugin = "@jupyterlab/apputils-extension:notification"
            settings, _ = self.get(f"{home}/lab/api/settings/{plugin}{token}", server)
            defaults = json.loads(settings)["schema"]["properties"]
            assert defaults["fetchNews"]["default"] == "false", "or it asks, over the panels"
            assert defaults["checkForUpdates"]["default"] is False
            server.send_signal(signal.SIGINT)
            assert server.wait(10) == 0
            assert "Traceback" not in server.stdout.read()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
            server.communicate(timeout=5)
        with pytest.raises(urllib.error.URLError):
            urllib.request.urlopen(address.geturl(), timeout=2)

    def get(self, url: str, server: "subprocess.Popen[str]") -> tuple[str, int]:
        deadline = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(url, timeout=10) as reply:
                    return reply.read().decode(), reply.status
            except urllib.error.HTTPError as error:
                with error:
                    return "", error.code
            except OSError:
                assert server.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
