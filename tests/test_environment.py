"""What installs the lab agrees with itself: pyproject.toml, constraints.txt, environment.yml, the Makefile, …

The oracles are the tools that will read these files: rattler for conda's lines, packaging for pip's, make for
its targets, sh for the scripts. Nothing here reaches the network. Nobody imports this.
"""

import importlib.metadata
import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version
from rattler import MatchSpec

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DEPENDENCIES = {canonicalize_name(r.name): r for r in map(Requirement, PROJECT["dependencies"])}
EXTRAS = {
    canonicalize_name(r.name): r
    for lines in PROJECT["optional-dependencies"].values()
    for r in map(Requirement, lines)
}
INSTALLED = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["test"]]
"""What `make test` installs: only of that the tests can ask what it depends on."""

# Names that conda-forge spells differently.
CONDA_NAMES = {"matplotlib-base": "matplotlib"}


def lines(file: str) -> list[str]:
    return (ROOT / file).read_text().splitlines()


def run(*command: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    # Without make's own variables: under `make test`, an inner make would think it was a part of it.
    inherited = {
        k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS", "PYTHON", "ARGS"))
    }
    return subprocess.run(
        command, cwd=cwd, env=inherited | environment, text=True, capture_output=True, timeout=30, check=False
    )


class TestConda:
    @pytest.fixture
    def environment(self) -> dict:
        return yaml.safe_load((ROOT / "environment.yml").read_text())

    @pytest.fixture
    def specs(self, environment: dict) -> list[str]:
        return [line for line in environment["dependencies"] if isinstance(line, str)]

    def test_top_level(self, environment: dict) -> None:
        assert environment["name"] == "shmlab"
        assert environment["channels"] == ["conda-forge"]
        assert set(environment) == {"name", "channels", "dependencies"}

    def test_each_line_parses_strictly(self, specs: list[str]) -> None:
        for line in specs:
            MatchSpec(line, strict=True)

    def test_the_parser_can_refuse(self) -> None:
        with pytest.raises(Exception, match="malformed version"):
            MatchSpec("numpy>=1..2", strict=True)

    def test_python_is_spelled_as_binder_reads_it(self, specs: list[str]) -> None:
        assert [line for line in specs if re.match(r"python\b", line)] == ["python=3.12"]
        assert SpecifierSet(PROJECT["requires-python"]).contains("3.12")

    def test_bounds_are_those_of_the_project(self, specs: list[str]) -> None:
        found = {}
        for line in specs:
            spec = MatchSpec(line, strict=True)
            name = str(spec.name.normalized)
            if name not in ("python", "pip"):
                found[canonicalize_name(CONDA_NAMES.get(name, name))] = SpecifierSet(str(spec.version or ""))
        assert found == {name: requirement.specifier for name, requirement in DEPENDENCIES.items()}

    def test_pip_installs_the_project_and_nothing_else(self, environment: dict, specs: list[str]) -> None:
        assert [part for part in environment["dependencies"] if isinstance(part, dict)] == [{"pip": ["-e ."]}]
        assert "pip" in specs

    def test_no_folder_hides_it(self) -> None:
        assert not (ROOT / "binder").exists()
        assert not (ROOT / ".binder").exists()


class TestApt:
    def test_lines_are_package_names(self) -> None:
        # Debian policy 5.6.1: lower case letters, digits, plus, minus and full stops, two at least.
        for line in lines("apt.txt"):
            assert re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", line), line
        assert lines("apt.txt") == sorted(set(lines("apt.txt")))

    def test_it_brings_what_c_programs_need(self) -> None:
        assert {"gcc", "libc6-dev"} <= set(lines("apt.txt"))


class TestConstraints:
    @pytest.fixture
    def pinned(self) -> dict[str, Version]:
        return {canonicalize_name(name): Version(version) for name, version in self.pairs()}

    def pairs(self) -> Iterator[tuple[str, str]]:
        for line in lines("constraints.txt"):
            name, _, version = line.partition("==")
            yield name, version

    def test_lines_are_exact(self) -> None:
        for line in lines("constraints.txt"):
            assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*==[0-9][0-9A-Za-z.]*", line), line

    def test_no_name_twice(self) -> None:
        names = [canonicalize_name(name) for name, _ in self.pairs()]
        assert len(names) == len(set(names))

    @pytest.mark.parametrize("name", sorted(DEPENDENCIES | EXTRAS))
    def test_each_dependency_is_pinned_within_its_bounds(self, name: str, pinned: dict[str, Version]) -> None:
        assert name in pinned
        assert (DEPENDENCIES | EXTRAS)[name].specifier.contains(pinned[name])

    def test_what_they_depend_on_is_pinned_too(self, pinned: dict[str, Version]) -> None:
        seen: set[tuple[str, frozenset[str]]] = set()
        waiting = [Requirement(line) for line in INSTALLED]
        unpinned = set()
        while waiting:
            requirement = waiting.pop()
            name = canonicalize_name(requirement.name)
            key = (name, frozenset(requirement.extras))
            if key in seen:
                continue
            seen.add(key)
            if name not in pinned:
                unpinned.add(name)
                continue
            for line in importlib.metadata.requires(name) or []:
                needed = Requirement(line)
                extras = ["", *requirement.extras]
                if not needed.marker or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
                    waiting.append(needed)
        assert unpinned == set()
        assert len(seen) > 100, "the walk ended early"


@pytest.fixture(scope="module")
def targets() -> set[str]:
    phony = re.search(r"^\.PHONY:(.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony
    return {name for name in phony[1].split() if not name.startswith("setup-")}


class TestMakefile:
    def test_make_alone_is_help(self) -> None:
        alone = run("make")
        assert alone.returncode == 0
        assert alone.stdout == run("make", "help").stdout

    def test_help_lists_every_target_with_a_text(self, targets: set[str]) -> None:
        listed = dict(re.findall(r"^  (\w+) +(\S.*)$", run("make", "help").stdout, re.MULTILINE))
        assert set(listed) == targets
        assert {"help", "lab", "test", "notebooks", "bench", "clean"} <= targets

    def test_help_fits_a_terminal(self) -> None:
        assert max(map(len, run("make", "help").stdout.splitlines())) <= 80

    def test_every_target_can_be_made(self, targets: set[str]) -> None:
        for target in targets:
            planned = run("make", "--dry-run", target)
            assert planned.returncode == 0, planned.stderr

    def test_test_is_every_check(self) -> None:
        planned = run("make", "--dry-run", "test").stdout
        for step in (
            "setup.sh test",
            "ruff check",
            "ruff format --check",
            "typos",
            "mypy",
            "lint-imports",
            "-m pytest",
        ):
            assert step in planned

    def test_a_folder_without_lessons_passes_and_one_with_lessons_is_run(self, tmp_path: Path) -> None:
        shutil.copy(ROOT / "Makefile", tmp_path)
        assert "--nbval" not in run("make", "-n", "lessons", cwd=tmp_path).stdout
        (tmp_path / "notebooks").mkdir()
        (tmp_path / "notebooks" / "01.ipynb").touch()
        assert "--nbval-lax --nbval-cell-timeout=60" in run("make", "-n", "lessons", cwd=tmp_path).stdout

    def test_a_failing_step_stops_and_is_named(self, tmp_path: Path) -> None:
        shutil.copy(ROOT / "Makefile", tmp_path)
        for tool, text in (
            ("ruff", "exit 0"),
            ("typos", "exit 0"),
            ("mypy", "echo wrong type; exit 1"),
            ("lint-imports", "touch reached"),
        ):
            program(tmp_path / ".venv/bin" / tool, text)
        program(tmp_path / "tools/setup.sh", "exit 0")
        failed = run("make", "test", cwd=tmp_path)
        assert failed.returncode == 2
        assert "wrong type" in failed.stdout
        assert re.search(r"\*\*\* \[Makefile:\d+: types\] Error 1", failed.stderr)
        assert not (tmp_path / "reached").exists()


def program(path: Path, text: str) -> Path:
    """Write a shell program that stands in for a real one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


PYTHON_STAND_IN = """\
case "$*" in
*version_info*) echo {version} ;;
*ensurepip*) exit {venv} ;;
esac"""


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A PATH on which only what a test puts there is found, and df."""
    found = tmp_path / "bin"
    found.mkdir()
    df = shutil.which("df")
    assert df
    (found / "df").symlink_to(df)
    return found


def prerequisites(machine: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return run("/bin/sh", str(ROOT / "tools/prerequisites.sh"), *arguments, PATH=str(machine), **environment)


class TestFatalPrerequisites:
    def one_line(self, done: subprocess.CompletedProcess[str]) -> str:
        assert done.returncode == 1
        assert done.stdout == ""
        (line,) = done.stderr.splitlines()
        assert line.startswith("shmlab: ")
        return line

    def test_no_python(self, machine: Path) -> None:
        line = self.one_line(prerequisites(machine, "setup", "python3"))
        assert "no python3: apt-get install python3 python3-venv" in line

    @pytest.mark.parametrize("version", ["2.7", "3.9", "3.10"])
    def test_python_too_old(self, machine: Path, version: str) -> None:
        program(machine / "python3", PYTHON_STAND_IN.format(version=version, venv=0))
        line = self.one_line(prerequisites(machine, "setup", "python3"))
        assert f"python3 is Python {version}, the lab needs 3.11 or newer: apt-get install python3.11" in line

    @pytest.mark.parametrize("version", ["3.11", "3.12", "3.13", "4.0"])
    def test_python_new_enough(self, machine: Path, version: str) -> None:
        program(machine / "python3", PYTHON_STAND_IN.format(version=version, venv=0))
        done = prerequisites(machine, "setup", "python3")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    def test_python_that_does_not_run(self, machine: Path) -> None:
        program(machine / "python3", "exit 127")
        assert "python3 does not run: apt-get install" in self.one_line(
            prerequisites(machine, "setup", "python3")
        )

    def test_no_venv_module(self, machine: Path, tmp_path: Path) -> None:
        # The real interpreter, as Debian without python3-venv leaves it: ensurepip can't be imported.
        (tmp_path / "ensurepip.py").write_text("raise ModuleNotFoundError('ensurepip')")
        (machine / "python3").symlink_to(sys.executable)
        line = self.one_line(prerequisites(machine, "setup", "python3", PYTHONPATH=str(tmp_path)))
        assert line == "shmlab: python3 has no venv module: apt-get install python3-venv"

    def test_no_venv_module_of_another_python(self, machine: Path) -> None:
        program(machine / "python3.13", PYTHON_STAND_IN.format(version="3.13", venv=1))
        line = self.one_line(prerequisites(machine, "setup", "python3.13"))
        assert line.endswith("apt-get install python3.13-venv")

    def test_uv_needs_no_venv_module(self, machine: Path) -> None:
        program(machine / "python3", PYTHON_STAND_IN.format(version="3.12", venv=1))
        program(machine / "uv", "exit 0")
        assert prerequisites(machine, "setup", "python3").returncode == 0

    def test_no_dev_shm(self, machine: Path) -> None:
        program(machine / "python3", PYTHON_STAND_IN.format(version="3.12", venv=0))
        line = self.one_line(prerequisites(machine, "setup", "python3", SHM="/nowhere/shm"))
        assert "no /nowhere/shm" in line
        assert "mount -t tmpfs" in line

    def test_make_stops_with_that_line(self, machine: Path, tmp_path: Path) -> None:
        for tool in ("cat", "cksum", "dirname", "rm", "sh"):
            (machine / tool).symlink_to(shutil.which(tool))
        program(machine / "python3", PYTHON_STAND_IN.format(version="3.9", venv=0))
        checkout = copy_for_setup(tmp_path)
        make = shutil.which("make")
        assert make
        done = run(make, "lab", cwd=checkout, PATH=str(machine))
        assert done.returncode == 2
        assert done.stdout == ""
        mine, makes = done.stderr.splitlines()
        assert "python3 is Python 3.9" in mine
        assert makes.startswith("make: ***")
        assert not (checkout / ".venv").exists()


class TestNotes:
    @pytest.fixture
    def complete(self, machine: Path) -> Path:
        program(machine / "cc", "exit 0")
        program(machine / "chromium", "exit 0")
        self.df(machine, 65536)
        return machine

    def df(self, machine: Path, kib: int) -> None:
        (machine / "df").unlink()
        program(machine / "df", f"echo Filesystem 1024-blocks Used\necho tmpfs {kib} 0 {kib} 0% /dev/shm")

    def notes(self, machine: Path, purpose: str) -> str:
        done = prerequisites(machine, "notes", purpose)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    @pytest.mark.parametrize("purpose", ["lab", "test"])
    def test_nothing_missing_nothing_said(self, complete: Path, purpose: str) -> None:
        assert self.notes(complete, purpose) == ""

    def test_no_compiler(self, complete: Path) -> None:
        (complete / "cc").unlink()
        assert self.notes(complete, "lab") == (
            "note: no C compiler, so C programs are greyed out: apt-get install gcc libc6-dev\n"
        )

    def test_no_headers(self, complete: Path) -> None:
        program(complete / "cc", "exit 1")
        assert self.notes(complete, "lab") == (
            "note: no C headers, so C programs are greyed out: apt-get install libc6-dev\n"
        )

    def test_no_chromium_matters_to_tests_only(self, complete: Path) -> None:
        (complete / "chromium").unlink()
        assert self.notes(complete, "lab") == ""
        (line,) = self.notes(complete, "test").splitlines()
        assert line.startswith("note: no Chromium")
        assert line.endswith("apt-get install chromium")

    def test_dev_shm_too_small(self, complete: Path) -> None:
        self.df(complete, 65535)
        (line,) = self.notes(complete, "lab").splitlines()
        assert line.startswith(
            "note: /dev/shm holds 63 MiB, lessons want 64: mount -o remount,size=64M /dev/shm"
        )

    def test_the_size_is_read_from_the_real_df(self, machine: Path, tmp_path: Path) -> None:
        program(machine / "cc", "exit 0")
        room = os.statvfs("/dev/shm")
        small = room.f_blocks * room.f_frsize < 64 << 20
        assert ("/dev/shm holds" in self.notes(machine, "lab")) == small

    def test_everything_missing_is_three_lines_and_no_failure(self, machine: Path) -> None:
        self.df(machine, 0)
        assert len(self.notes(machine, "test").splitlines()) == 3


def copy_for_setup(tmp_path: Path) -> Path:
    """A checkout with what setup needs, in a folder whose name has a space in it."""
    checkout = tmp_path / "a lab"
    (checkout / "tools").mkdir(parents=True)
    for file in ("Makefile", "pyproject.toml", "constraints.txt", "tools/setup.sh", "tools/prerequisites.sh"):
        shutil.copy(ROOT / file, checkout / file)
    return checkout


class TestSetup:
    """tools/setup.sh, with a uv whose environments are one link and which logs what it's asked for."""

    UV = """\
printf '%s\\n' "$*" >>uv.log
case $1 in
venv) mkdir -p .venv/bin && ln -s "$4" .venv/bin/python ;;
pip) [ ! -e fail ] || { cat fail; exit 1; } ;;
esac"""

    @pytest.fixture
    def checkout(self, tmp_path: Path) -> Path:
        return copy_for_setup(tmp_path)

    @pytest.fixture
    def setup(self, tmp_path: Path, checkout: Path):
        tools = tmp_path / "bin"
        program(tools / "uv", self.UV)

        def setup(purpose: str, **environment: str) -> subprocess.CompletedProcess[str]:
            path = f"{tools}:{os.environ['PATH']}"
            done = run("/bin/sh", "tools/setup.sh", purpose, cwd=checkout, **{"PATH": path} | environment)
            log = checkout / "uv.log"
            done.calls = log.read_text().splitlines() if log.exists() else []  # type: ignore[attr-defined]
            log.unlink(missing_ok=True)
            return done

        return setup

    def installs(self, done) -> list[str]:
        assert done.returncode == 0, done.stderr
        return [call.rpartition(" -e ")[2] for call in done.calls if call.startswith("pip install")]

    def test_first_time(self, setup) -> None:
        done = setup("lab")
        venv, pip = done.calls
        assert venv.startswith("venv --quiet --python /")
        assert pip == "pip install --python .venv/bin/python -c constraints.txt -e ."

    def test_second_time_does_nothing(self, setup) -> None:
        setup("lab")
        again = setup("lab")
        assert (again.returncode, again.calls, again.stdout) == (0, [], "")

    def test_tests_need_more_than_the_lab_and_the_lab_no_more_than_tests(self, setup) -> None:
        setup("lab")
        assert self.installs(setup("test")) == [".[test]"]
        assert self.installs(setup("lab")) == []

    @pytest.mark.parametrize("file", ["pyproject.toml", "constraints.txt"])
    def test_a_changed_file_installs_again(self, setup, checkout: Path, file: str) -> None:
        setup("test")
        with (checkout / file).open("a") as stream:
            stream.write("# changed\n")
        done = setup("test")
        assert self.installs(done) == [".[test]"]
        assert len(done.calls) == 1, "the environment itself is kept"

    def test_a_touched_file_does_not(self, setup, checkout: Path) -> None:
        setup("lab")
        os.utime(checkout / "pyproject.toml", (2e9, 2e9))
        assert setup("lab").calls == []

    def test_a_failed_install_is_said_and_taken_up_again(self, setup, checkout: Path) -> None:
        (checkout / "fail").write_text("no such package\n")
        failed = setup("lab")
        assert failed.returncode == 1
        reason, stopped = failed.stderr.splitlines()
        assert reason == "no such package"
        assert stopped.startswith("shmlab: installing failed")
        (checkout / "fail").unlink()
        assert self.installs(setup("lab")) == ["."]

    def test_a_moved_folder_is_set_up_anew(self, setup, checkout: Path) -> None:
        setup("lab")
        (checkout / ".venv/.made").write_text("3.11.0 /another/folder\n")
        (checkout / ".venv/left").touch()
        assert [call.split()[0] for call in setup("lab").calls] == ["venv", "pip"]
        assert not (checkout / ".venv/left").exists()

    def test_a_broken_environment_is_set_up_anew(self, setup, checkout: Path) -> None:
        setup("lab")
        (checkout / ".venv/bin/python").unlink()
        (checkout / ".venv/bin/python").symlink_to("/nowhere/python3")
        assert [call.split()[0] for call in setup("lab").calls] == ["venv", "pip"]

    def test_a_python_that_is_not_there(self, setup) -> None:
        done = setup("lab", PYTHON="python9.9")
        assert done.returncode == 1
        assert done.stderr == "shmlab: no python9.9: apt-get install python9.9 python9.9-venv\n"


class TestCI:
    def test_it_installs_and_calls_make_test_once(self) -> None:
        script = (ROOT / ".ci/run").read_text()
        assert os.access(ROOT / ".ci/run", os.X_OK)
        assert run("bash", "-n", ".ci/run").returncode == 0
        assert "set -euo pipefail" in script
        commands = [line for line in script.splitlines() if not line.lstrip().startswith("#")]
        assert sum("make test" in line for line in commands) == 1
        assert commands[-1].startswith("exec make test")

    def test_only_what_is_missing_is_installed(self, tmp_path: Path) -> None:
        for file in (".ci/run", "apt.txt"):
            (tmp_path / file).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / file, tmp_path / file)
        program(tmp_path / "bin/dpkg-query", 'for last; do :; done; [ "$last" = chromium ] || echo installed')
        program(tmp_path / "bin/apt-get", 'echo "apt-get $*" >>log')
        program(tmp_path / "bin/make", 'echo "make $* CI=$CI" >>log; exit 3')
        done = run("bash", ".ci/run", cwd=tmp_path, PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}")
        assert done.returncode == 3, "make's own status"
        update, install, make = (tmp_path / "log").read_text().splitlines()
        assert update.endswith(" update")
        assert install.endswith("install --no-install-recommends chromium")
        assert make == "make test CI=true"


def sanitised(text: str) -> str:
    # As nbval reads the file: pairs of lines, in order.
    pairs = re.findall(
        "^regex: (.*)$\n^replace: (.*)$", (ROOT / "tests/sanitize.cfg").read_text(), re.MULTILINE
    )
    assert len(pairs) >= 8
    for pattern, replacement in pairs:
        text = re.sub(pattern, replacement, text)
    return text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("'/shmlab-0-k3f9-mymem'", "'/shmlab-1000-zz22-mymem'"),
        ("7f2a10000000-7f2a10001000 rw-s", "55d0c0000000-55d0c0001000 rw-s"),
        ("<object at 0x7f2a10c0ffee>", "<object at 0x7fffdeadbeef>"),
        ("pid 812", "pid 90210"),
        ("inode=17", "inode=40112"),
        ("took 12.5 ms", "took 3 ms"),
        ("2026-01-02 03:04:05.678+00:00", "2031-12-30 23:59:58.1+02:00"),
        ("59.6 frames a second", "1,234 frames a second"),
        ("/home/a/shmlab/posix.py", "/srv/class/room/shmlab/posix.py"),
    ],
)
def test_what_varies_is_sanitised(one: str, other: str) -> None:
    assert sanitised(one) == sanitised(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("'/shmlab-0-k3f9-mymem'", "'/shmlab-0-k3f9-other'"),
        ("rw-s", "r--s"),
        ("size 4096", "size 8192"),
        ("killed by signal 7", "killed by signal 11"),
        ("paused after step 2", "paused after step 3"),
        ("0x48 0x65", "0x48 0x66"),
        ("[Errno 2] No such file", "[Errno 13] Permission denied"),
    ],
)
def test_what_matters_is_not(one: str, other: str) -> None:
    assert sanitised(one) != sanitised(other)


@pytest.mark.slow
class TestExecuteNotebooks:
    """tools/execute_notebooks.py, on a lesson with a real kernel."""

    def lesson(self, path: Path, *sources: str) -> Path:
        cells = [nbformat.v4.new_code_cell(source, id=f"c{n}") for n, source in enumerate(sources)]
        notebook = nbformat.v4.new_notebook(cells=cells, metadata={"widgets": {"stale": 1}, "author": "x"})
        nbformat.write(notebook, path)
        return path

    def execute(self, *paths: Path) -> subprocess.CompletedProcess[str]:
        return run(sys.executable, "tools/execute_notebooks.py", *map(str, paths))

    def test_two_runs_store_the_same_bytes(self, tmp_path: Path) -> None:
        path = self.lesson(
            tmp_path / "one.ipynb",
            "print('before')\nprint('after')",
            "from IPython.display import display\n"
            "view = 'application/vnd.jupyter.widget-view+json'\n"
            "display({view: {'model_id': 'm'}, 'text/html': '<b>static</b>', 'text/plain': 'p'}, raw=True)\n"
            "display({view: {'model_id': 'm'}, 'text/plain': 'alone'}, raw=True)",
        )
        done = self.execute(path)
        assert done.returncode == 0, done.stderr
        stored = path.read_bytes()
        notebook = nbformat.reads(stored.decode(), as_version=4)
        assert set(notebook.metadata) == {"kernelspec", "language_info"}
        assert "version" not in notebook.metadata.language_info
        printed, widgets = notebook.cells
        assert [printed.id, widgets.id] == ["c0", "c1"]
        assert printed.outputs[0].text == "before\nafter\n"
        assert printed.metadata == {}
        beside, alone = widgets.outputs
        assert set(beside.data) == {"text/html", "text/plain"}
        assert "application/vnd.jupyter.widget-view+json" in alone.data
        self.execute(path)
        assert path.read_bytes() == stored

    def test_what_a_prediction_asks_for_is_folded_in(self) -> None:
        sources = ["check.predict('a')", "check.predict('b')", "'the answer'", "'more'", "'tagged'", "'open'"]
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(each) for each in sources])
        notebook.cells.insert(1, nbformat.v4.new_markdown_cell("between"))
        notebook.cells[5].metadata["tags"] = ["gives-away"]
        notebook.cells[6].metadata["jupyter"] = {"outputs_hidden": True, "source_hidden": True}
        runpy.run_path(str(ROOT / "tools/execute_notebooks.py"))["fold"](notebook)
        folded = [
            each.source for each in notebook.cells if "outputs_hidden" in each.metadata.get("jupyter", {})
        ]
        assert folded == ["'the answer'", "'tagged'"]
        assert notebook.cells[6].metadata["jupyter"] == {"source_hidden": True}
        assert "jupyter" not in notebook.cells[4].metadata

    def test_a_lesson_that_raises_or_is_too_large_is_left_as_it_was(self, tmp_path: Path) -> None:
        for name, source, reason in (
            ("raises.ipynb", "1 / 0", "ZeroDivisionError"),
            (
                "large.ipynb",
                "print('0123456789\\n' * 40_000)",
                "the limit is 300,000; cell 1 has the largest",
            ),
        ):
            path = self.lesson(tmp_path / name, source)
            before = path.read_bytes()
            done = self.execute(path)
            assert done.returncode == 1
            assert name in done.stderr
            assert reason in done.stderr
            assert path.read_bytes() == before
        assert not list(tmp_path.glob("*.new"))
