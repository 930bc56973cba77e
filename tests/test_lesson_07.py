"""Lesson 07: strangers meet in both languages, the flawed pattern fails as it should, judges see through."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import permutations
from typing import Any

import pytest

from shmlab import Process, check, in_c, observe, own_name, posix
from shmlab.processes import start
from shmlab.programs import find_compiler
from shmlab.programs.announce import announce
from shmlab.programs.hasty_reader import hasty_reader
from shmlab.programs.hasty_writer import hasty_writer
from shmlab.programs.patient import patient
from shmlab.programs.reader import reader
from shmlab.programs.stranger import stranger
from shmlab.programs.writer import writer

CREATE = posix.O_CREAT | posix.O_EXCL | posix.O_RDWR
READ_WRITE = posix.PROT_READ | posix.PROT_WRITE
NOBODY = 65534

Twin = Callable[[Any], Any]


def itself(program: Any) -> Any:
    return program


LANGUAGES = [
    pytest.param(itself, id="Python"),
    pytest.param(in_c, id="C", marks=pytest.mark.skipif(find_compiler() is None, reason="no C compiler")),
]
one = pytest.mark.parametrize("one", LANGUAGES)
other = pytest.mark.parametrize("other", LANGUAGES)


@pytest.fixture
def name() -> Iterator[str]:
    """A name that nothing has, and that nothing has afterwards."""
    each = own_name("l7")
    yield each
    with suppress(FileNotFoundError):
        posix.shm_unlink(each)


def create(name: str, size: int, content: bytes = b"", mode: int = 0o600) -> None:
    fd = posix.shm_open(name, CREATE, mode)
    os.fchmod(fd, mode)
    posix.ftruncate(fd, size)
    os.pwrite(fd, content, 0)
    posix.close(fd)


def labels(process: Process) -> list[str]:
    """Step to the end; return what each step was called."""
    found = []
    while process.step().kind != "ended":
        found.append(process.state.at)
    return found


# --- programs ----------------------------------------------------------------------------------------------


@one
@other
def test_strangers_of_two_sessions_exchange_a_text(one: Twin, other: Twin, name: str) -> None:
    create(name, 4096)
    with Process(one(writer), name, "hello") as a, Process(other(reader), name) as b:
        a.step()
        b.step()
        assert len({os.getsid(pid) for pid in (os.getpid(), a.pid or 0, b.pid or 0)}) == 3
        assert a.run().wait().ok
        assert b.run().wait().ok
        assert b.output == "hello\n"


@one
def test_a_reader_says_what_it_does_and_creates_nothing(one: Twin, name: str) -> None:
    with Process(one(reader), name) as absent:
        outcome = absent.run().wait()
        assert not outcome.ok
        assert "No such file or directory" in f"{outcome} {absent.output}"
    assert observe.object_entry(name) is None
    create(name, 100, b"x" * 100)  # no zero byte ends this text
    with Process(one(reader), name) as process:
        assert labels(process) == ["shm_open", "mmap", "print", "munmap"]
        assert process.output == "x" * 100 + "\n"


@one
@other
def test_the_hasty_pair_works_in_one_order_only(one: Twin, other: Twin, name: str) -> None:
    with Process(one(hasty_writer), name, "hello") as a, Process(other(hasty_reader), name) as b:
        assert labels(a) == ["shm_open", "mmap", "store", "munmap"]
        assert labels(b) == ["shm_open", "mmap", "print", "shm_unlink"]
        assert b.output == "'hello'\n"
        assert observe.object_entry(name) is None
    with Process(one(hasty_writer), name, "hello") as a, Process(other(hasty_reader), name) as b:
        assert b.run().wait().ok
        assert a.run().wait().ok
        assert b.output == "''\n"
        assert observe.Sampler(name).read(0, 5) == b"hello"  # and nobody will read it


def test_unlinked_under_its_users_and_created_again(name: str) -> None:
    with (
        Process(hasty_writer, name, "hello") as a,
        Process(hasty_reader, name) as b,
        Process(hasty_reader, name) as c,
    ):
        for process in (a, b, a, b, b, b, c, c, a, c):
            process.step()
        assert (b.output, c.output) == ("''\n", "''\n")
        old, new = (
            next(each for each in observe.mappings(process.pid or 0) if name in each.path)
            for process in (a, c)
        )
        entry = observe.object_entry(name)
        assert entry is not None
        assert (old.deleted, new.deleted) == (True, False)
        assert old.inode != new.inode == entry.inode


@one
@other
def test_announced_whatever_the_order(one: Twin, other: Twin, name: str) -> None:
    for order in sorted(set(permutations("AAAABB"))):
        with Process(one(announce), name, "hello") as a, Process(other(patient), name, 50) as b:
            for label in order:
                (a if label == "A" else b).step()
            assert a.run().wait().ok
            assert b.run().wait().ok
            assert b.output == "'hello'\n", order
        posix.shm_unlink(name)


@one
@other
def test_a_patient_reader_knows_how_far_the_creator_is(one: Twin, other: Twin, name: str) -> None:
    with Process(one(announce), name, "hello") as a, Process(other(patient), name, 50) as b:
        seen = [b.step().at, *((a.step().at, b.step().at)[1] for _ in range(4))]
        assert seen == ["no such name", "no size yet", "no text yet", "no text yet", "print"]


@one
def test_nobody_comes_and_nobody_waits_for_ever(one: Twin, name: str) -> None:
    with Process(one(patient), name, 5) as process:
        outcome = process.run().wait()
        assert "5 tries, and nobody announced" in f"{outcome} {process.output}"
    create(name, 0)
    with Process(one(announce), name, "hello") as process:  # it's taken: that is told
        outcome = process.run().wait()
        assert not outcome.ok
        assert "File exists" in f"{outcome} {process.output}"


def tried(program: Any, name: str, uid: int) -> dict[str, str]:
    with Process(program, name, uid) as process:
        assert process.run().wait().ok
        return dict(line.split(": ") for line in process.output.splitlines())


@one
def test_0644_for_its_owner_and_for_another(one: Twin, name: str) -> None:
    create(name, 4096, mode=0o644)
    reading = {"O_RDONLY", "mmap PROT_READ"}
    if os.getuid() == 0:
        found = tried(one(stranger), name, NOBODY)
        assert {call for call, answer in found.items() if answer == "yes"} == reading
        assert {found[call] for call in found.keys() - reading} == {"EACCES", "EPERM"}
        assert found["fchmod 0666"] == "EPERM"
        entry = observe.object_entry(name)
        assert entry is not None
        assert (entry.mode, entry.size) == (0o644, 4096)
    found = tried(one(stranger), name, os.getuid())
    assert {call for call, answer in found.items() if answer != "yes"} == {"mmap PROT_WRITE"}
    assert observe.object_entry(name) is None


@one
@pytest.mark.skipif(os.getuid() == 0, reason="root may become anybody")
def test_who_may_not_become_another_says_so(one: Twin, name: str) -> None:
    create(name, 4096)
    with Process(one(stranger), name, NOBODY if os.getuid() != NOBODY else 1) as process:
        outcome = process.run().wait()
        assert "not permitted" in f"{outcome} {process.output}"


# --- 07-a: a umask -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mask", "message", "hint"),
    [
        (0o022, "0644", "too little"),
        (0o077, "0600", "too much"),
        (0o640, "0026", "not what is left"),
        (27, "0644", "Octal numbers begin with 0o"),
        ("027", "not a number", "0o022"),
        (0o1000, "no umask", "nine bits"),
    ],
)
def test_a_umask_that_is_wrong_is_told_why(mask: Any, message: str, hint: str) -> None:
    verdict = check.exercise("07-a", mask)
    assert not verdict
    assert message in verdict.message
    assert hint in verdict.hint


@pytest.mark.parametrize("mask", [0o027, 0o026, 0o127])
def test_every_umask_that_does_it_passes(mask: int) -> None:
    before = os.umask(0o022)
    try:
        assert check.exercise("07-a", mask)
        assert os.umask(0o022) == 0o022  # the notebook's own is left alone
    finally:
        os.umask(before)


# --- 07-b: a fresh object ----------------------------------------------------------------------------------


def fill(fd: int, text: str) -> None:
    m = posix.mmap(None, 4096, READ_WRITE, posix.MAP_SHARED, fd)
    m.buf[: len(text)] = text.encode()


def good_restart(name: str, text: str) -> Iterator[str]:
    with suppress(FileNotFoundError):
        posix.shm_unlink(name)
    fd = posix.shm_open(name, CREATE, 0o600)
    posix.ftruncate(fd, 4096)
    fill(fd, text)
    yield "store"


def truncating_restart(name: str, text: str) -> Iterator[str]:
    fd = posix.shm_open(name, posix.O_CREAT | posix.O_RDWR | posix.O_TRUNC)
    posix.ftruncate(fd, 4096)
    fill(fd, text)
    yield "store"


def murderous_restart(name: str, text: str) -> Iterator[str]:
    """Empties the old object before it makes a new one."""
    with suppress(FileNotFoundError):
        posix.shm_open(name, posix.O_RDWR | posix.O_TRUNC)
    yield from good_restart(name, text)


def exclusive_restart(name: str, text: str) -> Iterator[str]:
    posix.ftruncate(posix.shm_open(name, CREATE), 4096)
    fill(posix.shm_open(name, posix.O_RDWR), text)
    yield "store"


def unlinking_restart(name: str, text: str) -> Iterator[str]:
    posix.shm_unlink(name)
    yield "never"


def unsized_restart(name: str, text: str) -> Iterator[str]:
    with suppress(FileNotFoundError):
        posix.shm_unlink(name)
    fill(posix.shm_open(name, CREATE), text)
    yield "never"


def empty_restart(name: str, text: str) -> Iterator[str]:
    with suppress(FileNotFoundError):
        posix.shm_unlink(name)
    posix.ftruncate(posix.shm_open(name, CREATE), 4096)
    yield "sized"


def leaving_restart(name: str, text: str) -> Iterator[str]:
    yield from good_restart(name, text)
    posix.shm_unlink(name)


def one_argument_restart(name: str) -> Iterator[str]:
    yield "never"


@pytest.mark.parametrize(
    ("program", "message", "hint"),
    [
        (truncating_restart, "it's the same object", "shm_unlink takes its name"),
        (murderous_restart, "killed by signal 7", "took its bytes away"),
        (exclusive_restart, "FileExistsError", "shm_unlink it first"),
        (unlinking_restart, "FileNotFoundError", "except FileNotFoundError"),
        (unsized_restart, "killed by signal 7", "ftruncate before"),
        (empty_restart, "reads ''", "from offset 0"),
        (leaving_restart, "no object afterwards", "before you create"),
        (one_argument_restart, "", "two arguments"),
    ],
)
def test_a_program_that_restarts_badly_is_told_why(program: Any, message: str, hint: str) -> None:
    verdict = check.exercise("07-b", program)
    assert not verdict
    assert message in verdict.message
    assert hint in verdict.hint
    assert not observe.objects(own_name("check"))


def test_a_program_that_restarts_well_passes() -> None:
    verdict = check.exercise("07-b", good_restart)
    assert verdict, verdict


# --- 07-c: without roles -----------------------------------------------------------------------------------


def sized(fd: int, tries: int) -> Iterator[str]:
    for _ in range(tries):
        if os.fstat(fd).st_size == 4096:
            return
        yield "no size yet"
    raise TimeoutError("nobody sized it")


def finish(fd: int, number: int) -> None:
    print(("first", "second")[number])
    m = posix.mmap(None, 4096, READ_WRITE, posix.MAP_SHARED, fd)
    m.buf[number] = number + 1


def good_meet(name: str) -> Iterator[str]:
    try:
        fd, number = posix.shm_open(name, CREATE), 0
        yield "created"
        posix.ftruncate(fd, 4096)
    except FileExistsError:
        fd, number = posix.shm_open(name, posix.O_RDWR), 1
        yield from sized(fd, 2000)
    finish(fd, number)
    yield "stored"


def hasty_meet(name: str) -> Iterator[str]:
    fd = posix.shm_open(name, posix.O_CREAT | posix.O_RDWR)
    number = 0 if os.fstat(fd).st_size == 0 else 1
    posix.ftruncate(fd, 4096)
    finish(fd, number)
    yield "stored"


def impatient_meet(name: str) -> Iterator[str]:
    try:
        fd, number = posix.shm_open(name, CREATE), 0
        posix.ftruncate(fd, 4096)
    except FileExistsError:
        fd, number = posix.shm_open(name, posix.O_RDWR), 1
    finish(fd, number)
    yield "stored"


def brief_meet(name: str) -> Iterator[str]:
    try:
        fd, number = posix.shm_open(name, CREATE), 0
        posix.ftruncate(fd, 4096)
    except FileExistsError:
        fd, number = posix.shm_open(name, posix.O_RDWR), 1
        yield from sized(fd, 2)
    finish(fd, number)
    yield "stored"


def eternal_meet(name: str) -> Iterator[str]:
    try:
        fd, number = posix.shm_open(name, CREATE), 0
        posix.ftruncate(fd, 4096)
    except FileExistsError:
        fd, number = posix.shm_open(name, posix.O_RDWR), 1
        while os.fstat(fd).st_size == 0:
            yield "no size yet"
    finish(fd, number)
    yield "stored"


def looking_meet(name: str) -> Iterator[str]:
    """Looks first and creates afterwards: the gap is wide, so that two find it."""
    if not os.path.exists("/dev/shm" + name):
        for _ in range(50):
            yield "gap"
        fd, number = posix.shm_open(name, posix.O_CREAT | posix.O_RDWR), 0
        posix.ftruncate(fd, 4096)
    else:
        fd, number = posix.shm_open(name, posix.O_RDWR), 1
        yield from sized(fd, 2000)
    finish(fd, number)
    yield "stored"


def silent_meet(name: str) -> Iterator[str]:
    posix.ftruncate(posix.shm_open(name, posix.O_CREAT | posix.O_RDWR), 4096)
    yield "sized"


@pytest.mark.parametrize(
    ("program", "message", "hint"),
    [
        (hasty_meet, "has not sized yet", "must not set the size itself"),
        (impatient_meet, "killed by signal 7", "wait for its size"),
        (brief_meet, "TimeoutError", "a thousand times"),
        (eternal_meet, "has not ended", "for ever"),
        (looking_meet, "both at once", "in one call"),
        (silent_meet, "printed ''", "print first"),
    ],
)
def test_a_program_that_meets_badly_is_told_why(program: Any, message: str, hint: str) -> None:
    verdict = check.exercise("07-c", program)
    assert not verdict
    assert message in verdict.message
    assert hint in verdict.hint
    assert not observe.objects(own_name("check"))


def test_a_program_that_meets_well_passes() -> None:
    verdict = check.exercise("07-c", good_meet)
    assert verdict, verdict


def test_o_excl_decides_among_many(name: str) -> None:
    crowd = [Process(impatient_claim, name) for _ in range(6)]
    try:
        start(*crowd)
        for process in crowd:
            process.run()
        assert all(process.wait().ok for process in crowd)
    finally:
        for process in crowd:
            process.stop()
    assert sorted(process.output.strip() for process in crowd) == ["creator", *["guest"] * 5]


def impatient_claim(name: str) -> Iterator[str]:
    try:
        posix.shm_open(name, CREATE)
        print("creator")
    except FileExistsError:
        print("guest")
    yield "open"
