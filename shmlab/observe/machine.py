"""What this machine lets the lab do: the facts that ``shmlab doctor`` turns into advice.

Facts only, each by looking (no program is started, nothing is created); what they mean for which lesson is
the command line's to say. Imported through ``shmlab.observe``.
"""

import os
import sys
from dataclasses import dataclass

from shmlab.observe.namespaces import INITIAL_IPC_NAMESPACE
from shmlab.observe.objects import SHM, user_name
from shmlab.observe.table import Value, size, text

CAP_SETGID, CAP_SETUID, CAP_SYS_PTRACE = 6, 7, 19
"""Bits of a process's capabilities (capabilities(7), linux/capability.h)."""

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
COMPILERS = ("cc", "gcc", "clang")


@dataclass(frozen=True, slots=True)
class Machine(Value):
    """Facts about this machine and this user. Sizes are bytes, paths None where a program is missing.

    *shm_size* and *shm_free* describe /dev/shm, None without one. *compiler_program* is the file that the
    compiler's path leads to, which names its version. *ptrace* is ``permitted`` or the reason why not.
    *others_maps* is whether this user may look at other users' processes, *page_frames* whether the kernel
    shows physical page numbers (FACTS F79). *ipc_namespace* is the number of the namespace that System V
    objects live in; *ipc_initial* whether it's the one the machine booted with, *ipc_as_init* whether process
    1 is in it too (None: may not look). *second_user* is whether this process can become another user,
    *subordinate_uids* how many /etc/subuid grants. *shmmax*, *shmall* (pages) and *shmmni* limit System V
    segments, None without System V IPC.
    """

    python: str
    executable: str
    uid: int
    user: str
    kernel: str
    architecture: str
    shm_size: int | None
    shm_free: int | None
    compiler: str | None
    compiler_program: str | None
    strace: str | None
    chromium: str | None
    ptrace: str
    others_maps: bool
    page_frames: bool
    ipc_namespace: int | None
    ipc_initial: bool
    ipc_as_init: bool | None
    second_user: bool
    subordinate_uids: int
    shmmax: int | None
    shmall: int | None
    shmmni: int | None

    def __repr__(self) -> str:
        width = max(map(len, self.COLUMNS))
        return "\n".join(
            f"{name.replace('_', ' '):{width}}  {write(getattr(self, name))}"
            for name, write in self.COLUMNS.items()
        )


Machine.COLUMNS = dict.fromkeys(Machine.__match_args__, text) | {"shm_size": size, "shm_free": size}


def machine() -> Machine:
    """Return the facts about this machine, gathered anew in a few milliseconds."""
    # Here and not above: shutil loads the compression libraries, which nothing else in observe needs.
    from shutil import which

    def first(programs: tuple[str, ...]) -> str | None:
        return next((path for path in map(which, programs) if path), None)

    system = os.uname()
    shm_size, shm_free = _room(SHM)
    compiler = first(COMPILERS)
    namespace = _inode("/proc/self/ns/ipc")
    init_namespace = _inode("/proc/1/ns/ipc")
    return Machine(
        python=sys.version.split()[0],
        executable=sys.executable,
        uid=os.getuid(),
        user=user_name(os.getuid()),
        kernel=f"{system.sysname} {system.release}",
        architecture=system.machine,
        shm_size=shm_size,
        shm_free=shm_free,
        compiler=compiler,
        compiler_program=os.path.basename(os.path.realpath(compiler)) if compiler else None,
        strace=which("strace"),
        chromium=first(BROWSERS),
        ptrace=_ptrace(),
        others_maps=_capable(CAP_SYS_PTRACE),
        page_frames=_sees_page_frames(),
        ipc_namespace=namespace,
        ipc_initial=namespace == INITIAL_IPC_NAMESPACE,
        ipc_as_init=None if init_namespace is None else namespace == init_namespace,
        second_user=_capable(CAP_SETUID) and _capable(CAP_SETGID) and _users_mapped() > 1,
        subordinate_uids=_subordinate_uids(os.getuid()),
        shmmax=_number("/proc/sys/kernel/shmmax"),
        shmall=_number("/proc/sys/kernel/shmall"),
        shmmni=_number("/proc/sys/kernel/shmmni"),
    )


def _room(folder: str) -> tuple[int | None, int | None]:
    try:
        status = os.statvfs(folder)
    except OSError:
        return None, None
    return status.f_blocks * status.f_frsize, status.f_bavail * status.f_frsize


def _ptrace() -> str:
    scope = _number("/proc/sys/kernel/yama/ptrace_scope")  # kernel's Documentation/admin-guide/LSM/Yama.rst
    if scope == 3:
        return "not permitted: Yama's ptrace_scope is 3"
    if _capable(CAP_SYS_PTRACE) or not scope:
        return "permitted"
    if scope == 1:
        return "permitted for descendants only: Yama's ptrace_scope is 1"
    return f"not permitted without CAP_SYS_PTRACE: Yama's ptrace_scope is {scope}"


def _sees_page_frames() -> bool:
    """Whether /proc/self/pagemap shows the frame of a page certainly present: a Python object's."""
    witness = bytes(16)
    page = id(witness) // os.sysconf("SC_PAGE_SIZE")
    try:
        with open("/proc/self/pagemap", "rb", buffering=0) as file:
            entry = int.from_bytes(os.pread(file.fileno(), 8, page * 8), "little")
    except OSError:
        return False
    return bool(entry & ((1 << 55) - 1))  # bits 0-54: the page frame number, 0 when hidden


def _capable(bit: int) -> bool:
    return bool(int(_field("/proc/self/status", "CapEff") or "0", 16) >> bit & 1)


def _users_mapped() -> int:
    """Return how many user ids exist in this user namespace."""
    return sum(int(line.split()[2]) for line in _lines("/proc/self/uid_map"))


def _subordinate_uids(uid: int) -> int:
    owners = {str(uid), user_name(uid)}
    entries = [line.strip().split(":") for line in _lines("/etc/subuid")]
    return sum(int(entry[2]) for entry in entries if len(entry) == 3 and entry[0] in owners)


def _inode(path: str) -> int | None:
    try:
        return os.stat(path).st_ino
    except OSError:
        return None


def _number(path: str) -> int | None:
    lines = _lines(path)
    return int(lines[0]) if lines else None


def _field(path: str, name: str) -> str | None:
    return next(
        (line.partition(":")[2].strip() for line in _lines(path) if line.startswith(name + ":")), None
    )


def _lines(path: str) -> list[str]:
    try:
        with open(path) as file:
            return file.read().splitlines()
    except OSError:
        return []
