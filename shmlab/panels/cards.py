"""What a panel shows of one process: who it is, its source, where it is, its variables; for the browser and
for the still picture. The same in every panel; nothing is sent or drawn here. Imported by
:mod:`shmlab.panels.panel`, :mod:`~shmlab.panels.scheduler`, :mod:`~shmlab.panels.stage` and
:mod:`~shmlab.panels.walkthrough`.
"""

import re
from typing import Any

from shmlab import figures
from shmlab.palette import ink_on
from shmlab.processes import Process, State
from shmlab.processes.turns import plain, told
from shmlab.programs import find_compiler

SHOWN_OUTPUT = 2000
"""Characters of a process's output that reach the screen: the last ones."""

BARE = re.compile(r"\(*<(memory|function|built-in|bound method) ")
"""Python's way to say nothing but an address; a memory's bytes are seen beside it."""


def unavailable(process: Process) -> str:
    """Return why a process can't run on this machine; empty when it can."""
    if process.program.language == "C" and find_compiler() is None:
        return "Not here: there is no C compiler on this machine. Install the package gcc."
    return ""


def listing(process: Process) -> dict[str, Any]:
    """Return what the browser shows of a process for good: who it is, and its source."""
    return {
        "label": process.label,
        "colour": process.colour,
        "ink": ink_on(process.colour),
        "program": process.program.name,
        "language": process.program.language,
        "source": process.program.source.splitlines(),
        "unavailable": unavailable(process),
    }


def shown_locals(state: State) -> list[tuple[str, str]]:
    """Return the variables that are worth a line: those that say more than their type and an address, and
    not the one that a loop throws away.

    What holds a name of the lab's (a semaphore, several names) says its word: there's little room.
    """
    kept = [(name, text) for name, text in state.locals if name != "_" and not BARE.match(text)]
    return [(name, plain(text) if text.startswith(("<", "(", "[")) else text) for name, text in kept]


def _words(state: State) -> str:
    """Return where a process is. What it waits for is called by its word: whose it is, everybody knows."""
    return told(state) if state.kind == "blocked" else str(state)


def shown(process: Process) -> dict[str, Any]:
    """Return what the browser shows of where a process is now."""
    state = process.state
    return {
        "kind": state.kind,
        "words": _words(state),
        "step": state.step,
        "line": state.line or 0,
        "locals": shown_locals(state),
        # What faulthandler reports of a fatal signal, the marked line shows better.
        "output": process.output.partition("Fatal Python error: ")[0][-SHOWN_OUTPUT:],
    }


def still_listing(process: Process) -> figures.Listing:
    """Return what the still picture shows of a process: its source with the line reached."""
    state = process.state
    title = f"{process.label}  {process.program.name} · {process.program.language}"
    words = unavailable(process) or _words(state)
    return figures.Listing(
        title, process.colour, words, tuple(process.program.source.splitlines()), state.line
    )
