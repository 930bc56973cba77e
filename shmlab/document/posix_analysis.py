"""D15 to D23: what the document says of its POSIX example, step by step."""

import os
from collections.abc import Iterator

from shmlab import observe, posix
from shmlab.document.introduction import parents
from shmlab.document.probing import PAGE, an_object, ended, how, stepped, told
from shmlab.document.statements import IMPRECISE, ON_LINUX, TRUE, Case, by_linux, fails, holds, statement
from shmlab.processes import Process
from shmlab.programs import find_compiler, in_c
from shmlab.programs.reader import reader
from shmlab.programs.touch import touch
from shmlab.programs.writer import writer


@statement(
    "D15",
    "After shm_open a file of the object's name is in /dev/shm.",
    ON_LINUX,
    "02",
    "So it is with glibc on Linux, where /dev/shm is a tmpfs. POSIX doesn't say where names are, or that "
    "they can be listed.",
)
def a_file_in_dev_shm() -> Iterator[Case]:
    with an_object() as thing:
        yield by_linux("its name is listed in /dev/shm", thing.name.lstrip("/") in os.listdir("/dev/shm"))
        posix.shm_unlink(thing.name)
        gone = thing.name.lstrip("/") not in os.listdir("/dev/shm")
        yield by_linux("and after shm_unlink it's listed no more", gone)


@statement("D16", "ftruncate can make the object one page long, sysconf(_SC_PAGE_SIZE).", TRUE, "03")
def one_page_long() -> Iterator[Case]:
    page = os.sysconf("SC_PAGE_SIZE")
    with an_object(size=0) as thing:
        posix.ftruncate(thing.fd, page)
        yield holds(f"sysconf says {page}; after ftruncate fstat says {thing.size}", thing.size == page)
        content = os.pread(thing.fd, 2 * page, 0)
        yield holds(f"it has {len(content)} bytes, all of them 0", content == bytes(page))


@statement(
    "D17",
    "Leave out ftruncate, and a Bus error is reported.",
    IMPRECISE,
    "03",
    "Nothing reports it: shm_open and mmap succeed, and the first touch kills the process (SIGBUS). Whatever "
    "else gives the object bytes, such as pwrite, does as well as ftruncate.",
)
def the_first_touch_kills() -> Iterator[Case]:
    with an_object(size=0) as thing:
        with Process(touch, thing.name, PAGE, 0, 1) as process:
            steps = [stepped(process).at, stepped(process).at]
            process.run()
            outcome = process.wait()
        yield holds(f"the process that touched it {how(outcome)}", "SIGBUS" in str(outcome))
        yield fails(f"before that it had come through {', '.join(steps)}", steps == ["shm_open", "mmap"])
        os.pwrite(thing.fd, b"x", PAGE - 1)
        outcome, _ = ended(touch, thing.name, PAGE, 0, 1)
        yield fails(f"after pwrite, without ftruncate, another one {how(outcome)}", outcome.ok)


@statement(
    "D18",
    "Any size will do; it needn't be a multiple of the page size.",
    TRUE,
    "03",
    "The size is counted in bytes, the Bus error in pages: the rest of the last page can be used, too.",
)
def any_size() -> Iterator[Case]:
    for size in (1, 1024, PAGE + 1):
        with an_object(size=0) as thing:
            posix.ftruncate(thing.fd, size)
            yield holds(f"ftruncate to {size}: fstat says {thing.size}", thing.size == size)
    with an_object(size=1024) as thing:
        outcome, _ = ended(touch, thing.name, 2 * PAGE, PAGE - 1, 1)
        yield holds(f"of 1024 bytes, who reads byte {PAGE - 1} {how(outcome)}", outcome.ok)
        outcome, _ = ended(touch, thing.name, 2 * PAGE, PAGE, 1)
        yield holds(f"who reads byte {PAGE} {how(outcome)}", "SIGBUS" in str(outcome))


@statement(
    "D19",
    "The object must be sized because mmap needs it.",
    IMPRECISE,
    "03",
    "mmap doesn't: it maps past the end without a word. Access needs it, and the size may come later.",
)
def access_needs_the_size() -> Iterator[Case]:
    with an_object(size=0) as thing:
        outcome, _ = ended(touch, thing.name, PAGE, 0, 1)
        yield holds(f"who touched it unsized {how(outcome)}", "SIGBUS" in str(outcome))
        with thing.shared() as m:
            yield fails(f"mmap of {len(m)} bytes of an object of {thing.size} succeeded", thing.size == 0)
            posix.ftruncate(thing.fd, PAGE)
            posix.posix_fallocate(thing.fd, 0, PAGE)  # so that a full /dev/shm is no Bus error here
            yield fails(f"sized after mmap, the same mapping reads {m.buf[0]}", m.buf[0] == 0)


@statement("D20", "mmap maps the file that shm_open had made.", TRUE, "02")
def that_file_is_mapped() -> Iterator[Case]:
    with an_object() as thing, thing.shared():
        lines = observe.mappings("self", thing.name)
        paths = {line.path for line in lines}
        yield holds(f"/proc/self/maps has {len(lines)} line with its path", paths == {thing.path})
        perms = "".join(line.perms for line in lines)
        yield holds(f"its letters are {perms}: read, write, shared", perms == "rw-s")


def inherits() -> Iterator[str]:
    prot = posix.PROT_READ | posix.PROT_WRITE
    shared = posix.mmap(None, 4096, prot, posix.MAP_SHARED | posix.MAP_ANONYMOUS, -1)
    private = posix.mmap(None, 4096, prot, posix.MAP_PRIVATE | posix.MAP_ANONYMOUS, -1)
    shared.buf[0] = private.buf[0] = 1
    yield "mmap"
    if (pid := os.fork()) == 0:
        shared.buf[1] = shared.buf[0] + 1
        private.buf[0] = 2
        os._exit(0)
    os.waitpid(pid, 0)
    print(shared.buf[1], private.buf[0])
    yield "wait"


@statement("D21", "fork makes a child, and the child inherits the shared mapping.", TRUE, "05")
def a_child_inherits() -> Iterator[Case]:
    shared, private = told(inherits)[0].split()
    yield holds(f"the child saw the parent's 1, and the parent reads its {shared}", shared == "2")
    yield holds(f"of a private mapping the parent keeps its own: {private}", private == "1")


def waits(rounds: int) -> Iterator[str]:
    """Counts how often the parent doesn't see, after wait, what its child had stored before it ended."""
    m = posix.mmap(None, 4096, posix.PROT_READ | posix.PROT_WRITE, posix.MAP_SHARED | posix.MAP_ANONYMOUS, -1)
    yield "mmap"
    stale = 0
    for number in range(1, rounds + 1):
        if (pid := os.fork()) == 0:
            m.buf[0] = number
            os._exit(0)
        os.waitpid(pid, 0)
        stale += m.buf[0] != number
    print(stale)
    yield "waited"


def two_children() -> Iterator[str]:
    """Lets two children add 1 each, the second while the first is between load and store; waits for both."""
    m = posix.mmap(None, 4096, posix.PROT_READ | posix.PROT_WRITE, posix.MAP_SHARED | posix.MAP_ANONYMOUS, -1)
    loaded, stored = os.pipe(), os.pipe()
    yield "mmap"
    if (first := os.fork()) == 0:
        value = m.buf[0]
        os.write(loaded[1], b"!")
        os.read(stored[0], 1)
        m.buf[0] = value + 1
        os._exit(0)
    if (second := os.fork()) == 0:
        os.read(loaded[0], 1)
        m.buf[0] = m.buf[0] + 1
        os.write(stored[1], b"!")
        os._exit(0)
    os.waitpid(first, 0), os.waitpid(second, 0)
    print(m.buf[0])
    yield "waited"


@statement(
    "D22",
    "wait keeps parent and child in step.",
    IMPRECISE,
    "06",
    "It orders one thing: what the child did before it ended comes before what the parent does after wait."
    " It doesn't keep two children apart.",
)
def what_wait_orders() -> Iterator[Case]:
    (stale,) = told(waits, 20)
    yield holds(f"after wait the child's store was missed {stale} times in 20", stale == "0")
    (count,) = told(two_children)
    yield fails(f"two children added 1 each, the parent waited for both: {count}", count == "1")


@statement("D23", "Processes that aren't parent and child can communicate in this way, too.", TRUE, "07")
def no_family_needed() -> Iterator[Case]:
    there = in_c(reader) if find_compiler() else reader
    language = "C" if find_compiler() else "Python"
    with an_object() as thing, Process(writer, thing.name, "hello") as a, Process(there, thing.name) as b:
        stepped(a), stepped(b)
        yield holds("neither is the other's parent", not {a.pid, b.pid} & set(parents(a, b)))
        a.run().wait(), b.run().wait()
        read = b.output.strip()
        yield holds(f"a Python process stored 'hello', a {language} process read {read!r}", read == "hello")
