"""Attachments: shmat, shmdt, and the `Attachment` that stands where C has a pointer.

sysv_ipc makes the calls; the views are libc's, for sysv_ipc's own crash the interpreter when somebody looks
at them after the detach, and its objects never detach by themselves (FACTS P10). Making and controlling
segments is `shmlab.sysv.segments`. No function here reads or writes the attached bytes.
"""

from __future__ import annotations

import errno
from _weakref import ref  # a worker has it already; weakref would cost it a millisecond

import sysv_ipc

from shmlab.failures import INT_MAX, INT_MIN, check_range, failure
from shmlab.sysv.failures import of_id, translated
from shmlab.sysv.later import libc
from shmlab.views import released, shared

TYPE_CHECKING = False  # typing's own costs a worker milliseconds
if TYPE_CHECKING:
    from shmlab.libc import Region

SHM_RDONLY: int = sysv_ipc.SHM_RDONLY
SHM_RND: int = sysv_ipc.SHM_RND
SHM_REMAP: int = sysv_ipc.SHM_REMAP
SHM_EXEC = 0o100000  # linux/shm.h; sysv_ipc doesn't name it

_SIZE_MAX = 2**64 - 1
_attach = sysv_ipc.attach


class Attachment:
    """A range of this process's addresses that shows a segment's bytes; made by `shmat`.

    `buf` is the memory itself as a memoryview, `address` where it begins here, `length` the segment's size in
    bytes (shm_segsz; the kernel attaches whole pages), `shmid` and `shmflg` what was asked for. ``with``
    detaches at the end. An attachment that is forgotten is detached when neither it nor any view of it is
    left.
    """

    __slots__ = ("__weakref__", "_buf", "_region", "address", "length", "shmflg", "shmid")

    def __init__(self, region: Region, shmid: int, shmflg: int) -> None:
        self._region: Region | None = region
        self._buf: memoryview | None = None
        self.address, self.length, self.shmid, self.shmflg = region.address, region.length, shmid, shmflg

    @property
    def buf(self) -> memoryview:
        """The bytes, uncopied: read-only with SHM_RDONLY. ValueError after `shmdt`, never a crash."""
        view = self._buf
        if view is None or released(view):
            region = self._region
            if region is None:
                raise ValueError(f"{of_id(self.shmid)} has been detached")
            self._buf = view = region.view(not self.shmflg & SHM_RDONLY)
        return view

    def __len__(self) -> int:
        return self.length

    def __repr__(self) -> str:
        if self._region is None:
            return f"<Attachment of {of_id(self.shmid)}, detached>"
        letters = f"r{'-' if self.shmflg & SHM_RDONLY else 'w'}{'x' if self.shmflg & SHM_EXEC else '-'}"
        return f"<Attachment of {of_id(self.shmid)}, {self.length} bytes, {letters}>"

    def __enter__(self) -> Attachment:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if self._region is None:
            return  # detached inside the block, which is as good
        try:
            shmdt(self)
        except BufferError as refusal:
            if error is None:
                raise
            # What went wrong inside matters more; its traceback is probably what holds the views.
            error.add_note(str(refusal))


_live: dict[int, tuple[int, ref[Attachment]]] = {}
"""Where a segment is attached → its id and the attachment, which may be forgotten while a view is left."""


def shmat(shmid: int, shmaddr: int | None = None, shmflg: int = 0) -> Attachment:
    """Attach a segment to this process. ``void *shmat(int shmid, const void *shmaddr, int shmflg)``

    *shmaddr* is where to, None or 0 for "anywhere"; another address must be a multiple of SHMLBA (a page on
    x86-64), unless SHM_RND rounds it down, and free, unless SHM_REMAP replaces what is there. *shmflg* is
    0 or a union of SHM_RDONLY, SHM_RND, SHM_REMAP, SHM_EXEC. Attaching needs permission to read, and to write
    unless it is SHM_RDONLY.

    Returns an `Attachment`; each call makes one more, and one more nattch.

    **What can kill this process.** SHM_REMAP replaces whatever was at *shmaddr*, the memory of Python and of
    other attachments included. Do that in a Process, not in a notebook's kernel.

    Raises OSError with the kernel's errno and the id: EINVAL (no such id, a bad address), PermissionError
    (EACCES), ENOMEM, EIDRM; OverflowError when an argument doesn't fit its C type.

    Source: shmop(2), POSIX.1-2017; FACTS D46-D52, F45, F47, P10.
    """
    if not 0 <= shmid | shmflg <= INT_MAX:  # one comparison for what is usual
        check_range(shmid, INT_MIN, INT_MAX, "shmid")
        check_range(shmflg, INT_MIN, INT_MAX, "shmflg")
    if shmaddr is not None:
        check_range(shmaddr, 0, _SIZE_MAX, "shmaddr")
    try:
        handle = _attach(shmid, shmaddr or None, shmflg)
        # Asked while it is attached, so of this segment. Who may attach may read, and so may ask.
        try:
            length = handle.size
        except BaseException:
            handle.detach()
            raise
    except (sysv_ipc.Error, OSError, ValueError, MemoryError) as error:
        raise translated(error, of_id(shmid), errno.EACCES) from None

    def release(address: int, _length: int) -> None:
        if _live.get(address) is there:  # else SHM_REMAP has put another segment there, which isn't ours
            del _live[address]
            try:
                handle.detach()
            except sysv_ipc.NotAttachedError:  # somebody has unmapped it behind our back
                if there[1]() is not None:
                    raise
                # It was forgotten: nobody called, so there's nobody to tell, and nothing left to detach.

    attachment = Attachment(libc.Region(handle.address, length, release), shmid, shmflg)
    _live[attachment.address] = there = (shmid, ref(attachment))
    return attachment


def shmdt(shmaddr: Attachment | int) -> None:
    """Detach a segment from this process; the segment and its bytes stay. ``int shmdt(const void *shmaddr)``

    *shmaddr* is an `Attachment`, or the address of one. For any other address the kernel answers.

    While views of the memory exist (slices and casts of `buf`, arrays made of it) this refuses, and
    everything stays as it was: BufferError with the id. `buf` itself is no such view; it is released, and
    using it afterwards is a ValueError.

    Raises OSError with EINVAL for what is attached no more, with the id, and for an address at which nothing
    is attached, with the address; OverflowError, TypeError.

    Source: shmop(2), POSIX.1-2017; FACTS D53-D56, F50.
    """
    attachment = shmaddr if isinstance(shmaddr, Attachment) else _attached_at(shmaddr)
    if attachment is None:
        return
    region, view = attachment._region, attachment._buf
    if region is None:
        raise failure(errno.EINVAL, of_id(attachment.shmid))
    try:
        if view is not None:
            if shared(view):
                raise BufferError
            view.release()
            attachment._buf = None
        region.unmap(attachment.length)
    except BufferError:
        raise _in_use(attachment.shmid) from None
    except sysv_ipc.NotAttachedError:
        attachment._region = None
        raise failure(errno.EINVAL, of_id(attachment.shmid)) from None
    attachment._region = None


def _attached_at(address: int) -> Attachment | None:
    """Return the `Attachment` at *address*; where there is none the kernel detaches, or says why not."""
    found = _live.get(address)
    if found is None:
        try:
            libc.shmdt(address)
        except OSError as error:
            raise failure(error.errno or 0, f"address {address:#x}") from None
        return None
    shmid, made = found
    attachment = made()
    if attachment is None:
        raise _in_use(shmid)
    return attachment


def _in_use(shmid: int) -> BufferError:
    return BufferError(
        f"{of_id(shmid)} can't be detached while views of it exist "
        "(slices, casts, arrays): release or delete them first"
    )
