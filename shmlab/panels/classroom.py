"""The classroom board: the lab's panels on one page, a screen each, in large type and without code.

A teacher goes from screen to screen by a click or by the digits 1 to 6; a screen's panel is made when it's
shown for the first time, its processes start when somebody says so, and are ended when another screen is
shown. What the screens are is in :mod:`shmlab.panels.screens`. Imported by the notebook ``classroom.ipynb``,
which ``shmlab demo`` opens.
"""

from typing import Any

import anywidget
import ipywidgets
import traitlets

from shmlab.panels.moving import begin, front_end
from shmlab.panels.screens import SCREENS, Screen
from shmlab.panels.still import Bundle, Still


class Screens(anywidget.AnyWidget):
    """The buttons above the board, one a screen; the digits do the same unless a panel has the focus."""

    _esm = front_end("classroom.js")
    _css = front_end("classroom.css")

    words: Any = traitlets.List(traitlets.Unicode()).tag(sync=True)
    question = traitlets.Unicode().tag(sync=True)
    chosen = traitlets.Int(0).tag(sync=True)


class Classroom(Still, ipywidgets.VBox):
    """The board. ``show("race")`` does what a click does; ``panel`` is the panel that is shown."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}
        self.buttons = Screens(words=[screen.word for screen in SCREENS])
        super().__init__(children=[self.buttons])
        self.add_class("shmlab-classroom")
        self.buttons.observe(self._chosen, "chosen")
        self._open(SCREENS[0])

    @property
    def word(self) -> str:
        """The screen that is shown."""
        return SCREENS[self.buttons.chosen].word

    @property
    def panel(self) -> Any:
        """The panel that is shown."""
        return self._made[self.word]

    def show(self, word: str) -> None:
        """Show a screen, by its word; the processes of the one before are ended.

        Raises ValueError for a word that no screen has.
        """
        words = [screen.word for screen in SCREENS]
        if word not in words:
            raise ValueError(f"no screen {word!r}; there are {', '.join(words)}")
        self.buttons.chosen = words.index(word)

    def close(self) -> None:
        """End all processes and take the board off the page. May be called twice."""
        for panel in self.__dict__.get("_made", {}).values():
            panel.close()
        super().close()

    def _chosen(self, change: Any) -> None:
        before = SCREENS[change["old"]].word
        try:
            if (reset := getattr(self._made.get(before), "reset", None)) is not None:
                reset()
        except (OSError, RuntimeError):  # its memory has been taken away since: made anew when shown next
            self._made.pop(before).close()
        self._open(SCREENS[change["new"]])

    def _open(self, screen: Screen) -> None:
        if screen.word not in self._made:
            try:
                self._made[screen.word] = screen.make()
            except OSError as error:  # no room, as a rule: a click has nobody else to tell it to
                self._made[screen.word] = ipywidgets.Label(f"This screen can't be shown: {error}")
        self.buttons.question = screen.question
        self.children = [self.buttons, self._made[screen.word]]
        begin(self._made[screen.word])

    @property
    def sentence(self) -> str:
        """What the board has to show."""
        rows = [f"  {number}  {each.word}: {each.question}" for number, each in enumerate(SCREENS, 1)]
        return "\n".join(["The classroom board. Its screens:", *rows])

    def _still(self) -> Bundle:
        rows = "".join(f"<li><b>{each.word}</b>: {each.question}</li>" for each in SCREENS)
        html = f"<p>The classroom board. Its screens:</p><ol>{rows}</ol>"
        return {"text/plain": self.sentence, "text/html": html}, {}
