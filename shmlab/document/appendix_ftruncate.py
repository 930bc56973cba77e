"""D73 to D78: the document's appendix on ftruncate."""

import os
from collections.abc import Iterator

from shmlab import posix
from shmlab.document.probing import an_object, answer, as_c, compiler_says
from shmlab.document.statements import IMPRECISE, TRUE, WRONG, Case, fails, holds, statement

UNISTD = "#include <unistd.h>"


@statement(
    "D73",
    "The prototype: int ftruncate(int fd, off64_t length).",
    IMPRECISE,
    "03",
    "The type is off_t. off64_t is glibc's name for a wide one, and only known with _GNU_SOURCE.",
)
def off_t() -> Iterator[Case]:
    complaint = compiler_says(UNISTD, "int (*p)(int, off64_t) = ftruncate;")
    yield fails(f"to off64_t the compiler says: {complaint}", "off64_t" in complaint)
    complaint = compiler_says(UNISTD, "int (*p)(int, off_t) = ftruncate;")
    yield fails(f"to off_t: {complaint or 'nothing'}", not complaint)
    same = '_Static_assert(sizeof(off_t) == sizeof(off64_t), "another width");'
    complaint = compiler_says("#define _GNU_SOURCE", UNISTD, same)
    yield holds("with _GNU_SOURCE off64_t is known, and as wide as off_t here", not complaint)


@statement("D74", "ftruncate's header is <unistd.h>.", TRUE, "03")
def unistd() -> Iterator[Case]:
    use = "int main(void) { return ftruncate(3, 0); }"
    complaint = compiler_says(UNISTD, use)
    yield holds(f"with it, to a call the compiler says: {complaint or 'nothing'}", not complaint)
    complaint = compiler_says(use)
    yield holds(f"without it: {complaint}", "ftruncate" in complaint)


@statement("D75", "ftruncate changes the size of the open file fd to length.", TRUE, "03")
def changes_the_size() -> Iterator[Case]:
    with an_object(size=0) as thing:
        sizes = (10_000, 1, 0)
        for size in sizes:
            posix.ftruncate(thing.fd, size)
            yield holds(f"ftruncate to {size}: fstat says {thing.size}", thing.size == size)
        error = answer(posix.ftruncate, thing.fd, -1)
        yield holds(f"to -1: {error}", error == "EINVAL")


@statement("D76", "ftruncate's fd must have been opened for writing.", TRUE, "03")
def for_writing() -> Iterator[Case]:
    with an_object() as thing:
        fd = posix.shm_open(thing.name, posix.O_RDONLY)
        error = answer(posix.ftruncate, fd, 1)
        posix.close(fd)
        yield holds(f"opened O_RDONLY: {error}", error in ("EINVAL", "EBADF"))
        error = answer(posix.ftruncate, thing.fd, 1)
        yield holds(f"opened O_RDWR: fstat says {thing.size}", error is None and thing.size == 1)


@statement(
    "D77",
    "Of a file that was longer, ftruncate takes the rest away.",
    TRUE,
    "03",
    "Who touches it dies (SIGBUS).",
)
def the_rest_goes() -> Iterator[Case]:
    with an_object() as thing:
        os.pwrite(thing.fd, b"ABC", 0)
        posix.ftruncate(thing.fd, 1)
        left = os.pread(thing.fd, 3, 0)
        yield holds(f"b'ABC', cut to 1 byte: {left!r}", left == b"A")
        posix.ftruncate(thing.fd, 3)
        grown = os.pread(thing.fd, 3, 0)
        yield holds(f"grown to 3 again: {grown!r}", grown == b"A\0\0")


@statement(
    "D78",
    "ftruncate returns 0 when it succeeds, and a number greater than 0 when it fails.",
    WRONG,
    "03",
    "It returns -1, and errno says why. posix_fallocate is the one that returns the error's number. (0 is "
    "right.)",
)
def minus_one() -> Iterator[Case]:
    with an_object() as thing:
        for fd, length, what, why in (
            (thing.fd, -1, "a length of -1", "EINVAL"),
            (-1, 0, "no descriptor", "EBADF"),
        ):
            value, error = as_c("ftruncate", fd, length)
            yield fails(f"{what}: C's ftruncate returned {value}, errno {error}", (value, error) == (-1, why))
