"""A real JupyterLab in a real Chromium: a server, a browser, and a notebook that is driven from here.

Knows no test framework and measures nothing. :mod:`benchmarks.views` and the browser tests import it.
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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shmlab import names
from shmlab.observe.machine import BROWSERS

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

OPEN = """path => {
    jupyterapp.commands.execute('docmanager:open', {path, factory: 'Notebook'});
}"""
CLOSE_TABS = """() => {
    for (const widget of Array.from(jupyterapp.shell.widgets('main'))) widget.dispose();
}"""
"""Closing a document's tab would ask whether to store it; disposing of it doesn't."""


def find_chromium() -> str | None:
    """Return the path of a Chromium, or None."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


class Lab:
    """A JupyterLab server with a port, token and folders of its own; :meth:`stop` ends its kernels too."""

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
    """One notebook, open in a page in which no other is. The page may be blank, or served one before."""

    def __init__(self, lab: Lab, page: Any, path: str) -> None:
        self.lab, self.page, self.path = lab, page, path
        self._themed = False
        self.console: list[str] = []
        """What the page's console had to say: errors only."""
        page.on("console", self._hear)
        page.on("pageerror", self._hear)

    def _hear(self, said: Any) -> None:
        if getattr(said, "type", "error") == "error":
            self.console.append(said.text if hasattr(said, "text") else str(said))

    def open(self) -> "Notebook":
        """Open it and wait until its kernel is idle."""
        new = self.page.url == "about:blank"
        if new:
            # A workspace of its own: JupyterLab sends the second page in one on to another.
            workspace = f"{self.lab.url}/lab/workspaces/{uuid.uuid4().hex[:8]}"
            self.page.goto(f"{workspace}?token={self.lab.token}")
            self.page.wait_for_function("() => window.jupyterapp", timeout=60 * SECONDS)
            self.page.evaluate("() => jupyterapp.restored")
        self.page.evaluate(OPEN, self.path)
        self.page.wait_for_function(
            "path => jupyterapp.shell.currentWidget?.context?.path === path",
            arg=self.path,
            timeout=(60 if new else 20) * SECONDS,
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
        """Close its tab, end its kernel, remove its file; the page stays. The theme is the server's: back to
        light.
        """
        if self._themed:
            self.theme("JupyterLab Light")
        self.page.remove_listener("console", self._hear)
        self.page.remove_listener("pageerror", self._hear)
        self.page.evaluate(CLOSE_TABS)
        for session in self.lab.api("GET", "sessions"):
            if session["path"] == self.path:
                self.lab.api("DELETE", f"sessions/{session['id']}")
        (self.lab.root / self.path).unlink(missing_ok=True)


def write_notebook(path: Path, cells: list[str]) -> None:
    """Write a notebook of these code cells, none of them run."""
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
    path.write_text(json.dumps(document))


def open_notebook(
    lab: Lab, chromium: Any, cells: list[str], width: int = 1400, height: int = 1000, page: Any = None
) -> Notebook:
    """Open a notebook of these cells in *page*, or a page of its own; whoever opens it closes it."""
    path = f"{uuid.uuid4().hex[:8]}.ipynb"
    write_notebook(lab.root / path, cells)
    # A window of its own: a page behind another isn't painted.
    page = page or chromium.new_context().new_page()
    page.set_viewport_size({"width": width, "height": height})
    page.set_default_timeout(30 * SECONDS)
    return Notebook(lab, page, path).open()


@contextmanager
def launch_chromium(executable: str) -> Iterator[Any]:
    """Have Playwright drive a Chromium. Raises ImportError without Playwright."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()
