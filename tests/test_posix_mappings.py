"""shmlab.posix's mappings: /proc/self/maps is the oracle, and libc called directly answers beside it."""

import ctypes
import errno
import gc
import io
import os
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from shmlab import names, posix

RAW = ctypes.CDLL(None, use_errno=True)
RAW.mmap.restype = ctypes.c_void_p
RAW.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long)
RAW.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)

PAGE = posix.PAGE_SIZE
CREATE = posix.O_RDWR | posix.O_CREAT | posix.O_EXCL
READ, WRITE, BOTH = posix.PROT_READ, posix.PROT_WRITE, posix.PROT_READ | posix.PROT_WRITE
SHARED, PRIVATE, ANONYMOUS = posix.MAP_SHARED, posix.MAP_PRIVATE, posix.MAP_ANONYMOUS
FREE = 0x5000_0000_0000
"""An address that nothing of this process's comes near (FACTS D83)."""


def python(code: str) -> subprocess.CompletedProcess[str]:
    """Run *code* in a process of its own, which may die."""
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def lines(name: str) -> list[tuple[int, int, str, int]]:
    """(first, last + 1, permissions, offset) of every range that /proc/self/maps gives the object."""
    found = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, permissions, offset, _device, _inode, *path = line.split(maxsplit=5)
        if path and path[0].removesuffix(" (deleted)") == f"/dev/shm{name}":
            low, high = (int(part, 16) for part in span.split("-"))
            found.append((low, high, permissions, int(offset, 16)))
    return found


def whole_pages(length: int) -> int:
    return -(-length // PAGE) * PAGE


@pytest.fixture
def name() -> Iterator[str]:
    chosen = names.name("map")
    yield chosen
    Path(f"/dev/shm{chosen}").unlink(missing_ok=True)


@pytest.fixture
def fd(name) -> Iterator[int]:
    """An object of three pages, byte i of page p being p."""
    opened = posix.shm_open(name, CREATE)
    for page in range(3):
        os.pwrite(opened, bytes([page]) * PAGE, page * PAGE)
    yield opened
    os.close(opened)


@pytest.fixture(params=["stdlib", "libc"])
def mapping(request, fd) -> Iterator[posix.Mapping]:
    """The object's three pages, mapped by CPython and by libc: they may differ in nothing."""
    made = posix.mmap(None if request.param == "stdlib" else FREE, 3 * PAGE, BOTH, SHARED, fd)
    assert type(made._memory).__name__ == ("mmap" if request.param == "stdlib" else "Region")
    yield made
    with suppress(BufferError):  # views that the traceback of a failing test holds
        posix.munmap(made)


# What a mapping is


def test_it_says_what_the_kernel_says(mapping, name):
    assert lines(name) == [(mapping.address, mapping.address + 3 * PAGE, "rw-s", 0)]
    assert (mapping.length, len(mapping), mapping.prot, mapping.flags) == (3 * PAGE, 3 * PAGE, BOTH, SHARED)
    assert mapping.name == name
    assert repr(mapping) == f"<Mapping of '{name}', 12288 bytes, rw-s>"


def test_it_is_the_memory_itself(mapping, fd):
    view = mapping.buf
    assert (view.format, view.nbytes, view.readonly) == ("B", 3 * PAGE, False)
    assert (view[0], view[PAGE], view[-1]) == (0, 1, 2)
    view[PAGE] = 77
    assert os.pread(fd, 1, PAGE) == b"M"
    os.pwrite(fd, b"N", PAGE)
    assert view[PAGE] == 78
    assert mapping.buf is view


def test_its_address_is_where_the_bytes_are(mapping):
    mapping.buf[5] = 55
    assert ctypes.c_ubyte.from_address(mapping.address + 5).value == 55


@pytest.mark.parametrize("where", [None, 0, FREE])
@pytest.mark.parametrize(
    ("prot", "flags", "permissions"),
    [(READ, SHARED, "r--s"), (READ, PRIVATE, "r--p"), (BOTH, PRIVATE, "rw-p"), (0, SHARED, "---s")],
)
def test_protection_and_sharing(fd, name, where, prot, flags, permissions):
    with posix.mmap(where, PAGE, prot, flags, fd, PAGE) as mapping:
        assert lines(name) == [(mapping.address, mapping.address + PAGE, permissions, PAGE)]
        assert mapping.buf.readonly is not bool(prot & WRITE)
        assert repr(mapping).endswith(permissions + ">")
        if prot == READ:
            assert mapping.buf[0] == 1
            with pytest.raises(TypeError, match="read-only"):
                mapping.buf[0] = 1
        elif prot == BOTH:
            mapping.buf[0] = 99
            assert os.pread(fd, 1, PAGE) == b"\1"
    assert lines(name) == []


@pytest.mark.parametrize("where", [None, FREE])
def test_a_descriptor_may_be_closed_and_the_name_unlinked(name, where):
    fd = posix.shm_open(name, CREATE)
    posix.ftruncate(fd, PAGE)
    mapping = posix.mmap(where, PAGE, BOTH, SHARED, fd)
    posix.close(fd)
    posix.shm_unlink(name)
    mapping.buf[0] = 1
    assert mapping.name == name
    assert lines(name)
    posix.munmap(mapping)


@pytest.mark.parametrize("where", [None, FREE])
def test_names_come_from_the_descriptor_not_from_its_number(fd, where, tmp_path):
    file = tmp_path / "file"
    file.write_bytes(bytes(PAGE))
    plain = os.open(file, os.O_RDWR)
    with posix.mmap(where, PAGE, BOTH, SHARED, plain) as mapping:
        assert mapping.name == str(file)
    os.close(plain)
    duplicate = os.dup(fd)
    with posix.mmap(where, PAGE, BOTH, SHARED, duplicate) as mapping:
        assert mapping.name == fd.name
        posix.shm_unlink(fd.name)
        with posix.mmap(where and FREE + 2 * PAGE, PAGE, BOTH, SHARED, duplicate) as unlinked:
            assert unlinked.name == fd.name
    os.close(duplicate)


@pytest.mark.parametrize("where", [None, FREE])
def test_anonymous_memory(fd, where):
    """C ignores the descriptor with MAP_ANONYMOUS; CPython maps it."""
    with posix.mmap(where, PAGE, BOTH, SHARED | ANONYMOUS, fd) as mapping:
        mapping.buf[0] = 7
        assert mapping.name is None
        assert repr(mapping) == "<Mapping of anonymous memory, 4096 bytes, rw-s>"
    assert os.pread(fd, 1, 0) == b"\0"


def test_an_anonymous_shared_mapping_is_inherited():
    code = f"""
        import os
        from shmlab import posix
        m = posix.mmap(None, 1, {BOTH}, {SHARED | ANONYMOUS}, -1)
        if os.fork() == 0:
            m.buf[0] = 42
            os._exit(0)
        os.wait()
        print(m.buf[0])
    """
    assert python(code).stdout == "42\n"


# An address


def test_a_free_address_is_honoured_a_taken_one_moved(fd):
    with (
        posix.mmap(FREE, PAGE, READ, SHARED, fd) as first,
        posix.mmap(FREE, PAGE, READ, SHARED, fd) as second,
    ):
        assert first.address == FREE
        assert second.address != FREE


def test_map_fixed_replaces_and_noreplace_refuses(fd, name):
    with posix.mmap(FREE, PAGE, BOTH, PRIVATE | ANONYMOUS, -1) as old:
        error = failing(FREE, PAGE, READ, SHARED | posix.MAP_FIXED_NOREPLACE, fd)
        assert (type(error), error.errno, error.filename) == (FileExistsError, errno.EEXIST, name)
        old.buf[0] = 200
        new = posix.mmap(FREE, PAGE, READ, SHARED | posix.MAP_FIXED, fd, PAGE)
        assert (new.address, new.buf[0], old.buf[0]) == (FREE, 1, 1)
        posix.munmap(new)
        old._memory = old._buf = None  # its range is gone: nothing to unmap, and nothing to look at


@pytest.mark.skipif(os.getuid() != 0, reason="only root maps address 0")
def test_address_zero(fd, name):
    code = f"""
        from shmlab import posix
        m = posix.mmap(0, 4096, {BOTH}, {PRIVATE | ANONYMOUS | posix.MAP_FIXED}, -1)
        m.buf[8] = 3
        print(m.address, m.buf[8], bytes(m.buf[:2]))
        posix.munmap(m)
    """
    assert python(code).stdout == "0 3 b'\\x00\\x00'\n"


# Past the end: C says yes, the first touch says SIGBUS


def test_d17_without_ftruncate_mmap_succeeds_and_the_first_touch_is_a_bus_error(name):
    code = f"""
        from shmlab import posix
        fd = posix.shm_open({name!r}, {CREATE})
        m = posix.mmap(None, 4096, {BOTH}, {SHARED}, fd)
        print("mapped", m.length, flush=True)
        m.buf[0] = 1
    """
    done = python(code)
    assert (done.stdout, done.returncode) == ("mapped 4096\n", -7)


def test_prot_none_is_a_segmentation_fault(name):
    code = f"""
        from shmlab import posix
        m = posix.mmap(None, 4096, posix.PROT_NONE, {SHARED | ANONYMOUS}, -1)
        print("mapped", flush=True)
        m.buf[0]
    """
    done = python(code)
    assert (done.stdout, done.returncode) == ("mapped\n", -11)


def test_f18_a_longer_mapping_works_once_the_object_grows(name):
    fd = posix.shm_open(name, CREATE)
    with posix.mmap(None, 2 * PAGE, BOTH, SHARED, fd) as mapping:
        posix.ftruncate(fd, 2 * PAGE)
        mapping.buf[PAGE] = 9
        assert os.pread(fd, 1, PAGE) == b"\t"
    with posix.mmap(None, PAGE, BOTH, SHARED, fd, 8 * PAGE) as beyond:
        assert lines(name) == [(beyond.address, beyond.address + PAGE, "rw-s", 8 * PAGE)]
    posix.close(fd)


# Failures


def failing(*arguments) -> OSError:
    with pytest.raises(OSError) as caught:  # noqa: PT011
        posix.mmap(*arguments)
    return caught.value


def test_failures_carry_errno_and_name(fd, name):
    read_only = posix.shm_open(name, posix.O_RDONLY)
    write_only = posix.shm_open(name, posix.O_WRONLY)
    for arguments, number in [
        ((None, 0, READ, SHARED, fd), errno.EINVAL),
        ((None, PAGE, READ, SHARED, fd, 1), errno.EINVAL),
        ((None, PAGE, READ, 0, fd), errno.EINVAL),
        ((None, PAGE, READ, SHARED, fd, -PAGE), errno.EOVERFLOW),
        ((None, 2**47, READ, SHARED, fd), errno.ENOMEM),
        ((None, 2**63, READ, SHARED, fd), errno.ENOMEM),
        ((None, PAGE, BOTH, SHARED, read_only), errno.EACCES),
        ((None, PAGE, WRITE, SHARED, write_only), errno.EACCES),
        ((FREE, PAGE, BOTH, SHARED, read_only), errno.EACCES),
        ((FREE + 1, PAGE, READ, SHARED | posix.MAP_FIXED, fd), errno.EINVAL),
    ]:
        error = failing(*arguments)
        assert (error.errno, error.strerror, error.filename) == (number, os.strerror(number), name)
    posix.close(read_only)
    posix.close(write_only)
    assert failing(None, PAGE, READ, SHARED, read_only).errno == errno.EBADF
    assert lines(name) == []


def test_f23_minus_one_without_map_anonymous_is_ebadf():
    """CPython would map anonymous memory."""
    assert failing(None, PAGE, READ, SHARED, -1).errno == errno.EBADF


def test_no_descriptor_is_needed(fd):
    """CPython duplicates the descriptor (P04), and would fail where C doesn't."""
    code = f"""
        import resource
        from shmlab import posix, libc
        fd = posix.shm_open({fd.name!r}, posix.O_RDONLY)
        resource.setrlimit(resource.RLIMIT_NOFILE, (fd + 1, fd + 1))
        print(posix.mmap(None, 1, posix.PROT_READ, posix.MAP_SHARED, fd).length)
    """
    assert python(code).stdout == "1\n"


@pytest.mark.parametrize(
    "arguments",
    [
        (None, -1, READ, SHARED, 0),
        (None, 2**64, READ, SHARED, 0),
        (-1, PAGE, READ, SHARED, 0),
        (2**64, PAGE, READ, SHARED, 0),
        (None, PAGE, 2**31, SHARED, 0),
        (None, PAGE, READ, 2**32 | SHARED, 0),
        (None, PAGE, READ, SHARED, 2**31),
        (None, PAGE, READ, SHARED, 0, 2**63),
    ],
)
def test_integers_outside_the_c_type(arguments):
    with pytest.raises(OverflowError):
        posix.mmap(*arguments)


@pytest.mark.parametrize("arguments", [(None, 1.5, 1, 1, 0), (None, 1, "r", 1, 0), ("x", 1, 1, 1, 0)])
def test_what_is_no_integer(arguments):
    with pytest.raises(TypeError):
        posix.mmap(*arguments)


LENGTHS = st.one_of(st.integers(0, 5 * PAGE), st.sampled_from([1, PAGE, 2**40, 2**47, 2**63, 2**64 - 1]))
OFFSETS = st.one_of(st.integers(-2, 6).map(lambda n: n * PAGE), st.integers(-5, 5 * PAGE))


@given(
    length=LENGTHS,
    offset=OFFSETS,
    prot=st.integers(0, 7),
    flags=st.sampled_from([0, SHARED, PRIVATE, SHARED | PRIVATE, SHARED | ANONYMOUS, PRIVATE | ANONYMOUS]),
    access=st.sampled_from([posix.O_RDONLY, posix.O_WRONLY, posix.O_RDWR, None]),
)
@settings(max_examples=300, deadline=None)
def test_mmap_gets_libcs_own_answer(length, offset, prot, flags, access):
    """The same errno, or a mapping of the same range with the same permissions, as mmap called directly."""
    name = names.name("hyp")
    made = posix.shm_open(name, CREATE)
    posix.ftruncate(made, 2 * PAGE)
    fd = -1 if access is None else posix.shm_open(name, access)
    try:
        check_against_libc(name, length, prot, flags, fd, offset)
    finally:
        posix.close(made)
        if fd != -1:
            posix.close(fd)
        posix.shm_unlink(name)


def check_against_libc(name: str, length: int, prot: int, flags: int, fd: int, offset: int) -> None:
    address = RAW.mmap(None, length, prot, flags, fd, offset)
    if address == 2**64 - 1:
        expected = ctypes.get_errno()
        assert failing(None, length, prot, flags, fd, offset).errno == expected
        return
    seen = [(high - low, permissions, at) for low, high, permissions, at in lines(name)]
    RAW.munmap(address, length)
    with posix.mmap(None, length, prot, flags, fd, offset) as mapping:
        assert [(high - low, permissions, at) for low, high, permissions, at in lines(name)] == seen
        assert mapping.length == length == len(mapping.buf)
    assert lines(name) == []


# munmap, views, and what stays usable


VIEWS = {
    "slice": lambda buf: buf[8:16],
    "cast": lambda buf: buf.cast("Q"),
    "read-only": lambda buf: buf.toreadonly(),
    "slice of a slice": lambda buf: buf[8:32][2:4],
    "frombuffer": lambda buf: np.frombuffer(buf, dtype=np.uint32),
    "array of a slice": lambda buf: np.frombuffer(buf[8:16], dtype=np.uint8)[2:],
    "asarray": np.asarray,
    "memoryview": memoryview,
    "ctypes": lambda buf: ctypes.c_int.from_buffer(buf, 16),
    "PickleBuffer": pickle.PickleBuffer,
}


@pytest.mark.parametrize("view", VIEWS)
def test_munmap_refuses_while_views_exist_and_everything_works_on(mapping, name, view):
    buf, address = mapping.buf, mapping.address
    held = VIEWS[view](buf)
    for _ in range(2):
        with pytest.raises(BufferError, match=f"'{name}' can't be unmapped while views of it exist"):
            posix.munmap(mapping)
        assert lines(name) == [(address, address + 3 * PAGE, "rw-s", 0)]
        buf[0] = 5
        assert mapping.buf is buf
        assert memoryview(held).tobytes() is not None
    del held
    posix.munmap(mapping)
    assert lines(name) == []


def test_released_views_do_not_count(mapping, name):
    part = mapping.buf[:4]
    with mapping.buf.cast("Q") as words:
        words[0] = 1
    part.release()
    posix.munmap(mapping)
    assert lines(name) == []
    for view in (part, words):
        assert repr(view).startswith("<released memory")


def test_a_released_buf_is_given_anew(mapping):
    with mapping.buf as buf:
        buf[0] = 1
    assert mapping.buf[0] == 1


def test_copies_are_no_views(mapping, name):
    copy, stream = bytes(mapping.buf), io.BytesIO(mapping.buf)
    posix.munmap(mapping)
    assert len(copy) == len(stream.getvalue()) == 3 * PAGE


def test_the_exporter_counts_as_a_view(mapping, name):
    exporter = memoryview(mapping.buf.obj)
    with pytest.raises(BufferError):
        posix.munmap(mapping)
    assert mapping.buf[PAGE] == 1
    exporter.release()
    posix.munmap(mapping)


def test_after_munmap_everything_is_an_error_and_nothing_crashes(mapping, name):
    buf = mapping.buf
    posix.munmap(mapping)
    with pytest.raises(ValueError, match="released"):
        buf[0]
    for use in (lambda: mapping.buf, lambda: mapping.address):
        with pytest.raises(ValueError, match=f"'{name}' has been unmapped"):
            use()
    with pytest.raises(OSError) as caught:  # noqa: PT011
        posix.msync(mapping)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOMEM, name)
    assert repr(mapping) == f"<Mapping of '{name}', unmapped>"
    assert (mapping.length, mapping.name) == (3 * PAGE, name)


def test_f25_munmap_twice_is_fine_and_touches_nothing(mapping, fd, name):
    address = mapping.address
    posix.munmap(mapping)
    with posix.mmap(address, 3 * PAGE, READ, SHARED | posix.MAP_FIXED_NOREPLACE, fd) as other:
        posix.munmap(mapping)
        assert other.buf[PAGE] == 1


def test_f25_a_length_removes_whole_pages_from_the_start(mapping, name):
    start = mapping.address
    mapping.buf[0] = 9
    posix.munmap(mapping, 1)
    assert lines(name) == [(start + PAGE, start + 3 * PAGE, "rw-s", PAGE)]
    assert (mapping.address, mapping.length, len(mapping.buf)) == (start + PAGE, 2 * PAGE, 2 * PAGE)
    assert (mapping.buf[0], mapping.buf[-1]) == (1, 2)
    part = mapping.buf[:1]
    with pytest.raises(BufferError):
        posix.munmap(mapping, PAGE)
    part.release()
    posix.munmap(mapping, PAGE + 1)
    assert lines(name) == []
    assert repr(mapping).endswith("unmapped>")


@given(
    pages=st.integers(1, 6),
    cut=st.integers(1, 6 * PAGE),
    tail=st.integers(0, PAGE - 1),
    addressed=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_what_remains_is_what_the_kernel_says(pages, cut, tail, addressed):
    length = pages * PAGE - tail
    assume(cut <= length)
    name = names.name("cut")
    with posix.create(name, 6 * PAGE):
        fd = posix.shm_open(name, posix.O_RDWR)
        mapping = posix.mmap(FREE if addressed else None, length, READ, SHARED, fd)
        posix.close(fd)
        start, before = mapping.address, lines(name)
        posix.munmap(mapping, cut)
        gone = whole_pages(cut)
        mine = [line for line in lines(name) if line[2] == "r--s"]
        assert len(before) == 2
        if gone == pages * PAGE:
            assert mine == []
        else:
            assert mine == [(start + gone, start + pages * PAGE, "r--s", gone)]
            assert (mapping.address, mapping.length) == (start + gone, length - gone)
            assert mapping.buf.readonly
        posix.munmap(mapping)


def test_munmap_refuses_what_is_not_its_own(mapping, name):
    with pytest.raises(ValueError, match="12289 bytes reach past"):
        posix.munmap(mapping, 3 * PAGE + 1)
    with pytest.raises(OSError, match="Invalid argument") as caught:
        posix.munmap(mapping, 0)
    assert (caught.value.errno, caught.value.filename) == (errno.EINVAL, name)
    with pytest.raises(OverflowError):
        posix.munmap(mapping, -1)
    with pytest.raises(TypeError, match="a Mapping from mmap is needed, not int"):
        posix.munmap(mapping.address)
    assert mapping.buf[PAGE] == 1


def test_with_unmaps(mapping, name):
    with mapping as same:
        assert same is mapping
    assert lines(name) == []


def test_an_error_inside_with_is_the_one_that_is_seen(mapping, name):
    with pytest.raises(KeyError) as caught, mapping:  # noqa: PT012
        part = mapping.buf[:4]
        raise KeyError
    assert "views of it exist" in caught.value.__notes__[0]
    part.release()


@pytest.mark.parametrize("where", [None, FREE])
def test_a_forgotten_mapping_goes_with_its_last_view(fd, name, where):
    mapping = posix.mmap(where, PAGE, BOTH, SHARED, fd)
    array = np.frombuffer(mapping.buf, dtype=np.uint8)
    del mapping
    gc.collect()
    array[0] = 8
    assert len(lines(name)) == 1
    del array
    assert lines(name) == []


def test_p04_an_unmapped_mapping_keeps_no_descriptor(mapping, fd):
    posix.munmap(mapping)
    before = len(os.listdir("/proc/self/fd"))
    for where, cut in ((None, None), (None, PAGE), (FREE, PAGE)):
        other = posix.mmap(where, 2 * PAGE, BOTH, SHARED, fd)
        posix.munmap(other, cut)
        posix.munmap(other)
    assert len(os.listdir("/proc/self/fd")) == before


def test_p18_it_never_resizes(mapping, fd):
    posix.ftruncate(fd, 8 * PAGE)
    assert (len(mapping), len(mapping.buf)) == (3 * PAGE, 3 * PAGE)
    assert os.fstat(fd).st_size == 8 * PAGE


# msync


def test_f26_msync(mapping, name):
    posix.msync(mapping)
    posix.msync(mapping, 0)
    posix.msync(mapping, 1, posix.MS_ASYNC)
    posix.msync(mapping, flags=posix.MS_SYNC | posix.MS_INVALIDATE)
    for flags in (posix.MS_SYNC | posix.MS_ASYNC, 64):
        with pytest.raises(OSError, match="Invalid argument") as caught:
            posix.msync(mapping, flags=flags)
        assert (caught.value.errno, caught.value.filename) == (errno.EINVAL, name)
    with pytest.raises(OSError) as caught:  # noqa: PT011
        posix.msync(mapping, 2**40)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOMEM, name)
    with pytest.raises(OverflowError):
        posix.msync(mapping, -1)


def test_msync_of_a_read_only_mapping(fd):
    with posix.mmap(None, PAGE, READ, SHARED, fd) as mapping:
        posix.msync(mapping)
