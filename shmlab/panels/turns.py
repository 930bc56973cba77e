"""How often threads of the kernel take turns while a cell computes.

A frame thread gives up the interpreter at every system call, and a cell that computes in pure Python hands it
back after a whole switch interval: with CPython's 5 ms a look at 2,000 places takes 0.3 s, with 0.5 ms 0.04 s
(measured). So the interval is shortened while a cell runs *and* frames flow, and only then. Imported by
:mod:`shmlab.panels.frames`.
"""

import sys
import threading

SHORT = 0.0005
"""Seconds after which a thread that computes gives way, while frames flow."""

_lock = threading.Lock()
_wanting: set[int] = set()
_usual = 0.0


def shorten(owner: object, wanted: bool) -> None:
    """Say whether *owner* wants short turns; the last to want them no more brings the usual ones back."""
    global _usual
    with _lock:
        before = bool(_wanting)
        (_wanting.add if wanted else _wanting.discard)(id(owner))
        if _wanting and not before:
            _usual = sys.getswitchinterval()
            sys.setswitchinterval(min(SHORT, _usual))
        elif before and not _wanting:
            sys.setswitchinterval(_usual)
