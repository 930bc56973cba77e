"""Facts about the machine, against df(1), uname(1), id(1), and what an ordinary user sees instead."""

import dataclasses
import importlib
import os
import platform
import shutil
import subprocess

import pytest

from shmlab import observe


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.split()


def test_facts_are_what_the_tools_say():
    facts = observe.machine()
    assert facts.python == platform.python_version()
    assert facts.kernel.split() == output("uname", "-sr")
    assert [facts.architecture] == output("uname", "-m")
    assert [str(facts.uid), facts.user] == [*output("id", "-u"), *output("id", "-un")]
    assert facts.shm_size == int(output("df", "-B1", "--output=size", "/dev/shm")[-1])
    assert 0 <= facts.shm_free <= facts.shm_size
    assert facts.compiler in (shutil.which("cc"), shutil.which("gcc"), shutil.which("clang"))
    assert facts.strace == shutil.which("strace")
    assert f"ipc:[{facts.ipc_namespace}]" == os.readlink("/proc/self/ns/ipc")
    limits = "".join(output("ipcs", "-m", "-l"))
    assert f"maxnumberofsegments={facts.shmmni}" in limits


def test_missing_programs_are_none(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    facts = observe.machine()
    assert (facts.compiler, facts.compiler_program, facts.strace, facts.chromium) == (None, None, None, None)


@pytest.mark.parametrize(
    ("scope", "capable", "answer"),
    [
        (None, False, "permitted"),
        (0, False, "permitted"),
        (1, False, "permitted for descendants only: Yama's ptrace_scope is 1"),
        (1, True, "permitted"),
        (2, False, "not permitted without CAP_SYS_PTRACE: Yama's ptrace_scope is 2"),
        (3, True, "not permitted: Yama's ptrace_scope is 3"),
    ],
)
def test_what_yama_permits(monkeypatch, scope, capable, answer):
    module = importlib.import_module("shmlab.observe.machine")
    monkeypatch.setattr(module, "_number", lambda path: scope)
    monkeypatch.setattr(module, "_capable", lambda bit: capable)
    assert module._ptrace() == answer


def test_an_ordinary_user_may_less(as_nobody):
    facts = as_nobody(lambda: dataclasses.asdict(observe.machine()))
    assert (facts["uid"], facts["page_frames"], facts["second_user"], facts["others_maps"]) == (
        65534,
        False,
        False,
        False,
    )


def test_it_prints_one_fact_a_line():
    lines = repr(observe.machine()).splitlines()
    assert len(lines) == len(dataclasses.fields(observe.Machine))
    assert lines[0].split() == ["python", platform.python_version()]
    assert "<td" in observe.machine()._repr_html_()
