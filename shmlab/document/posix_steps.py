"""D06 to D14: what the document says in one sentence each of the POSIX calls, under "basic steps"."""

import ctypes
import os
from collections.abc import Iterator

from shmlab import observe, posix
from shmlab.document.probing import (
    PAGE,
    READ_WRITE,
    a_file,
    an_object,
    answer,
    lines_at,
    stepped,
    unused_name,
)
from shmlab.document.statements import (
    IMPRECISE,
    ON_LINUX,
    TRUE,
    WRONG,
    Case,
    by_linux,
    fails,
    holds,
    statement,
)
from shmlab.processes import Process


@statement(
    "D06",
    "shm_open and shm_unlink are much like open and unlink for files.",
    ON_LINUX,
    "02",
    "On Linux they are those calls, in the folder /dev/shm, with O_CLOEXEC and O_NOFOLLOW added. POSIX "
    "promises no file.",
)
def like_open_and_unlink() -> Iterator[Case]:
    with an_object() as thing:
        os.pwrite(thing.fd, b"x", 0)
        read = os.pread(thing.fd, 1, 0)
        yield holds(f"pread of the descriptor, after pwrite of b'x': {read!r}", read == b"x")
        opened = os.open(thing.path, os.O_RDWR)
        same = os.path.samestat(os.fstat(opened), os.fstat(thing.fd))
        os.close(opened)
        yield by_linux("open of the path in /dev/shm gave the same file", same)
        os.unlink(thing.path)
        error = answer(posix.shm_unlink, thing.name)
        yield by_linux(f"after unlink of that path, shm_unlink says {error}", error == "ENOENT")


@statement(
    "D07",
    "Portable programs are best served by shm_open and shm_unlink.",
    IMPRECISE,
    "13",
    "They are the simpler interface, and in POSIX; System V's is older and on more systems. What's best "
    "everywhere can't be decided on one machine: the probe asks what this one promises.",
)
def both_are_promised() -> Iterator[Case]:
    posix_option, x_open = os.sysconf("SC_SHARED_MEMORY_OBJECTS"), os.sysconf("SC_XOPEN_SHM")
    yield holds(
        f"POSIX's objects: sysconf promises the option, version {posix_option}", posix_option >= 200112
    )
    yield fails(f"System V's segments: promised just as well, {x_open}", x_open > 0)


@statement(
    "D08",
    "shm_open makes a new region, or attaches the process to an existing one.",
    IMPRECISE,
    "02",
    "It makes or opens an object and attaches nothing: a new one has no bytes, and ftruncate and mmap are "
    "still to come.",
)
def opens_and_maps_nothing() -> Iterator[Case]:
    with an_object(size=0) as thing:
        again = posix.shm_open(thing.name, posix.O_RDWR)
        same = os.path.samestat(os.fstat(again), os.fstat(thing.fd))
        posix.close(again)
        yield holds("a second shm_open found the object that the first had made", same)
        yield fails(f"the new object has {thing.size} bytes", thing.size == 0)
        mapped = len(observe.mappings("self", thing.name))
        yield fails(f"after shm_open the process has {mapped} mappings of it", mapped == 0)


@statement("D09", "A name says which region is meant.", TRUE, "07")
def the_name_decides() -> Iterator[Case]:
    with an_object(size=1) as one, an_object(size=2, word="probe2") as two:
        sizes = []
        for name in (one.name, two.name, one.name.lstrip("/")):
            fd = posix.shm_open(name, posix.O_RDONLY)
            sizes.append(os.fstat(fd).st_size)
            posix.close(fd)
        yield holds(f"two names led to objects of {sizes[0]} and {sizes[1]} bytes", sizes[:2] == [1, 2])
        yield holds(f"the first one without its slash, to one of {sizes[2]}", sizes[2] == 1)


@statement("D10", "shm_open gives back a file descriptor.", TRUE, "02")
def gives_a_descriptor() -> Iterator[Case]:
    with an_object() as thing:
        found = [each for each in observe.descriptors() if each.number == thing.fd]
        yield holds(f"/proc/self/fd has {len(found)} descriptor of that number", len(found) == 1)
        inode = os.stat(thing.path).st_ino
        yield holds("fstat of it tells the object's inode", os.fstat(thing.fd).st_ino == inode)


class Watch:
    """Hears from the kernel when a file is really gone: inotify's IN_DELETE_SELF comes with its last user."""

    IN_DELETE_SELF = 0x400  # sys/inotify.h

    def __init__(self, path: str) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.fd = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.fd == -1:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        if self._libc.inotify_add_watch(self.fd, os.fsencode(path), self.IN_DELETE_SELF) == -1:
            number = ctypes.get_errno()
            self.close()
            raise OSError(number, "inotify_add_watch")

    def gone(self) -> bool:
        """Whether the file has gone since the last time this was asked."""
        try:
            return bool(os.read(self.fd, 4096))
        except BlockingIOError:
            return False

    def close(self) -> None:
        os.close(self.fd)


@statement(
    "D11",
    "shm_unlink works as unlink: the memory goes when the last process has let go of it.",
    TRUE,
    "02",
    "The name goes at once.",
)
def memory_stays_until_the_last_user() -> Iterator[Case]:
    with unused_name() as name:
        fd = posix.shm_open(name, posix.O_CREAT | posix.O_EXCL | posix.O_RDWR)
        watch = Watch(f"/dev/shm{name}")
        try:
            posix.posix_fallocate(fd, 0, PAGE)
            m = posix.mmap(None, PAGE, READ_WRITE, posix.MAP_SHARED, fd)
            m.buf[0] = 7
            posix.shm_unlink(name)
            posix.close(fd)
            error = answer(posix.shm_open, name, posix.O_RDWR)
            yield holds(f"after shm_unlink the name gives {error}", error == "ENOENT")
            yield holds(f"the mapping still reads {m.buf[0]}, and the object isn't gone", not watch.gone())
            posix.munmap(m)
            yield holds("after the last munmap the kernel says that it's gone", watch.gone())
        finally:
            watch.close()


@statement("D12", "mmap maps a file into memory, here by the descriptor from shm_open.", TRUE, "02")
def maps_by_descriptor() -> Iterator[Case]:
    with an_object() as thing, thing.shared() as m:
        os.pwrite(thing.fd, b"by descriptor", 0)
        read = bytes(m.buf[:13])
        yield holds(f"what pwrite put into the object is in memory: {read!r}", read == b"by descriptor")


@statement(
    "D13",
    "munmap releases the memory that mmap had mapped.",
    IMPRECISE,
    "04",
    "It takes a range of addresses away from this process. The object keeps its size and its bytes; memory "
    "goes back when the object does.",
)
def takes_addresses_away() -> Iterator[Case]:
    with an_object() as thing:
        m = thing.shared()
        address = m.address
        m.buf[:4] = b"kept"
        inode = os.fstat(thing.fd).st_ino
        posix.munmap(m)
        left = [line for line in lines_at(address) if line.inode == inode]
        yield holds(f"lines of /proc/self/maps with the object at the address: {len(left)}", not left)
        with thing.shared() as again:
            read, blocks = bytes(again.buf[:4]), os.fstat(thing.fd).st_blocks
            yield fails(f"the object still has {thing.size} bytes and says {read!r}", read == b"kept")
            yield fails(f"and its memory: {blocks * 512} bytes", blocks * 512 >= PAGE)


def reports(name: str) -> Iterator[str]:
    fd = posix.shm_open(name, posix.O_RDONLY)
    m = posix.mmap(None, 4096, posix.PROT_READ, posix.MAP_SHARED, fd)
    yield "mmap"
    yield bytes(m.buf[:8]).decode()


@statement(
    "D14",
    "msync writes the cache back to physical memory, so that others can see the changes.",
    WRONG,
    "04",
    "All of them map the same physical pages, and see a store without any call. msync writes a mapped file's "
    "pages to its disk; an object has none.",
)
def seen_without_msync() -> Iterator[Case]:
    with an_object() as thing, thing.shared() as m, Process(reports, thing.name) as other:
        stepped(other)
        m.buf[:8] = b"unsynced"
        seen = stepped(other).at
        yield fails(f"another process saw {seen!r} before any msync", seen == "unsynced")
    with a_file() as file, posix.mmap(None, PAGE, READ_WRITE, posix.MAP_SHARED, file) as m:
        m.buf[:8] = b"unsynced"
        read = os.pread(file, 8, 0)
        yield fails(f"even of a file: read gave {read!r} before any msync", read == b"unsynced")
