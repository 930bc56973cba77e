"""Every call, command and flag of the document's appendices runs in a lesson, and so does a way in which it
fails.

What runs is what a code cell says, or a program of the package that a code cell names. That the cells do run,
and that what they assert holds, is nbval's to show (``make lessons``).
"""

import json
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROGRAMS = ROOT / "shmlab" / "programs"

CALLS = {
    # what: (how it is written where it runs, how it fails: an errno, its exception, or a signal)
    "shm_open": (r"posix\.shm_open\(", r"FileNotFoundError|ENOENT"),
    "shm_open O_RDONLY": (r"\bO_RDONLY\b", r"EACCES|PermissionError|EINVAL"),
    "shm_open O_RDWR": (r"\bO_RDWR\b", r"EACCES|PermissionError"),
    "shm_open O_CREAT": (r"\bO_CREAT\b", r"EACCES|EINVAL|ENAMETOOLONG"),
    "shm_open O_EXCL": (r"\bO_EXCL\b", r"EEXIST|FileExistsError"),
    "shm_open O_TRUNC": (r"\bO_TRUNC\b", r"SIGBUS"),
    "shm_open mode": (r"0o?644", r"EACCES|PermissionError"),
    "shm_unlink": (r"\bshm_unlink\(", r"ENOENT|FileNotFoundError"),
    "ftruncate": (r"\bftruncate\(", r"EINVAL"),
    "mmap": (r"posix\.mmap\(", r"EBADF|ENODEV|EINVAL"),
    "mmap addr": (r"MAP_FIXED_NOREPLACE", r"EEXIST|FileExistsError"),
    "mmap len": (r"posix\.mmap\(", r"EINVAL"),
    "mmap PROT_READ": (r"\bPROT_READ\b", r"SIGSEGV"),
    "mmap PROT_WRITE": (r"\bPROT_WRITE\b", r"EACCES|PermissionError"),
    "mmap PROT_EXEC": (r"\bPROT_EXEC\b", r"EPERM|SIGSEGV"),
    "mmap PROT_NONE": (r"\bPROT_NONE\b", r"SIGSEGV"),
    "mmap MAP_SHARED": (r"\bMAP_SHARED\b", r"EACCES|PermissionError"),
    "mmap MAP_PRIVATE": (r"\bMAP_PRIVATE\b", r"SIGBUS|SIGSEGV|frozen|copied"),
    "mmap MAP_FIXED": (r"\bMAP_FIXED\b", r"EINVAL|EEXIST"),
    "mmap filedes": (r"posix\.mmap\([^)]*-1\)|MAP_ANONYMOUS|EBADF", r"EBADF"),
    "mmap off": (r"posix\.mmap\([^)]*,\s*\w+,\s*(offset|[1-9A-Z_a-z])", r"EINVAL"),
    "munmap": (r"\bmunmap\(", r"SIGSEGV"),
    "msync": (r"\bmsync\(", r"ENOMEM|EINVAL|write_bytes"),
}
"""The appendix also names headers and ``-lrt``, which the C twins include and the compiler needs."""

SYSTEM_V = {
    "shmget": (r"sysv\.shmget\(", r"ENOENT"),
    "shmget key": (r"sysv\.shmget\(key\b|own_key\(", r"EEXIST"),
    "shmget key 0": (r"shmget\(sysv\.IPC_PRIVATE\b", r"keys: \[0, 0, 0\]"),
    "shmget size": (r"5001 bytes", r"5001 bytes: EINVAL"),
    "shmget shmflg IPC_CREAT": (r"\bIPC_CREAT\b", r"IPC_CREAT +made +found"),
    "shmget shmflg IPC_EXCL": (r"\bIPC_EXCL\b", r"IPC_EXCL +made +EEXIST"),
    "shmget shmflg 0644": (r"\b0o?644\b", r"shmget 0600 +yes +EACCES"),
    "shmget shmflg and the umask": (r"os\.umask\(", r"umask 077: the object 0600, the segment 0666"),
    "shmget returns an id, 0 included": (r"CLONE_NEWIPC", r"ids: 0 1"),
    "shmat": (r"sysv\.shmat\(", r"no such id +EINVAL"),
    "shmat shm_id": (r"sysv\.shmat\(shmid", r"shmat +EINVAL"),
    "shmat shm_addr NULL": (r"shmat\(shmid, None", r"NULL, SHM_REMAP +EINVAL"),
    "shmat shm_addr": (r"shmat\(shmid, at\b", r"an address in use +EINVAL"),
    "shmat shm_flg SHM_RND": (r"\bSHM_RND\b", r"within a page +EINVAL"),
    "shmat shm_flg SHM_RDONLY": (r"\bSHM_RDONLY\b", r"SHM_RDONLY: killed by signal 11"),
    "shmat shm_flg SHM_REMAP": (r"\bSHM_REMAP\b", r"over a mapping +EINVAL"),
    "shmat returns (void *) -1": (r"== \(void \*\)-1", r"EINVAL"),
    "shmdt": (r"sysv\.shmdt\(", r"shmdt, a second time +EINVAL"),
    "shmdt shmaddr": (r"sysv\.shmdt, second\.address", r"shmdt one byte further +EINVAL"),
    "shmctl": (r"sysv\.shmctl\(", r"command 999: EINVAL"),
    "shmctl shm_id": (r"sysv\.shmctl\(shmid", r"IPC_STAT of the id -1: EINVAL"),
    "shmctl IPC_STAT": (r"\bIPC_STAT\b", r"shmctl IPC_STAT +yes +yes +EACCES"),
    "shmctl IPC_SET": (r"\bIPC_SET\b", r"shmctl IPC_SET +yes +EPERM"),
    "shmctl IPC_RMID": (r"\bIPC_RMID\b", r"shmctl IPC_RMID +yes +EPERM"),
    "shmctl buf": (r"libc\.shmctl", r"IPC_STAT with buf NULL: EFAULT"),
    "ipcs": (r"""asked\("ipcs", "-m"\)""", r"ipcs -a names it: False"),
    "ipcrm": (r"""asked\("ipcrm", \*options\)""", r"ipcrm: illegal key \(0"),
    "struct shmid_ds": (r"uid_t shm_perm\.uid;", r"error: expected"),
    "<sys/mman.h>": (r"sys/mman\.h", r"implicit declaration of function|undeclared"),
}
"""The System V appendix. What must be seen to fail is what the stored output says, in its own words."""


@cache
def running() -> dict[str, str]:
    """What each lesson runs: its code cells, their outputs, and the programs that they name."""
    found = {}
    for lesson in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(lesson.read_text(encoding="utf-8"))["cells"]
        code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        outputs = [output for cell in cells if cell["cell_type"] == "code" for output in cell["outputs"]]
        said = "\n".join("".join(each.get("text") or each["data"].get("text/plain", "")) for each in outputs)
        named = [each for each in PROGRAMS.glob("*.[pc]*") if re.search(rf"\b{each.stem}\b", code)]
        found[lesson.name[:2]] = "\n".join([code, said, *(each.read_text() for each in named)])
    return found


@pytest.mark.parametrize("what", [*CALLS, *SYSTEM_V])
def test_it_runs_in_a_lesson_and_fails_in_one(what: str) -> None:
    call, failure = (re.compile(pattern) for pattern in (CALLS | SYSTEM_V)[what])
    runs = [lesson for lesson, text in running().items() if call.search(text)]
    assert runs, f"no lesson runs {what}"
    fails = [lesson for lesson in runs if failure.search(running()[lesson])]
    assert fails, f"no lesson that runs {what} lets it fail"


def test_every_program_has_its_twin_or_says_why_not() -> None:
    python = {each.stem for each in PROGRAMS.glob("*.py")} - {"__init__", "compiler", "private_shm"}
    c = {each.stem for each in PROGRAMS.glob("*.c")}
    for stem, suffix, words in (*((each, "py", "Python alone") for each in python - c),
                                *((each, "c", "In C alone") for each in c - python)):  # fmt: skip
        beginning = " ".join((PROGRAMS / f"{stem}.{suffix}").read_text()[:600].split()).replace(" * ", " ")
        assert words in beginning, f"{stem}.{suffix} has no twin, and doesn't say why"
