"""D30 to D45: the document's appendix on shmget."""

import os
from collections.abc import Iterator

from shmlab import posix, sysv
from shmlab.document.probing import (
    NEW,
    NOBODY,
    PAGE,
    STRANGER,
    a_segment,
    answer,
    as_c,
    compiler_says,
    ended,
    need_root,
    row,
    stepped,
    told,
    unused_key,
    unused_name,
)
from shmlab.document.statements import IMPRECISE, TRUE, WRONG, Case, UndecidedError, fails, holds, statement
from shmlab.processes import Process
from shmlab.programs.first_id import first_id
from shmlab.programs.stranger import said
from shmlab.programs.tenant import tenant


@statement(
    "D30",
    "shmget, shmat, shmdt and shmctl are declared in <sys/mman.h>.",
    WRONG,
    "08",
    "They are in <sys/shm.h>. An older compiler only warns, takes shmat's pointer for an int and cuts it in "
    "half.",
)
def another_header() -> Iterator[Case]:
    use = "int main(void) { return shmget(1, 2, 3); }"
    complaint = compiler_says("#include <sys/mman.h>", use)
    yield fails(f"with <sys/mman.h> the compiler says: {complaint}", "shmget" in complaint)
    complaint = compiler_says("#include <sys/shm.h>", use)
    yield fails(f"with <sys/shm.h> it says: {complaint or 'nothing'}", not complaint)


@statement("D31", "The prototype: int shmget(key_t key, size_t size, int shmflg).", TRUE, "08")
def its_prototype() -> Iterator[Case]:
    complaint = compiler_says("#include <sys/shm.h>", "int (*p)(key_t, size_t, int) = shmget;")
    yield holds(f"to a pointer of that type the compiler says: {complaint or 'nothing'}", not complaint)
    complaint = compiler_says("#include <sys/shm.h>", "int (*p)(key_t, size_t) = shmget;")
    yield holds(f"to one without shmflg: {complaint}", complaint)


@statement(
    "D32",
    "shmget makes shared memory.",
    IMPRECISE,
    "08",
    "With IPC_CREAT, or with key 0. Otherwise it looks for a segment that has the key, and says ENOENT when "
    "there is none.",
)
def it_makes_or_finds() -> Iterator[Case]:
    with unused_key() as key:
        error = answer(sysv.shmget, key, PAGE, 0o600)
        yield fails(f"a key that nothing has, without IPC_CREAT: {error}", error == "ENOENT")
        shmid = sysv.shmget(key, PAGE, sysv.IPC_CREAT | 0o600)
        yield holds("with IPC_CREAT the kernel's table has a new row", row(shmid) is not None)
        again = sysv.shmget(key, PAGE, sysv.IPC_CREAT | 0o600)
        yield fails("a second time the same call made nothing: the same id", again == shmid)


@statement(
    "D33",
    "The key that shmget gets must be a whole number other than 0.",
    IMPRECISE,
    "08",
    "0 is IPC_PRIVATE and accepted: always a new segment, which nobody finds by its key. A segment that "
    "others shall find needs another number; it may be negative.",
)
def zero_is_accepted() -> Iterator[Case]:
    ids = []
    try:
        ids = [sysv.shmget(0, PAGE, 0o600) for _ in range(2)]
        yield fails(f"shmget with key 0 made {len(ids)} segments", all(map(row, ids)))
        yield holds("a different one each time, so that 0 names none", ids[0] != ids[1])
    finally:
        for shmid in ids:
            sysv.shmctl(shmid, sysv.IPC_RMID)


@statement("D34", "The key is, in effect, the segment's name.", TRUE, "08", "Until IPC_RMID takes it away.")
def the_key_names_it() -> Iterator[Case]:
    with unused_key() as key, a_segment(key=key) as shmid, a_segment():
        found = sysv.shmget(key, 0, 0)
        yield holds("of two segments, shmget finds the one that has the key", found == shmid)
        sysv.shmctl(shmid, sysv.IPC_RMID)
        error = answer(sysv.shmget, key, 0, 0)
        yield holds(f"when it's removed the key leads to {error}", error == "ENOENT")


@statement(
    "D35",
    "What shmget returns is enough for unrelated processes to get at the same memory.",
    TRUE,
    "08",
    "Within one IPC namespace: a container has ids of its own.",
)
def the_id_is_enough() -> Iterator[Case]:
    with a_segment() as shmid, sysv.shmat(shmid) as m:
        told(tenant, shmid, "by its id")
        read = bytes(m.buf[:9]).decode()
        yield holds(f"another process, told the id alone, stored {read!r}", read == "by its id")


@statement(
    "D36",
    "Access is indirect: a key goes into shmget, and the id that comes out is what the other calls want.",
    TRUE,
    "08",
)
def a_key_is_no_id() -> Iterator[Case]:
    with unused_key() as key, a_segment(key=key) as shmid:
        with sysv.shmat(shmid) as m:
            yield holds(f"shmat takes the id, and attaches {m.length} bytes", m.length == PAGE)
        error = answer(sysv.shmat, key)
        yield holds(f"given the key instead it says {error}", error == "EINVAL")


@statement(
    "D37",
    "Only shmget uses the semaphore's key, the other calls the id that semget gave.",
    WRONG,
    "08",
    "The sentence belongs to semget. shmget takes a segment's key and the others take shmget's id; keys of "
    "segments and keys of semaphore sets have nothing to do with each other.",
)
def two_key_spaces() -> Iterator[Case]:
    with unused_key() as key, a_segment(key=key) as shmid:
        semid = sysv.semget(key, 1, NEW | 0o600)
        yield fails(
            "one key, with IPC_EXCL both times: a segment and a semaphore set", row(shmid) is not None
        )
        sysv.semctl(semid, 0, sysv.IPC_RMID)
        found, error = answer(sysv.shmget, key, 0, 0), answer(sysv.semget, key, 0, 0)
        seen = f"the set removed, semget says {error}, and shmget still finds the segment"
        yield fails(seen, found == shmid and error == "ENOENT")


@statement(
    "D38", "shmget's size is how much memory is wanted, in bytes.", TRUE, "08", "Whole pages are attached."
)
def size_in_bytes() -> Iterator[Case]:
    with a_segment(5000) as shmid:
        size = sysv.shmctl(shmid, sysv.IPC_STAT).shm_segsz
        yield holds(f"5000 asked for: shm_segsz is {size}", size == 5000)
        error = answer(sysv.shmget, sysv.IPC_PRIVATE, 0, 0o600)
        yield holds(f"0 asked for: {error}", error == "EINVAL")


@statement(
    "D39",
    "shmget's shmflg holds the permissions.",
    IMPRECISE,
    "08",
    "In its lowest 9 bits. Above them are IPC_CREAT, IPC_EXCL, SHM_HUGETLB and SHM_NORESERVE.",
)
def more_than_permissions() -> Iterator[Case]:
    with unused_key() as key:
        error = answer(sysv.shmget, key, PAGE, 0o640)
        shmid = sysv.shmget(key, PAGE, 0o1640)
        mode = sysv.shmctl(shmid, sysv.IPC_STAT).shm_perm.mode
        yield holds(f"shmflg 01640 gave the mode {mode:04o}", mode == 0o640)
        yield fails(f"its bit 01000 is no permission: without it {error}", error == "ENOENT")


def two_modes(name: str, key: int) -> Iterator[str]:
    for umask in (0, 0o077):
        os.umask(umask)
        fd = posix.shm_open(name, posix.O_CREAT | posix.O_EXCL | posix.O_RDWR, 0o666)
        shmid = sysv.shmget(key, 4096, sysv.IPC_CREAT | sysv.IPC_EXCL | 0o666)
        mode = sysv.shmctl(shmid, sysv.IPC_STAT).shm_perm.mode
        print(f"{os.fstat(fd).st_mode & 0o777:04o} {mode & 0o777:04o}")
        sysv.shmctl(shmid, sysv.IPC_RMID)
        posix.shm_unlink(name)
        yield f"umask {umask:03o}"


@statement(
    "D40",
    "shmflg works as open's argument mode.",
    IMPRECISE,
    "08",
    "The umask isn't applied, and left out it's mode 0.",
)
def no_umask() -> Iterator[Case]:
    with unused_name() as name, unused_key() as key:
        lines = told(two_modes, name, key)
    (thing, segment), (masked, unmasked) = (line.split() for line in lines)
    yield holds(f"umask 000, 0666 asked for: object {thing}, segment {segment}", thing == segment == "0666")
    seen = f"umask 077: object {masked}, segment {unmasked}"
    yield fails(seen, (masked, unmasked) == ("0600", "0666"))


@statement(
    "D41",
    "IPC_CREAT, joined to shmflg by OR, makes the segment when there is none.",
    TRUE,
    "08",
    "When there is one it's found, whatever its mode. IPC_EXCL insists on a new one.",
)
def creat_makes() -> Iterator[Case]:
    with unused_key() as key:
        before = answer(sysv.shmget, key, PAGE, 0o600)
        shmid = answer(sysv.shmget, key, PAGE, sysv.IPC_CREAT | 0o600)
        after = answer(sysv.shmget, key, PAGE, 0o600)
        yield holds(f"without it {before}, with it an id", before == "ENOENT" and type(shmid) is int)
        yield holds("and from then on the id is found without it", after == shmid)


def gives_away(uid: int, to: int) -> Iterator[str]:
    from dataclasses import replace

    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    yield "user"
    shmid = sysv.shmget(sysv.IPC_PRIVATE, 4096, 0o400)
    print(said(sysv.shmat, shmid, None, sysv.SHM_RDONLY), said(sysv.shmat, shmid))
    ds = sysv.shmctl(shmid, sysv.IPC_STAT)
    given = replace(ds, shm_perm=replace(ds.shm_perm, uid=to, gid=to))
    print(said(sysv.shmctl, shmid, sysv.IPC_SET, given), said(sysv.shmctl, shmid, sysv.IPC_RMID))
    yield "removed"


@statement(
    "D42",
    "A segment's permission bits mean what they mean for a file.",
    IMPRECISE,
    "08",
    "Read and write do. But no folder decides who may remove a segment: its owner and its creator may, and "
    "the creator even after giving it away, which of a file an ordinary user can't do.",
)
def nearly_as_for_files() -> Iterator[Case]:
    attach, give = (line.split() for line in told(gives_away, NOBODY, STRANGER))
    yield holds(f"mode 0400: shmat SHM_RDONLY {attach[0]}, shmat 0 {attach[1]}", attach == ["yes", "EACCES"])
    seen = f"its creator gave it to another user: {give[0]}; and removed it then: {give[1]}"
    yield fails(seen, give == ["yes", "yes"])


def owns(uid: int) -> Iterator[str]:
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    shmid = sysv.shmget(sysv.IPC_PRIVATE, 4096, 0o644)
    print(shmid)
    yield "shmget"
    m = sysv.shmat(shmid)
    m.buf[:5] = b"owner"
    yield bytes(m.buf[:5]).decode()


def visits(shmid: int, uid: int) -> Iterator[str]:
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    yield "user"
    m = sysv.shmat(shmid, None, sysv.SHM_RDONLY)
    print(bytes(m.buf[:5]).decode(), said(sysv.shmat, shmid))
    yield "read"


@statement(
    "D43",
    "0644: processes of the user who made it may read and write, those of others may only read.",
    TRUE,
    "08",
    "Root may do both, whatever the mode.",
)
def others_only_read() -> Iterator[Case]:
    need_root("become two other users")
    with Process(owns, NOBODY) as owner:
        if stepped(owner).kind == "ended":
            raise UndecidedError(f"no other user can be had here: {owner.outcome}")
        shmid = int(owner.output)
        try:
            wrote = stepped(owner).at
            yield holds(f"its owner stored and read {wrote!r}", wrote == "owner")
            read, write = told(visits, shmid, STRANGER)[0].split()
            yield holds(f"another user read {read!r}", read == "owner")
            yield holds(f"and for writing gets {write}", write == "EACCES")
        finally:
            sysv.shmctl(shmid, sysv.IPC_RMID)


@statement(
    "D44",
    "When shmget succeeds it returns an id that isn't negative.",
    TRUE,
    "08",
    "0 is an id as any other: the first segment of a container has it.",
)
def an_id_from_zero() -> Iterator[Case]:
    with a_segment() as shmid:
        yield holds(f"shmget returned an id {'of at least' if shmid >= 0 else 'below'} 0", shmid >= 0)
        outcome, lines = ended(first_id, shmid)
        first = [line.split() for line in lines if line.startswith("ids:")]
        if outcome.ok and first:  # not permitted everywhere
            seen = f"in a new IPC namespace the first two are {' and '.join(first[0][1:])}"
            yield holds(seen, first[0][1] == "0")


@statement("D45", "When shmget fails it returns -1.", TRUE, "08", "errno says why.")
def minus_one() -> Iterator[Case]:
    with unused_key() as key:
        for shmflg, size, why in ((0o600, PAGE, "ENOENT"), (NEW | 0o600, 0, "EINVAL")):
            value, error = as_c("shmget", key, size, shmflg)
            yield holds(f"C's shmget returned {value}, errno {error}", (value, error) == (-1, why))
