"""D79 to D93: the document's appendix on mmap."""

import ctypes
import os
from collections.abc import Iterator

from shmlab import posix
from shmlab.document.probing import (
    MAP_FAILED,
    PAGE,
    READ_WRITE,
    a_file,
    an_object,
    answer,
    as_c,
    compiler_says,
    ended,
    how,
    lines_at,
    told,
)
from shmlab.document.statements import IMPRECISE, TRUE, Case, fails, holds, statement
from shmlab.programs.protect import protect
from shmlab.programs.reader import reader
from shmlab.programs.stranger import said

MMAN = "#include <sys/mman.h>"
ANONYMOUS = posix.MAP_PRIVATE | posix.MAP_ANONYMOUS
FREE = 0x500000000000
"""Addresses from here on are free: far from what the kernel chooses, and within 47 bits."""


@statement(
    "D79",
    "The prototype: void *mmap(void *addr, size_t len, int prot, int flags, int filedes, off_t off).",
    TRUE,
    "04",
)
def its_prototype() -> Iterator[Case]:
    complaint = compiler_says(MMAN, "void *(*p)(void *, size_t, int, int, int, off_t) = mmap;")
    yield holds(f"to a pointer of that type the compiler says: {complaint or 'nothing'}", not complaint)
    complaint = compiler_says(MMAN, "void *(*p)(void *, size_t, int, int, int) = mmap;")
    yield holds(f"to one without off: {complaint}", complaint)


@statement(
    "D80",
    "mmap's header is <sys/mman.h>, and it must be linked with -lrt.",
    IMPRECISE,
    "04",
    "The header is right. mmap is in the C library, and always was.",
)
def no_library() -> Iterator[Case]:
    program = "int main(void) { return mmap(0, 1, 0, 0, -1, 0) == MAP_FAILED; }"
    complaint = compiler_says(MMAN, program)
    yield holds(f"with the header the compiler says: {complaint or 'nothing'}", not complaint)
    complaint = compiler_says(MMAN, program, link=())
    yield fails(f"without -lrt the linker says: {complaint or 'nothing'}", not complaint)


@statement(
    "D81",
    "mmap makes a piece of memory that several programs can read and write.",
    IMPRECISE,
    "04",
    "With MAP_SHARED, of what the others can open or have inherited. A MAP_PRIVATE mapping is nobody else's.",
)
def shared_or_private() -> Iterator[Case]:
    for name, shared in (("MAP_SHARED", True), ("MAP_PRIVATE", False)):
        with an_object() as thing, thing.shared() if shared else thing.private() as m:
            m.buf[:5] = b"hello"
            (read,) = told(reader, thing.name)
            seen = f"{name}: 'hello' stored, another process reads {read!r}"
            yield holds(seen, read == "hello") if shared else fails(seen, read == "")


@statement(
    "D82",
    "What one program changes in a mapping, the others see.",
    IMPRECISE,
    "04",
    "Through MAP_SHARED. What is stored through MAP_PRIVATE nobody else sees.",
)
def seen_through_shared() -> Iterator[Case]:
    with an_object() as thing, thing.shared() as one, thing.shared() as two, thing.private() as own:
        one.buf[0] = 7
        yield holds(f"7 stored through MAP_SHARED: another mapping reads {two.buf[0]}", two.buf[0] == 7)
        own.buf[0] = 9
        read = os.pread(thing.fd, 1, 0)[0]
        yield fails(f"9 stored through MAP_PRIVATE: the others read {two.buf[0]}", two.buf[0] == read == 7)


@statement(
    "D83", "mmap's addr asks for an address.", TRUE, "04", "It's a hint: what's taken isn't given, silently."
)
def a_hint() -> Iterator[Case]:
    at = next(each for each in range(FREE, 2 * FREE, 2**30) if not lines_at(each, PAGE))
    with posix.mmap(at, PAGE, READ_WRITE, ANONYMOUS, -1) as m:
        m.buf[0] = 7
        there = m.address == at
        yield holds(f"a free address: {'' if there else 'not '}given", there)
        with posix.mmap(m.address, PAGE, READ_WRITE, ANONYMOUS, -1) as other:
            moved = other.address != m.address
            yield holds(
                f"one that's taken: moved elsewhere, and what was there reads {m.buf[0]}",
                moved and m.buf[0] == 7,
            )


@statement("D84", "With addr 0 the system chooses the address, which is better.", TRUE, "04")
def the_system_chooses() -> Iterator[Case]:
    with posix.mmap(None, PAGE, READ_WRITE, ANONYMOUS, -1) as m:
        m.buf[0] = 7
        with posix.mmap(0, PAGE, READ_WRITE, ANONYMOUS, -1) as other:
            pages = {m.address // PAGE, other.address // PAGE}
            fits = m.address % PAGE == other.address % PAGE == 0 and len(pages) == 2
            yield holds(
                "NULL and 0: two pages, each at a place of its own", fits and m.address and other.address
            )
        yield holds(f"what was there before still reads {m.buf[0]}", m.buf[0] == 7)


@statement(
    "D85", "mmap's len is how much can be accessed.", TRUE, "04", "In bytes, and rounded up to whole pages."
)
def in_whole_pages() -> Iterator[Case]:
    for length, pages in ((1, 1), (PAGE + 1, 2)):
        with an_object(2 * PAGE) as thing, thing.shared(length) as m:
            mapped = sum(line.length for line in lines_at(m.address) if line.path == thing.path)
            yield holds(f"len {length}: /proc/self/maps has {mapped} bytes", mapped == pages * PAGE)
    error = answer(posix.mmap, None, 0, READ_WRITE, ANONYMOUS, -1)
    yield holds(f"len 0: {error}", error == "EINVAL")


PROTECTIONS = {
    "PROT_READ": (posix.PROT_READ, "r--p"),
    "PROT_WRITE": (posix.PROT_WRITE, "-w-p"),
    "PROT_EXEC": (posix.PROT_EXEC, "--xp"),
    "PROT_NONE": (posix.PROT_NONE, "---p"),
}


@statement(
    "D86",
    "mmap's prot is made of PROT_READ, PROT_WRITE, PROT_EXEC and PROT_NONE: read, write, execute, nothing.",
    IMPRECISE,
    "04",
    "The document lists one of them twice. The processor has its say: where it can't forbid reading "
    "alone, as on x86-64, what may be written may be read.",
)
def four_protections() -> Iterator[Case]:
    for name, (prot, expected) in PROTECTIONS.items():
        with posix.mmap(None, PAGE, prot, ANONYMOUS, -1) as m:
            (line,) = lines_at(m.address)
            yield holds(f"{name}: /proc/self/maps says {line.perms}", line.perms == expected)
    with an_object() as thing:
        outcome, _ = ended(protect, thing.name, "-w-", "read")
        yield fails(f"PROT_WRITE alone, and then read: the process {how(outcome)}", outcome.ok)


@statement("D87", "PROT_NONE forbids every access.", TRUE, "04")
def every_access() -> Iterator[Case]:
    with an_object() as thing:
        for deed in ("read", "write"):
            outcome, _ = ended(protect, thing.name, "---", deed)
            yield holds(f"{deed}: the process {how(outcome)}", "SIGSEGV" in str(outcome))
        outcome, _ = ended(protect, thing.name, "r--", "read")
        yield holds(f"read with PROT_READ: it {how(outcome)}", outcome.ok)


@statement(
    "D88",
    "MAP_PRIVATE: what's changed is changed for this process alone.",
    TRUE,
    "04",
    "And from its first store into a page on, it sees no more of what others store there.",
)
def for_this_process_alone() -> Iterator[Case]:
    with an_object() as thing, thing.private() as m, thing.shared() as other:
        m.buf[0] = 7
        read = os.pread(thing.fd, 1, 0)[0]
        yield holds(
            f"7 stored: it reads {m.buf[0]}, others read {other.buf[0]}", (m.buf[0], other.buf[0]) == (7, 0)
        )
        yield holds(f"the object itself has {read}", read == 0)


@statement(
    "D89",
    "MAP_SHARED: what's changed is saved in the file on the disk.",
    IMPRECISE,
    "04",
    "In the file or object that is mapped. A file of a disk gets to its disk so; an object has none, for "
    "/dev/shm is a tmpfs.",
)
def if_there_is_a_disk() -> Iterator[Case]:
    with a_file() as file:
        with posix.mmap(None, PAGE, READ_WRITE, posix.MAP_SHARED, file) as m:
            m.buf[:5] = b"saved"
            posix.msync(m)
        read = os.pread(file, 5, 0)
        yield holds(f"a file that was mapped has {read!r} afterwards", read == b"saved")
    with an_object() as thing:
        kind = _file_system(os.fstat(thing.fd).st_dev)
        yield fails(f"an object is in a {kind or 'file system of no kind that is known'}", kind == "tmpfs")


def _file_system(device: int) -> str:
    """Return the type of the mounted file system of a device, as /proc/self/mountinfo has it (proc(5))."""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    with open("/proc/self/mountinfo") as file:
        for line in file:
            words = line.split()
            if words[2] == wanted:
                return words[words.index("-") + 1]
    return ""


@statement("D90", "MAP_FIXED: the mapping must be at addr.", TRUE, "04", "Whatever was there is replaced.")
def just_there() -> Iterator[Case]:
    with an_object() as thing:
        with thing.shared() as m:
            m.buf[:8] = b"object's"
        steps = told(places, thing.name)
        yield holds(f"a place that was taken: {steps[0]}", steps[0] == "mapped there, object's")
        yield holds(f"an address within a page: {steps[1]}", steps[1] == "EINVAL")


def places(name: str) -> Iterator[str]:
    prot = posix.PROT_READ | posix.PROT_WRITE
    mine = posix.mmap(None, 4096, prot, posix.MAP_PRIVATE | posix.MAP_ANONYMOUS, -1)
    mine.buf[:8] = b"precious"
    fd = posix.shm_open(name, posix.O_RDWR)
    yield "precious"
    m = posix.mmap(mine.address, 4096, prot, posix.MAP_SHARED | posix.MAP_FIXED, fd)
    where = "there" if m.address == mine.address else "elsewhere"
    print(f"mapped {where}, {bytes(mine.buf[:8]).decode()}")
    print(said(posix.mmap, mine.address + 1, 4096, prot, posix.MAP_SHARED | posix.MAP_FIXED, fd))
    yield "mmap"


@statement("D91", "mmap's filedes is an open descriptor.", TRUE, "04", "With MAP_ANONYMOUS it's -1.")
def an_open_one() -> Iterator[Case]:
    with an_object() as thing:
        with thing.shared() as m:
            yield holds(f"an object's: mapped {m.length} bytes", m.length == PAGE)
        ends = os.pipe()
        try:
            for fd, what, why in ((-1, "-1", "EBADF"), (ends[0], "a pipe's", "ENODEV")):
                error = answer(posix.mmap, None, PAGE, posix.PROT_READ, posix.MAP_SHARED, fd)
                yield holds(f"{what}: {error}", error == why)
        finally:
            for end in ends:
                os.close(end)


@statement(
    "D92", "mmap's off is where in the file the mapping begins.", TRUE, "04", "A multiple of the page size."
)
def from_an_offset() -> Iterator[Case]:
    with an_object(2 * PAGE) as thing:
        os.pwrite(thing.fd, b"second page", PAGE)
        with thing.shared(PAGE, offset=PAGE) as m:
            read = bytes(m.buf[:11])
            yield holds(f"off {PAGE}: the mapping begins with {read!r}", read == b"second page")
        error = answer(thing.shared, PAGE, READ_WRITE, 1)
        yield holds(f"off 1: {error}", error == "EINVAL")


@statement("D93", "When mmap fails it returns MAP_FAILED, that is (void *) -1, and sets errno.", TRUE, "04")
def map_failed() -> Iterator[Case]:
    for what, length, flags, why in (
        ("len 0", 0, ANONYMOUS, "EINVAL"),
        ("no descriptor", PAGE, posix.MAP_SHARED, "EBADF"),
    ):
        value, error = as_c("mmap", None, length, posix.PROT_READ, flags, -1, 0, returns=ctypes.c_void_p)
        yield holds(
            f"{what}: C's mmap returned {value:#x}, errno {error}", (value, error) == (MAP_FAILED, why)
        )
