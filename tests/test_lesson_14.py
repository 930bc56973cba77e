"""Lesson 14: judges decide by what happens, whatever a student gives them; its table is of this kernel."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from shmlab import check, document, observe, posix
from shmlab.document import decide
from shmlab.questions import lesson_14

LESSON = Path(__file__).parent.parent / "notebooks" / "14-the-document-checked.ipynb"
PAGE = posix.PAGE_SIZE


def test_the_claims_differ_in_their_verdicts() -> None:
    verdicts = [decide(tuple(probe())) for _, probe, _ in lesson_14.CLAIMS]
    assert len(set(verdicts)) == 3
    assert check.exercise("14-a", *verdicts)
    assert check.exercise("14-a", *(f" {verdict.title()} " for verdict in verdicts))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (("wrong", "wrong", "imprecise"), "first"),
        (("true", "imprecise", "imprecise"), "second"),
        (("true", "wrong", "true on Linux"), "third"),
        (("true", "wrong", "maybe"), "no verdict"),
        (("true", None, 3), "None is no verdict"),
        (("true",), "given 1 value"),
    ],
)
def test_a_wrong_verdict_is_named_by_its_claim(values: tuple[Any, ...], words: str) -> None:
    verdict = check.exercise("14-a", *values)
    assert not verdict
    assert words in verdict.message


def unsized(name):
    fd = posix.shm_open(name, posix.O_RDWR)
    m = posix.mmap(None, 4096, posix.PROT_READ, posix.MAP_SHARED, fd)
    yield "mmap"
    m.buf[0]


def forbidden(name):
    fd = posix.shm_open(name, posix.O_RDWR)
    posix.ftruncate(fd, 4096)
    m = posix.mmap(None, 4096, posix.PROT_NONE, posix.MAP_SHARED, fd)
    yield "mmap"
    m.buf[0]


def untouched(name):
    fd = posix.shm_open(name, posix.O_RDWR)
    posix.mmap(None, 4096, posix.PROT_READ, posix.MAP_SHARED, fd)
    yield "mmap"


def too_soon(name):
    fd = posix.shm_open(name, posix.O_RDWR)
    yield "shm_open"
    m = posix.mmap(None, 4096, posix.PROT_READ, posix.MAP_SHARED, fd)
    m.buf[0]


def suicide(name):
    yield "mmap"
    os.kill(os.getpid(), 11)


def endless(name, flags=0):
    while True:
        yield "mmap"


def raises(name, flags=0):
    raise ValueError("no")
    yield


@pytest.mark.parametrize("program", [unsized, forbidden])
def test_a_counterexample_dies_of_its_touch(program: Any) -> None:
    verdict = check.exercise("14-b", program)
    assert verdict, verdict
    assert "SIGBUS" in verdict.message or "SIGSEGV" in verdict.message


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (untouched, "nothing is refuted"),
        (too_soon, "never yielded with the object mapped"),
        (suicide, "never yielded with the object mapped"),
        (endless, "hasn't ended"),
        (raises, "ValueError"),
        (None, "not a program"),
        ("refute", "not a program"),
    ],
)
def test_what_refutes_nothing_is_told_so(program: Any, words: str) -> None:
    verdict = check.exercise("14-b", program)
    assert not verdict
    assert words in verdict.message


def by_pread(name, flags):
    fd = posix.shm_open(name, posix.O_RDWR)
    m = posix.mmap(None, 4096, posix.PROT_READ | posix.PROT_WRITE, flags, fd)
    before = os.pread(fd, 1, 0)[0]
    m.buf[0] = before ^ 1
    yield "wrong" if os.pread(fd, 1, 0)[0] == before else "true"


def always_true(name, flags):
    yield "true"


def by_the_flags(name, flags):
    yield "true" if flags == posix.MAP_SHARED else "wrong"


def other_words(name, flags):
    yield "yes"


def silent(name, flags):
    return
    yield


def test_a_probe_that_looks_at_the_bytes_is_right() -> None:
    verdict = check.exercise("14-c", by_pread)
    assert verdict, verdict
    assert "true, wrong, true" in verdict.message


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (always_true, "MAP_PRIVATE"),
        (by_the_flags, "MAP_SHARED_VALIDATE"),
        (other_words, "'yes'"),
        (silent, "'nothing'"),
        (endless, "has not ended"),
        (raises, "ValueError"),
        (7, "not a program"),
    ],
)
def test_a_probe_that_decides_by_anything_else_is_not(program: Any, words: str) -> None:
    verdict = check.exercise("14-c", program)
    assert not verdict
    assert words in verdict.message + verdict.hint


def test_judging_leaves_nothing() -> None:
    check.exercise("14-b", endless)
    check.exercise("14-c", raises)
    assert not observe.objects("*-check*")


def test_the_stored_table_is_whole_and_agrees() -> None:
    cells = {cell["id"]: cell for cell in json.loads(LESSON.read_text(encoding="utf-8"))["cells"]}
    html = "".join(cells["run-all"]["outputs"][0]["data"]["text/html"])
    for id_, statement in document.statements().items():
        assert f"<b>{id_}</b>" in html
        assert statement.words.split("<")[0].replace("'", "&#x27;") in html
    assert "answers differently" not in html
    assert "not run yet" not in html
