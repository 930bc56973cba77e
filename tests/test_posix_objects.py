"""shmlab.posix's objects: the operating system is the oracle, and libc called directly answers beside it."""

import ctypes
import errno
import os
import pickle
import shutil
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shmlab import names, posix

RAW = ctypes.CDLL(None, use_errno=True)
CREATE = posix.O_RDWR | posix.O_CREAT | posix.O_EXCL
SHM = Path("/dev/shm")


def backing(name: str) -> Path:
    return SHM / name.lstrip("/")


def python(code: str, *before: str, **options) -> subprocess.CompletedProcess[str]:
    """Run *code* in a process of its own, which may die."""
    command = [*before, sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)


@pytest.fixture
def name() -> Iterator[str]:
    chosen = names.name("obj")
    yield chosen
    backing(chosen).unlink(missing_ok=True)


@pytest.fixture
def fd(name) -> Iterator[int]:
    opened = posix.shm_open(name, CREATE, 0o600)
    yield opened
    posix.close(opened)


# What the calls do, as the file system sees it


def test_a_new_object_is_empty_and_carries_the_mode_less_the_umask(name):
    before = os.umask(0o027)
    try:
        fd = posix.shm_open(name, CREATE, 0o666)
    finally:
        os.umask(before)
    seen = os.stat(backing(name))
    assert (seen.st_size, seen.st_blocks, stat.S_IMODE(seen.st_mode)) == (0, 0, 0o640)
    assert os.fstat(fd).st_ino == seen.st_ino
    posix.close(fd)


def test_the_descriptor_is_the_lowest_free_number_and_is_not_inherited(name):
    free = os.dup(0)
    os.close(free)
    fd = posix.shm_open(name, CREATE)
    assert fd == free
    assert isinstance(fd, int)
    assert repr(fd) == str(free)
    assert not os.get_inheritable(fd)
    assert int(pickle.loads(pickle.dumps(fd))) == free
    posix.close(fd)


def test_opening_again_changes_nothing(name, fd):
    os.write(fd, b"hello")
    for flags in (posix.O_RDWR, posix.O_RDONLY, posix.O_RDWR | posix.O_CREAT, posix.O_RDWR | posix.O_EXCL):
        again = posix.shm_open(name, flags, 0)
        assert os.pread(again, 9, 0) == b"hello"
        posix.close(again)
    assert stat.S_IMODE(os.stat(backing(name)).st_mode) == 0o600


def test_o_trunc_empties(name, fd):
    os.write(fd, b"hello")
    posix.close(posix.shm_open(name, posix.O_RDWR | posix.O_TRUNC))
    assert os.stat(backing(name)).st_size == 0


def test_o_wronly_is_accepted_and_writes(name, fd):
    """F04: useless for mapping, but the kernel's business."""
    write_only = posix.shm_open(name, posix.O_WRONLY)
    os.write(write_only, b"x")
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.read(write_only, 1)
    posix.close(write_only)
    assert os.pread(fd, 1, 0) == b"x"


@given(size=st.one_of(st.integers(0, 2**20), st.integers(0, 2**63 - 1)))
@settings(max_examples=60, deadline=None)
def test_ftruncate_sets_exactly_the_size_and_reserves_nothing(size):
    name = names.name("trunc")
    fd = posix.shm_open(name, CREATE)
    try:
        posix.ftruncate(fd, size)
        assert (os.stat(backing(name)).st_size, os.stat(backing(name)).st_blocks) == (size, 0)
    finally:
        posix.close(fd)
        posix.shm_unlink(name)


@given(offset=st.integers(0, 2**17), length=st.integers(1, 2**17))
@settings(max_examples=40, deadline=None)
def test_posix_fallocate_grows_and_reserves(offset, length):
    name = names.name("alloc")
    fd = posix.shm_open(name, CREATE)
    try:
        posix.posix_fallocate(fd, offset, length)
        seen = os.stat(backing(name))
        first, last = offset // posix.PAGE_SIZE, (offset + length - 1) // posix.PAGE_SIZE
        assert seen.st_size == offset + length
        assert seen.st_blocks * 512 == (last - first + 1) * posix.PAGE_SIZE
    finally:
        posix.close(fd)
        posix.shm_unlink(name)


def test_unlink_removes_the_name_only(name, fd):
    os.write(fd, b"still here")
    posix.shm_unlink(name)
    assert not backing(name).exists()
    assert os.pread(fd, 99, 0) == b"still here"


# Failures


def failing(call: Callable, *arguments) -> OSError:
    with pytest.raises(OSError) as caught:  # noqa: PT011
        call(*arguments)
    return caught.value


def test_failures_are_the_right_subclass_and_name_the_object(name):
    absent = failing(posix.shm_open, name, posix.O_RDWR)
    assert isinstance(absent, FileNotFoundError)
    assert str(absent) == f"[Errno 2] No such file or directory: '{name}'"
    assert absent.__suppress_context__
    posix.close(posix.shm_open(name, CREATE))
    assert isinstance(failing(posix.shm_open, name, CREATE), FileExistsError)
    posix.shm_unlink(name)
    unlinked = failing(posix.shm_unlink, name)
    assert (unlinked.errno, unlinked.filename) == (errno.ENOENT, name)


def test_ftruncate_and_fallocate_name_the_object(name, fd):
    read_only = posix.shm_open(name, posix.O_RDONLY)
    for error in (
        failing(posix.ftruncate, fd, -1),
        failing(posix.ftruncate, read_only, 5),
        failing(posix.ftruncate, os.dup(read_only), 5),
        failing(posix.posix_fallocate, fd, 0, 0),
        failing(posix.posix_fallocate, fd, -1, 5),
    ):
        assert (error.errno, error.filename) == (errno.EINVAL, name)
    os.close(read_only + 1)
    posix.shm_unlink(name)
    assert failing(posix.ftruncate, os.dup(read_only), 5).filename == name
    os.close(read_only + 1)
    posix.close(read_only)
    assert failing(posix.ftruncate, read_only, 5).errno == errno.EBADF
    assert failing(posix.ftruncate, 10**6, 5).filename is None


def test_a_symbolic_link_is_refused(name):
    backing(name).symlink_to("/dev/null")
    error = failing(posix.shm_open, name, posix.O_RDWR)
    assert (error.errno, error.filename) == (errno.ELOOP, name)


def test_no_descriptor_left(name):
    code = f"""
        import resource
        from shmlab import posix
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
        try:
            posix.shm_open({name!r}, {CREATE})
        except OSError as error:
            print(error)
    """
    assert python(code).stdout == f"[Errno 24] Too many open files: '{name}'\n"


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to become somebody else")
def test_another_users_object(name, fd):
    os.write(fd, b"mine")
    os.fchmod(fd, 0o644)
    code = f"""
        import os
        from shmlab import posix
        os.setresuid(65534, 65534, 65534)
        for call in (lambda: posix.shm_open({name!r}, posix.O_RDWR), lambda: posix.shm_unlink({name!r})):
            try:
                call()
            except PermissionError as error:
                print(error.errno, error.filename)
        print(os.read(posix.shm_open({name!r}, posix.O_RDONLY), 9))
    """
    assert python(code).stdout == f"13 {name}\n13 {name}\nb'mine'\n"


@pytest.mark.parametrize("bad", [None, b"/bytes", 7])
def test_a_name_is_a_string(bad):
    """posix_ipc takes bytes, and makes up a name for None."""
    for call in (lambda: posix.shm_open(bad, CREATE), lambda: posix.shm_unlink(bad)):
        with pytest.raises(TypeError, match="a name must be a string"):
            call()


def test_a_name_that_cannot_be_encoded():
    """posix_ipc 1.3.2 crashes on it, as on a NUL: it goes on without the encoded name."""
    for call in (lambda: posix.shm_open("/\ud800", CREATE), lambda: posix.shm_unlink("/\ud800")):
        with pytest.raises(UnicodeEncodeError):
            call()


def test_a_name_that_is_no_text():
    """Bytes that aren't UTF-8 travel as surrogates, and posix_ipc can't unlink them."""
    name = names.name("raw") + os.fsdecode(b"\xff")
    posix.close(posix.shm_open(name, CREATE))
    assert backing(name).exists()
    posix.shm_unlink(name)
    assert not backing(name).exists()


@pytest.mark.parametrize(
    ("flags", "mode"), [(2**31, 0), (-(2**31) - 1, 0), (2**32 + 2, 0), (66, -1), (66, 2**32)]
)
def test_integers_outside_the_c_type(name, flags, mode):
    """posix_ipc would take flags modulo 2**32."""
    with pytest.raises(OverflowError):
        posix.shm_open(name, flags, mode)
    assert not backing(name).exists()


def test_sizes_outside_off_t(fd):
    for size in (2**63, -(2**63) - 1):
        with pytest.raises(OverflowError):
            posix.ftruncate(fd, size)
        with pytest.raises(OverflowError):
            posix.posix_fallocate(fd, 0, size)
    assert os.fstat(fd).st_size == 0


WORDS = st.text(st.sampled_from("a./ é\n%"), max_size=6)


@given(
    slashes=st.integers(0, 3),
    tail=st.one_of(WORDS, st.integers(215, 260).map(lambda n: "x" * n)),
    flags=st.sampled_from([0, 1, 2, 3, CREATE, CREATE | 1, posix.O_RDWR | posix.O_CREAT, 2 | posix.O_EXCL]),
)
@settings(max_examples=200, deadline=None)
def test_names_and_flags_get_libcs_own_answer(slashes, tail, flags):
    """The same errno, or the same success, as shm_open and shm_unlink called directly."""
    check_against_libc("/" * slashes + names.name("h").lstrip("/") + tail, flags)


@pytest.mark.parametrize("name", ["", "/", "//", ".", "/.", "..", "/..", "a/b", "/a/"])
@pytest.mark.parametrize("flags", [0, 2, posix.O_RDWR | posix.O_CREAT, CREATE])
def test_odd_names_get_libcs_own_answer(name, flags):
    check_against_libc(name, flags)


def check_against_libc(name: str, flags: int) -> None:
    encoded = os.fsencode(name)

    def raw() -> tuple[int, int]:
        fd = RAW.shm_open(encoded, flags, 0o600)
        opened = ctypes.get_errno() if fd == -1 else 0
        if fd != -1:
            os.close(fd)
        removed = ctypes.get_errno() if RAW.shm_unlink(encoded) == -1 else 0
        return opened, removed

    def ours(call: Callable, *arguments) -> int:
        try:
            call(*arguments)
        except OSError as error:
            return error.errno if error.filename == name else -1
        return 0

    opened = ours(lambda: posix.close(posix.shm_open(name, flags, 0o600)))
    assert (opened, ours(posix.shm_unlink, name)) == raw()


# The traps of posix_ipc 1.3.2, by their numbers in the fact ledger


def test_p01_a_nul_in_a_name_is_a_value_error(name):
    """posix_ipc.SharedMemory("/a\\0b") dies of SIGSEGV."""
    for call in (lambda: posix.shm_open(name + "\0x", CREATE), lambda: posix.shm_unlink(name + "\0x")):
        with pytest.raises(ValueError, match="embedded null character"):
            call()
    assert not backing(name).exists()


def test_p02_a_failing_size_change_does_not_unlink(name, fd):
    """posix_ipc.SharedMemory(name, read_only=True, size=20) deletes the object."""
    os.write(fd, b"precious")
    read_only = posix.shm_open(name, posix.O_RDONLY)
    for size in (20, -1):
        assert failing(posix.ftruncate, read_only, size).errno == errno.EINVAL
    posix.close(read_only)
    assert backing(name).read_bytes() == b"precious"


def test_p03_opening_never_resizes(name, fd):
    """posix_ipc.SharedMemory(name, size=3) shrinks an object under its users."""
    posix.ftruncate(fd, 16384)
    for flags in (posix.O_RDWR, posix.O_RDWR | posix.O_CREAT):
        posix.close(posix.shm_open(name, flags))
    assert os.stat(backing(name)).st_size == 16384
    with pytest.raises(FileExistsError):
        posix.create(name, 3)
    assert os.stat(backing(name)).st_size == 16384


def test_p04_the_descriptor_is_the_callers(name, fd):
    """Dropping a posix_ipc.SharedMemory leaks its descriptor, and nothing says so."""
    before = len(os.listdir("/proc/self/fd"))
    opened = [posix.shm_open(name, posix.O_RDWR) for _ in range(5)]
    assert len(os.listdir("/proc/self/fd")) == before + 5
    for each in opened:
        os.close(each)
    assert len(os.listdir("/proc/self/fd")) == before
    with pytest.raises(OSError, match="Bad file descriptor"):
        posix.close(opened[0])
    if sys.version_info >= (3, 13):
        posix.ftruncate(fd, 1)
        with posix.mmap(None, 1, posix.PROT_READ, posix.MAP_SHARED, fd):
            assert len(os.listdir("/proc/self/fd")) == before


# The one convenience


def test_create_reserves_maps_and_removes(name):
    before = os.listdir("/proc/self/fd")
    with posix.create(name, 10000, 0o644) as mapping:
        seen = os.stat(backing(name))
        assert (seen.st_size, seen.st_blocks * 512) == (10000, 12288)
        assert stat.S_IMODE(seen.st_mode) == 0o644
        assert (mapping.name, mapping.length, len(mapping.buf)) == (name, 10000, 10000)
        mapping.buf[9999] = 1
        assert backing(name).read_bytes()[-1] == 1
    assert not backing(name).exists()
    assert os.listdir("/proc/self/fd") == before
    assert name not in Path("/proc/self/maps").read_text()


@pytest.mark.parametrize("size", [0, -1, -(2**63)])
def test_create_with_no_size_is_einval_and_leaves_nothing(name, size):
    error = failing(posix.create, name, size)
    assert (error.errno, error.filename) == (errno.EINVAL, name)
    assert not backing(name).exists()


def test_create_too_large_for_off_t_leaves_nothing(name):
    before = os.listdir("/proc/self/fd")
    with pytest.raises(OverflowError):
        posix.create(name, 2**63)
    assert not backing(name).exists()
    assert os.listdir("/proc/self/fd") == before


def test_create_refuses_a_taken_name_and_leaves_it(name, fd):
    os.write(fd, b"theirs")
    assert failing(posix.create, name, 10).errno == errno.EEXIST
    assert backing(name).read_bytes() == b"theirs"


def test_create_unlinks_even_while_views_exist(name):
    with suppress(BufferError), posix.create(name, 4096) as mapping:
        part = mapping.buf[:4]
    assert not backing(name).exists()
    part[0] = 1
    part.release()
    posix.munmap(mapping)


def test_create_lets_the_error_inside_through(name):
    with pytest.raises(KeyError) as caught, posix.create(name, 4096) as mapping:  # noqa: PT012
        part = mapping.buf[:4]
        raise KeyError
    assert not backing(name).exists()
    assert any("views of it exist" in note for note in caught.value.__notes__)
    part.release()


def test_create_accepts_that_the_object_is_gone_already(name):
    with posix.create(name, 4096):
        posix.shm_unlink(name)


PRIVATE_SHM = (
    "unshare",
    "--mount",
    "sh",
    "-c",
    'mount -t tmpfs -o size=1m tmpfs /dev/shm && exec "$@"',
    "sh",
)


@pytest.fixture
def small_shm() -> tuple[str, ...]:
    if shutil.which("unshare") is None:
        pytest.skip("no unshare")
    attempt = subprocess.run([*PRIVATE_SHM, "true"], capture_output=True, text=True, timeout=10)
    if attempt.returncode:
        pytest.skip(f"no private /dev/shm (it needs root): {attempt.stderr.strip()}")
    return PRIVATE_SHM


def test_create_on_a_full_dev_shm_is_enospc_and_leaves_nothing(name, small_shm):
    code = f"""
        import os
        from shmlab import posix
        with posix.create("/half", 512 * 1024) as half:
            try:
                posix.create({name!r}, 128 * 2**20)
            except OSError as error:
                print(error)
            print(os.listdir("/dev/shm"))
            half.buf[-1] = 1
        with posix.create({name!r}, 2**20) as all_of_it:
            for page in range(0, 2**20, 4096):
                all_of_it.buf[page] = 1
        print("alive")
    """
    done = python(code, *small_shm)
    assert done.stdout.splitlines() == [
        f"[Errno 28] No space left on /dev/shm (wanted 128 MiB, 512 KiB free): '{name}'",
        "['half']",
        "alive",
    ], done.stderr


def test_without_reserving_a_full_dev_shm_is_a_bus_error(name, small_shm):
    """F09: what create protects from, so that the test above can fail."""
    code = f"""
        from shmlab import posix
        fd = posix.shm_open({name!r}, {CREATE})
        posix.ftruncate(fd, 2 * 2**20)
        m = posix.mmap(None, 2 * 2**20, posix.PROT_READ | posix.PROT_WRITE, posix.MAP_SHARED, fd)
        for page in range(0, 2 * 2**20, 4096):
            m.buf[page] = 1
    """
    assert python(code, *small_shm).returncode == -7


# Which system calls are made, and which aren't


def can_trace() -> bool:
    if shutil.which("strace") is None:
        return False
    return (
        subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, timeout=10).returncode == 0
    )


@pytest.mark.skipif(not can_trace(), reason="no strace, or it may not trace")
def test_the_system_calls_are_cs_own(name, tmp_path):
    """The C program's lines in the fact ledger (part C), and none besides."""
    code = f"""
        import os
        from shmlab import posix
        os.write(2, b"begin")
        fd = posix.shm_open({name!r}, {CREATE}, 0o600)
        posix.ftruncate(fd, 4096)
        m = posix.mmap(None, 4096, posix.PROT_READ | posix.PROT_WRITE, posix.MAP_SHARED, fd)
        posix.msync(m)
        posix.posix_fallocate(fd, 0, 8192)
        posix.munmap(m)
        posix.close(fd)
        posix.shm_unlink({name!r})
        try:
            posix.shm_open({name!r}, posix.O_RDONLY)
        except FileNotFoundError:
            pass
        os.write(2, b"end")
    """
    log = tmp_path / "strace"
    calls = "openat,ftruncate,fallocate,mmap,msync,munmap,unlink,write"
    done = python(code, "strace", "-o", str(log), "-e", f"trace={calls}")
    assert done.returncode == 0, done.stderr
    lines = log.read_text().splitlines()
    begin = next(i for i, line in enumerate(lines) if '"begin"' in line)
    end = next(i for i, line in enumerate(lines) if '"end"' in line)
    made = [line.partition(" = ")[0].rstrip() for line in lines[begin + 1 : end]]
    # The interpreter's own allocations aside, which name neither the object nor a descriptor.
    made = [call for call in made if "MAP_ANONYMOUS" not in call]
    address = next(call for call in made if call.startswith("msync"))[len("msync(") :].split(",")[0]
    number = next(call for call in made if call.startswith("ftruncate"))[len("ftruncate(") :].split(",")[0]
    assert made == [
        f'openat(AT_FDCWD, "/dev/shm{name}", O_RDWR|O_CREAT|O_EXCL|O_NOFOLLOW|O_CLOEXEC, 0600)',
        f"ftruncate({number}, 4096)",
        f"mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_SHARED, {number}, 0)",
        f"msync({address}, 4096, MS_SYNC)",
        f"fallocate({number}, 0, 0, 8192)",
        f"munmap({address}, 4096)",
        f'unlink("/dev/shm{name}")',
        f'openat(AT_FDCWD, "/dev/shm{name}", O_RDONLY|O_NOFOLLOW|O_CLOEXEC)',
    ]
