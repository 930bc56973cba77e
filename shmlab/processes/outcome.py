"""How a process ended, as a value that says it in words."""

import os
import re
import signal
from dataclasses import dataclass

SIGNAL_WORDS = {
    signal.SIGBUS: "Bus error",
    signal.SIGSEGV: "Segmentation fault",
    signal.SIGKILL: "Killed",
    signal.SIGABRT: "Aborted",
    signal.SIGFPE: "Floating point exception",
    signal.SIGILL: "Illegal instruction",
    signal.SIGTERM: "Terminated",
    signal.SIGINT: "Interrupt",
}
"""The words a shell prints; ``signal.strsignal`` words some of them differently on each system."""

FAULTS = (signal.SIGSEGV, signal.SIGFPE, signal.SIGABRT, signal.SIGBUS, signal.SIGILL)
"""The signals that faulthandler reports."""


@dataclass(frozen=True)
class Outcome:
    """How a process ended. ``str()`` gives the sentence: ``killed by signal 7 (SIGBUS: Bus error)``."""

    kind: str
    """``"exited"``, ``"killed"`` (by a signal), ``"raised"`` (a Python exception), ``"stopped"`` (by us)."""
    status: int | None = None
    """The exit status, 0 to 255, unless a signal ended it."""
    signal: int | None = None
    """The signal's number, when one ended it."""
    error: str = ""
    """The exception's own line: ``ValueError: …``."""
    traceback: str = ""
    """The lines of the program, and of it alone, that led there."""
    line: int | None = None
    """The line of the program's source that a fatal signal hit, where Python could still say so."""

    def __str__(self) -> str:
        if self.kind == "raised":
            return f"raised {self.error}"
        if self.kind == "killed":
            at = f" at line {self.line}" if self.line else ""
            return f"killed by signal {describe_signal(self.signal or 0)}{at}"
        if self.kind == "stopped":
            return "stopped"
        return f"exited with status {self.status}"

    @property
    def ok(self) -> bool:
        """Whether it ended by itself, with status 0."""
        return self.kind == "exited" and self.status == 0


def describe_signal(number: int) -> str:
    """Return ``7 (SIGBUS: Bus error)``."""
    try:
        known = signal.Signals(number)
    except ValueError:
        return str(number)
    words = SIGNAL_WORDS.get(known) or signal.strsignal(number)
    return f"{number} ({known.name}: {words})"


def outcome_of(returncode: int, *, stopped: bool, error: str, output: str, filename: str) -> Outcome:
    """Return the outcome that a return code (as of subprocess: negative for a signal) and the board tell."""
    if stopped and returncode == -signal.SIGKILL:
        return Outcome("stopped", signal=-returncode)
    if returncode < 0:
        line = _guilty_line(output, filename) if -returncode in FAULTS else None
        return Outcome("killed", signal=-returncode, line=line)
    if error:
        first, _, traceback = error.partition("\n")
        return Outcome("raised", status=returncode, error=first, traceback=traceback)
    return Outcome("exited", status=os.WEXITSTATUS(returncode << 8))


def _guilty_line(output: str, filename: str) -> int | None:
    """Read faulthandler's last report, whose most recent call comes first."""
    _, reported, report = output.rpartition("Fatal Python error: ")
    thread = report.rpartition("Current thread")[2]
    found = re.search(rf'File "{re.escape(filename)}", line (\d+)', thread) if reported else None
    return int(found[1]) if found else None
