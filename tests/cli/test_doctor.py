"""``shmlab doctor``, against the system's own tools."""

import json
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shmlab import observe
from shmlab.__main__ import main
from shmlab.cli import checks, doctor
from tests.cli.commands import ENVIRONMENT, answer, shmlab, tool


class TestDoctor:
    @pytest.fixture
    def bare(self, tmp_path: Path) -> dict[str, str]:
        """An environment whose PATH has no program."""
        (tmp_path / "bin").mkdir()
        return {**ENVIRONMENT, "PATH": str(tmp_path / "bin")}

    def check(self, found: Any, what: str) -> Any:
        (check,) = [each for each in found["checks"] if each["what"] == what]
        return check

    def test_the_facts_are_the_systems(self) -> None:
        found = answer("doctor")
        assert found["ready"]
        assert found["machine"]["uid"] == int(tool("id", "-u"))
        assert self.check(found, "Python")["value"] == sys.version.split()[0]
        df = int(tool("df", "--output=size", "-B1", "/dev/shm").split()[1])
        assert found["machine"]["shm_size"] == df
        compiler = self.check(found, "C compiler")
        assert compiler["have"] == bool(shutil.which("cc") or shutil.which("gcc"))
        assert self.check(found, "strace")["value"] == (shutil.which("strace") or "none")

    def test_the_table_has_the_rows_of_the_json(self) -> None:
        found = answer("doctor")
        lines = shmlab("doctor").stdout
        assert all(len(line) <= 100 for line in lines.splitlines())
        for check in found["checks"]:
            mark = "✓" if check["have"] else "–"  # noqa: RUF001
            assert re.search(rf"^{mark} {re.escape(check['what'])} +{re.escape(check['value'])}", lines, re.M)

    def test_without_programs_the_lab_still_runs(self, bare: dict[str, str]) -> None:
        done = shmlab("doctor", env=bare)
        assert done.returncode == 0
        text = " ".join(done.stdout.split())
        assert "– C compiler none C programs are greyed out: lessons 01" in text  # noqa: RUF001
        assert "to do: apt-get install gcc libc6-dev" in text
        assert "to do: apt-get install strace" in text
        assert "to do: apt-get install chromium" in text
        assert re.search(r"The lab runs here, without: .*C compiler, strace", text)
        found = answer("doctor", env=bare)
        assert not self.check(found, "C compiler")["have"]
        assert self.check(found, "C compiler")["lessons"][0] == 1
        assert found["machine"]["chromium"] is None

    def test_a_compiler_without_headers(self, bare: dict[str, str]) -> None:
        compiler = Path(bare["PATH"]) / "cc"
        compiler.write_text("#!/bin/sh\nexit 1\n")
        compiler.chmod(0o755)
        check = self.check(answer("doctor", env=bare), "C compiler")
        assert (check["have"], check["value"]) == (False, "without C headers")
        assert check["remedy"] == "apt-get install libc6-dev"

    @pytest.mark.parametrize(
        ("change", "what", "ready"),
        [
            ({"shm_size": None, "shm_free": None}, "/dev/shm", False),
            ({"shm_size": 1 << 20, "shm_free": 1 << 20}, "/dev/shm", True),
            ({"shm_size": 64 << 20, "shm_free": 1 << 20}, "/dev/shm", True),
            ({"shmmni": None}, "System V", True),
            ({"ptrace": "not permitted: Yama's ptrace_scope is 3"}, "ptrace", True),
            ({"others_maps": False}, "others' processes", True),
            ({"page_frames": False}, "page frames", True),
            ({"second_user": False}, "second user", True),
            ({"ipc_namespace": None}, "IPC namespace", True),
        ],
    )
    def test_what_a_machine_may_lack(
        self,
        change: dict[str, Any],
        what: str,
        ready: bool,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        machine = replace(observe.machine(), **change)
        monkeypatch.setattr(observe, "machine", lambda: machine)
        assert main(["doctor", "--json"]) == int(not ready)
        found = json.loads(capsys.readouterr().out)
        check = self.check(found, what)
        assert not check["have"]
        assert check["lessons"]
        assert found["ready"] is ready
        assert main(["doctor"]) == int(not ready)
        said = capsys.readouterr().out
        assert f"\n– {what} " in said  # noqa: RUF001
        assert ("The lab can't run here: /dev/shm." in said) is not ready

    def test_a_missing_package_is_fatal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(checks, "PACKAGES", ("json", "no_such_package"))
        found = list(checks.examine(observe.machine()))
        assert [each.value for each in checks.blockers(found)] == ["no no_such_package"]
        assert doctor.verdict(found) == "The lab can't run here: Python packages."

    @pytest.mark.parametrize("limit", [120, 100, 80, 60, 40])
    def test_it_fits(self, limit: int) -> None:
        machine = replace(
            observe.machine(),
            shm_size=1 << 20,
            strace=None,
            chromium=None,
            others_maps=False,
            second_user=False,
        )
        lines = doctor.table(list(checks.examine(machine)), limit)
        assert max(map(len, lines)) <= limit
        assert "remount,size=64M" in " ".join(lines)

    def test_lessons_are_written_short(self) -> None:
        assert checks.spans((7,)) == "lesson 07"
        assert checks.spans((1, 2, 3, 7, 13, 14)) == "lessons 01-03, 07, 13-14"
