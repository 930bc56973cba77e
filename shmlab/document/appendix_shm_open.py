"""D65 to D72: the document's appendix on shm_open."""

import ctypes
import os
from collections.abc import Iterator

from shmlab import posix
from shmlab.document.probing import PAGE, an_object, answer, as_c, compiler_says, told, unused_name
from shmlab.document.statements import (
    IMPRECISE,
    TRUE,
    WRONG,
    Case,
    fails,
    holds,
    statement,
)
from shmlab.programs import find_compiler
from shmlab.programs.stranger import said

HEADERS = ("#include <sys/mman.h>", "#include <fcntl.h>")


@statement("D65", "The prototype: int shm_open(const char *name, int oflag, mode_t mode).", TRUE, "02")
def its_prototype() -> Iterator[Case]:
    complaint = compiler_says(*HEADERS, "int (*p)(const char *, int, mode_t) = shm_open;")
    yield holds(f"to a pointer of that type the compiler says: {complaint or 'nothing'}", not complaint)
    complaint = compiler_says(*HEADERS, "int (*p)(const char *, int) = shm_open;")
    yield holds(f"to one without mode: {complaint}", complaint)


@statement(
    "D66", "shm_open's header is <sys/mman.h>.", IMPRECISE, "02", "The O_… flags need <fcntl.h> besides."
)
def two_headers() -> Iterator[Case]:
    complaint = compiler_says(HEADERS[0], 'int main(void) { return shm_open("/x", 0, 0); }')
    yield holds(f"with it alone, to a call the compiler says: {complaint or 'nothing'}", not complaint)
    complaint = compiler_says(HEADERS[0], 'int main(void) { return shm_open("/x", O_RDWR, 0); }')
    yield fails(f"to a call with O_RDWR: {complaint}", "O_RDWR" in complaint)


@statement(
    "D67",
    "A program with shm_open must be linked with -lrt.",
    IMPRECISE,
    "02",
    "So it was before glibc 2.34; since then shm_open is in the C library itself, and -lrt adds nothing.",
)
def it_links_without() -> Iterator[Case]:
    program = (*HEADERS, 'int main(void) { return shm_open("/x", O_RDWR, 0) == -1; }')
    complaint = compiler_says(*program, link=("-lrt",))
    yield holds(f"with -lrt the linker says: {complaint or 'nothing'}", not complaint)
    complaint = compiler_says(*program, link=())
    yield fails(f"without it: {complaint or 'nothing'}", not complaint)


@statement(
    "D68", "shm_open's name is what the region is called.", TRUE, "02", "One slash in front, and none within."
)
def its_name() -> Iterator[Case]:
    with an_object() as thing:
        fd = posix.shm_open(thing.name, posix.O_RDONLY)
        same = os.path.samestat(os.fstat(fd), os.fstat(thing.fd))
        posix.close(fd)
        yield holds("opened by its name, it's the same inode", same)
        errors = [answer(posix.shm_open, thing.name + end, posix.O_RDONLY) for end in ("2", "/2")]
        yield holds(f"another name gives {errors[0]}", errors[0] == "ENOENT")
        yield holds(f"a slash within it gives {errors[1]}", errors[1] == "EINVAL")


@statement("D69", "shm_open's oflag is made of O_RDONLY, O_RDWR, O_CREAT, O_EXCL, O_TRUNC.", TRUE, "02")
def five_flags() -> Iterator[Case]:
    with unused_name() as name:
        absent = answer(posix.shm_open, name, posix.O_RDWR)
        fd = posix.shm_open(name, posix.O_RDWR | posix.O_CREAT)
        posix.ftruncate(fd, PAGE)
        yield holds(f"O_RDWR of no object: {absent}; with O_CREAT it's made", absent == "ENOENT")
        taken = answer(posix.shm_open, name, posix.O_RDWR | posix.O_CREAT | posix.O_EXCL)
        yield holds(f"with O_EXCL, too, of one that exists: {taken}", taken == "EEXIST")
        read_only = posix.shm_open(name, posix.O_RDONLY)
        error = answer(os.pwrite, read_only, b"x", 0)
        yield holds(f"pwrite to what O_RDONLY gave: {error}", error == "EBADF")
        posix.close(read_only)
        posix.close(posix.shm_open(name, posix.O_RDWR | posix.O_TRUNC))
        size = os.fstat(fd).st_size
        posix.close(fd)
        yield holds(f"O_TRUNC left {size} of {PAGE} bytes", size == 0)


@statement(
    "D70",
    "For oflag, O_RDWR | O_CREAT is the default.",
    IMPRECISE,
    "07",
    "C has no default: the argument must be there. It's a habit, and a bad one for who only reads: it hides "
    "that nobody has made the object yet.",
)
def a_habit() -> Iterator[Case]:
    with unused_name() as name:
        error = answer(posix.shm_open, name, posix.O_RDWR)
        fd = posix.shm_open(name, posix.O_RDWR | posix.O_CREAT)
        size = os.fstat(fd).st_size
        posix.close(fd)
        seen = (
            f"with those flags a reader that comes first gets an object of {size} bytes; with O_RDWR, {error}"
        )
        yield fails(seen, (size, error) == (0, "ENOENT"))
        fd = answer(posix.shm_open, name, posix.O_RDWR | posix.O_CREAT)
        yield holds("with those flags one that exists is opened as well", isinstance(fd, int))
        posix.close(fd)
    if find_compiler():
        complaint = compiler_says(*HEADERS, 'int main(void) { return shm_open("/x"); }')
        yield fails(f"left out, the compiler says: {complaint or 'nothing'}", complaint)


def modes(name: str) -> Iterator[str]:
    """Prints the mode that 0777 gives under a umask, and 0 for an object that exists; is no root for it."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
    flags = posix.O_CREAT | posix.O_EXCL | posix.O_RDWR
    for umask, mode in ((0, 0o640), (0o022, 0o777)):
        os.umask(umask)
        fd = posix.shm_open(name, flags, mode)
        again = posix.shm_open(name, posix.O_CREAT | posix.O_RDWR, 0)
        print(f"{os.fstat(fd).st_mode & 0o777:04o} {os.fstat(again).st_mode & 0o777:04o}")
        posix.shm_unlink(name)
        yield f"umask {umask:03o}"
    posix.close(posix.shm_open(name, flags, 0o400))
    print(said(posix.shm_open, name, posix.O_RDONLY), said(posix.shm_open, name, posix.O_RDWR))
    posix.shm_unlink(name)
    yield "mode 0400"


@statement(
    "D71",
    "shm_open's mode, say 0644 or 0777, decides who may use the object.",
    IMPRECISE,
    "07",
    "Less the umask, and only for an object that the call makes. Root may do everything.",
)
def less_the_umask() -> Iterator[Case]:
    with unused_name() as name:
        plain, masked, access = (line.split() for line in told(modes, name))
    yield holds(f"umask 000: 0640 asked for, {plain[0]} given", plain[0] == "0640")
    seen = f"mode 0400, its owner: O_RDONLY {access[0]}, O_RDWR {access[1]}"
    yield holds(seen, access == ["yes", "EACCES"])
    yield fails(f"umask 022: 0777 asked for, {masked[0]} given", masked[0] == "0755")
    yield fails(f"0000 asked for when opening it again: it stays {plain[1]}", plain[1] == "0640")


@statement(
    "D72",
    "shm_open returns 0 when it succeeds, and -1 when it fails.",
    WRONG,
    "02",
    "It returns the descriptor, which the document says itself further up. 0 it is only when descriptor 0 "
    "was closed. (-1 is right.)",
)
def not_zero() -> Iterator[Case]:
    with unused_name() as name:
        flags = posix.O_CREAT | posix.O_RDWR
        text = ctypes.c_char_p(os.fsencode(name))
        first, second = (as_c("shm_open", text, flags, 0o600)[0] for _ in range(2))
        try:
            sizes = [os.fstat(fd).st_size for fd in (first, second)]
            yield fails("C's shm_open succeeded, and returned a number above 0", first > 0 and sizes[0] == 0)
            yield fails("a second time another number", second > 0 and second != first)
        finally:
            for fd in (first, second):
                posix.close(fd)
