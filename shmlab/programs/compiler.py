"""C programs compiled on demand: ``cc``, a cache by content, and the compiler's own words when it refuses.

The cache lies in the user's cache folder, one executable a program text; an entry is written beside its
final name and renamed into place, so that two notebooks compiling at once never see half a file.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shmlab.programs import Program

FLAGS = ("-std=gnu11", "-g", "-O1", "-Wall", "-Wextra", "-pthread")
LIBRARIES = ("-lrt",)
"""Not needed since glibc 2.34, where librt is empty (FACTS D67); older systems still want it."""

TIMEOUT = 60
"""Seconds a compilation may take."""


class CompileError(Exception):
    """The compiler refused a program; the text is what it printed, unaltered."""


class NoCompilerError(OSError):
    """There is no C compiler on this machine."""


def find_compiler() -> str | None:
    """Return the path of the C compiler (``$CC``, else ``cc``, else ``gcc``), or None."""
    for command in (os.environ.get("CC"), "cc", "gcc"):
        if command and (path := shutil.which(command)):
            return path
    return None


def cache_folder() -> Path:
    """Return the folder of compiled programs, made when it isn't there; a private one when it can't be."""
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "shmlab"
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        if base.stat().st_uid == os.getuid() and os.access(base, os.W_OK):
            return base
    except (OSError, RuntimeError):  # RuntimeError: a user without a home
        pass
    # A folder that somebody else could have made must not hand us an executable: check the owner here too.
    fallback = Path(tempfile.gettempdir()) / f"shmlab-cache-{os.getuid()}"
    fallback.mkdir(mode=0o700, exist_ok=True)
    status = fallback.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise PermissionError(1, "not a folder of yours alone", str(fallback))
    return fallback


def compile_c(program: "Program") -> Path:
    """Return the executable of a C program, compiled now or found in the cache.

    Raises NoCompilerError (an OSError with ENOENT) when there is no compiler and CompileError with the
    compiler's output when it refuses the program.
    """
    compiler = find_compiler()
    if compiler is None:
        raise NoCompilerError(2, "no C compiler on this machine: install the package gcc", "cc")
    headers = b"".join(each.read_bytes() for each in sorted(Path(__file__).parent.glob("*.h")))
    recipe = repr((program.source, compiler, os.stat(compiler).st_mtime_ns, FLAGS, LIBRARIES)).encode()
    digest = hashlib.sha256(headers + recipe).hexdigest()[:20]
    folder = cache_folder()
    executable = folder / f"{program.name}-{digest}"
    if executable.is_file():
        return executable
    with tempfile.TemporaryDirectory(prefix="cc-", dir=folder) as work:
        source = Path(work) / program.filename
        source.write_text(program.source, encoding="utf-8")
        built = Path(work) / "a.out"
        # Compiling in the work folder keeps its path out of the compiler's messages.
        command = [compiler, *FLAGS, "-I", str(Path(__file__).parent), source.name, "-o", "a.out", *LIBRARIES]
        try:
            result = subprocess.run(
                command,
                cwd=work,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise CompileError(f"{compiler} had not finished after {TIMEOUT} s, and was stopped") from None
        if result.returncode != 0:
            raise CompileError((result.stderr + result.stdout).strip())
        os.replace(built, executable)
    return executable
