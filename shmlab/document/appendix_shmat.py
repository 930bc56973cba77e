"""D46 to D56: the document's appendix on shmat and shmdt."""

import ctypes
from collections.abc import Iterator

from shmlab import posix, sysv
from shmlab.document.probing import MAP_FAILED, PAGE, a_segment, answer, as_c, attached, lines_at, told
from shmlab.document.statements import IMPRECISE, TRUE, Case, fails, holds, statement


@statement("D46", "A segment that was made can't be used by any process before shmat.", TRUE, "08")
def nobody_has_it_yet() -> Iterator[Case]:
    with a_segment() as shmid:
        ds = sysv.shmctl(shmid, sysv.IPC_STAT)
        yield holds(f"after shmget nattch is {ds.shm_nattch}", ds.shm_nattch == 0)
        yield holds(f"and it was last attached: {ds.shm_atime or 'never'}", ds.shm_atime is None)


@statement("D47", "shmat attaches a segment to the address space of the process that calls.", TRUE, "08")
def into_this_process() -> Iterator[Case]:
    with a_segment() as shmid, sysv.shmat(shmid) as m:
        yield holds(f"after shmat nattch is {attached(shmid)}", attached(shmid) == 1)
        lines = [line.inode for line in lines_at(m.address)]
        yield holds("/proc/self/maps has the segment, by its id, at the address", lines == [shmid])
        with sysv.shmat(shmid) as again:
            count = attached(shmid)
            yield holds(
                f"a second shmat: another address, nattch {count}", again.address != m.address and count == 2
            )


@statement("D48", "shmat's shm_id is what shmget returned.", TRUE, "08")
def the_id_of_shmget() -> Iterator[Case]:
    with a_segment() as shmid:
        with sysv.shmat(shmid) as m:
            yield holds(f"shmat of that id attached {m.length} bytes", m.length == PAGE)
        sysv.shmctl(shmid, sysv.IPC_RMID)
        for number, what in ((-1, "-1"), (shmid, "an id that was removed")):
            error = answer(sysv.shmat, number)
            yield holds(f"shmat of {what}: {error}", error == "EINVAL")


def attaches_at(shmid: int) -> Iterator[str]:
    room = posix.mmap(None, 8 * 4096, posix.PROT_READ, posix.MAP_PRIVATE | posix.MAP_ANONYMOUS, -1)
    at = room.address
    posix.munmap(room)
    yield "a free address"
    m = sysv.shmat(shmid, at)
    print(m.address - at)
    sysv.shmdt(m)
    m = sysv.shmat(shmid, at + 1, sysv.SHM_RND)
    print(m.address - at)
    yield "shmat"


@statement("D49", "shmat's shm_addr says where; usually it's NULL, and the system chooses.", TRUE, "08")
def here_or_anywhere() -> Iterator[Case]:
    with a_segment() as shmid:
        with sysv.shmat(shmid, None) as m:
            there = len(lines_at(m.address))
            yield holds(
                "NULL: the system found a place at a page's beginning", there and m.address % PAGE == 0
            )
            error = answer(sysv.shmat, shmid, m.address + 1)
            yield holds(f"an address within a page: {error}", error == "EINVAL")
        exact, rounded = told(attaches_at, shmid)
        yield holds(f"a free address: attached {exact} bytes from it", exact == "0")
        yield holds(f"a byte more with SHM_RND: attached {rounded} bytes from it", rounded == "0")


@statement("D50", "shmat's shm_flg is a set of flags, usually 0.", TRUE, "08")
def flags_of_shmat() -> Iterator[Case]:
    with a_segment() as shmid:
        for flag, name, perms in ((0, "0", "rw-s"), (sysv.SHM_RDONLY, "SHM_RDONLY", "r--s")):
            with sysv.shmat(shmid, None, flag) as m:
                (line,) = lines_at(m.address)
                yield holds(f"{name}: /proc/self/maps says {line.perms}", line.perms == perms)


@statement("D51", "shmat returns a pointer to the segment's first byte.", TRUE, "08")
def to_the_first_byte() -> Iterator[Case]:
    with a_segment() as shmid, sysv.shmat(shmid) as m, sysv.shmat(shmid) as other:
        ctypes.memset(m.address, 65, 1)  # through the pointer, as C would
        read = bytes(other.buf[:2])
        yield holds(f"'A' stored at the pointer: the segment begins with {read!r}", read == b"A\0")


@statement(
    "D52",
    "shmat returns -1 when it fails.",
    IMPRECISE,
    "08",
    "It returns (void *) -1, a pointer. A comparison with NULL finds nothing wrong.",
)
def minus_one_as_a_pointer() -> Iterator[Case]:
    value, error = as_c("shmat", -1, None, 0, returns=ctypes.c_long)
    yield holds(f"taken for a long it's {value}, errno {error}", (value, error) == (-1, "EINVAL"))
    pointer, _ = as_c("shmat", -1, None, 0, returns=ctypes.c_void_p)
    yield fails(f"the pointer that it is, is {pointer:#x}", pointer == MAP_FAILED)


@statement("D53", "shmdt detaches the segment from the process that calls.", TRUE, "08")
def detached() -> Iterator[Case]:
    with a_segment() as shmid:
        m = sysv.shmat(shmid)
        address, before = m.address, attached(shmid)
        sysv.shmdt(m)
        yield holds(f"nattch was {before} and is {attached(shmid)}", (before, attached(shmid)) == (1, 0))
        left = [line for line in lines_at(address) if line.path.startswith("/SYSV") and line.inode == shmid]
        yield holds(f"lines of /proc/self/maps with it: {len(left)}", not left)


@statement(
    "D54",
    "shmdt doesn't remove a segment: it's only out of this process's reach.",
    TRUE,
    "08",
    "Out of reach of this attachment, to be exact: another one of the same process stays.",
)
def it_stays() -> Iterator[Case]:
    with a_segment() as shmid:
        with sysv.shmat(shmid) as m:
            m.buf[:4] = b"kept"
        left = attached(shmid)
        with sysv.shmat(shmid) as again:
            read = bytes(again.buf[:4])
        yield holds(f"with nattch {left} it was there, and said {read!r}", (left, read) == (0, b"kept"))


@statement("D55", "shmdt's argument is the address that shmat returned.", TRUE, "08")
def that_address_alone() -> Iterator[Case]:
    with a_segment(2 * PAGE) as shmid:
        m = sysv.shmat(shmid)
        address = m.address
        errors = [answer(sysv.shmdt, each) for each in (address + 1, address + PAGE, 0)]
        seen = "a byte further, a page further, and NULL: " + ", ".join(map(str, errors))
        yield holds(seen, errors == ["EINVAL"] * 3)
        sysv.shmdt(address)
        yield holds(f"that address: detached, nattch {attached(shmid)}", attached(shmid) == 0)


@statement("D56", "shmdt returns 0, or -1 when it fails.", TRUE, "08")
def zero_or_minus_one() -> Iterator[Case]:
    with a_segment() as shmid:
        address, _ = as_c("shmat", shmid, None, 0, returns=ctypes.c_void_p)
        value, _ = as_c("shmdt", address)
        yield holds(f"C's shmdt returned {value}", value == 0)
        value, error = as_c("shmdt", address)
        yield holds(f"a second time {value}, errno {error}", (value, error) == (-1, "EINVAL"))
