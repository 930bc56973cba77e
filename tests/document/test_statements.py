"""The 93 statements: the data is the ledger's, every probe runs, and every one of them can fail."""

import ast
import contextlib
import ctypes
import inspect
import os
import re
import stat
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from shmlab import cleanup, document, observe, own_key, own_name, posix, sysv
from shmlab.document import Case, Statement, fails, holds, introduction, probing
from shmlab.processes import Outcome, Process, State
from shmlab.programs import find_compiler

ROOT = Path(__file__).parents[2]
ALL = document.statements()
LEDGER = {
    "true": document.TRUE,
    "true only on Linux": document.ON_LINUX,
    "imprecise": document.IMPRECISE,
    "wrong": document.WRONG,
}

each = pytest.mark.parametrize("statement", ALL.values(), ids=ALL)


def ledger() -> dict[str, str]:
    """The verdicts of docs/FACTS.md, part A."""
    rows = re.findall(r"^\| (D\d+) \|.*?\| \*\*(.+?)\*\* \|", (ROOT / "docs/FACTS.md").read_text(), re.M)
    return {id_: LEDGER[verdict] for id_, verdict in rows}


# --- The data ----------------------------------------------------------------------------------------------


def test_the_verdicts_are_the_ledgers() -> None:
    assert len(ledger()) == 93
    assert {id_: statement.verdict for id_, statement in ALL.items()} == ledger()
    assert list(ALL) == sorted(ALL)


def test_sections_are_modules_and_have_statements() -> None:
    assert {statement.section for statement in ALL.values()} == set(document.SECTIONS)


@each
def test_its_words(statement: Statement) -> None:
    assert re.fullmatch(r"D\d\d", statement.id)
    assert 10 < len(statement.words) <= 110, "two lines at a projector"
    assert statement.words.endswith((".", "};"))
    assert statement.words.isascii(), "our words, not the document's"
    assert len(statement.correction) <= 300
    assert re.fullmatch(r"0[1-9]|1[0-3]", statement.lesson)


def test_no_two_say_the_same() -> None:
    assert len({statement.words for statement in ALL.values()}) == len(ALL)


def test_an_unknown_id_is_said_to_be_one() -> None:
    assert document.find(" d17 ").id == "D17"
    with pytest.raises(KeyError, match="D01 to D93"):
        document.find("D94")


def test_a_statement_needs_a_verdict_and_a_correction() -> None:
    with pytest.raises(ValueError, match="no verdict"):
        Statement("X1", "…", "maybe", "", "01", lambda: iter(()))
    with pytest.raises(ValueError, match="nothing corrects it"):
        Statement("X1", "…", document.WRONG, "", "01", lambda: iter(()))


# --- How a verdict comes about -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cases", "verdict"),
    [
        ((), ""),
        ((holds("", True),), document.TRUE),
        ((holds("", True), document.by_linux("", True)), document.ON_LINUX),
        ((holds("", True), fails("", True)), document.IMPRECISE),
        ((fails("", True), fails("", True)), document.WRONG),
        ((holds("", False),), document.WRONG),
        ((fails("", False),), document.TRUE),
        ((holds("", False), fails("", False)), document.IMPRECISE),
    ],
)
def test_the_cases_decide(cases: tuple[Case, ...], verdict: str) -> None:
    assert document.decide(cases) == verdict


def probe_of(*cases: Case, error: Exception | None = None) -> Statement:
    def probe() -> Iterator[Case]:
        yield from cases
        if error:
            raise error

    return Statement("X1", "A statement for a test.", document.IMPRECISE, "…", "01", probe)


def test_a_single_case_that_comes_out_differently_is_enough() -> None:
    usual = holds("a", True), fails("b", True), fails("c", True)
    assert document.run(probe_of(*usual)).status == document.AGREES
    found = document.run(probe_of(*usual[:2], fails("c was otherwise", False)))
    assert (found.status, found.answer) == (document.DIFFERS, document.IMPRECISE)
    assert found.observed.splitlines()[0] == "unexpected: c was otherwise"
    assert not found


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (document.UndecidedError("no compiler"), document.UNDECIDED),
        (OSError(28, "No space left on device"), document.UNDECIDED),
        (TimeoutError("5 s"), document.UNDECIDED),
        (PermissionError(1, "Operation not permitted"), document.DIFFERS),
        (ValueError("?"), document.DIFFERS),
    ],
)
def test_a_probe_that_fails_says_so_and_what_a_machine_lacks_is_no_answer(
    error: Exception, status: str
) -> None:
    found = document.run(probe_of(holds("a", True), fails("b", True), error=error))
    assert found.status == status
    assert str(error) in found.observed
    assert found.answer == ("" if status == document.UNDECIDED else document.IMPRECISE)


# --- The probes on this kernel -----------------------------------------------------------------------------


@each
def test_this_kernel_agrees(statement: Statement) -> None:
    for _ in range(2):
        found = document.run(statement)
        assert found.status != document.DIFFERS, repr(found)
        if found.status == document.UNDECIDED:
            pytest.skip(found.reason)
        assert found.answer == statement.verdict
        assert found.seconds < 5
    assert document.run(statement).observed == found.observed, "what's stored would change for no reason"


def test_a_probe_that_the_lab_took_the_ground_from_decides_nothing() -> None:
    def probe() -> Iterator[Case]:
        own_name("ground")
        yield holds("so far", True)
        cleanup()  # as an interrupted cell does
        raise ValueError("operation forbidden on released memoryview object")

    finding = document.run(Statement("X1", "It holds.", document.TRUE, "", "01", probe))
    assert (finding.status, finding.answer, finding.cases) == (document.UNDECIDED, "", ())
    assert finding.reason == "the lab was stopped while it ran: run it again"


def test_all_of_them_in_any_order_in_time() -> None:
    findings = [document.run(statement) for statement in reversed(ALL.values())]
    assert not [found for found in findings if found.status == document.DIFFERS]
    assert sum(found.seconds for found in findings) < 30


def test_nothing_is_left_even_of_a_probe_that_was_given_up() -> None:
    for statement in ALL.values():
        probe = statement.probe()
        with contextlib.suppress(document.UndecidedError):
            next(probe)
        probe.close()  # type: ignore[attr-defined]
    assert not observe.objects("*-probe*")
    assert not [row for row in observe.segments() if row.cpid == os.getpid()]


def test_without_a_compiler_some_are_not_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CC", "")
    found = document.run(document.find("D30"))
    assert (found.status, found.answer) == (document.UNDECIDED, "")
    assert "gcc" in found.reason


def test_the_x_server_is_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = tmp_path / "Xvfb"
    server.write_bytes(b"\0shmget\0shmat\0shmdt\0shmctl\0")
    server.chmod(server.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert document.run(document.find("D24"))
    server.write_bytes(b"\0memfd_create\0")
    assert document.run(document.find("D24")).status == document.DIFFERS


# --- Every probe can come out differently ------------------------------------------------------------------


@each
def test_no_decision_is_a_constant(statement: Statement) -> None:
    tree = ast.parse(textwrap.dedent(inspect.getsource(statement.probe)))
    deciding = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("holds", "fails", "by_linux")
    ]
    assert deciding
    for call in deciding:
        assert [node for node in ast.walk(call.args[1]) if isinstance(node, ast.Name)], ast.unparse(call)


SECTIONS = [import_module(f"shmlab.document.{section}") for section in document.SECTIONS]


class Otherwise(ModuleType):
    """A module with some functions that answer otherwise; to everybody else it looks the same."""

    def __init__(self, real: ModuleType, **changed: Any) -> None:
        super().__init__(real.__name__)
        self.__dict__.update(vars(real) | changed)


class Lying(Process):
    """A process whose steps and output are reported wrong."""

    def step(self, timeout: float = 2.0) -> State:
        state = super().step(timeout)
        return replace(state, at="", kind="blocked") if state.kind == "paused" else state

    @property
    def output(self) -> str:
        return "0"


def told(*arguments: Any) -> list[str]:
    return [" ".join(["0"] * len(line.split())) for line in probing.told(*arguments)]


def ended(*arguments: Any) -> tuple[Outcome, list[str]]:
    outcome, lines = probing.ended(*arguments)
    other = Outcome("exited", 0) if outcome.kind == "killed" else Outcome("killed", signal=11)
    return other, ["other"] * len(lines)


def as_c(*arguments: Any, returns: Any = ctypes.c_int) -> tuple[int, str]:
    value, _ = probing.as_c(*arguments, returns=returns)
    return (value if value > 2**32 else 0), "EOTHER"


def compiler_says(*lines: str, link: tuple[str, ...] | None = None) -> str:
    return "" if probing.compiler_says(*lines, link=link) else "it refuses"


def answer(call: Any, *arguments: Any) -> Any:
    found = probing.answer(call, *arguments)
    return "EOTHER" if isinstance(found, str) else found


def swapped(addr: Any, length: int, prot: int, flags: int, *rest: Any) -> posix.Mapping:
    swap = 0 if flags & posix.MAP_ANONYMOUS else posix.MAP_SHARED | posix.MAP_PRIVATE
    return posix.mmap(addr, length, prot, flags ^ swap, *rest)


def nowhere(addr: Any, length: int, prot: int, flags: int, *rest: Any) -> Any:
    mapping = posix.mmap(None, length, prot, flags, *rest)
    fields = {"buf": mapping.buf, "address": 0, "length": length}
    return contextlib.nullcontext(SimpleNamespace(**fields))


def other_lines(address: int, length: int = 1) -> list[observe.MapLine]:
    return [replace(line, perms="---p", path="other") for line in probing.lines_at(address, length)]


def fstat(fd: int) -> os.stat_result:
    real = os.fstat(fd)
    return os.stat_result((real.st_mode, real.st_ino + fd, *real[2:6], real.st_size + 1, *real[7:]))


def shmget(key: int, size: int, shmflg: int) -> int:
    return sysv.shmget(key or own_key("probe"), size, shmflg | sysv.IPC_CREAT)


def shmctl(shmid: int, cmd: int, *rest: Any) -> Any:
    told = sysv.shmctl(shmid, cmd, *rest)
    if cmd != sysv.IPC_STAT:
        return told
    return replace(told, shm_perm=replace(told.shm_perm, mode=0), shm_segsz=1, shm_nattch=3)


OTHER_KERNELS: list[dict[str, Any]] = [
    {"compiler_says": compiler_says},
    {"as_c": as_c},
    {"answer": answer},
    {"attached": lambda shmid: probing.attached(shmid) + 1},
    {"row": lambda shmid: None},
    {"lines_at": lambda address, length=1: []},
    {"posix": Otherwise(posix, mmap=swapped)},
    {"os": Otherwise(os, fstat=fstat)},
    {"os": Otherwise(os, pread=lambda fd, count, offset: b"?" * count)},
    {"os": Otherwise(os, sysconf=lambda name: -1, listdir=lambda path: [])},
    {"sysv": Otherwise(sysv, shmctl=shmctl)},
    {"sysv": Otherwise(sysv, shmget=shmget)},
    {"told": told},
    {"told": lambda *arguments: []},
    {"ended": ended},
    {"ended": lambda *arguments: (Outcome("exited", 0), ["ids: 7 8"])},
    {"Process": Lying},
    {"_ipcs": lambda: ""},
    {"counted_by_two": lambda program: 1},
    {"lines_at": other_lines},
    {"os": Otherwise(os, pwrite=lambda fd, data, offset: 0)},
    {"ctypes": Otherwise(ctypes, memset=lambda address, value, count: None)},
    {"posix": Otherwise(posix, mmap=nowhere)},
]
"""Kernels, C libraries and compilers that answer otherwise, each in one respect: by what probes ask them."""


@pytest.fixture
def standard_input() -> Iterator[None]:
    """Keep descriptor 0: a kernel that says it has opened 0 has a tidy probe close it."""
    kept = os.dup(0)
    yield
    os.dup2(kept, 0)
    os.close(kept)


@each
@pytest.mark.usefixtures("standard_input")
def test_a_kernel_that_answers_otherwise_turns_it_red(
    statement: Statement, monkeypatch: pytest.MonkeyPatch
) -> None:
    if document.run(statement).status == document.UNDECIDED:
        pytest.skip("not decided here")
    used = set(re.findall(r"\w+", inspect.getsource(statement.probe))) | {"posix", "os"}
    for kernel in OTHER_KERNELS:
        (name,) = kernel
        if name not in used:
            continue
        with monkeypatch.context() as patch:
            for module in [*SECTIONS, probing]:
                if hasattr(module, name) and not (module is probing and name not in ("os", "posix", "sysv")):
                    patch.setattr(module, name, kernel[name])
            found = document.run(statement)
        if any(not case.came_true for case in found.cases):
            assert found.status == document.DIFFERS
            assert found.observed.startswith(("unexpected: ", "the probe ran into"))
            return
    pytest.fail(f"whatever the kernel answers, {statement.id} agrees")


def counts_unguarded(name: str) -> Iterator[str]:
    fd = posix.shm_open(name, posix.O_RDWR)
    m = posix.mmap(None, 4096, posix.PROT_READ | posix.PROT_WRITE, posix.MAP_SHARED, fd)
    value = m.buf[0]
    yield "load"
    m.buf[0] = value + 1
    yield "store"


def test_without_a_guard_two_count_to_one() -> None:
    assert introduction.counted_by_two(counts_unguarded) == 1


@pytest.mark.skipif(find_compiler() is None, reason="no C compiler: install the package gcc")
def test_what_the_compiler_says_is_its_own_complaint() -> None:
    assert probing.compiler_says("int x;") == ""
    assert "undeclared" in probing.compiler_says("int f(void) { return absent; }")
    assert "absent" in probing.compiler_says("void absent(void); int main(void) { absent(); }", link=())
