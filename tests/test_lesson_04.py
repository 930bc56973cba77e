"""Lesson 04: mappings allow what they should, pages are copied as the map shows, judges aren't fooled."""

import ctypes
import os
import signal
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from shmlab import Process, check, figures, in_c, observe, own_name, posix
from shmlab.figures import CowMap, CowPage
from shmlab.programs import find_compiler
from shmlab.programs.place import place
from shmlab.programs.protect import protect
from shmlab.programs.store_and_look import store_and_look
from shmlab.programs.twice import twice

PAGE = posix.PAGE_SIZE
RW = posix.PROT_READ | posix.PROT_WRITE

LANGUAGES = [
    pytest.param(lambda program: program, id="Python"),
    pytest.param(in_c, id="C", marks=pytest.mark.skipif(find_compiler() is None, reason="no C compiler")),
]
both = pytest.mark.parametrize("language", LANGUAGES)


@pytest.fixture
def memory() -> str:
    """The name of an object of four pages; the first three begin with two dots, the last has no memory."""
    name = own_name("m")
    fd = posix.shm_open(name, posix.O_CREAT | posix.O_EXCL | posix.O_RDWR, 0o600)
    posix.ftruncate(fd, 4 * PAGE)
    for page in range(3):
        os.pwrite(fd, b"..", page * PAGE)
    posix.close(fd)
    return name


def contents(name: str) -> list[bytes]:
    data = observe.Sampler(name).read()
    return [data[page * PAGE :][:2] for page in range(4)]


# --- programs ----------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize(
    ("prot", "deed", "allowed"),
    [
        ("---", "read", False),
        ("---", "write", False),
        ("---", "execute", False),
        ("r--", "read", True),
        ("r--", "write", False),
        ("r--", "execute", False),
        ("rw-", "read", True),
        ("rw-", "write", True),
        ("rw-", "execute", False),
    ],
)
def test_what_a_protection_does_not_allow_is_sigsegv(
    language: Any, memory: str, prot: str, deed: str, allowed: bool
) -> None:
    """D86, D87, F16: for what every architecture agrees on."""
    process = Process(language(protect), memory, prot, deed).run()
    outcome = process.wait()
    assert outcome.ok == allowed
    if not allowed:
        assert outcome.signal == signal.SIGSEGV
        if process.program.language == "C":
            assert process.output == "SIGSEGV, SEGV_ACCERR: offset 0 of the mapping\n"


@both
def test_a_page_is_copied_whole_at_the_first_store_into_it(language: Any, memory: str) -> None:
    """D88, F78, and in both directions."""
    a = Process(language(store_and_look), memory, "MAP_PRIVATE", "A", 1)
    b = Process(language(store_and_look), memory, "MAP_SHARED", "B", 0, 1)
    with a, b:
        a.step(), b.step()
        seen = figures.cow_map(a.pid or 0, b.pid or 0, memory)
        assert [page.state for page in seen.pages] == ["not touched"] * 4
        assert [page.allocated for page in seen.pages] == [True, True, True, False]
        a.step()
        assert contents(memory) == [b"..", b"..", b"..", b"\0\0"]
        seen = figures.cow_map(a.pid or 0, b.pid or 0, memory)
        assert [page.state for page in seen.pages] == ["not touched", "copied", "not touched", "not touched"]
        assert (seen.pss, seen.own) == (PAGE, PAGE)
        b.step(), b.step()
        assert b.step().at == "sees .B .B .."
        assert a.step().at == "sees .B A. .."
        seen = figures.cow_map(a.pid or 0, b.pid or 0, memory)
        assert [page.state for page in seen.pages] == ["shared", "copied", "shared", "not touched"]
        # Its own page, and half of each of the two that B touched as well.
        assert (seen.pss, seen.own) == (2 * PAGE, PAGE)
        if seen.frames_permitted:
            one, two, three, four = seen.pages
            assert one.frame == one.object_frame is not None
            assert None is not two.frame != two.object_frame is not None
            assert three.frame == three.object_frame
            assert four.frame is None
    assert contents(memory) == [b".B", b".B", b"..", b"\0\0"]


@both
def test_a_page_copied_after_a_store_holds_that_store(language: Any, memory: str) -> None:
    a = Process(language(store_and_look), memory, "MAP_PRIVATE", "A", 1)
    with a, Process(language(store_and_look), memory, "MAP_SHARED", "B", 0, 1) as b:
        b.step(), b.step(), b.step(), a.step(), a.step()
        assert a.step().at == "sees .B AB .."


@both
def test_an_address_is_a_hint_an_order_or_a_question(language: Any, memory: str) -> None:
    """D83, D90."""
    said = {}
    for how in ("hint", "MAP_FIXED", "MAP_FIXED_NOREPLACE"):
        with Process(language(place), memory, how) as process:
            process.step()
            said[how] = f"{process.step()} {process.output}"
    assert "mapped elsewhere; at the address stands precious" in said["hint"]
    assert "mapped there; at the address stands .." in said["MAP_FIXED"]
    assert "File exists" in said["MAP_FIXED_NOREPLACE"]


@both
@pytest.mark.parametrize("by", ["pointer", "offset"])
def test_a_stored_pointer_leads_nowhere_an_offset_does(language: Any, memory: str, by: str) -> None:
    """D84, P21."""
    with Process(language(twice), memory, by) as process:
        states = [process.step() for _ in range(5)]
        assert states[1].at == "the other sees hello"
        if by == "offset":
            assert states[-1].at == "found hello"
            return
        assert process.outcome is not None
        assert process.outcome.signal == signal.SIGSEGV
        if process.program.language == "C":
            assert process.output == "SIGSEGV, SEGV_MAPERR: offset 64 of the mapping\n"


# --- the map of the pages ----------------------------------------------------------------------------------

MAP = CowMap(
    (
        CowPage("shared", 0x10, True, 0x10, "one"),
        CowPage("copied", 0x20, True, 0x11, "two"),
        CowPage("copied", None, True, None),
        CowPage("not touched", None, False, None),
    ),
    pss=2 * 4096,
    own=4096,
    frames_permitted=True,
)


def test_the_map_says_in_words_what_became_of_each_page() -> None:
    canvas = figures.draw_cow(MAP, "A title")
    (ax,) = canvas.figure.axes
    words = [text.get_text() for text in ax.texts]
    assert words[0] == "A title"
    assert [word for word in words if "\nframe" in word] == [
        "shared\nframe 10",
        "page 0: one\nframe 10",
        "COPIED\nframe 20",
        "page 1: two\nframe 11",
    ]
    assert [words.count(word) for word in ("one page", "two pages", "not touched")] == [1, 2, 1]
    assert "page 3\nno memory yet" in words
    assert any("Pss 8 KiB\nits own: 4 KiB" in word for word in words)
    assert all(float(text.get_fontsize()) >= figures.TYPE for text in ax.texts)
    assert figures.png(canvas).startswith(b"\x89PNG")


def test_the_map_says_that_frames_are_hidden() -> None:
    hidden = CowMap(MAP.pages[2:], MAP.pss, MAP.own, frames_permitted=False)
    for seen, expected in ((MAP, False), (hidden, True)):
        (ax,) = figures.draw_cow(seen, "A title").figure.axes
        assert any("may not see frame numbers" in text.get_text() for text in ax.texts) == expected


def test_its_sentence_says_the_same() -> None:
    assert figures.describe_cow(MAP, "A title") == (
        "A title. page 0: shared with the object, the same frame (the object holds one); page 1: copied, "
        "another "
        "frame (the object holds two); page 2: copied; page 3: not touched (the object has no memory there). "
        "The private mapping's Pss 8 KiB, its own: 4 KiB."
    )


def test_who_has_not_mapped_the_object_has_no_map(memory: str) -> None:
    with pytest.raises(ValueError, match="0 mappings"):
        figures.cow_map(os.getpid(), os.getpid(), memory)


# --- 04-a: the largest offset ------------------------------------------------------------------------------

LAST = 10_000 // PAGE * PAGE


@pytest.mark.parametrize(
    ("offset", "index", "message", "hint"),
    [
        (10_000, 0, "Invalid argument", "multiples of"),
        (0, 10_000, "nearer to it than 0", "largest multiple"),
        (LAST, 0, f"is byte {LAST} of the object", "offset + index"),
        (LAST + PAGE, 10_000 - LAST, "past byte 10000", "earlier"),
        (-PAGE, 10_000, "Value too large", "multiples of"),
        (LAST, 10_000_000, "no byte 10000000", "counts from 0"),
        (LAST, -1, "no byte -1", "counts from 0"),
        (1 << 70, 0, "no sensible offset", "between"),
        ("0", 10_000, "of type str", "whole numbers"),
        (True, None, "of type bool", "whole numbers"),
    ],
)
@pytest.mark.skipif(PAGE != 4096, reason="pages of another size")
def test_an_offset_that_is_not_the_largest_is_told_why(
    offset: Any, index: Any, message: str, hint: str
) -> None:
    verdict = check.exercise("04-a", offset, index)
    assert not verdict
    assert message in verdict.message
    assert hint in verdict.hint


def test_the_largest_offset_is_right() -> None:
    assert check.exercise("04-a", LAST, 10_000 - LAST)


# --- 04-b: a store for oneself -----------------------------------------------------------------------------


def good_scribble(name: str, offset: int) -> Iterator[str]:
    fd = posix.shm_open(name, posix.O_RDONLY)
    m = posix.mmap(None, offset + 1, RW, posix.MAP_PRIVATE, fd)
    yield "mmap"
    m.buf[offset] = 33
    yield "store"


def shared_scribble(name: str, offset: int) -> Iterator[str]:
    m = posix.mmap(None, offset + 1, RW, posix.MAP_SHARED, posix.shm_open(name, posix.O_RDWR))
    m.buf[offset] = 33
    yield "store"


def refused_scribble(name: str, offset: int) -> Iterator[str]:
    m = posix.mmap(None, offset + 1, RW, posix.MAP_SHARED, posix.shm_open(name, posix.O_RDONLY))
    m.buf[offset] = 33
    yield "store"


def reading_scribble(name: str, offset: int) -> Iterator[str]:
    m = posix.mmap(None, offset + 1, RW, posix.MAP_PRIVATE, posix.shm_open(name, posix.O_RDONLY))
    yield f"{m.buf[offset]}"


def everywhere_scribble(name: str, offset: int) -> Iterator[str]:
    m = posix.mmap(None, offset + 1, RW, posix.MAP_PRIVATE, posix.shm_open(name, posix.O_RDONLY))
    m.buf[:] = b"!" * (offset + 1)
    yield "store"


def silent_scribble(name: str, offset: int) -> Iterator[str]:
    m = posix.mmap(None, offset + 1, RW, posix.MAP_PRIVATE, posix.shm_open(name, posix.O_RDONLY))
    m.buf[offset] = 33
    posix.munmap(m)
    yield "late"


def short_scribble(name: str, offset: int) -> Iterator[str]:
    m = posix.mmap(None, offset, RW, posix.MAP_PRIVATE, posix.shm_open(name, posix.O_RDONLY))
    m.buf[offset] = 33
    yield "store"


def forbidden_scribble(name: str, offset: int) -> Iterator[str]:
    m = posix.mmap(None, offset + 1, posix.PROT_READ, posix.MAP_PRIVATE, posix.shm_open(name, posix.O_RDONLY))
    ctypes.memset(m.address + offset, 33, 1)
    yield "store"


def writing_scribble(name: str, offset: int) -> Iterator[str]:
    fd = posix.shm_open(name, posix.O_RDWR)
    m = posix.mmap(None, offset + 1, RW, posix.MAP_PRIVATE, fd)
    m.buf[offset] = 33
    os.pwrite(fd, b"!", offset)
    yield "store"


def unlinking_scribble(name: str, offset: int) -> Iterator[str]:
    posix.shm_unlink(name)
    yield "unlink"


@pytest.mark.parametrize(
    ("program", "message", "hint"),
    [
        (shared_scribble, "object has changed", "to yourself"),
        (refused_scribble, "PermissionError", "needs O_RDWR"),
        (reading_scribble, "no page of its mapping", "made by a store"),
        (everywhere_scribble, f"wanted is the one at {2 * PAGE}", "the one byte"),
        (silent_scribble, "never paused", "keep m"),
        (short_scribble, "IndexError", "offset + 1"),
        (forbidden_scribble, "SIGSEGV", "PROT_WRITE"),
        (writing_scribble, "object has changed", "to yourself"),
        (unlinking_scribble, "object is gone", "shm_unlink"),
        ("scribble", "not a program", "without parentheses"),
        (None, "None", "without parentheses"),
    ],
)
def test_a_program_that_scribbles_badly_is_told_why(program: Any, message: str, hint: str) -> None:
    verdict = check.exercise("04-b", program)
    assert not verdict
    assert message in verdict.message
    assert hint in verdict.hint
    assert not observe.objects(own_name("check"))


def test_a_program_that_scribbles_well_passes() -> None:
    verdict = check.exercise("04-b", good_scribble)
    assert verdict, verdict


# --- 04-c: a chain of offsets ------------------------------------------------------------------------------


def mapped(name: str) -> posix.Mapping:
    return posix.mmap(None, 4096, posix.PROT_READ, posix.MAP_SHARED, posix.shm_open(name, posix.O_RDONLY))


def good_chain(name: str) -> Iterator[str]:
    m = mapped(name)
    (at,) = struct.unpack_from("Q", m.buf)
    while at:
        at, word = struct.unpack_from("Q8s", m.buf, at)
        print(word.rstrip(b"\0").decode())
        yield "record"


def pointing_chain(name: str) -> Iterator[str]:
    m = mapped(name)
    (at,) = struct.unpack_from("Q", m.buf)
    while at:
        at, word = struct.unpack("Q8s", ctypes.string_at(at, 16))
        print(word.rstrip(b"\0").decode())
        yield "record"


def padded_chain(name: str) -> Iterator[str]:
    m = mapped(name)
    (at,) = struct.unpack_from("Q", m.buf)
    while at:
        at, word = struct.unpack_from("Q8s", m.buf, at)
        print(word.decode())
        yield "record"


def hasty_chain(name: str) -> Iterator[str]:
    m = mapped(name)
    (at,) = struct.unpack_from("Q", m.buf)
    while at:
        after, word = struct.unpack_from("Q8s", m.buf, at)
        at = after
        if at:
            print(word.rstrip(b"\0").decode())
        yield "record"


def endless_chain(name: str) -> Iterator[str]:
    m = mapped(name)
    (at,) = struct.unpack_from("Q", m.buf)
    while True:
        yield f"{at}"


def eager_chain(name: str) -> Iterator[str]:
    m = mapped(name)
    (at,) = struct.unpack_from("Q", m.buf)
    while True:
        at, word = struct.unpack_from("Q8s", m.buf, at)
        print(word.rstrip(b"\0").decode())
        yield "record"
        if not at:
            return


@pytest.mark.parametrize(
    ("program", "message", "hint"),
    [
        (pointing_chain, "SIGSEGV", "no address"),
        (padded_chain, "it printed", "zeros off"),
        (hasty_chain, "it printed one object,,", "last record"),
        (endless_chain, "has not ended", "ends with the record"),
        (eager_chain, "a chain of 0 records", "no record at all"),
        (lambda name: None, "", ""),
        (42, "", ""),
    ],
)
def test_a_program_that_follows_badly_is_told_why(program: Any, message: str, hint: str) -> None:
    verdict = check.exercise("04-c", program)
    assert not verdict
    assert message in verdict.message
    assert hint in verdict.hint
    assert not observe.objects(own_name("check"))


def test_a_program_that_follows_well_passes() -> None:
    verdict = check.exercise("04-c", good_chain)
    assert verdict, verdict
