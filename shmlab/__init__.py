"""shmlab: a laboratory for POSIX and System V shared memory, on the real kernel, with real processes.

The few names that a lesson imports. Each is loaded when it is first asked for (PEP 562), so that a worker
process, which imports ``shmlab.posix`` and nothing else, starts in milliseconds.
"""

TYPE_CHECKING = False  # typing's own constant would cost each worker 8 ms
if TYPE_CHECKING:
    from typing import Any

    from shmlab import check as check
    from shmlab import observe as observe
    from shmlab import posix as posix
    from shmlab import sysv as sysv
    from shmlab.processes.process import Process as Process
    from shmlab.processes.process import Shared as Shared
    from shmlab.processes.schedule import every_schedule as every_schedule
    from shmlab.processes.schedule import run_schedule as run_schedule
    from shmlab.processes.session import cleanup as cleanup
    from shmlab.processes.session import own_key as own_key
    from shmlab.processes.session import own_name as own_name
    from shmlab.programs import as_program as as_program
    from shmlab.programs import c_program as c_program
    from shmlab.programs import in_c as in_c

__version__ = "0.1.0"

_HOMES = {
    "Process": "shmlab.processes",
    "Shared": "shmlab.processes",
    "as_program": "shmlab.programs",
    "c_program": "shmlab.programs",
    "check": "shmlab.check",
    "cleanup": "shmlab.processes",
    "every_schedule": "shmlab.processes",
    "in_c": "shmlab.programs",
    "observe": "shmlab.observe",
    "own_key": "shmlab.processes",
    "own_name": "shmlab.processes",
    "posix": "shmlab.posix",
    "run_schedule": "shmlab.processes",
    "sysv": "shmlab.sysv",
}

__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> "Any":
    from importlib import import_module  # here: a worker never needs it

    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'shmlab' has no attribute {name!r}")
    module = import_module(home)
    return module if home == f"shmlab.{name}" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
