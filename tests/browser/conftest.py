"""A real JupyterLab in a real Chromium, for every browser test: one server and one browser a test session.

``notebook(cells)`` opens a notebook of these cells and returns a :class:`Notebook` that runs, asks, restarts
and closes it. Without a browser the tests skip and say which package brings one; under ``CI=true`` they fail.
"""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shmlab import names

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SECONDS = 1000
START = 60.0
"""Seconds that the server may take to start: pip's first start of JupyterLab compiles hundreds of modules."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


def _missing(what: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(f"no browser tests without {what}", pytrace=False)
    pytest.skip(f"no browser tests without {what}")


class Lab:
    """A JupyterLab server of its own: port, token, folders; :meth:`stop` ends it and its kernels."""

    def __init__(self, home: Path) -> None:
        self.root = home / "notebooks"
        self.token = secrets.token_hex(16)
        self.log = home / "server.log"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        folders = {word: home / word.lower() for word in ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR")}
        for folder in (self.root, *folders.values(), folders["CONFIG_DIR"] / "labconfig"):
            folder.mkdir(parents=True)
        # Nothing pops up over the page, and nothing asks the world for news.
        settings = {
            "@jupyterlab/apputils-extension:notification": {
                "fetchNews": "false",
                "checkForUpdates": False,
                "doNotDisturbMode": True,
            }
        }
        (folders["CONFIG_DIR"] / "labconfig" / "default_setting_overrides.json").write_text(
            json.dumps(settings)
        )
        environment = {key: value for key, value in os.environ.items() if key != names.SESSION_VARIABLE}
        environment |= {f"JUPYTER_{word}": str(folder) for word, folder in folders.items()}
        environment |= {
            "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
            "IPYTHONDIR": str(home / "ipython"),
        }
        command = [
            *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1"),
            *(f"--port={self.port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={self.token}"),
            *(f"--ServerApp.root_dir={self.root}", "--LabApp.expose_app_in_browser=True"),
        ]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=self.root, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.stop()
            raise

    def _wait_until_it_answers(self) -> None:
        end = time.monotonic() + START
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError(
                    f"JupyterLab ended with {self.process.returncode}:\n{self.log.read_text()[-3000:]}"
                )
            try:
                self.api("GET", "status", timeout=1)
                return
            except OSError:
                time.sleep(0.1)
        raise TimeoutError(f"JupyterLab didn't answer within {START:g} s:\n{self.log.read_text()[-3000:]}")

    def api(self, method: str, path: str, timeout: float = 10) -> Any:
        """Call the server's REST API and return what it answers, decoded."""
        headers = {"Authorization": f"token {self.token}"}
        request = urllib.request.Request(f"{self.url}/api/{path}", method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            body = answer.read()
        return json.loads(body) if body else None

    def stop(self) -> None:
        """End the server, its kernels first; with force if it doesn't go."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)


class Notebook:
    """One notebook open in a page of its own."""

    def __init__(self, lab: Lab, page: Any, path: str) -> None:
        self.lab, self.page, self.path = lab, page, path
        self._themed = False
        self.console: list[str] = []
        """What the page's console had to say: errors only."""
        page.on("console", lambda message: message.type == "error" and self.console.append(message.text))
        page.on("pageerror", lambda error: self.console.append(str(error)))

    def open(self) -> "Notebook":
        """Open it and wait until its kernel is idle."""
        self.page.goto(f"{self.lab.url}/lab/tree/{self.path}?reset&token={self.lab.token}")
        self.page.wait_for_function(
            "() => window.jupyterapp?.shell?.currentWidget?.context", timeout=60 * SECONDS
        )
        self.page.evaluate("() => jupyterapp.shell.currentWidget.context.ready")
        self.page.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.ready")
        self.wait_idle()
        return self

    def wait_idle(self, timeout: float = 60) -> None:
        """Wait until the kernel has nothing to do."""
        self.page.wait_for_function(
            "() => jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status === 'idle'",
            timeout=timeout * SECONDS,
        )

    def run_all(self, wait: bool = True, timeout: float = 60) -> None:
        """Run all cells, and unless *wait* is False, wait until the last has ended."""
        command = "jupyterapp.commands.execute('notebook:run-all-cells')"
        if wait:
            self.page.set_default_timeout(timeout * SECONDS)
            self.page.evaluate(f"() => {command}")
        else:
            self.page.evaluate(f"() => {{ {command}; }}")

    def ask(self, code: str, timeout: float = 30) -> str:
        """Run code in the notebook's kernel, outside of any cell, and return what it printed (or raised)."""
        self.page.set_default_timeout(timeout * SECONDS)
        return self.page.evaluate(
            """async code => {
                const kernel = jupyterapp.shell.currentWidget.sessionContext.session.kernel;
                const future = kernel.requestExecute({code, store_history: false, stop_on_error: false});
                let said = '';
                future.onIOPub = ({header, content}) => {
                    if (header.msg_type === 'stream') said += content.text;
                    if (header.msg_type === 'error') said += `${content.ename}: ${content.evalue}`;
                };
                await future.done;
                return said;
            }""",
            code,
        )

    def outputs(self) -> list[list[dict[str, Any]]]:
        """Return the outputs of every code cell, as they would be stored."""
        cells = self.page.evaluate("() => jupyterapp.shell.currentWidget.model.toJSON().cells")
        return [cell.get("outputs", []) for cell in cells if cell["cell_type"] == "code"]

    def errors(self) -> list[str]:
        """Return the exceptions that cells ended with."""
        return [
            f"{output['ename']}: {output['evalue']}"
            for cell in self.outputs()
            for output in cell
            if output["output_type"] == "error"
        ]

    def restart(self) -> None:
        """Restart the kernel, as the button does after its question, and wait until it's back."""
        self.page.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.restartKernel()")
        self.wait_idle()

    def interrupt(self) -> None:
        """Interrupt the kernel, as the stop button does."""
        self.page.evaluate("() => jupyterapp.commands.execute('notebook:interrupt-kernel')")

    def theme(self, name: str) -> None:
        """Switch to a theme by its name: "JupyterLab Dark", "JupyterLab Light"."""
        self._themed = True
        self.page.evaluate(
            "name => jupyterapp.commands.execute('apputils:change-theme', {theme: name})", name
        )
        dark = str("Dark" not in name).lower()
        self.page.wait_for_function(
            f"() => document.body.dataset.jpThemeLight === '{dark}'", timeout=10 * SECONDS
        )

    def close(self) -> None:
        """Close the page, end its kernel and remove its file.

        The theme is the server's, not the page's: it goes back to light.
        """
        if self._themed:
            self.theme("JupyterLab Light")
        self.page.context.close()
        for session in self.lab.api("GET", "sessions"):
            if session["path"] == self.path:
                self.lab.api("DELETE", f"sessions/{session['id']}")
        (self.lab.root / self.path).unlink(missing_ok=True)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A Chromium driven by Playwright."""
    api = pytest.importorskip(
        "playwright.sync_api", reason="no browser tests without the Python package playwright"
    )
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if found is None:
        _missing("Chromium: install the package chromium")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def lab(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A JupyterLab server for the whole test session."""
    server = Lab(tmp_path_factory.mktemp("lab"))
    yield server
    server.stop()


@pytest.fixture
def notebook(lab: Lab, chromium: Any) -> Iterator[Callable[..., Notebook]]:
    """Open notebooks: ``notebook(["a = 1", "a"])``; closed, kernels and files too, when the test ends."""
    opened: list[Notebook] = []

    def open_notebook(cells: list[str], width: int = 1400, height: int = 1000) -> Notebook:
        path = f"{uuid.uuid4().hex[:8]}.ipynb"
        document = {
            "nbformat": 4,
            "nbformat_minor": 5,
            "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
            "cells": [
                {
                    "cell_type": "code",
                    "id": f"cell-{number}",
                    "metadata": {},
                    "execution_count": None,
                    "outputs": [],
                    "source": source,
                }
                for number, source in enumerate(cells)
            ],
        }
        (lab.root / path).write_text(json.dumps(document))
        page = chromium.new_context(viewport={"width": width, "height": height}).new_page()
        opened.append(Notebook(lab, page, path))
        return opened[-1].open()

    yield open_notebook
    for one in opened:
        one.close()
