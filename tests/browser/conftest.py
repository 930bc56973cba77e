"""A real JupyterLab in a real Chromium, for every browser test: one server and one browser a test session.

``notebook(cells)`` opens a notebook of these cells and returns a :class:`benchmarks.browser.Notebook` that
runs, asks, restarts and closes it. A page in which JupyterLab is loaded serves one test after another, for
loading takes longer than most tests; each gets a file, a kernel and a tab of its own. Without a browser the
tests skip and say which package brings one; under ``CI=true`` they fail.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.browser import Lab, Notebook, find_chromium, launch_chromium, open_notebook


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


def _missing(what: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(f"no browser tests without {what}", pytrace=False)
    pytest.skip(f"no browser tests without {what}")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A Chromium driven by Playwright."""
    pytest.importorskip("playwright", reason="no browser tests without the Python package playwright")
    found = find_chromium()
    if found is None:
        _missing("Chromium: install the package chromium")
    with launch_chromium(found or "") as browser:
        yield browser


@pytest.fixture(scope="session")
def lab(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A JupyterLab server for the whole test session."""
    server = Lab(tmp_path_factory.mktemp("lab"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def free_pages() -> list[Any]:
    """The pages that no notebook is open in."""
    return []


@pytest.fixture
def notebook(lab: Lab, chromium: Any, free_pages: list[Any]) -> Iterator[Callable[..., Notebook]]:
    """Open notebooks: ``notebook(["a = 1", "a"])``; closed, kernels and files too, when the test ends."""
    opened: list[Notebook] = []

    def open_one(cells: list[str], width: int = 1400, height: int = 1000) -> Notebook:
        page = free_pages.pop() if free_pages else None
        try:
            opened.append(open_notebook(lab, chromium, cells, width, height, page))
        except Exception:
            if page is None:
                raise
            page.context.close()  # the test before left it in a state in which nothing opens
            opened.append(open_notebook(lab, chromium, cells, width, height))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()
        free_pages.append(one.page)
