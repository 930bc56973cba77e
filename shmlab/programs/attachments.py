"""Attaches a segment of 8192 bytes in every way, and detaches it in wrong ways, too. Twin: attachments.c."""

from collections.abc import Iterator

from shmlab import posix, sysv
from shmlab.programs.stranger import said

PAGE = posix.PAGE_SIZE


def attachments(shmid: int) -> Iterator[str]:
    first, second = sysv.shmat(shmid, None, 0), sysv.shmat(shmid, None, 0)
    first.buf[:5] = b"hello"
    where = "one address" if first.address == second.address else "two addresses"
    print(f"NULL, twice: {where}, {bytes(second.buf[:5]).decode()}")
    yield "NULL"
    at = first.address
    print("an address in use:", said(sysv.shmat, shmid, at, 0))
    sysv.shmdt(first)
    again = sysv.shmat(shmid, at, 0)
    print("an address that's free:", "there" if again.address == at else "elsewhere")
    sysv.shmdt(again)
    print("within a page:", said(sysv.shmat, shmid, at + 100, 0))
    rounded = sysv.shmat(shmid, at + 100, sysv.SHM_RND)
    print("within a page, SHM_RND:", "the page's first byte" if rounded.address == at else "elsewhere")
    yield "addresses"
    taken = posix.mmap(None, 8192, posix.PROT_READ, posix.MAP_PRIVATE | posix.MAP_ANONYMOUS, -1)
    print("over a mapping:", said(sysv.shmat, shmid, taken.address, 0))
    over = sysv.shmat(shmid, taken.address, sysv.SHM_REMAP)
    print(f"over a mapping, SHM_REMAP: {bytes(over.buf[:5]).decode()}")
    sysv.shmdt(over)
    print("NULL, SHM_REMAP:", said(sysv.shmat, shmid, None, sysv.SHM_REMAP))
    print("no such id:", said(sysv.shmat, -1, None, 0))
    yield "SHM_REMAP"
    print("shmdt one byte further:", said(sysv.shmdt, second.address + 1))
    print("shmdt one page further:", said(sysv.shmdt, second.address + PAGE))
    print("shmdt NULL:", said(sysv.shmdt, 0))
    sysv.shmdt(second)
    print("shmdt, a second time:", said(sysv.shmdt, second.address))
    yield "shmdt"
