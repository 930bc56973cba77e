"""shmlab.libc against the compiler's constants, /proc/self/maps, and libc called without it."""

import ctypes
import errno
import gc
import mmap
import os
import shutil
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmlab import libc, posix

PAGE = mmap.PAGESIZE
ANONYMOUS = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS


def permissions_at(address: int) -> str | None:
    """What /proc/self/maps says of an address: "rw-p", or None when nothing is mapped there."""
    with open("/proc/self/maps") as maps:
        for line in maps:
            span, permissions = line.split()[:2]
            low, high = (int(part, 16) for part in span.split("-"))
            if low <= address < high:
                return permissions
    return None


def region(pages: int = 1) -> libc.Region:
    protection = mmap.PROT_READ | mmap.PROT_WRITE
    return libc.Region(libc.mmap(0, pages * PAGE, protection, ANONYMOUS, -1, 0), pages * PAGE)


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_constants_are_the_compilers(tmp_path):
    constants = [n for n in posix.__all__ if n.startswith(("O_", "PROT_", "MAP_", "MS_", "SEM_VALUE"))]
    constants += ["MREMAP_MAYMOVE", "MREMAP_FIXED"]
    prints = "\n".join(f'printf("{name} %ld\\n", (long){name});' for name in constants)
    headers = "".join(f"#include <{h}>\n" for h in ("sys/mman.h", "fcntl.h", "limits.h", "stdio.h"))
    source = tmp_path / "constants.c"
    source.write_text(f"#define _GNU_SOURCE\n{headers}int main(void) {{ {prints} }}")
    subprocess.run(["cc", "-o", tmp_path / "constants", source], check=True, timeout=60)
    answer = subprocess.run([tmp_path / "constants"], check=True, capture_output=True, text=True, timeout=10)
    said = {name: int(value) for name, value in map(str.split, answer.stdout.splitlines())}
    assert said == {n: getattr(posix if hasattr(posix, n) else libc, n) for n in constants}


def test_importing_posix_does_not_import_ctypes():
    code = "import sys; from shmlab import posix; sys.exit('ctypes' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=30).returncode == 0


@given(st.integers(-(2**70), 2**70))
def test_fits_exactly_what_the_c_type_holds(value):
    for ctype, low, high in (
        (ctypes.c_int, -(2**31), 2**31 - 1),
        (ctypes.c_uint, 0, 2**32 - 1),
        (ctypes.c_size_t, 0, 2**64 - 1),
    ):
        if low <= value <= high:
            assert libc.fits(value, ctype, "it") == value
        else:
            with pytest.raises(OverflowError, match=f"it is {value},"):
                libc.fits(value, ctype, "it")


def test_fits_refuses_what_is_no_integer():
    with pytest.raises(TypeError, match="length must be an integer, not float"):
        libc.fits(1.0, ctypes.c_size_t, "length")


@pytest.mark.parametrize(
    ("arguments", "number"),
    [
        ((0, 0, 3, ANONYMOUS, -1, 0), errno.EINVAL),
        ((0, PAGE, 3, 0, -1, 0), errno.EBADF),
        ((0, PAGE, 3, mmap.MAP_SHARED, -1, 0), errno.EBADF),
        ((0, 2**63, 3, ANONYMOUS, -1, 0), errno.ENOMEM),
        ((0, PAGE, 3, ANONYMOUS, -1, 1), errno.EINVAL),
        ((1, PAGE, 3, ANONYMOUS | posix.MAP_FIXED, -1, 0), errno.EINVAL),
    ],
)
def test_mmap_fails_with_the_kernels_errno(arguments, number):
    with pytest.raises(OSError) as caught:  # noqa: PT011
        libc.mmap(*arguments)
    assert caught.value.errno == number
    assert caught.value.strerror == os.strerror(number)


def test_the_address_of_read_only_memory():
    with mmap.mmap(-1, PAGE, prot=mmap.PROT_READ) as memory:
        address = libc.address_of(memory)
        assert permissions_at(address) == "r--s"
        with memoryview(memory)[16:] as part:
            assert libc.address_of(part) == address + 16


def test_a_region_is_released_once_by_what_it_was_given():
    """shmdt's way: munmap is only what a region does if it's told nothing else."""
    taken: list[tuple[int, int]] = []
    address = libc.mmap(0, PAGE, mmap.PROT_READ | mmap.PROT_WRITE, ANONYMOUS, -1, 0)
    for explicit in (True, False):
        here = libc.Region(address, 100, lambda *memory: taken.append(memory))
        view = here.view(writable=True)
        with pytest.raises(BufferError):
            here.unmap(100)
        assert taken == []
        view.release()
        if explicit:
            here.unmap(100)
        del here, view
        assert taken.pop() == (address, 100)
        assert taken == []
    libc.munmap(address, PAGE)


def test_a_forgotten_region_is_unmapped_with_its_last_view():
    forgotten = region()
    address, view = forgotten.address, forgotten.view(writable=True)
    part = view[8:16].cast("Q")
    part[0] = 2**64 - 1
    del forgotten, view
    gc.collect()
    assert permissions_at(address) == "rw-p"
    assert part[0] == 2**64 - 1
    del part
    assert permissions_at(address) is None


def test_a_region_refuses_while_somebody_looks_and_works_on():
    memory = region()
    view = memory.view(writable=True)
    with pytest.raises(BufferError):
        memory.unmap(PAGE)
    view[0] = 7
    assert memory.view(writable=False)[0] == 7
    exporter = view.obj
    del view
    with pytest.raises(BufferError):
        memory.unmap(PAGE)
    del exporter
    memory.unmap(PAGE)
    assert permissions_at(memory.address) is None


def test_a_region_loses_its_first_pages():
    memory = region(3)
    address = memory.address
    memory.view(writable=True)[PAGE] = 5
    memory.unmap(PAGE)
    assert (memory.address, memory.length) == (address + PAGE, 2 * PAGE)
    assert memory.view(writable=False)[0] == 5
    assert permissions_at(address) is None
    memory.unmap(2 * PAGE)
    assert permissions_at(address + PAGE) is None


def test_a_read_only_view():
    memory = region()
    with pytest.raises(TypeError):
        memory.view(writable=False)[0] = 1
    memory.unmap(PAGE)


@pytest.mark.parametrize("flags", [mmap.MAP_SHARED, mmap.MAP_PRIVATE])
def test_adopt_keeps_address_and_bytes(flags):
    memory = mmap.mmap(-1, 3 * PAGE, flags=flags | mmap.MAP_ANONYMOUS)
    memory[PAGE] = 9
    address = libc.address_of(memory)
    adopted = libc.adopt(memory)
    assert memory.closed
    assert (adopted.address, adopted.length) == (address, 3 * PAGE)
    assert adopted.view(writable=True)[PAGE] == 9
    adopted.unmap(3 * PAGE)
    assert permissions_at(address) is None


def test_adopt_stays_aside_when_another_thread_takes_the_place(monkeypatch):
    real, taken = libc.mmap, []

    def taking(addr, length, prot, flags, fd, offset):
        if addr:
            taken.append(real(addr, length, prot, ANONYMOUS | posix.MAP_FIXED, -1, 0))
        return real(addr, length, prot, flags, fd, offset)

    memory = mmap.mmap(-1, PAGE)
    memory[0] = 3
    address = libc.address_of(memory)
    monkeypatch.setattr(libc, "mmap", taking)
    adopted = libc.adopt(memory)
    monkeypatch.undo()
    assert taken == [address]
    assert adopted.address != address
    assert adopted.view(writable=False)[0] == 3
    adopted.unmap(PAGE)
    libc.munmap(address, PAGE)


def test_adopt_refuses_while_views_exist_and_changes_nothing():
    memory = mmap.mmap(-1, PAGE)
    with memoryview(memory) as view:
        address = libc.address_of(memory)
        view[0] = 1
        with pytest.raises(BufferError):
            libc.adopt(memory)
        assert (libc.address_of(memory), view[0]) == (address, 1)
    memory.close()
