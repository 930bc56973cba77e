"""The drawing of a segment's life: what was reported is drawn, what changed is marked, nothing is cut."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shmlab import figures
from shmlab.figures import Report
from shmlab.palette import INK, PROCESS_COLOURS

BORN = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Perm:
    mode: int


@dataclass
class Stat:
    shm_perm: Perm
    shm_nattch: int = 0
    shm_cpid: int = 7
    shm_lpid: int = 0
    shm_atime: datetime | None = None
    shm_dtime: datetime | None = None
    shm_ctime: datetime | None = BORN


def report(at: float, who: str, event: str, **fields: str) -> Report:
    return Report(at, who, event, tuple(fields.items()))


LIFE = [
    report(0, "notebook", "shmget", nattch="0", mode="0600"),
    report(1, "A", "shmat", nattch="1", mode="0600"),
    report(2.5, "notebook", "IPC_RMID", nattch="1", mode="01600"),
    Report(3, "A", "shmdt", gone="gone:\nEINVAL"),
]


def drawn(reports: list[Report]) -> tuple[list[str], Any]:
    canvas, ax = figures.figure(1000, 480)
    figures.draw_history(ax, reports, "A life", "shmget")
    canvas.draw()
    return [text.get_text() for text in ax.texts], canvas


def test_stretches_of_equal_values_are_joined() -> None:
    found = figures.stretches(LIFE, 4)
    assert [(each.begin, each.end, each.text, each.fresh) for each in found["nattch"]] == [
        (0, 1, "0", False),
        (1, 3, "1", True),
    ]
    assert [(each.begin, each.end, each.text, each.fresh) for each in found["mode"]] == [
        (0, 2.5, "0600", False),
        (2.5, 3, "01600", True),
    ]
    assert figures.stretches([], 1) == {}


def test_what_changed_has_a_sign_and_what_did_not_has_none() -> None:
    said, _ = drawn(LIFE)
    assert {"0", "~ 1", "0600", "~ 01600", "gone:\nEINVAL"} <= set(said)
    assert {"notebook\nshmget", "A\nshmat", "notebook\nIPC_RMID", "A\nshmdt"} <= set(said)
    assert "~ 0600" not in said


def test_who_did_what_is_told_by_one_colour_each() -> None:
    _, ax = figures.figure(1000, 480)
    figures.draw_history(ax, LIFE, observer="notebook")
    colours: dict[str, set[Any]] = {}
    for text in ax.texts:
        who, _, event = text.get_text().partition("\n")
        if event and who != "gone:":
            colours.setdefault(who, set()).add(text.get_color())
    assert {len(each) for each in colours.values()} == {1}
    assert colours == {"notebook": {INK}, "A": {PROCESS_COLOURS[0]}}


@pytest.mark.parametrize("reports", [LIFE, LIFE[:1], LIFE[:3]])
def test_every_text_is_inside_and_in_large_type(reports: list[Report]) -> None:
    _, canvas = drawn(reports)
    width, height = canvas.get_width_height()
    for text in canvas.figure.axes[0].texts:
        assert text.get_fontsize() >= figures.TYPE
        box = text.get_window_extent(canvas.get_renderer())
        assert (box.x0 >= 0, box.y0 >= 0, box.x1 <= width, box.y1 <= height) == (True,) * 4, text.get_text()


def test_nothing_reported_is_drawn_as_nothing() -> None:
    assert drawn([])[0] == []


def test_the_sentence() -> None:
    assert figures.describe_history(LIFE, "A life") == (
        "A life: after notebook's shmget: nattch 0, mode 0600; after A's shmat: nattch 1; "
        "after notebook's IPC_RMID: mode 01600; after A's shmdt: gone: EINVAL."
    )
    same = [LIFE[0], report(1, "", "a store", nattch="0", mode="0600")]
    assert figures.describe_history(same).endswith("; after a store: nothing new.")


def test_the_fields_of_a_segment() -> None:
    stat = Stat(Perm(0o1640), 2, 7, 8, BORN + timedelta(seconds=3), None, BORN)
    assert dict(figures.segment_fields(stat, BORN, {7: "notebook"})) == {
        "nattch": "2",
        "mode": "01640",
        "cpid": "notebook",
        "lpid": "?",
        "atime": "3 s",
        "dtime": "never",
        "ctime": "0 s",
    }
    assert dict(figures.segment_fields(Stat(Perm(0)), BORN, {}))["lpid"] == "nobody"
