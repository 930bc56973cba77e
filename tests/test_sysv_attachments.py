"""shmlab.sysv's attachments: /proc/self/maps and nattch are the oracle, and views that must never crash."""

import ctypes
import errno
import gc
import os
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shmlab import libc, names, observe, sysv

PAGE = os.sysconf("SC_PAGE_SIZE")
FREE = 0x5000_0000_0000
"""An address that nothing of this process's comes near (FACTS D83)."""


def python(code: str) -> subprocess.CompletedProcess[str]:
    """Run *code* in a process of its own, which may die."""
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def failing(call: Callable, *arguments) -> OSError:
    with pytest.raises(OSError) as caught:  # noqa: PT011
        call(*arguments)
    return caught.value


def lines(shmid: int) -> list[tuple[int, int, str]]:
    """(first, last + 1, permissions) of every range of /proc/self/maps that shows the segment (FACTS D26)."""
    found = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, permissions, _offset, _device, inode, *path = line.split(maxsplit=5)
        if path and path[0].startswith("/SYSV") and int(inode) == shmid:
            low, high = (int(part, 16) for part in span.split("-"))
            found.append((low, high, permissions))
    return found


def nattch(shmid: int) -> int | None:
    """Attaches by /proc/sysvipc/shm; None when the segment is gone."""
    return next((each.attached for each in observe.segments() if each.id == shmid), None)


@pytest.fixture
def segment() -> Iterator[int]:
    """The id of a segment of 5000 bytes: two pages."""
    made = sysv.shmget(names.key("attached"), 5000, sysv.IPC_CREAT | sysv.IPC_EXCL | 0o600)
    yield made
    with suppress(OSError):
        sysv.shmctl(made, sysv.IPC_RMID)


@pytest.fixture
def attached(segment) -> Iterator[sysv.Attachment]:
    made = sysv.shmat(segment)
    yield made
    with suppress(BufferError, OSError):  # views that the traceback of a failing test holds
        sysv.shmdt(made)


# What an attachment is


def test_it_says_what_the_kernel_says(attached, segment):
    assert lines(segment) == [(attached.address, attached.address + 2 * PAGE, "rw-s")]
    assert (attached.length, len(attached), attached.shmid, attached.shmflg) == (5000, 5000, segment, 0)
    assert nattch(segment) == 1
    assert repr(attached) == f"<Attachment of id {segment}, 5000 bytes, rw->"


def test_it_is_the_memory_itself(attached, segment):
    view = attached.buf
    assert (view.format, view.nbytes, view.readonly) == ("B", 5000, False)
    with sysv.shmat(segment) as other:
        assert other.address != attached.address
        assert nattch(segment) == 2  # D47: two calls, two addresses, the same bytes
        view[4999] = 77
        assert other.buf[4999] == 77
    assert ctypes.c_ubyte.from_address(attached.address + 4999).value == 77
    assert attached.buf is view


def test_f47_read_only(segment):
    with sysv.shmat(segment, None, sysv.SHM_RDONLY) as attached:
        assert lines(segment) == [(attached.address, attached.address + 2 * PAGE, "r--s")]
        assert attached.buf.readonly
        with pytest.raises(TypeError, match="read-only"):
            attached.buf[0] = 1
        assert repr(attached).endswith("r-->")


def test_f47_shm_exec(segment):
    sysv.shmctl(segment, sysv.IPC_RMID)
    made = sysv.shmget(sysv.IPC_PRIVATE, 1, 0o700)
    with sysv.shmat(made, None, sysv.SHM_EXEC) as attached:
        sysv.shmctl(made, sysv.IPC_RMID)
        assert [permissions for _, _, permissions in lines(made)] == ["rwxs"]
        assert repr(attached).endswith("rwx>")


def test_another_process_sees_what_is_stored(attached, segment):
    attached.buf[:5] = b"hello"
    code = f"""
        from shmlab import sysv
        with sysv.shmat({segment}) as attached:
            print(attached.buf[:5].tobytes())
            attached.buf[:5] = b"HELLO"
    """
    assert python(code).stdout == "b'hello'\n"
    assert attached.buf[:5] == b"HELLO"


def test_a_child_inherits_and_its_detach_is_its_own(attached, segment):
    code = f"""
        import os
        from shmlab import sysv
        attached = sysv.shmat({segment})
        if os.fork() == 0:
            attached.buf[0] = 42
            sysv.shmdt(attached)
            os._exit(0)
        os.wait()
        print(attached.buf[0], sysv.shmctl({segment}, sysv.IPC_STAT).shm_nattch)
    """
    assert python(code).stdout == "42 2\n"


@given(st.integers(1, 4 * PAGE))
@settings(max_examples=50, deadline=None)
def test_it_is_as_long_as_the_segment(size):
    made = sysv.shmget(sysv.IPC_PRIVATE, size, 0o600)
    with sysv.shmat(made) as attached:
        sysv.shmctl(made, sysv.IPC_RMID)
        assert attached.length == len(attached.buf) == size
        ((low, high, _),) = lines(made)
        assert high - low == -(-size // PAGE) * PAGE
        attached.buf[:] = b"\xaa" * size
    assert nattch(made) is None


# An address


def test_d49_an_address_is_honoured_or_refused(segment):
    with sysv.shmat(segment, FREE) as attached:
        assert attached.address == FREE
        for where in (FREE, FREE + PAGE, FREE + 8 * PAGE + 1):  # taken, taken, unaligned
            error = failing(sysv.shmat, segment, where)
            assert (error.errno, error.filename) == (errno.EINVAL, f"id {segment}")
        with sysv.shmat(segment, FREE + 8 * PAGE + 1, sysv.SHM_RND) as rounded:
            assert rounded.address == FREE + 8 * PAGE
            assert rounded.shmflg == sysv.SHM_RND
    assert lines(segment) == []


@pytest.mark.parametrize("where", [None, 0])
def test_no_address_is_anywhere(segment, where):
    with sysv.shmat(segment, where) as attached:
        assert attached.address % PAGE == 0


def test_shm_remap_replaces_and_what_was_replaced_detaches_nothing(segment):
    """FACTS F47. The address of a replaced attachment is somebody else's: dropping it detaches nothing."""
    other = sysv.shmget(sysv.IPC_PRIVATE, 5000, 0o600)
    old = sysv.shmat(segment, FREE)
    old.buf[0] = 1
    new = sysv.shmat(other, FREE, sysv.SHM_REMAP)
    sysv.shmctl(other, sysv.IPC_RMID)
    assert (nattch(segment), nattch(other), new.buf[0]) == (0, 1, 0)
    sysv.shmdt(old)
    assert nattch(other) == 1
    new.buf[0] = 2
    sysv.shmdt(FREE)
    assert nattch(other) is None
    assert failing(sysv.shmat, segment, None, sysv.SHM_REMAP).errno == errno.EINVAL  # F47: refuses NULL


@pytest.mark.parametrize(
    "arguments", [(2**31,), (-(2**31) - 1,), (0, -1), (0, 2**64), (0, None, 2**31), (0, None, -(2**31) - 1)]
)
def test_what_the_c_type_cannot_hold_is_refused(arguments):
    with pytest.raises(OverflowError):
        sysv.shmat(*arguments)


@pytest.mark.parametrize("arguments", [("0",), (0, "x"), (0, 1.5), (0, None, "r")])
def test_what_is_no_integer_is_refused(arguments):
    with pytest.raises(TypeError):
        sysv.shmat(*arguments)


def test_d48_ids_that_are_none(segment):
    sysv.shmctl(segment, sysv.IPC_RMID)
    for number in (-1, segment):
        error = failing(sysv.shmat, number)
        assert (error.errno, error.filename) == (errno.EINVAL, f"id {number}")


def test_too_large_for_the_addresses_is_enomem():
    made = sysv.shmget(sysv.IPC_PRIVATE, 2**47, 0o600 | sysv.SHM_NORESERVE)
    error = failing(sysv.shmat, made)
    sysv.shmctl(made, sysv.IPC_RMID)
    assert (error.errno, error.filename) == (errno.ENOMEM, f"id {made}")


# shmdt, views, and what stays usable


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
    "what is underneath": lambda buf: buf.obj,
    "a view of what is underneath": lambda buf: memoryview(buf.obj),
}


@pytest.mark.parametrize("by_address", [False, True])
@pytest.mark.parametrize("view", VIEWS)
def test_shmdt_refuses_while_views_exist_and_everything_works_on(attached, segment, view, by_address):
    buf = attached.buf
    held = VIEWS[view](buf)
    seen = lines(segment)
    for _ in range(2):
        with pytest.raises(BufferError, match=f"^id {segment} can't be detached while views of it exist"):
            sysv.shmdt(attached.address if by_address else attached)
        assert lines(segment) == seen
        attached.buf[0] = 5
        assert memoryview(held).tobytes()
    del held
    del buf
    sysv.shmdt(attached)
    assert lines(segment) == []
    assert nattch(segment) == 0


def test_buf_itself_is_no_such_view(attached, segment):
    buf = attached.buf
    sysv.shmdt(attached)
    with pytest.raises(ValueError, match="released"):
        buf[0]
    with pytest.raises(ValueError, match=f"id {segment} has been detached"):
        attached.buf  # noqa: B018
    assert repr(attached) == f"<Attachment of id {segment}, detached>"
    assert nattch(segment) == 0


def test_released_views_do_not_count(attached, segment):
    part = attached.buf[:4]
    with attached.buf[:16].cast("Q") as words:
        words[0] = 1
    part.release()
    sysv.shmdt(attached)
    assert lines(segment) == []


def test_a_released_buf_is_given_anew(attached):
    with attached.buf as buf:
        buf[0] = 1
    assert attached.buf[0] == 1


def test_d56_what_is_not_attached_is_einval(attached, segment):
    address = attached.address
    for where in (address + 1, address + PAGE, 0, 0x12340000):
        error = failing(sysv.shmdt, where)
        assert (error.errno, error.filename) == (errno.EINVAL, f"address {where:#x}")
    sysv.shmdt(address)
    assert nattch(segment) == 0
    assert failing(sysv.shmdt, address).errno == errno.EINVAL
    error = failing(sysv.shmdt, attached)
    assert (error.errno, error.filename) == (errno.EINVAL, f"id {segment}")
    for bad in (None, "x", 1.5, attached.shmid.to_bytes):
        with pytest.raises(TypeError):
            sysv.shmdt(bad)
    for wrong in (-1, 2**64):
        with pytest.raises(OverflowError):
            sysv.shmdt(wrong)


def test_an_address_that_c_attached_is_the_kernels(segment):
    raw = ctypes.CDLL(None, use_errno=True)
    raw.shmat.restype, raw.shmat.argtypes = ctypes.c_void_p, (ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
    sysv.shmdt(raw.shmat(segment, None, 0))
    assert nattch(segment) == 0


def test_unmapped_behind_its_back_is_einval_once(segment):
    attached = sysv.shmat(segment)
    libc.munmap(attached.address, 2 * PAGE)
    error = failing(sysv.shmdt, attached)
    assert (error.errno, error.filename) == (errno.EINVAL, f"id {segment}")
    assert repr(attached).endswith("detached>")
    with sysv.shmat(segment, attached.address) as again:  # which what was unmapped must not detach
        del attached
        gc.collect()
        assert nattch(segment) == 1
        again.buf[0] = 1


@pytest.mark.parametrize("how", ["dropped", "with a view that outlives it", "at the interpreter's end"])
def test_unmapped_behind_its_back_and_forgotten_says_nothing(segment, how):
    forget = {
        "dropped": "del attached",
        "with a view that outlives it": "view = attached.buf[1:]; del attached; del view",
        "at the interpreter's end": "",
    }[how]
    ended = python(f"""
        from shmlab import libc, sysv
        attached = sysv.shmat({segment})
        libc.munmap(attached.address, {2 * PAGE})
        {forget}
        print("went on")
    """)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "went on\n", "")


def test_f50_a_part_unmapped_behind_its_back(segment):
    attached = sysv.shmat(segment)
    libc.munmap(attached.address, PAGE)
    assert nattch(segment) == 1
    sysv.shmdt(attached)
    assert lines(segment) == []


def test_with_detaches_and_what_went_wrong_inside_matters_more(segment):
    with sysv.shmat(segment) as attached:
        assert nattch(segment) == 1
    assert nattch(segment) == 0
    with sysv.shmat(segment) as attached:
        sysv.shmdt(attached)  # inside the block is as good
    held = []
    attached = sysv.shmat(segment)
    held.append(attached.buf[1:])
    with pytest.raises(ZeroDivisionError) as caught, attached:
        held.append(1 // 0)
    assert caught.value.__notes__ == [
        f"id {segment} can't be detached while views of it exist "
        "(slices, casts, arrays): release or delete them first"
    ]
    with pytest.raises(BufferError), attached:
        pass
    held.clear()
    sysv.shmdt(attached)


def test_p10_a_forgotten_attachment_is_detached(segment):
    """sysv_ipc's stay attached until the process ends, and keep a removed segment alive."""
    attached = sysv.shmat(segment)
    attached.buf[0] = 1
    assert nattch(segment) == 1
    del attached
    assert nattch(segment) == 0


def test_p10_but_not_before_the_last_view_of_it(segment):
    attached = sysv.shmat(segment)
    address = attached.address
    view = attached.buf[8:16]
    view[0] = 9
    del attached
    gc.collect()
    assert nattch(segment) == 1
    with pytest.raises(BufferError, match=f"id {segment} can't be detached while views of it exist"):
        sysv.shmdt(address)
    assert view[0] == 9
    del view
    assert nattch(segment) == 0
    assert failing(sysv.shmdt, address).errno == errno.EINVAL


def test_p10_in_a_loop(segment):
    for _ in range(50):
        sysv.shmat(segment).buf[0] = 1
    assert nattch(segment) == 0


def test_no_view_of_what_is_gone_crashes(segment):
    """A memoryview of sysv_ipc's own object dies of SIGSEGV there; `obj` leads to it, and to nothing here."""
    code = f"""
        import gc
        from shmlab import sysv
        attached = sysv.shmat({segment})
        buf, underneath = attached.buf, type(attached.buf.obj).__name__
        part, words = buf[1:3], buf[:8].cast("Q")
        del attached
        gc.collect()
        part[0] = words[0] = 1
        del words
        attached = sysv.shmat({segment})
        kept = attached.buf
        sysv.shmdt(attached)
        for view in (kept,):
            try:
                print(view.obj)
            except ValueError as error:
                print("ValueError", error)
        print(underneath)
    """
    said = python(code)
    assert said.returncode == 0, said.stderr
    assert said.stdout.splitlines() == [
        "ValueError operation forbidden on released memoryview object",
        "c_ubyte_Array_5000",
    ]


def test_at_exit_views_may_still_be_in_use(segment):
    code = f"""
        import atexit
        from shmlab import sysv
        view = sysv.shmat({segment}).buf[:4]
        class Late:
            def __del__(self, view=view):
                view[0] = 1
        late = Late()
        late.me = late
        atexit.register(lambda: view.tobytes())
    """
    said = python(code)
    assert (said.returncode, said.stderr) == (0, "")
    assert nattch(segment) == 0
