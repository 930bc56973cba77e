"""What the scheduler panel shows of an interleaving: values for the browser, a sentence, a still picture.

Nothing is stepped here and no widget is known. Imported by :mod:`shmlab.panels.scheduler`.
"""

from collections.abc import Iterable
from typing import Any

from shmlab import figures
from shmlab.panels.cards import SHOWN_OUTPUT, shown_locals, unavailable
from shmlab.processes.interleaving import Interleaving
from shmlab.processes.process import Process, State
from shmlab.processes.schedule_table import SHOWN, ScheduleTable, letter, shown_turns
from shmlab.processes.turns import Semaphore, Turn, plain, told

SHOWN_TURNS = 120
"""Turns of the history that reach the screen: the last ones."""

SHOWN_VALUE = 60
"""Characters of a watched value that reach the screen."""

WIDTH = 1000
"""Width of the still picture, in pixels."""


def shown(stage: Interleaving) -> dict[str, Any]:
    """Return what the browser shows of an interleaving, as plain values."""
    states, waits, turns = stage.states, stage.waits, stage.turns
    last = turns[-1] if turns else None
    before = turns[-2].memory if len(turns) > 1 else {}
    free = any(process.free for process in stage.processes)
    missing = any(unavailable(process) for process in stage.processes)
    return {
        "processes": [
            _process(process, states[process.label], waits.get(process.label, ""))
            for process in stage.processes
        ],
        "memory": [
            [name, _text(value), bool(last and name in before and before[name] != value)]
            for name, value in stage.memory.items()
        ],
        "semaphores": [_semaphore(each) for each in stage.semaphores],
        "turns": [_turn(each) for each in turns[-SHOWN_TURNS:]],
        "earlier": max(0, len(turns) - SHOWN_TURNS),
        "schedule": stage.schedule,
        "verdict": _verdict(stage),
        "kind": _kind(stage),
        "can": {
            "undo": any(each.chosen for each in turns),
            "replay": not missing,
            "random": not missing,
            "start": not missing and not free and not _over(states.values()),
            "pause": free,
            "stop": any(state.kind not in ("not started", "ended") for state in states.values()),
            "reset": bool(turns) or any(state.kind != "not started" for state in states.values()),
        },
    }


def offered(table: ScheduleTable) -> dict[str, Any]:
    """Return what the browser shows of a table of schedules, each of whose rows can be replayed."""
    return {
        "headings": table.headings,
        "rows": [
            {
                "turns": [[turn.who, letter(turn), turn.chosen, str(turn)] for turn in shown_turns(run)],
                "cells": table.cells(run),
            }
            for run in table[:SHOWN]
        ],
        "remarks": table.remarks,
    }


def _process(process: Process, state: State, thing: str) -> dict[str, Any]:
    return {
        "label": process.label,
        "kind": state.kind,
        "words": told(state, thing),
        "step": state.step,
        "line": (state.outcome.line if state.outcome else None) or state.line or 0,
        "locals": [(name, plain(text)) for name, text in shown_locals(state)],
        "output": process.output.partition("Fatal Python error: ")[0][-SHOWN_OUTPUT:],
        "can": not unavailable(process) and state.kind not in ("ended", "blocked"),
    }


def _semaphore(each: Semaphore) -> dict[str, Any]:
    return {
        "name": each.name,
        "value": each.value,
        "waiters": list(each.waiters),
        "holders": list(each.holders),
    }


def _turn(turn: Turn) -> dict[str, Any]:
    return {
        "who": turn.who,
        "kind": turn.kind,
        "chosen": turn.chosen,
        "killed": turn.killed,
        "brief": _brief(turn),
        "words": str(turn),
    }


def _brief(turn: Turn) -> str:
    """What came of a turn, in the two or three words that stand below it."""
    if turn.kind == "blocked":
        return f"waits for {turn.thing}"
    if turn.kind == "idle":
        return "can't step"
    if turn.kind == "free":
        return "let go"
    if turn.kind == "ended" and turn.outcome is not None:
        if turn.outcome.kind == "exited":
            return "ends" if turn.outcome.ok else f"ends: {turn.outcome.status}"
        return {"raised": turn.outcome.error.partition(":")[0]}.get(turn.outcome.kind, turn.outcome.kind)
    return turn.words


def _verdict(stage: Interleaving) -> str:
    """What there is to be said of it all: who can never go on, or what it came to once all have ended."""
    if stage.deadlock is not None:
        said = str(stage.deadlock)
        return said[0].upper() + said[1:] + "."
    if not stage.turns or not _over(stage.states.values()):
        return ""
    try:
        run = stage.so_far
    except Exception as error:  # of the outcome function
        return f"{stage.schedule}: what it came to can't be said: {type(error).__name__}: {error}."
    return f"{run.schedule or 'Nobody chosen'}: {plain(run.result)}."


def _kind(stage: Interleaving) -> str:
    if stage.deadlock is not None:
        return "stuck"
    return "over" if _over(stage.states.values()) else "open"


def _over(states: Iterable[State]) -> bool:
    return all(state.kind == "ended" for state in states)


def sentence(stage: Interleaving) -> str:
    states, waits = stage.states, stage.waits
    told_of = [
        f"{each.label} ({each.program.name} in {each.program.language}): "
        f"{told(states[each.label], waits.get(each.label, ''))}."
        for each in stage.processes
    ]
    steps = f"Schedule {stage.schedule}." if stage.schedule else "Nobody has been let on yet."
    values = [f"{name} = {_text(value)}" for name, value in stage.memory.items()]
    values += [str(each) for each in stage.semaphores]
    shared = f"{'; '.join(values)}." if values else ""
    return " ".join(filter(None, [*told_of, shared, steps, _verdict(stage)]))


def still(stage: Interleaving) -> bytes:
    """Return the picture of what there is now, as a PNG file: who is where, and the steps taken."""
    listings = [_still_listing(stage, process) for process in stage.processes]
    strip = figures.draw_strip(_steps(stage), _values(stage), _verdict(stage), WIDTH)
    return figures.stack([figures.png(figures.draw_listings(listings, WIDTH)), figures.png(strip)])


def _still_listing(stage: Interleaving, process: Process) -> figures.Listing:
    state = stage.states[process.label]
    words = unavailable(process) or told(state, stage.waits.get(process.label, ""))
    return figures.Listing(
        f"{process.label}  {process.program.name} · {process.program.language}",
        process.colour,
        words,
        tuple(process.program.source.splitlines()),
        state.line,
    )


def _steps(stage: Interleaving) -> list[figures.StripStep]:
    colours = {process.label: process.colour for process in stage.processes}
    return [
        figures.StripStep(turn.who, colours[turn.who], _brief(turn), turn.kind, turn.chosen)
        for turn in stage.turns
        if turn.who
    ]


def _values(stage: Interleaving) -> list[figures.StripValue]:
    found = [figures.StripValue(name, _text(value)) for name, value in stage.memory.items()]
    for each in stage.semaphores:
        text = f"semaphore, value {each.value}"
        text += f", {' and '.join(each.waiters)} waiting" if each.waiters else ""
        text += f", held by {' and '.join(each.holders)}" if each.holders else ""
        found.append(figures.StripValue(each.name, text))
    return found


def _text(value: object) -> str:
    text = str(value)
    return text if len(text) <= SHOWN_VALUE else text[: SHOWN_VALUE - 1] + "…"
