"""D24 to D29: what the document says in one sentence each of the System V calls, and of ipcs."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from shmlab import observe, sysv
from shmlab.document.probing import (
    PAGE,
    a_segment,
    an_object,
    answer,
    attached,
    lines_at,
    row,
    stepped,
    unused_key,
)
from shmlab.document.statements import IMPRECISE, TRUE, WRONG, Case, UndecidedError, fails, holds, statement
from shmlab.processes import Process

X_SERVERS = ("Xvfb", "Xorg", "Xwayland", "Xephyr", "Xvnc", "Xtigervnc")
CALLS = ("shmget", "shmat", "shmdt", "shmctl")


@statement(
    "D24",
    "The X Window System and its extensions work with System V's interface, and so do many X programs.",
    TRUE,
    "13",
    "It's the extension MIT-SHM: server and client on one machine share pictures. How many programs use it"
    " was not counted. The probe looks for the calls in the X server that it finds.",
)
def the_x_server_calls_them() -> Iterator[Case]:
    server = next(filter(None, map(_program, X_SERVERS)), None)
    if server is None:
        raise UndecidedError("there is no X server on this machine (package xvfb is the smallest)")
    text = server.read_bytes()
    imported = [call for call in CALLS if b"\0" + call.encode() + b"\0" in text]
    yield holds(f"{server.name} imports {', '.join(imported) or 'none of them'}", imported == list(CALLS))


def _program(name: str) -> Path | None:
    """Return an X server's program: what the shell finds may be a script that starts the one in /usr/lib."""
    for found in (f"/usr/lib/xorg/{name}", shutil.which(name)):
        if found and Path(found).is_file():
            return Path(found).resolve()
    return None


@statement(
    "D25",
    "shmget makes a new region or attaches the process to an existing one, as shm_open does.",
    IMPRECISE,
    "08",
    "It makes or finds a segment and gives its id. To attach takes shmat.",
)
def an_id_and_no_more() -> Iterator[Case]:
    with unused_key() as key, a_segment(key=key) as shmid:
        again = sysv.shmget(key, PAGE, 0o600)
        yield holds("a second shmget found the segment that the first had made", again == shmid)
        count = attached(shmid)
        yield fails(f"after two calls of shmget nattch is {count}", count == 0)


@statement(
    "D26",
    "shmat maps a file into memory, as mmap does.",
    IMPRECISE,
    "08",
    "It attaches a segment by its id. There is no file to open: the one that the kernel shows is inside it.",
)
def no_file_is_mapped() -> Iterator[Case]:
    with a_segment() as shmid, sysv.shmat(shmid) as m:
        (line,) = lines_at(m.address)
        yield holds(f"its bytes are memory of this process: {line.perms}", line.perms == "rw-s")
        there = Path(line.path).exists() or Path(f"/dev/shm{line.path}").exists()
        yield fails(
            "/proc/self/maps names a file that no folder has", line.path.startswith("/SYSV") and not there
        )
        opened = [each for each in observe.descriptors() if line.path in each.target]
        yield fails(f"descriptors of it: {len(opened)}", not opened)


@statement(
    "D27",
    "shmdt releases the memory that was mapped, as munmap does.",
    IMPRECISE,
    "08",
    "It detaches: the segment and its bytes stay until IPC_RMID. And it takes nothing but the address that "
    "shmat gave, where munmap takes any part of a mapping.",
)
def it_only_detaches() -> Iterator[Case]:
    with a_segment(2 * PAGE) as shmid:
        m = sysv.shmat(shmid)
        m.buf[:4] = b"kept"
        address = m.address
        error = answer(sysv.shmdt, address + PAGE)
        yield fails(f"shmdt of its second page: {error}", error == "EINVAL")
        sysv.shmdt(m)
        left = [line for line in lines_at(address) if line.path.startswith("/SYSV") and line.inode == shmid]
        yield holds(f"after shmdt, lines of /proc/self/maps with it: {len(left)}", not left)
        with sysv.shmat(shmid) as again:
            read = bytes(again.buf[:4])
        yield fails(f"attached again, it says {read!r}", read == b"kept")


def stays_attached(shmid: int) -> Iterator[str]:
    m = sysv.shmat(shmid)
    yield "shmat"
    print(bytes(m.buf[:6]).decode())
    m.buf[:5] = b"after"
    yield "store"


@statement(
    "D28",
    "shmctl disconnects the users of a region from it, as shm_unlink does.",
    WRONG,
    "08",
    "It disconnects nobody. IPC_RMID, one command of several, marks the segment; those who have it attached "
    "go on, and it's removed with the last detach. Nor does shm_unlink disconnect anybody.",
)
def nobody_is_disconnected() -> Iterator[Case]:
    with a_segment() as shmid, sysv.shmat(shmid) as m, Process(stays_attached, shmid) as other:
        m.buf[:6] = b"before"
        stepped(other)
        sysv.shmctl(shmid, sysv.IPC_RMID)
        count = attached(shmid)
        yield fails(f"after IPC_RMID nattch is {count}: the other process and this one", count == 2)
        stepped(other)
        read, stored = other.output.strip(), bytes(m.buf[:5])
        yield fails(f"the other process read {read!r} after it", read == "before")
        yield fails(f"and stored {stored!r}, which we can read", stored == b"after")


@statement(
    "D29",
    "ipcs shows which shared memory there is.",
    IMPRECISE,
    "09",
    "System V's only. POSIX objects are listed in /dev/shm, memory without a name nowhere but in "
    "/proc/PID/maps.",
)
def ipcs_shows_half() -> Iterator[Case]:
    with a_segment(5000) as shmid, an_object(5000) as thing:
        said = _ipcs()
        listed = [line.split()[1] for line in said.splitlines() if line.startswith("0x")]
        yield holds("ipcs -m lists the segment that we made", str(shmid) in listed and row(shmid))
        yield fails("ipcs -m doesn't name the object that we made", thing.name.lstrip("/") not in said)


def _ipcs() -> str:
    try:
        result = subprocess.run(
            ["ipcs", "-m"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=5,
            check=True,
            start_new_session=True,
        )
    except FileNotFoundError:
        raise UndecidedError("there is no ipcs: install the package util-linux") from None
    return result.stdout
