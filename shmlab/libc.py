"""The C library itself, for the calls that neither posix_ipc nor CPython lets through.

mmap with an address, MAP_FIXED, or past the end of an object; munmap of a part; msync with flags; mremap;
and shm_open with an access mode that posix_ipc can't ask for. Integers that the C type can't hold are
refused with OverflowError, never wrapped; failures are OSError with errno, and the caller adds the
object's name. Importing this module imports ctypes (7 ms), so `shmlab.posix` does it inside the functions
that need it. What happens to views and mappings as Python objects is `shmlab.posix.mappings`' business,
except for the one rule that has to live beside the memory: a `Region` is unmapped only when nobody can
look at it any more.
"""

import ctypes
import mmap as _mmap
import os
import weakref
from typing import Any

_libc = ctypes.CDLL(None, use_errno=True)

_INT, _UINT, _LONG, _SIZE = ctypes.c_int, ctypes.c_uint, ctypes.c_long, ctypes.c_size_t

MREMAP_MAYMOVE = 1  # linux/mman.h
MREMAP_FIXED = 2  # linux/mman.h
MAP_FIXED_NOREPLACE = 0x100000  # asm-generic/mman-common.h; x86-64 and arm64 agree

_MAP_FAILED = ctypes.c_void_p(-1).value


def fits(value: int, ctype: Any, what: str) -> int:
    """Return *value* when *ctype* can hold it. OverflowError when it can't, TypeError when it's no
    integer."""
    number = value.__index__() if hasattr(value, "__index__") else None
    if number is None:
        raise TypeError(f"{what} must be an integer, not {type(value).__name__}")
    if ctype(number).value != number:
        raise OverflowError(f"{what} is {number}, which the C type can't hold")
    return number


def _checked(result: int) -> int:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def shm_open(name: str, oflag: int, mode: int) -> int:
    """``int shm_open(const char *name, int oflag, mode_t mode)``, with any *oflag* (shm_open(3))."""
    call = _libc.shm_open
    call.argtypes, call.restype = (ctypes.c_char_p, _INT, _UINT), _INT
    return _checked(call(os.fsencode(name), fits(oflag, _INT, "oflag"), fits(mode, _UINT, "mode")))


def shm_unlink(name: str) -> None:
    """``int shm_unlink(const char *name)``, with a name in the file system's encoding (shm_unlink(3))."""
    call = _libc.shm_unlink
    call.argtypes, call.restype = (ctypes.c_char_p,), _INT
    _checked(call(os.fsencode(name)))


def sem_unlink(name: str) -> None:
    """``int sem_unlink(const char *name)``, with a name in the file system's encoding (sem_unlink(3))."""
    call = _libc.sem_unlink
    call.argtypes, call.restype = (ctypes.c_char_p,), _INT
    _checked(call(os.fsencode(name)))


def mmap(addr: int, length: int, prot: int, flags: int, fd: int, offset: int) -> int:
    """``void *mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)`` → the address."""
    call = _libc.mmap
    call.argtypes, call.restype = (ctypes.c_void_p, _SIZE, _INT, _INT, _INT, _LONG), ctypes.c_void_p
    address = call(
        fits(addr, _SIZE, "addr"),
        fits(length, _SIZE, "length"),
        fits(prot, _INT, "prot"),
        fits(flags, _INT, "flags"),
        fits(fd, _INT, "fd"),
        fits(offset, _LONG, "offset"),
    )
    return 0 if address is None else _checked(-1 if address == _MAP_FAILED else address)


def munmap(address: int, length: int) -> None:
    """``int munmap(void *addr, size_t length)`` (munmap(2)). Nothing here asks whether somebody is
    looking."""
    call = _libc.munmap
    call.argtypes, call.restype = (ctypes.c_void_p, _SIZE), _INT
    _checked(call(fits(address, _SIZE, "addr"), fits(length, _SIZE, "length")))


def msync(address: int, length: int, flags: int) -> None:
    """``int msync(void *addr, size_t length, int flags)`` (msync(2))."""
    call = _libc.msync
    call.argtypes, call.restype = (ctypes.c_void_p, _SIZE, _INT), _INT
    _checked(call(fits(address, _SIZE, "addr"), fits(length, _SIZE, "length"), fits(flags, _INT, "flags")))


def _move(address: int, length: int, to: int) -> None:
    """``mremap(address, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, to)`` (mremap(2), Linux)."""
    call = _libc.mremap
    call.argtypes = (ctypes.c_void_p, _SIZE, _SIZE, _INT, ctypes.c_void_p)
    call.restype = ctypes.c_void_p
    address = call(address, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, to)
    _checked(-1 if address == _MAP_FAILED else 0)


class _Buffer(ctypes.Structure):
    """``Py_buffer``, part of the stable ABI since 3.11 (docs.python.org/3/c-api/buffer.html)."""

    _fields_ = (
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.c_void_p),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    )


def address_of(exporter: Any) -> int:
    """Return where the bytes of *exporter* (an mmap object, a memoryview) begin, read-only ones included.

    `ctypes.addressof(c_char.from_buffer(…))` refuses read-only memory, so this asks the buffer protocol.
    """
    buffer = _Buffer()
    ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(exporter), ctypes.byref(buffer), 0)
    try:
        return buffer.buf or 0
    finally:
        ctypes.pythonapi.PyBuffer_Release(ctypes.byref(buffer))


class Region:
    """A range of addresses that this process mapped through libc, and owns.

    Every view keeps the ctypes array underneath alive, so the array's end is the one moment at which
    nobody can look any more: a forgotten region is unmapped then, never earlier, and `unmap` refuses
    before.
    """

    __slots__ = ("_array", "_finalizer", "address", "length")

    def __init__(self, address: int, length: int) -> None:
        self.address, self.length = address, length
        self._watch((ctypes.c_ubyte * length).from_address(address))

    def _watch(self, array: Any) -> None:
        self._array = array
        self._finalizer = weakref.finalize(array, munmap, self.address, self.length)
        # At exit views may still be in use, and the kernel unmaps everything a moment later.
        self._finalizer.atexit = False

    def view(self, writable: bool) -> memoryview:
        """Return a view of all its bytes (format "B")."""
        view = memoryview(self._array).cast("B")
        return view if writable else view.toreadonly()

    def unmap(self, length: int) -> None:
        """Unmap the first *length* bytes (whole pages). BufferError, and nothing done, while views exist."""
        seen = weakref.ref(self._array)
        self._finalizer.detach()
        self._array = None
        held = seen()
        if held is not None:
            self._watch(held)
            raise BufferError("views of this memory exist")
        try:
            munmap(self.address, length)
            if length < self.length:
                self.address += length
                self.length -= length
            else:
                self.length = 0
        finally:
            if self.length:
                self._watch((ctypes.c_ubyte * self.length).from_address(self.address))


def adopt(memory: _mmap.mmap) -> Region:
    """Take over what CPython's *memory* maps, at the same address, and close *memory*.

    An mmap object always unmaps its whole range, so a part can be unmapped only when it no longer owns
    it. The pages are moved aside, the object is closed (over a hole, which munmap(2) permits), and the
    pages are moved back to a range claimed with MAP_FIXED_NOREPLACE. Should another thread have taken the
    range in between, they stay aside: the address changes, and no memory is overwritten. BufferError
    while views of *memory* exist.
    """
    address, length = address_of(memory), len(memory)
    private = _mmap.MAP_PRIVATE | _mmap.MAP_ANONYMOUS
    aside = mmap(0, length, 0, private, -1, 0)
    try:
        _move(address, length, aside)
    except OSError:
        munmap(aside, length)
        raise
    try:
        memory.close()
    except BufferError:
        _move(aside, length, address)
        raise
    try:
        claimed = mmap(address, length, 0, private | MAP_FIXED_NOREPLACE, -1, 0)
    except OSError:
        return Region(aside, length)
    if claimed != address:  # Linux before 4.17 takes an unknown flag for a hint
        munmap(claimed, length)
        return Region(aside, length)
    _move(aside, length, address)
    return Region(address, length)
