"""Predictions and exercises: told at once whether it's right, with help that fits, and never an exception.

``predict`` puts a question on screen, ``exercise`` judges what a student made. What is asked, and what is
right, is in :mod:`shmlab.questions`. A cell that's run again asks anew; that an exercise was passed is
remembered on this machine (:mod:`shmlab.progress`), unless the cell is one of the lessons' own solutions.
Imported by lessons.
"""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import anywidget
import traitlets
from IPython.core.getipython import get_ipython

from shmlab import progress, questions
from shmlab.palette import RIGHT, WRONG
from shmlab.questions import Question, Verdict

__all__ = ["Prediction", "Verdict", "exercise", "predict"]

HERE = Path(__file__).parent

LETTERS = "ABCDEFGH"

SOLUTION = "# A solution"
"""How the cells begin that show a solution of ours: "Run all" is nobody's progress."""

_silent = False
"""Whether it was said already that nothing can be remembered."""


def predict(id_: str) -> "Prediction":
    """Return the question of that id, to be shown as the last line of a cell and answered by clicking.

    Raises KeyError, naming the questions that there are.
    """
    return Prediction(questions.question(id_))


def exercise(id_: str, *values: Any) -> Verdict:
    """Judge an exercise: look at the kernel's state, or run the student's program in a process of its own.

    *values* are what the exercise asks for. Whatever they are, a :class:`Verdict` comes back within some ten
    seconds: right, or what is missing, and a hint. Only an unknown *id_* raises: KeyError.
    """
    found = questions.exercise(id_)
    if len(values) != len(found.wants):
        given = f"{len(values)} value{'' if len(values) == 1 else 's'}"
        wanted = " and ".join(found.wants)
        return Verdict(False, f"it was given {given}.", f"It wants {len(found.wants)}: {wanted}.")
    try:
        verdict = found.judge(*values)
    except (Exception, SystemExit) as error:
        # A judge foresees what students do; this is for the machine (no room, no processes) and for the rest.
        return Verdict(
            False, f"it couldn't be judged: {_said(error)}.", "Run the lesson from its first cell, then this."
        )
    _remember(id_, verdict)
    return verdict


def _remember(id_: str, verdict: Verdict) -> None:
    """Note what came of an exercise in a notebook; say so once if it can't be noted."""
    global _silent
    cell = _cell()
    if cell is None or cell.startswith(SOLUTION):
        return
    try:
        progress.note(id_, verdict.passed)
    except OSError as error:
        if not _silent:
            print(f"(Your progress can't be remembered here: {error.strerror}, {error.filename}.)")
        _silent = True


def _cell() -> str | None:
    """Return the text of the cell that runs, or None where none does: in a script, or in a test."""
    shell = get_ipython()
    if shell is None or shell.history_manager is None:
        return None
    return str(shell.history_manager.input_hist_raw[-1])


class Prediction(anywidget.AnyWidget):
    """A question with its options. A click, or :meth:`choose`, is answered at once; after a wrong one another
    may follow."""

    _esm = HERE / "check.js"
    _css = (HERE / "check.css").read_text(encoding="utf-8").replace("RIGHT", RIGHT).replace("WRONG", WRONG)

    text = traitlets.Unicode().tag(sync=True)
    options = traitlets.List(traitlets.Unicode()).tag(sync=True)
    chosen = traitlets.List(traitlets.Dict()).tag(sync=True)
    """What was chosen so far, the latest last: ``option`` (its number), ``right``, ``reply``. The
    browser is told of the options that were chosen, and of no other whether it's right."""

    def __init__(self, question: Question) -> None:
        self.question = question
        super().__init__(text=question.text, options=[option.text for option in question.options])
        self.on_msg(self._received)

    def choose(self, answer: str) -> Verdict:
        """Choose an option by its letter (``"B"``) or the beginning of its text; return what is said to it.

        Raises ValueError when that is none of the options, or begins several.
        """
        return self._take(self._number(answer))

    def __repr__(self) -> str:
        rows = [f"  {letter}  {option}" for letter, option in zip(LETTERS, self.options, strict=False)]
        return "\n".join([f"Predict: {self.text}", *rows])

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        still = {"text/plain": repr(self), "text/html": _static(self.text, self.options)}
        shown = super()._repr_mimebundle_(**kwargs)
        if shown is None:
            return still
        data, metadata = shown if isinstance(shown, tuple) else (shown, {})
        return data | still, metadata

    def _number(self, answer: str) -> int:
        wanted = str(answer).strip().casefold()
        if len(wanted) == 1 and wanted.upper() in LETTERS[: len(self.options)]:
            return LETTERS.index(wanted.upper())
        texts = [text.casefold() for text in self.options]
        if wanted in texts:  # which may also be how another begins
            return texts.index(wanted)
        matching = [i for i, text in enumerate(texts) if wanted and text.startswith(wanted)]
        if len(matching) != 1:
            raise ValueError(f"{answer!r} isn't one of the options: {' / '.join(self.options)}")
        return matching[0]

    def _take(self, number: int) -> Verdict:
        option = self.question.options[number]
        self.chosen = [*self.chosen, {"option": number, "right": option.right, "reply": option.reply}]
        return Verdict(option.right, option.reply, words=("Right", "Not so"))

    def _received(self, _widget: object, content: object, _buffers: object) -> None:
        number = content.get("choose") if isinstance(content, dict) else None
        if type(number) is int and 0 <= number < len(self.options):
            self._take(number)


def _static(text: str, options: Sequence[str]) -> str:
    """Return the question as HTML for where no kernel is; without styles, which some sites remove."""
    rows = "".join(
        f"<li><b>{letter}</b> &nbsp; {escape(option)}</li>"
        for letter, option in zip(LETTERS, options, strict=False)
    )
    return f"<p><b>Predict:</b> {escape(text)}</p><ul>{rows}</ul><p><i>Run this cell to answer.</i></p>"


def _said(error: BaseException) -> str:
    """Return an error in words, whatever it is: a student's exception may fail to be printed."""
    try:
        words = str(error)
    except Exception:
        words = ""
    return f"{type(error).__name__}: {words[:200]}" if words else type(error).__name__
