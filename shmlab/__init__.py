"""shmlab: a laboratory for POSIX and System V shared memory, on the real kernel, with real processes.

The few names that a lesson imports. Each is loaded when it is first asked for (PEP 562), so that a worker
process, which imports ``shmlab.posix`` and nothing else, starts in milliseconds.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "observe": "shmlab.observe",
    "posix": "shmlab.posix",
    "Process": "shmlab.processes",
    "Shared": "shmlab.processes",
    "cleanup": "shmlab.processes",
    "in_c": "shmlab.programs",
    "own_name": "shmlab.processes",
}

__all__ = [*_HOMES, "__version__"]

if TYPE_CHECKING:
    from shmlab import observe as observe
    from shmlab import posix as posix


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'shmlab' has no attribute {name!r}")
    module = import_module(home)
    return module if home == f"shmlab.{name}" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
