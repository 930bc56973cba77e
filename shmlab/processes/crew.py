"""Fresh processes of the same programs, run after run; the next ones launched while these are at work.

Imported by :mod:`shmlab.processes.interleaving`.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from string import ascii_uppercase

from shmlab.palette import PROCESS_COLOURS
from shmlab.processes.process import Process, launch, start

LAUNCH = 10.0
"""Seconds that processes get to reach their first line."""


class Crew:
    """What makes the processes of a run: those of the *models*, which are themselves never started.

    Without a label or colour of their own they become A, B, C … in the palette's order. With *ahead* the next
    run's processes are launched while this one's are stepped: they stand at their first line, have run
    nothing of the program, and map what their :class:`Shared` arguments name. *identity* says what that is
    (should it differ by then, they are launched anew).

    Raises ValueError for no process at all, or two with one label.
    """

    def __init__(self, models: Sequence[Process], ahead: bool, identity: Callable[[], object]) -> None:
        if not models:
            raise ValueError("a schedule needs at least one process")
        given = [each.label for each in models if each.chosen[0]]
        if twice := {label for label in given if given.count(label) > 1}:
            raise ValueError(f"two processes have the same label: {', '.join(sorted(twice))}")
        letters = (letter for letter in ascii_uppercase if letter not in given)
        self.labels = tuple(each.label if each.chosen[0] else next(letters) for each in models)
        self._colours = [
            each.colour if each.chosen[1] else PROCESS_COLOURS[number % len(PROCESS_COLOURS)]
            for number, each in enumerate(models)
        ]
        self._models, self._ahead, self._identity = tuple(models), ahead, identity
        self._waiting: tuple[Process, ...] = ()
        self._waiting_for: object = None

    def unstarted(self) -> tuple[Process, ...]:
        """Return the processes of a run, not launched yet."""
        return tuple(
            Process(model.program, *model.arguments, label=label, colour=colour)
            for model, label, colour in zip(self._models, self.labels, self._colours, strict=True)
        )

    def fresh(self) -> tuple[Process, ...]:
        """Return the processes of a run, each paused before its first line.

        Raises what :meth:`Process.start` raises, and leaves nothing then.
        """
        if self._waiting and self._waiting_for != self._identity():
            self.dismiss()
        processes, self._waiting = self._waiting or self.unstarted(), ()
        try:
            start(*processes, timeout=LAUNCH)
            if self._ahead:
                self._waiting_for = self._identity()
                self._waiting = self.unstarted()
                launch(*self._waiting)
        except BaseException:
            end(processes)
            self.dismiss()
            raise
        return processes

    def dismiss(self) -> None:
        """End the processes that were launched ahead. May be called twice."""
        waiting, self._waiting = self._waiting, ()
        end(waiting)


def end(processes: Sequence[Process]) -> None:
    """Stop processes, whatever they are doing. One that the kernel doesn't let go is left to the session."""
    for process in processes:
        with suppress(TimeoutError):
            process.stop()
