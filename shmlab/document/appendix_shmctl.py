"""D57 to D64: the document's appendix on shmctl."""

import ctypes
import os
from collections.abc import Iterator
from dataclasses import replace

from shmlab import sysv
from shmlab.document.probing import PAGE, a_segment, answer, as_c, compiler_says, row
from shmlab.document.statements import IMPRECISE, TRUE, WRONG, Case, fails, holds, statement


@statement("D57", "shmctl controls a segment, as semctl a semaphore set.", TRUE, "08")
def it_controls() -> Iterator[Case]:
    semid = sysv.semget(sysv.IPC_PRIVATE, 1, 0o600)
    try:
        mode = sysv.semctl(semid, 0, sysv.IPC_STAT).sem_perm.mode
    finally:
        sysv.semctl(semid, 0, sysv.IPC_RMID)
    with a_segment() as shmid:
        ds = sysv.shmctl(shmid, sysv.IPC_STAT)
        seen = f"IPC_STAT: the segment's mode is {ds.shm_perm.mode:04o}, a set's {mode:04o}"
        yield holds(seen, ds.shm_perm.mode == mode == 0o600)
        sysv.shmctl(shmid, sysv.IPC_SET, ds)
        error = answer(sysv.shmctl, shmid, 999)
        yield holds(f"IPC_SET succeeded; a command 999 gives {error}", error == "EINVAL")
        sysv.shmctl(shmid, sysv.IPC_RMID)
        yield holds("IPC_RMID: it's in the kernel's table no more", row(shmid) is None)


@statement(
    "D58", "shmctl's shm_id is what shmget returned.", TRUE, "08", "For SHM_STAT it's an index instead."
)
def by_the_same_id() -> Iterator[Case]:
    with a_segment(5000) as shmid:
        size = sysv.shmctl(shmid, sysv.IPC_STAT).shm_segsz
        yield holds(f"IPC_STAT of that id tells of {size} bytes", size == 5000)
        error = answer(sysv.shmctl, -1, sysv.IPC_STAT)
        yield holds(f"of -1: {error}", error == "EINVAL")


@statement("D59", "IPC_STAT fills the structure with the segment's present values.", TRUE, "08")
def it_fills_in() -> Iterator[Case]:
    with a_segment(5000, mode=0o640) as shmid, sysv.shmat(shmid):
        ds, kernel = sysv.shmctl(shmid, sysv.IPC_STAT), row(shmid)
        told = (ds.shm_segsz, ds.shm_perm.mode, ds.shm_nattch, ds.shm_cpid)
        same = kernel and told == (kernel.size, kernel.mode, kernel.attached, kernel.cpid)
        yield holds(f"{told[0]} bytes, mode {told[1]:04o}, nattch {told[2]}: as in /proc/sysvipc/shm", same)
        yield holds("and as we made it", (*told[:3], told[3]) == (5000, 0o640, 1, os.getpid()))


@statement(
    "D60",
    "IPC_SET takes the segment's values from the structure, if the process may do so.",
    IMPRECISE,
    "08",
    "Of the values only owner, group and the nine permission bits; the rest is ignored without a word.",
)
def three_of_them() -> Iterator[Case]:
    with a_segment() as shmid:
        ds = sysv.shmctl(shmid, sysv.IPC_STAT)
        wish = replace(ds, shm_perm=replace(ds.shm_perm, mode=0o640), shm_segsz=99, shm_nattch=7, shm_cpid=1)
        sysv.shmctl(shmid, sysv.IPC_SET, wish)
        now = sysv.shmctl(shmid, sysv.IPC_STAT)
        yield holds(f"mode 0640 was set: it's {now.shm_perm.mode:04o}", now.shm_perm.mode == 0o640)
        seen = f"99 bytes and nattch 7 were not: they are {now.shm_segsz} and {now.shm_nattch}"
        yield fails(seen, (now.shm_segsz, now.shm_nattch, now.shm_cpid) == (PAGE, 0, os.getpid()))


@statement(
    "D61",
    "IPC_RMID removes the segment.",
    IMPRECISE,
    "08",
    "At once only when nobody has it attached. Otherwise it loses its key, is marked (SHM_DEST), and goes "
    "with the last detach.",
)
def removed_or_marked() -> Iterator[Case]:
    with a_segment() as shmid:
        sysv.shmctl(shmid, sysv.IPC_RMID)
        error = answer(sysv.shmctl, shmid, sysv.IPC_STAT)
        yield holds(f"attached by nobody: IPC_STAT says {error} afterwards", error == "EINVAL")
    with a_segment() as shmid:
        with sysv.shmat(shmid) as m:
            m.buf[0] = 7
            sysv.shmctl(shmid, sysv.IPC_RMID)
            mode = sysv.shmctl(shmid, sysv.IPC_STAT).shm_perm.mode
            yield fails(f"attached: still there, with mode {mode:05o}", mode == sysv.SHM_DEST | 0o600)
            yield fails(f"and its byte reads {m.buf[0]}", m.buf[0] == 7)
        yield holds("after the last detach it's in no table", row(shmid) is None)


@statement(
    "D62",
    "shmctl's buf leads to a structure of the memory's mode and access rights.",
    IMPRECISE,
    "08",
    "They are in it (shm_perm); so are the size, three times, two pids and nattch. IPC_RMID wants no "
    "structure.",
)
def more_than_rights() -> Iterator[Case]:
    with a_segment(5000, mode=0o640) as shmid:
        ds = sysv.shmctl(shmid, sysv.IPC_STAT)
        yield holds(f"IPC_STAT tells the mode: {ds.shm_perm.mode:04o}", ds.shm_perm.mode == 0o640)
        seen = f"and the size, {ds.shm_segsz}, and its maker's pid"
        yield fails(seen, (ds.shm_segsz, ds.shm_cpid) == (5000, os.getpid()))
        value, _ = as_c("shmctl", shmid, sysv.IPC_RMID, None)
        yield fails(f"IPC_RMID with buf NULL returned {value}", value == 0)


@statement(
    "D63",
    "That structure is: struct shmid_ds { uid_t shm_perm.uid; uid_t shm_perm.gid; mode_t shm_perm.mode; };",
    WRONG,
    "08",
    "A member's name holds no dot: that's no C. shm_perm is a structure (struct ipc_perm) within the "
    "structure, and others follow it.",
)
def no_such_structure() -> Iterator[Case]:
    types = "#include <sys/types.h>"
    members = "uid_t shm_perm.uid; uid_t shm_perm.gid; mode_t shm_perm.mode;"
    complaint = compiler_says(types, f"struct shmid_ds {{ {members} }};")
    yield fails(f"the compiler says to it: {complaint or 'nothing'}", complaint)
    real = "mode_t f(struct shmid_ds *s) { return s->shm_segsz ? s->shm_perm.mode : 0; }"
    complaint = compiler_says("#include <sys/shm.h>", real)
    yield fails(
        f"to s->shm_perm.mode and s->shm_segsz, of <sys/shm.h>: {complaint or 'nothing'}", not complaint
    )


@statement(
    "D64",
    "shmctl returns 0 when it succeeds, -1 when it fails.",
    IMPRECISE,
    "08",
    "So it is for IPC_STAT, IPC_SET and IPC_RMID. SHM_STAT returns an id, IPC_INFO and SHM_INFO an index.",
)
def sometimes_an_id() -> Iterator[Case]:
    with a_segment() as one, a_segment() as two:
        room = ctypes.create_string_buffer(512)
        value, _ = as_c("shmctl", two, sysv.IPC_STAT, room)
        yield holds(f"IPC_STAT returned {value}", value == 0)
        value, error = as_c("shmctl", -1, sysv.IPC_STAT, room)
        yield holds(f"of the id -1: {value}, errno {error}", value == -1)
        highest, _ = as_c("shmctl", 0, sysv.IPC_INFO, room)
        ids = [as_c("shmctl", index, sysv.SHM_STAT, room)[0] for index in range(highest + 1)]
        seen = "SHM_STAT, of one index after the other, returned ids, both of ours among them"
        yield fails(seen, {one, two} <= set(ids) and max(ids) > 0)
