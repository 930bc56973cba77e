"""The C library itself, for the calls that neither posix_ipc, sysv_ipc nor CPython lets through.

mmap with an address, MAP_FIXED, or past the end of an object; munmap of a part; msync with flags; mremap;
shm_open with an access mode that posix_ipc can't ask for. Of System V: shmget, which sysv_ipc joins with
shmat; the structures of the control calls, of which it shows some fields; sets of several semaphores; and
semtimedop, which its wheels lack. Integers that the C type can't hold are refused with OverflowError, never
wrapped; failures are OSError with errno, and the caller adds the object's name. Importing this module imports
ctypes (7 ms), so `shmlab.posix` and `shmlab.sysv` do it inside the functions that need it. What happens to
views and mappings as Python objects is their business, except for the one rule that has to live beside the
memory: a `Region` is released only when nobody can look at it any more.
"""

import ctypes
import mmap as _mmap
import operator
import os
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

_libc = ctypes.CDLL(None, use_errno=True)

_INT, _UINT, _LONG, _SIZE = ctypes.c_int, ctypes.c_uint, ctypes.c_long, ctypes.c_size_t

MREMAP_MAYMOVE = 1  # linux/mman.h
MREMAP_FIXED = 2  # linux/mman.h
MAP_FIXED_NOREPLACE = 0x100000  # asm-generic/mman-common.h; x86-64 and arm64 agree

_INT_MAX = 2**31 - 1
_MAP_FAILED = ctypes.c_void_p(-1).value


def fits(value: int, ctype: Any, what: str) -> int:
    """Return *value* when *ctype* can hold it. OverflowError when it can't, TypeError when it's no
    integer."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{what} must be an integer, not {type(value).__name__}") from None
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


def _declared(name: str, result: Any, *arguments: Any) -> Any:
    call = getattr(_libc, name)
    call.argtypes, call.restype = arguments, result
    return call


# Declared once: declaring costs as much as the call.
_shmget = _declared("shmget", _INT, _INT, _SIZE, _INT)
_shmdt = _declared("shmdt", _INT, ctypes.c_void_p)
_shmctl = _declared("shmctl", _INT, _INT, _INT, ctypes.c_void_p)
_semget = _declared("semget", _INT, _INT, _INT, _INT)
_semop = _declared("semop", _INT, _INT, ctypes.c_void_p, _SIZE)
_semtimedop = _declared("semtimedop", _INT, _INT, ctypes.c_void_p, _SIZE, ctypes.c_void_p)
_semctl = _declared("semctl", _INT, _INT, _INT, _INT, ctypes.c_void_p)


def shmget(key: int, size: int, shmflg: int) -> int:
    """``int shmget(key_t key, size_t size, int shmflg)`` → the id (shmget(2))."""
    if not 0 <= key | size | shmflg <= _INT_MAX:  # one comparison for what is usual
        key, size, shmflg = fits(key, _INT, "key"), fits(size, _SIZE, "size"), fits(shmflg, _INT, "shmflg")
    found = _shmget(key, size, shmflg)
    return found if found >= 0 else _checked(found)


def shmdt(address: int) -> None:
    """``int shmdt(const void *shmaddr)`` (shmop(2)). Nothing here asks whether somebody is looking."""
    _checked(_shmdt(fits(address, _SIZE, "shmaddr")))


def shmctl(shmid: int, cmd: int, buf: Any = None) -> int:
    """``int shmctl(int shmid, int cmd, struct shmid_ds *buf)``; *buf* by ``ctypes.byref`` (shmctl(2))."""
    return _checked(_shmctl(fits(shmid, _INT, "shmid"), fits(cmd, _INT, "cmd"), buf))


def semget(key: int, nsems: int, semflg: int) -> int:
    """``int semget(key_t key, int nsems, int semflg)`` → the id (semget(2))."""
    return _checked(_semget(fits(key, _INT, "key"), fits(nsems, _INT, "nsems"), fits(semflg, _INT, "semflg")))


def _answer(waiting: Any, *arguments: Any) -> int:
    """Return errno of a call that waits, 0 for success, read before any signal handler runs.

    A handler's own failing call would leave another errno. Handlers run between two instructions of Python's,
    and map makes both calls in one. Nothing is raised here either: what is raised out of a wait is the
    handler's, and may be an OSError itself.
    """
    calls: Any = partial(waiting, *arguments), ctypes.get_errno
    result, number = map(operator.call, calls)
    return number if result == -1 else 0


def semop(semid: int, sops: bytes, nsops: int) -> int:
    """``int semop(int semid, struct sembuf *sops, size_t nsops)``; *sops* is so many structures (semop(2)).

    Returns errno, 0 for success; EINTR too.
    """
    return _answer(_semop, fits(semid, _INT, "semid"), sops, nsops)


def semtimedop(semid: int, sops: bytes, nsops: int, seconds: float) -> int:
    """``int semtimedop(int semid, struct sembuf *sops, size_t nsops, const struct timespec *timeout)``

    As `semop`; *seconds* from now, at least 0 (semop(2)).
    """
    whole = int(seconds)
    timeout = (_LONG * 2)(whole, int((seconds - whole) * 1e9))  # struct timespec, where time_t is a long
    return _answer(_semtimedop, fits(semid, _INT, "semid"), sops, nsops, timeout)


def semctl(semid: int, semnum: int, cmd: int, arg: Any = None) -> int:
    """``int semctl(int semid, int semnum, int cmd, union semun arg)`` (semctl(2)).

    *arg* is ``ctypes.byref`` of a structure or array, or for SETVAL an int: a union as wide as a pointer is
    passed as one, and little-endian machines find its int in the lower half.
    """
    if isinstance(arg, int):
        arg = fits(arg, _INT, "arg") & 0xFFFFFFFF
    return _checked(
        _semctl(fits(semid, _INT, "semid"), fits(semnum, _INT, "semnum"), fits(cmd, _INT, "cmd"), arg)
    )


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


class _Watcher(weakref.ref[Any]):
    """Releases a memory when the array over it ends. weakref.finalize does it in three times the time.

    Not at exit: views may still be in use, and the kernel unmaps everything a moment later.
    """

    __slots__ = ("memory",)
    memory: tuple[Callable[[int, int], None], int, int]


_watchers: dict[int, _Watcher] = {}
"""Every one of them by its id: a weak reference that nobody holds is never called."""


def _ended(watcher: _Watcher, watchers: dict[int, _Watcher] = _watchers) -> None:
    if watchers.pop(id(watcher), None) is not None:
        release, address, length = watcher.memory
        release(address, length)


class Region:
    """A range of addresses that this process took through libc, and owns.

    Every view keeps the ctypes array underneath alive, so the array's end is the one moment at which
    nobody can look any more: a forgotten region is released then, never earlier, and `unmap` refuses
    before. *release*, called with address and length, gives the memory back: munmap, or what detaches a
    segment.
    """

    __slots__ = ("_array", "_release", "_watcher", "address", "length")

    def __init__(self, address: int, length: int, release: Callable[[int, int], None] = munmap) -> None:
        self.address, self.length, self._release = address, length, release
        self._watch((ctypes.c_ubyte * length).from_address(address))

    def _watch(self, array: Any) -> None:
        self._array = array
        self._watcher = watcher = _Watcher(array, _ended)
        watcher.memory = self._release, self.address, self.length
        _watchers[id(watcher)] = watcher

    def view(self, writable: bool) -> memoryview:
        """Return a view of all its bytes (format "B")."""
        view = memoryview(self._array).cast("B")
        return view if writable else view.toreadonly()

    def unmap(self, length: int) -> None:
        """Release the first *length* bytes (whole pages). BufferError, and nothing done, if views exist."""
        watcher = self._watcher
        del _watchers[id(watcher)]
        self._array = None
        held = watcher()
        if held is not None:
            self._watch(held)
            raise BufferError("views of this memory exist")
        try:
            self._release(self.address, length)
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
