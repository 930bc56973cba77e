"""What stands at the root for people: one version everywhere, and no link or command that isn't there."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import shmlab

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    *(f"docs/{path.name}" for path in ROOT.glob("docs/*.md")),
]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_one_version_everywhere() -> None:
    citation = yaml.safe_load(text("CITATION.cff"))
    newest = re.search(r"^## (\S+)", text("CHANGELOG.md"), re.MULTILINE)
    assert newest
    assert {PROJECT["version"], citation["version"], newest[1], shmlab.__version__} == {shmlab.__version__}
    assert citation["license"] == PROJECT["license"] == "MIT"
    assert text("LICENSE").startswith("MIT License")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)", text(name))
    here = (ROOT / name).parent
    assert not [each for each in targets if "://" not in each and not (here / each).exists()]


def test_the_readme_lists_every_lesson() -> None:
    listed = re.findall(r"^\| \d\d \| \[[^]]+\]\(notebooks/(\S+\.ipynb)\)", text("README.md"), re.MULTILINE)
    assert listed == sorted(path.name for path in ROOT.glob("notebooks/[0-9]*.ipynb"))


def test_the_readme_speaks_of_commands_that_there_are() -> None:
    said = {*re.findall(r"^shmlab (\w+)", text("README.md"), re.MULTILINE)}
    helped = subprocess.run(
        [sys.executable, "-m", "shmlab", "--help"], capture_output=True, text=True, timeout=30, check=True
    )
    known = set(re.findall(r"^\s+(\w+) ", helped.stdout, re.MULTILINE))
    assert said
    assert said <= known
    targets = set(re.findall(r"^([a-z]+):", text("Makefile"), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z]+)", text("README.md"))) <= targets
