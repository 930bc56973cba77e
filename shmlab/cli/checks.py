"""What the lab wants of a machine: for which lesson, what its lack means, and what brings it.

The facts are :func:`shmlab.observe.machine`'s; what they mean for a lesson is said here and nowhere else.
``shmlab doctor`` prints all of it, ``shmlab lab`` what is missing, before it starts.
"""

import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from shmlab import course, observe
from shmlab.cli.terminal import count
from shmlab.observe.table import size

WANTED_SIZE = 64 << 20
"""Bytes that /dev/shm should hold: what containers are given by default."""

WANTED_FREE = 16 << 20

PACKAGES = (
    "posix_ipc",
    "sysv_ipc",
    "numpy",
    "matplotlib",
    "PIL",
    "ipywidgets",
    "anywidget",
    "ipykernel",
    "jupyterlab",
)
"""What ``pyproject.toml`` asks for, by the names of the modules."""

ALL = tuple(range(1, 15))
POSIX = (1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 14)
SYSTEM_V = (8, 9, 10, 11, 13, 14)
IN_C = (1, 2, 3, 7, 8, 10, 11, 12, 13)
SYSTEM_CALLS = (2, 4, 8, 13)
STRANGERS = (7, 9)
PHYSICAL_PAGES = (1, 4, 5)
ANOTHER_USER = (7, 8)


@dataclass(frozen=True)
class Check:
    """One thing that the lab uses, and whether this machine has it."""

    what: str
    have: bool
    value: str
    use: str
    """What it's for; of something missing, what happens without it."""
    lessons: tuple[int, ...] = ()
    remedy: str = ""
    """What brings it, when it's missing and something does."""
    needed: bool = False
    """Whether the lab can't run without it."""

    def explanation(self) -> str:
        """Return what it's for, or what its lack means, with the lessons."""
        return f"{self.use}: {spans(self.lessons)}" if self.lessons else self.use


def blockers(checks: Sequence[Check]) -> list[Check]:
    """Return what is missing and needed."""
    return [each for each in checks if each.needed and not each.have]


def notes(checks: Sequence[Check]) -> list[str]:
    """Return a line for each thing that a lesson misses and that somebody can bring."""
    return [
        f"note: {each.what}: {each.value}; {each.explanation()} ({each.remedy})"
        for each in checks
        if not each.have and not each.needed and each.lessons and each.remedy
    ]


def examine(machine: observe.Machine) -> Iterator[Check]:
    """Yield every check, the most needed first."""
    yield Check("Python", True, machine.python, "everything", needed=True)
    yield _packages()
    yield _lessons()
    yield _shm(machine)
    yield _system_v(machine)
    yield _compiler(machine)
    has = machine.strace is not None
    yield Check(
        "strace",
        has,
        machine.strace or "none",
        "the system calls of a step" if has else "the system calls of a step aren't shown",
        SYSTEM_CALLS,
        "" if has else "apt-get install strace",
    )
    has = machine.ptrace.startswith("permitted")
    yield Check(
        "ptrace",
        has,
        machine.ptrace,
        "strace works" if has else "strace can't look into processes",
        SYSTEM_CALLS,
        "" if has else "sysctl kernel.yama.ptrace_scope=1 (a container: --cap-add=SYS_PTRACE)",
    )
    has = machine.others_maps
    yield Check(
        "others' processes",
        has,
        "readable" if has else "not readable",
        "who maps what, machine-wide" if has else "other users' processes are counted, not named",
        STRANGERS,
    )
    has = machine.page_frames
    yield Check(
        "page frames",
        has,
        "readable" if has else "hidden (root sees them)",
        "the physical page that two processes share" if has else "the shared physical page isn't shown",
        PHYSICAL_PAGES,
    )
    yield Check(
        "user",
        True,
        f"{machine.user} (uid {machine.uid})",
        "root passes every permission check: those are shown with a second user"
        if machine.uid == 0
        else "permission checks apply",
        ANOTHER_USER,
    )
    has = machine.second_user
    yield Check(
        "second user",
        has,
        "can become one" if has else "can't become one (root can)",
        "what another user may do" if has else "what another user may do is explained, not run",
        ANOTHER_USER,
    )
    yield Check(
        "IPC namespace",
        machine.ipc_namespace is not None,
        _namespace(machine),
        "System V objects are seen from within it only",
        SYSTEM_V,
    )
    has = machine.chromium is not None
    yield Check(
        "Chromium",
        has,
        machine.chromium or "none",
        "the project's browser tests" if has else "only the project's browser tests need it: they're skipped",
        (),
        "" if has else "apt-get install chromium",
    )


def _packages() -> Check:
    missing = [each for each in PACKAGES if find_spec(each) is None]
    return Check(
        "Python packages",
        not missing,
        f"no {', '.join(missing)}" if missing else "all there",
        "no lesson runs without" if missing else "everything",
        ALL if missing else (),
        "install shmlab anew: make lab, or python -m pip install -e ." if missing else "",
        needed=True,
    )


def _lessons() -> Check:
    number = len(course.paths())
    return Check(
        "lessons",
        number > 0,
        count(number, "notebook") if number else "none beside the package",
        "shmlab lab opens them" if number else "shmlab lab has none to open",
        (),
        "" if number else "they come with the repository: clone it and run make lab",
    )


def _shm(machine: observe.Machine) -> Check:
    what = "/dev/shm"
    if machine.shm_size is None:
        use = "there can't be a shared memory object, nor a process of the lab"
        return Check(what, False, "none", use, ALL, "mount -t tmpfs tmpfs /dev/shm", needed=True)
    value = f"{size(machine.shm_size)}, {size(machine.shm_free)} free"
    if not os.access(what, os.R_OK | os.W_OK | os.X_OK):
        use = "there can't be a shared memory object, nor a process of the lab"
        return Check(what, False, "not writable", use, ALL, "chmod 1777 /dev/shm", needed=True)
    if machine.shm_size < WANTED_SIZE:
        remedy = "mount -o remount,size=64M /dev/shm (a container: --shm-size=64m)"
        use = f"under {size(WANTED_SIZE)}, larger objects fail with ENOSPC"
        return Check(what, False, value, use, POSIX, remedy)
    if (machine.shm_free or 0) < WANTED_FREE:
        use = f"under {size(WANTED_FREE)} free, larger objects fail with ENOSPC"
        return Check(
            what, False, value, use, POSIX, "shmlab ls --all says what fills it, shmlab clean removes ours"
        )
    return Check(what, True, value, "POSIX objects and semaphores", POSIX, needed=True)


def _system_v(machine: observe.Machine) -> Check:
    if machine.shmmni is None:
        use = "there are no System V segments and sets"
        return Check("System V", False, "none", use, SYSTEM_V, "a kernel with CONFIG_SYSVIPC")
    use = "segments and semaphore sets"
    return Check("System V", True, f"up to {machine.shmmni:,} segments", use, SYSTEM_V)


def _compiler(machine: observe.Machine) -> Check:
    # Here and not above: what `shmlab lab` and --help need starts faster without it.
    from shmlab.programs import find_compiler

    compiler = find_compiler()
    if compiler is None:
        remedy = "apt-get install gcc libc6-dev"
        return Check("C compiler", False, "none", "C programs are greyed out", IN_C, remedy)
    if not _has_headers(compiler):
        remedy = "apt-get install libc6-dev"
        return Check("C compiler", False, "without C headers", "C programs are greyed out", IN_C, remedy)
    return Check("C compiler", True, compiler, "C programs", IN_C)


def _has_headers(compiler: str) -> bool:
    """Whether the headers that programs include are there: Debian's gcc alone comes without."""
    try:
        done = subprocess.run(
            [compiler, "-E", "-"],
            input=b"#include <semaphore.h>\n",
            capture_output=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _namespace(machine: observe.Machine) -> str:
    if machine.ipc_namespace is None:
        return "the kernel has none"
    whose = "the machine's own" if machine.ipc_initial else "a container's or a sandbox's own"
    return f"{machine.ipc_namespace} ({whose})"


def spans(lessons: Sequence[int]) -> str:
    """Return ``lesson 07``, ``lessons 01-03, 07``."""
    runs: list[list[int]] = []
    for number in lessons:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    texts = [f"{run[0]:02}" if len(run) == 1 else f"{run[0]:02}-{run[-1]:02}" for run in runs]
    return f"lesson{'s' if len(lessons) > 1 else ''} {', '.join(texts)}"
