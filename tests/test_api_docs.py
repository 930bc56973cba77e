"""The pages that `make docs` writes: each public name is on one, with words of its own."""

import inspect
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = (
    "shmlab",
    "shmlab.check",
    "shmlab.document",
    "shmlab.observe",
    "shmlab.panels",
    "shmlab.posix",
    "shmlab.processes",
    "shmlab.sysv",
)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("api")
    made = subprocess.run(
        [sys.executable, ROOT / "tools/api_docs.py", folder], capture_output=True, text=True, timeout=60
    )
    assert made.returncode == 0, made.stderr  # any warning of pdoc's is an error
    return folder


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_is_on_its_page(pages: Path, name: str) -> None:
    page = pages.joinpath(*name.split(".")).with_suffix(".html").read_text(encoding="utf-8")
    anchors = set(re.findall(r'id="(\w+)"', page))
    public = getattr(import_module(name), "__all__", ())
    missing = {word for word in public if not word.startswith("_")} - anchors
    assert not [word for word in missing if not inspect.ismodule(getattr(import_module(name), word))]


@pytest.mark.parametrize("name", [*MODULES, "shmlab.programs", "shmlab.figures"])
def test_every_public_function_and_class_says_what_it_does(name: str) -> None:
    module = import_module(name)
    public = [getattr(module, word) for word in getattr(module, "__all__", ()) if not word.startswith("_")]
    words = {each: each.__doc__ or "" for each in public if inspect.isroutine(each) or inspect.isclass(each)}
    silent = [each for each, said in words.items() if not said or said.startswith(f"{each.__name__}(")]
    assert not silent
