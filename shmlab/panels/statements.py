"""The table of the document's statements: each with its verdict, and with what this kernel answers.

Filter it, search it, decide one, decide them all and stop. What a statement is, and how one is decided, is
:mod:`shmlab.document`'s; this shows the findings, runs the probes in a thread of its own, one after another,
and can be driven from code as well as by clicking. Imported by lessons through :mod:`shmlab.panels`.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import traitlets

from shmlab import document
from shmlab.document import Finding, Statement
from shmlab.palette import INK, PAPER, PROCESS_COLOURS, RIGHT, WRONG
from shmlab.panels.moving import Moving, front_end
from shmlab.panels.still import Bundle, Still

BLUE, ORANGE = PROCESS_COLOURS[0], PROCESS_COLOURS[4]

COLOURS = {
    document.TRUE: (RIGHT, PAPER),
    document.ON_LINUX: (BLUE, PAPER),
    document.IMPRECISE: (ORANGE, INK),
    document.WRONG: (WRONG, PAPER),
}
"""What a verdict is drawn in, and what is written on that: 5 : 1 or more. Sign and word say the same."""


LEFT = 'style="text-align:left"'
"""JupyterLab's tables are right-aligned, as for numbers."""


class Statements(Still, Moving):
    """The table of *statements*, all 93 by default, none of them decided yet.

    ``panel.run("D17")`` decides one, ``panel.run_all()`` those that are shown, ``panel.find("ftruncate")``
    shows those that have the word. Findings stay until they're decided again.
    """

    _esm = front_end("frames.js", "source.js", "statements.js")
    _css = front_end("live.css", "statements.css").replace("RIGHT", RIGHT).replace("WRONG", WRONG)

    rows = traitlets.List(traitlets.Dict()).tag(sync=True)
    choices = traitlets.Dict().tag(sync=True)
    text = traitlets.Unicode("").tag(sync=True)
    """Only rows with all of its words are shown."""
    verdict = traitlets.Unicode("").tag(sync=True)
    """Only rows of that verdict are shown; "" for all."""
    section = traitlets.Unicode("").tag(sync=True)
    """Only rows of that section are shown, by what the table calls it; "" for all."""

    def __init__(self, statements: Iterable[Statement] | None = None) -> None:
        those = document.statements().values() if statements is None else statements
        self.statements = {each.id: each for each in those}
        self.findings: dict[str, Finding] = {}
        self._queue: deque[str] = deque()
        self._now = ""
        self._asked = self._answered = 0
        self._version = 0
        self._halt = threading.Event()
        self._state = threading.Lock()
        self._thread: threading.Thread | None = None
        sections = dict.fromkeys(map(_section, self.statements.values()))
        super().__init__(
            rows=[_row(each) for each in self.statements.values()],
            choices={"verdict": list(document.VERDICTS), "section": list(sections), "colours": COLOURS},
        )

    @property
    def sentence(self) -> str:
        """What the table says as a whole."""
        verdicts = [each.verdict for each in self.statements.values()]
        counted = ", ".join(
            f"{verdicts.count(each)} {each}" for each in document.VERDICTS if each in verdicts
        )
        begun = f"{len(verdicts)} statement{'' if len(verdicts) == 1 else 's'}: {counted}."
        found = [each.status for each in list(self.findings.values())]
        if not found:
            return f"{begun} None of them has been decided on this kernel yet."
        agree, differ = found.count(document.AGREES), found.count(document.DIFFERS)
        parts = [f"{agree} agree{'s' if agree == 1 else ''}"]
        if differ:
            parts.append(f"{differ} answer{'s' if differ == 1 else ''} differently")
        if document.UNDECIDED in found:
            parts.append(f"{found.count(document.UNDECIDED)} can't be decided here")
        open_ = len(verdicts) - len(found)
        parts += [f"{open_} not run yet"] if open_ else []
        return f"{begun} On this kernel {', '.join(parts)}."

    @property
    def running(self) -> bool:
        """Whether probes are being run."""
        return self._thread is not None

    def find(self, text: str = "", verdict: str = "", section: str = "") -> list[str]:
        """Show only the rows with all words of *text*, of that *verdict* and *section*; return their ids.

        Without arguments all rows are shown again. Raises ValueError for a verdict or section there isn't.
        """
        for word, kind in ((verdict, "verdict"), (section, "section")):
            if word and word not in self.choices[kind]:
                raise ValueError(f"there is no {kind} {word!r}: there are {', '.join(self.choices[kind])}")
        self.text, self.verdict, self.section = text, verdict, section
        return self.shown

    @property
    def shown(self) -> list[str]:
        """The ids of the rows that the filters let through."""
        return [
            row["id"]
            for row in self.rows
            if all(word in row["search"] for word in self.text.lower().split())
            and self.verdict in ("", row["verdict"])
            and self.section in ("", row["section"])
        ]

    def run(self, id_: str) -> Finding:
        """Decide one statement here and now; return what was found. Raises KeyError for an unknown id."""
        statement = self._statement(id_)
        finding = document.run(statement)
        self._note(finding)
        return finding

    def run_all(self, ids: Iterable[str] | None = None, wait: bool = True) -> str:
        """Decide the statements *ids*, by default those that are shown, one after the other.

        Returns the sentence about all of them, or with *wait* False at once. While they run,
        :meth:`stop` ends it after the one that is being decided. Those that are asked for meanwhile are
        decided, too.
        """
        wanted = [self._statement(each).id for each in (self.shown if ids is None else ids)]
        thread = self._begin(wanted)
        try:
            while wait and thread.is_alive():
                thread.join(0.1)  # not for ever: an interrupt is heard in between
        except KeyboardInterrupt:
            self.stop()
            raise
        return self.sentence

    def stop(self, timeout: float = 10.0) -> None:
        """End a run after the statement that is being decided. May be called twice, from any thread.

        Raises TimeoutError when that takes longer than *timeout* seconds.
        """
        self._halt_soon()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)
            if thread.is_alive():
                raise TimeoutError(f"{self._now} is still being decided after {timeout:g} s")

    # --- the thread --------------------------------------------------------------------------------------

    def _halt_soon(self) -> None:
        with self._state:
            self._queue.clear()
            self._halt.set()

    def _statement(self, id_: str) -> Statement:
        found = document.find(id_) if id_ not in self.statements else self.statements[id_]
        if found.id not in self.statements:
            raise KeyError(f"this table doesn't have {found.id}")
        return found

    def _begin(self, ids: list[str]) -> threading.Thread:
        with self._state:
            new = [each for each in ids if each not in self._queue and each != self._now]
            if self._thread is None:
                self._halt.clear()
                self._asked = self._answered = 0
                self._thread = threading.Thread(target=self._work, name="shmlab-statements", daemon=True)
                self._queue.extend(new)
                self._thread.start()
            else:
                self._queue.extend(new)
            self._asked += len(new)
            self._version += 1
            return self._thread

    def _work(self) -> None:
        while True:
            with self._state:
                if self._halt.is_set() or not self._queue:
                    self._now, self._thread = "", None
                    self._queue.clear()
                    self._version += 1
                    return
                self._now = self._queue.popleft()
                self._version += 1
            finding = document.run(self.statements[self._now])
            self._answered += 1
            self._note(finding)

    def _note(self, finding: Finding) -> None:
        with self._state:
            self.findings[finding.id] = finding
            self._version += 1

    # --- looking and sending -----------------------------------------------------------------------------

    def _tick(self, number: int) -> bool:
        with self._state:
            version = self._version
            if version == self._last:
                return False
            content = {
                "findings": {id_: _shown(each) for id_, each in self.findings.items()},
                "now": self._now,
                "waiting": list(self._queue),
                "asked": self._asked,
                "answered": self._answered,
                "running": self._thread is not None,
            }
        self.send(content | {"sentence": self.sentence, "frame": number, "heard": self.loop.acknowledged})
        self._last = version
        return True

    def _over(self, reason: str, error: Exception | None) -> None:
        if reason == "interrupted":
            self.stop()
            self._forget()
            self._tick(self.loop.frame + 1)
        super()._over(reason, error)

    def _order(self, content: dict[str, Any]) -> Callable[[], object] | None:
        ids = content.get("run")
        if isinstance(ids, list) and set(map(str, ids)) <= self.statements.keys():
            return partial(self._begin, ids)
        return self._halt_soon if content.get("do") == "stop" else None

    def _end(self) -> None:
        self.stop()

    # --- the still table ---------------------------------------------------------------------------------

    def _table(self) -> str:
        """Return the rows that are shown as HTML; what was seen is folded in, unless it's another answer."""
        head = "".join(f"<th {LEFT}>{each}</th>" for each in ("", "statement", "verdict", "on this kernel"))
        body = "".join(self._table_row(self.statements[id_]) for id_ in self.shown)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def _table_row(self, each: Statement) -> str:
        finding, link = self.findings.get(each.id), _lesson(each.lesson)
        lesson = f"lesson&nbsp;{each.lesson}"
        correction = f"<br><i>{escape(each.correction)}</i>" if each.correction else ""
        found = "not run yet"
        if finding is not None:  # it's false when the kernel answers differently
            lines = "<br>".join(map(escape, finding.observed.splitlines()))
            differs = finding.status == document.DIFFERS
            look = f' style="background:{WRONG};color:{PAPER};padding:1px 10px"' if differs else ""
            folded = "<details open>" if differs else "<details>"
            found = f"{folded}<summary><span{look}>{_words(finding)}</span></summary>{lines}</details>"
        cells = (
            f"<b>{each.id}</b><br>" + (f'<a href="{escape(link)}">{lesson}</a>' if link else lesson),
            f"<small>{escape(_section(each))}</small><br>{escape(each.words)}{correction}",
            f"{document.SIGNS[each.verdict]}&nbsp;{each.verdict}",
            found,
        )
        return "<tr>" + "".join(f"<td {LEFT}>{cell}</td>" for cell in cells) + "</tr>"

    def _still(self) -> Bundle:
        return {"text/plain": self.sentence, "text/html": self._table()}, {}


def _section(statement: Statement) -> str:
    """What the table calls a statement's section; a reader's own statement has one of its own."""
    return document.SECTIONS.get(statement.section, "your own")


def _row(each: Statement) -> dict[str, Any]:
    section = _section(each)
    return {
        "id": each.id,
        "section": section,
        "words": each.words,
        "verdict": each.verdict,
        "sign": document.SIGNS[each.verdict],
        "correction": each.correction,
        "lesson": each.lesson,
        "link": _lesson(each.lesson),
        "search": f"{each.id} {section} {each.words} {each.correction} {each.verdict}".lower(),
    }


def _shown(finding: Finding) -> dict[str, Any]:
    return {
        "status": finding.status,
        "words": _words(finding),
        "lines": finding.observed.splitlines(),
        "seconds": round(finding.seconds, 3),
    }


def _words(finding: Finding) -> str:
    """What a row says of its finding: sign, status, and the answer that the kernel gave."""
    answer = f": {finding.answer}" if finding.answer else ""
    return f"{finding.sign} {finding.status}{answer}"


def _lesson(number: str) -> str:
    """Return the file of a lesson in the folder of the notebook that asks; "" while there is none."""
    return next((each.name for each in sorted(Path.cwd().glob(f"{number}-*.ipynb"))), "")
