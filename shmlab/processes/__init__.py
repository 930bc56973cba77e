"""Processes: start one, step it, let it run, pause it, wait for it, stop it; and leave nothing behind.

``process`` holds the process itself, ``outcome`` how one ends, ``board`` where it says what it's doing,
``worker`` what a Python one runs, ``output`` what it prints, ``session`` who owns it all, ``ledger`` which
processes it had, ``supervisor`` who cleans up when the notebook's kernel is gone, and ``sweep`` how that is
done; ``interleaving`` steps several in a chosen order, ``schedule`` runs whole orders, and every one there
is. The names are loaded when they are asked for, because a worker imports this package on its way to
:mod:`shmlab.processes.worker`.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_HOMES = {
    "Interleaving": "interleaving",
    "Outcome": "outcome",
    "Process": "process",
    "Run": "turns",
    "Shared": "process",
    "State": "process",
    "Turn": "turns",
    "Walk": "walk",
    "cleanup": "session",
    "every_schedule": "schedule",
    "own_key": "session",
    "own_name": "session",
    "run_schedule": "schedule",
    "start": "process",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> "Any":
    from importlib import import_module  # here: a worker never needs it

    if name not in _HOMES:
        raise AttributeError(f"module 'shmlab.processes' has no attribute {name!r}")
    return getattr(import_module(f"shmlab.processes.{_HOMES[name]}"), name)
