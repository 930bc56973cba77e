"""shmlab.sysv's structures and constants, against this machine's compiler and C library."""

import ctypes
import os
import re
import shutil
import subprocess

import pytest

from shmlab import sysv
from shmlab.sysv import layouts

compiler = shutil.which("cc") or shutil.which("gcc")
pytestmark = pytest.mark.skipif(not compiler, reason="no C compiler: install gcc and libc6-dev")

STRUCTURES = {
    layouts.IpcPerm: "struct ipc_perm",
    layouts.ShmidDs: "struct shmid_ds",
    layouts.ShmInfo: "struct shminfo",
    layouts.ShmUsage: "struct shm_info",
    layouts.SemidDs: "struct semid_ds",
    layouts.SemInfo: "struct seminfo",
    layouts.SemBuf: "struct sembuf",
}
CALLED = {"key": "__key", "seq": "__seq"}
CONSTANTS = [name for name in sysv.__all__ if re.match(r"(IPC|SHM|SEM|GET|SET)[A-Z_]*$", name)]


@pytest.fixture(scope="module")
def said(tmp_path_factory) -> dict[str, int]:
    """What a C program prints: the size of every structure, its fields' offsets and sizes, the constants."""
    folder = tmp_path_factory.mktemp("c")
    lines = []
    for structure, name in STRUCTURES.items():
        lines.append(f'printf("{name} %zu\\n", sizeof({name}));')
        for field, *_ in structure._fields_:
            if not field.startswith("_"):
                c = CALLED.get(field, field)
                lines.append(f'printf("{name}.{field} %zu\\n", offsetof({name}, {c}));')
                lines.append(f'printf("{name}.{field}# %zu\\n", sizeof((({name} *)0)->{c}));')
    lines += [f'printf("{name} %ld\\n", (long){name});' for name in CONSTANTS]
    source = folder / "layouts.c"
    body = "\n".join(lines)
    source.write_text(
        "#define _GNU_SOURCE\n#include <stddef.h>\n#include <stdio.h>\n#include <sys/sem.h>\n"
        f"#include <sys/shm.h>\nint main(void) {{\n{body}\nreturn 0;\n}}\n"
    )
    subprocess.run([compiler, "-o", folder / "layouts", source], check=True, timeout=60)
    told = subprocess.run([folder / "layouts"], capture_output=True, text=True, check=True, timeout=30).stdout
    return {line.rpartition(" ")[0]: int(line.rpartition(" ")[2]) for line in told.splitlines()}


@pytest.mark.parametrize("structure", STRUCTURES, ids=STRUCTURES.values())
def test_d63_every_field_is_where_the_compiler_has_it(said, structure):
    name = STRUCTURES[structure]
    assert ctypes.sizeof(structure) == said[name]
    seen = 0
    for field, *_ in structure._fields_:
        if not field.startswith("_"):
            ours = getattr(structure, field)
            assert (ours.offset, ours.size) == (said[f"{name}.{field}"], said[f"{name}.{field}#"]), field
            seen += 1
    assert seen >= 3


def test_f49_every_constant_is_the_headers(said):
    assert {name: getattr(sysv, name) for name in CONSTANTS} == {name: said[name] for name in CONSTANTS}
    assert {"IPC_RMID", "SHM_RDONLY", "SHM_DEST", "SEM_UNDO", "GETVAL", "SETALL"} <= set(CONSTANTS)
    # What must not be mixed up with open's.
    assert os.O_TRUNC == sysv.IPC_CREAT
    assert os.O_EXCL == sysv.SHM_W
