"""Lesson 03: programs die of what they should, the chart shows what was measured, judges aren't fooled."""

import os
import signal
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from shmlab import Process, check, figures, in_c, observe, own_name, posix
from shmlab.processes import start
from shmlab.programs import find_compiler
from shmlab.programs.fill import ROOM, fill
from shmlab.programs.touch import touch
from shmlab.programs.trespass import trespass

PAGE = posix.PAGE_SIZE
CREATE = posix.O_CREAT | posix.O_EXCL | posix.O_RDWR
SIZES = (0, 1, PAGE // 4, PAGE // 2, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE, 2 * PAGE + 1808)

LANGUAGES = [
    pytest.param(lambda program: program, id="Python"),
    pytest.param(in_c, id="C", marks=pytest.mark.skipif(find_compiler() is None, reason="no C compiler")),
]
both = pytest.mark.parametrize("language", LANGUAGES)


def sized(word: str, size: int) -> str:
    name = own_name(word)
    fd = posix.shm_open(name, CREATE, 0o600)
    posix.ftruncate(fd, size)
    posix.close(fd)
    return name


# --- programs ----------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("size", SIZES)
def test_the_first_fault_is_the_size_rounded_up_to_a_page(language: Any, size: int) -> None:
    """D16, D18, F16: every byte up to there can be read, and the next is fatal."""
    first = -(-size // PAGE) * PAGE
    process = Process(language(touch), sized("m", size), 4 * PAGE, 0, 4 * PAGE).run()
    outcome = process.wait()
    assert (outcome.kind, outcome.signal) == ("killed", signal.SIGBUS)
    assert process.state.step - 2 == first
    if process.program.language == "C":
        assert process.output == f"SIGBUS, BUS_ADRERR: offset {first} of the mapping\n"
    else:
        assert process.program.source.splitlines()[(outcome.line or 0) - 1].strip() == "value = m.buf[at]"


@both
def test_one_touch_an_offset(language: Any) -> None:
    name = sized("m", PAGE + 1)
    offsets = [0, PAGE, 2 * PAGE - 1, 2 * PAGE, 3 * PAGE]
    probes = [Process(language(touch), name, 4 * PAGE, offset, 1) for offset in offsets]
    start(*probes)
    assert [probe.run().wait().ok for probe in probes] == [True, True, True, False, False]


@both
def test_a_mapping_longer_than_its_object_becomes_usable_and_unusable(language: Any) -> None:
    """F05, F18: it's the size at the touch that counts, in an old mapping too."""
    name = sized("m", 0)
    fd = posix.shm_open(name, posix.O_RDWR)
    with Process(language(touch), name, PAGE, 0, 3) as process:
        process.step(), process.step()
        os.pwrite(fd, b"A", 0)
        assert process.step().at == "read 65"
        posix.ftruncate(fd, 0)
        posix.ftruncate(fd, PAGE)
        assert process.step().at == "read 0"
        posix.close(posix.shm_open(name, posix.O_RDWR | posix.O_TRUNC))
        assert process.step().kind == "ended"
        assert process.outcome is not None
        assert process.outcome.signal == signal.SIGBUS
    posix.close(fd)


@both
@pytest.mark.parametrize(
    ("way", "code", "offset"),
    [
        ("past the mapping", "SEGV_MAPERR", PAGE),
        ("unmapped", "SEGV_MAPERR", 0),
        ("read-only", "SEGV_ACCERR", 0),
    ],
)
def test_trespassing_is_sigsegv_though_the_object_is_long_enough(
    language: Any, way: str, code: str, offset: int
) -> None:
    """F16."""
    process = Process(language(trespass), sized("m", 2 * PAGE), way).run()
    assert process.wait().signal == signal.SIGSEGV
    if process.program.language == "C":
        assert process.output == f"SIGSEGV, {code}: offset {offset} of the mapping\n"


def filled(language: Any, how: str, size: int = 2 * ROOM) -> Process:
    process = Process(language(fill), own_name("big"), size, how).run()
    process.wait()
    if process.state.step == 0:
        pytest.skip(f"no private /dev/shm: {process.outcome}, {process.output}")
    return process


@both
def test_a_full_dev_shm_is_a_bus_error_at_the_first_page_that_does_not_fit(language: Any) -> None:
    """F09; and nobody's /dev/shm but the process's own."""
    before = os.statvfs("/dev/shm").f_blocks
    process = filled(language, "ftruncate")
    assert process.outcome is not None
    assert process.outcome.signal == signal.SIGBUS
    assert process.state.step - 3 == ROOM // PAGE
    assert observe.object_entry(own_name("big")) is None
    assert os.statvfs("/dev/shm").f_blocks == before
    if process.program.language == "C":
        assert process.output == f"SIGBUS, BUS_ADRERR: offset {ROOM} of the mapping\n"


@both
def test_posix_fallocate_says_so_instead(language: Any) -> None:
    """F10."""
    process = filled(language, "posix_fallocate")
    assert process.outcome is not None
    assert process.outcome.kind in ("raised", "exited")
    assert not process.outcome.ok
    assert "No space left on device" in str(process.outcome) + process.output
    fits = filled(language, "posix_fallocate", ROOM)
    assert fits.outcome is not None
    assert fits.outcome.ok


# --- the chart ---------------------------------------------------------------------------------------------

FAULTS: dict[int, int | None] = {0: 0, 1: 4096, 1024: 4096, 4097: 8192, 20_000: None}


def test_the_chart_shows_what_was_measured() -> None:
    canvas, ax = figures.figure(1000, 620)
    artists = figures.draw_faults(ax, FAULTS, 4096, 16_384)
    assert [bar.get_width() for bar in artists.inside] == [0, 1, 1024, 4097, 16_384]
    assert [bar.get_width() for bar in artists.rest] == [0, 4095, 3072, 4095, 0]
    assert [bar.get_width() for bar in artists.beyond] == [16_384, 12_288, 12_288, 8192, 0]
    assert np.asarray(artists.marks.get_xdata()).tolist() == [0, 4096, 4096, 8192]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["0", "1", "1024", "4097", "20000"]
    assert "bytes" in ax.get_xlabel()
    assert figures.png(canvas).startswith(b"\x89PNG")
    texts = [*ax.get_xticklabels(), *ax.get_yticklabels(), *ax.texts, ax.xaxis.label, ax.yaxis.label]
    assert all(float(text.get_fontsize()) >= figures.TYPE for text in texts)


def test_the_sentence_states_the_rule_only_where_it_holds() -> None:
    said = figures.describe_faults({0: 0, 1: 4096, 1024: 4096, 4097: 8192}, 4096, 16_384)
    assert said == (
        "Objects mapped 16384 bytes long; the first touch that is fatal is at offset 0 for size 0, "
        "at offset 4096 for sizes 1 and 1024, at offset 8192 for size 4097: the size, rounded up to whole "
        "pages of 4096 bytes."
    )
    assert "at no offset for size 20000." in figures.describe_faults(FAULTS, 4096, 16_384)
    assert "rounded" not in figures.describe_faults({1: 1}, 4096, 16_384)


# --- 03-a: the smallest size -------------------------------------------------------------------------------

SMALLEST = 10_000 // PAGE * PAGE + 1


@pytest.mark.parametrize(
    ("size", "message", "hint"),
    [
        (SMALLEST - 1, "killed by signal 7", "Which page"),
        (SMALLEST + 1, "it does, too", "page is there as a whole"),
        (SMALLEST + PAGE, "it does, too", "page is there as a whole"),
        (0, "no sensible size", "16 MiB"),
        (1 << 60, "no sensible size", "16 MiB"),
        ("8193", "of type str", "whole number"),
        (True, "of type bool", "whole number"),
    ],
)
@pytest.mark.skipif(SMALLEST < 2, reason="pages of more than 10,000 bytes")
def test_a_size_that_is_not_the_smallest_is_told_why(size: Any, message: str, hint: str) -> None:
    verdict = check.exercise("03-a", size)
    assert not verdict
    assert message in verdict.message
    assert hint in verdict.hint


def test_the_smallest_size_is_right() -> None:
    assert check.exercise("03-a", SMALLEST)


# --- 03-b: growing, never shortening -----------------------------------------------------------------------


def store(fd: int, offset: int, length: int = 0) -> None:
    m = posix.mmap(None, length or offset + 1, posix.PROT_READ | posix.PROT_WRITE, posix.MAP_SHARED, fd)
    m.buf[offset] = 33


def good_put(name: str, offset: int) -> Iterator[str]:
    fd = posix.shm_open(name, posix.O_RDWR)
    if os.fstat(fd).st_size <= offset:
        posix.ftruncate(fd, offset + 1)
    store(fd, offset)
    yield "store"


def reserving_put(name: str, offset: int) -> Iterator[str]:
    fd = posix.shm_open(name, posix.O_RDWR)
    posix.posix_fallocate(fd, offset, 1)
    store(fd, offset)
    yield "store"


def unsized_put(name: str, offset: int) -> Iterator[str]:
    store(posix.shm_open(name, posix.O_RDWR), offset)
    yield "store"


def shortening_put(name: str, offset: int) -> Iterator[str]:
    fd = posix.shm_open(name, posix.O_RDWR)
    posix.ftruncate(fd, offset + 1)
    store(fd, offset)
    yield "store"


def paging_put(name: str, offset: int) -> Iterator[str]:
    """Thinks that what survives has arrived."""
    fd = posix.shm_open(name, posix.O_RDWR)
    if -(-os.fstat(fd).st_size // PAGE) * PAGE <= offset:
        posix.ftruncate(fd, offset + 1)
    store(fd, offset)
    yield "store"


def short_by_one_put(name: str, offset: int) -> Iterator[str]:
    fd = posix.shm_open(name, posix.O_RDWR)
    if os.fstat(fd).st_size < offset:
        posix.ftruncate(fd, offset + 1)
    store(fd, offset)
    yield "store"


def truncating_put(name: str, offset: int) -> Iterator[str]:
    fd = posix.shm_open(name, posix.O_RDWR | posix.O_TRUNC)
    posix.ftruncate(fd, 2 * PAGE)
    store(fd, offset)
    yield "store"


def private_put(name: str, offset: int) -> Iterator[str]:
    fd = posix.shm_open(name, posix.O_RDWR)
    if os.fstat(fd).st_size <= offset:
        posix.ftruncate(fd, offset + 1)
    m = posix.mmap(None, offset + 1, posix.PROT_READ | posix.PROT_WRITE, posix.MAP_PRIVATE, fd)
    m.buf[offset] = 33
    yield "store"


def short_mapping_put(name: str, offset: int) -> Iterator[str]:
    fd = posix.shm_open(name, posix.O_RDWR)
    posix.ftruncate(fd, 4 * PAGE)
    store(fd, offset, PAGE)
    yield "store"


def read_only_put(name: str, offset: int) -> Iterator[str]:
    fd = posix.shm_open(name, posix.O_RDONLY)
    posix.ftruncate(fd, offset + 1)
    yield "never"


def unlinking_put(name: str, offset: int) -> Iterator[str]:
    fd = posix.shm_open(name, posix.O_RDWR)
    posix.ftruncate(fd, 4 * PAGE)
    store(fd, offset)
    posix.shm_unlink(name)
    yield "store"


@pytest.mark.parametrize(
    ("program", "message", "hint"),
    [
        (unsized_put, "killed by signal 7", "size it first"),
        (shortening_put, f"it had {2 * PAGE} bytes", "fstat"),
        (paging_put, "read(2) finds no byte 2000", "isn't the object's"),
        (short_by_one_put, "an object of one page", "size it first"),
        (truncating_put, "what stood in it before is lost", "O_TRUNC"),
        (private_put, "is 0, not 33", "MAP_SHARED"),
        (short_mapping_put, "IndexError", "reach as far"),
        (read_only_put, "Errno 22", "O_RDWR"),
        (unlinking_put, "the object is gone", "shm_unlink"),
    ],
)
def test_a_program_that_puts_badly_is_told_why(program: Any, message: str, hint: str) -> None:
    verdict = check.exercise("03-b", program)
    assert not verdict
    assert message in verdict.message
    assert hint in verdict.hint


@pytest.mark.parametrize("program", [good_put, reserving_put])
def test_a_program_that_puts_well_passes(program: Any) -> None:
    verdict = check.exercise("03-b", program)
    assert verdict, verdict


# --- 03-c: reserved, or nothing ----------------------------------------------------------------------------


def good_reserve(name: str, size: int) -> Iterator[str]:
    fd = posix.shm_open(name, posix.O_CREAT | posix.O_EXCL | posix.O_RDWR)
    try:
        posix.posix_fallocate(fd, 0, size)
    except OSError:
        posix.shm_unlink(name)
        raise
    yield "reserved"


def truncating_reserve(name: str, size: int) -> Iterator[str]:
    posix.ftruncate(posix.shm_open(name, posix.O_CREAT | posix.O_RDWR), size)
    yield "sized"


def touching_reserve(name: str, size: int) -> Iterator[str]:
    fd = posix.shm_open(name, posix.O_CREAT | posix.O_RDWR)
    posix.ftruncate(fd, size)
    for at in range(0, size, PAGE):
        os.pwrite(fd, b"x", at)
    yield "touched"


def leaving_reserve(name: str, size: int) -> Iterator[str]:
    posix.posix_fallocate(posix.shm_open(name, posix.O_CREAT | posix.O_RDWR), 0, size)
    yield "reserved"


def silent_reserve(name: str, size: int) -> Iterator[str]:
    try:
        posix.posix_fallocate(posix.shm_open(name, posix.O_CREAT | posix.O_RDWR), 0, size)
    except OSError:
        posix.shm_unlink(name)
    yield "reserved, or not"


def twice_reserve(name: str, size: int) -> Iterator[str]:
    for _ in range(2):
        posix.shm_open(name, posix.O_CREAT | posix.O_EXCL | posix.O_RDWR)
    yield "never"


def not_creating_reserve(name: str, size: int) -> Iterator[str]:
    posix.shm_open(name, posix.O_RDWR)
    yield "never"


def larger_reserve(name: str, size: int) -> Iterator[str]:
    posix.posix_fallocate(posix.shm_open(name, posix.O_CREAT | posix.O_RDWR), 0, size + 1)
    yield "reserved"


def unlinking_reserve(name: str, size: int) -> Iterator[str]:
    posix.posix_fallocate(posix.shm_open(name, posix.O_CREAT | posix.O_RDWR), 0, size)
    posix.shm_unlink(name)
    yield "reserved"


@pytest.mark.parametrize(
    ("program", "message", "hint"),
    [
        (truncating_reserve, "0 are allocated", "posix_fallocate does both"),
        (touching_reserve, "pages of it were touched", "untouched"),
        (leaving_reserve, "left an object", "except OSError"),
        (silent_reserve, "exited with status 0", "raise it again"),
        (twice_reserve, "FileExistsError", "Open it once"),
        (not_creating_reserve, "FileNotFoundError", "O_CREAT"),
        (larger_reserve, f"not {3 * PAGE}", "second argument"),
        (unlinking_reserve, "no object of that name", "only when reserving failed"),
    ],
)
def test_a_program_that_reserves_badly_is_told_why(program: Any, message: str, hint: str) -> None:
    verdict = check.exercise("03-c", program)
    assert not verdict
    assert message in verdict.message
    assert hint in verdict.hint
    assert not observe.objects(own_name("check"))


def test_a_program_that_reserves_well_passes() -> None:
    verdict = check.exercise("03-c", good_reserve)
    assert verdict, verdict
