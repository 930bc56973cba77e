"""The panel of ipcs without a browser: it shows what ipcs prints, marks what changed, hides the rest."""

import io
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from shmlab import Process, figures, observe, own_key, palette, sysv
from shmlab.figures.ipcs import PrintedLine, Printout, mark_lines, printed_lines
from shmlab.panels import IpcsView, Panel
from shmlab.panels import ipcs as ipcs_panel

Make = Callable[..., Any]
Until = Callable[..., None]

OPTIONS = ("-m", "-p", "-t", "-c", "-u", "-l")


def by_hand(*options: str) -> str:
    environment = os.environ | {"LC_ALL": "C"}
    ran = subprocess.run(["ipcs", *options], env=environment, capture_output=True, text=True, timeout=10)
    return ran.stdout + ran.stderr


def made(word: str = "first", size: int = 4096, mode: int = 0o600) -> int:
    return sysv.shmget(own_key(word), size, sysv.IPC_CREAT | sysv.IPC_EXCL | mode)


def as_lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.expandtabs().strip("\n").splitlines()]


def marks(view: IpcsView, shmid: int) -> list[str]:
    """The marks of a segment's rows, the text of each behind it."""
    column = 1 if view.option == "-m" else 0
    found = [(mark, text) for mark, text in view.lines if text.split()[column : column + 1] == [str(shmid)]]
    return [mark for mark, _ in found]


@pytest.fixture
def view() -> Iterator[IpcsView]:
    made = IpcsView()
    yield made
    made.close()


@pytest.mark.parametrize("option", OPTIONS)
def test_it_shows_what_ipcs_prints(option: str) -> None:
    first, second = made("first"), made("second", 5000, 0o640)
    with sysv.shmat(first):
        view = IpcsView(option, everything=True)
        printed = by_hand("-m", *([option] if option != "-m" else []))
        assert view.text.splitlines() == as_lines(printed)
        assert {mark for mark, _ in view.lines} == {" "}
        assert "Nothing is marked." in view.sentence
        view.close()
    assert str(second) in by_hand("-m")


def test_it_shows_all_about_one() -> None:
    shmid = made()
    view = IpcsView(f"-i {shmid}")
    assert view.text.splitlines() == as_lines(by_hand("-m", "-i", str(shmid)))
    assert f"shmid={shmid}" in view.text
    assert view.sentence.startswith(f"ipcs -m -i {shmid} (one segment) prints 7 lines")
    with sysv.shmat(shmid):
        changed = [text for mark, text in view.lines if mark == "~"]
        assert any("nattch=1" in each for each in changed)
        assert any("att_time" in each for each in changed)
    sysv.shmctl(shmid, sysv.IPC_RMID)
    assert view.text == f"ipcs: id {shmid} not found"
    assert ("-", f"Shared memory Segment shmid={shmid}") in view.lines
    view.close()


def test_a_segments_life_is_marked(view: IpcsView) -> None:
    assert "lists no segment" in view.sentence
    shmid = made()
    assert marks(view, shmid) == ["+"]
    assert marks(view, shmid) == ["+"], "until the next change"
    assert f"Since the change before, new: id {shmid}." in view.sentence
    attached = sysv.shmat(shmid)
    assert marks(view, shmid) == ["~"]
    assert f"changed: id {shmid} (now 1)." in view.sentence
    sysv.shmctl(shmid, sysv.IPC_RMID)
    assert marks(view, shmid) == ["~"]
    assert "(now 0x00000000, dest)." in view.sentence
    other = made("other")
    assert (marks(view, shmid), marks(view, other)) == ([" "], ["+"])
    sysv.shmdt(attached)
    assert (marks(view, shmid), marks(view, other)) == (["-"], [" "])
    assert f"lists 1 segment: id {other}" in view.sentence
    assert f"gone: id {shmid}." in view.sentence
    assert view.text.splitlines()[-1].split()[1] == str(other), "what is gone isn't printed"
    sysv.shmctl(other, sysv.IPC_RMID)
    assert (marks(view, shmid), marks(view, other)) == ([], ["-"])


def test_what_is_gone_stays_where_it_stood(view: IpcsView) -> None:
    first, second, third = (made(word) for word in ("first", "second", "third"))
    order = [line.split()[1] for line in view.text.splitlines()[2:]]
    assert order == [str(first), str(second), str(third)]
    sysv.shmctl(second, sysv.IPC_RMID)
    rows = [(mark, text.split()[1]) for mark, text in view.lines[2:]]
    assert rows == [(" ", str(first)), ("-", str(second)), (" ", str(third))]


def test_a_change_that_ipcs_does_not_print_leaves_the_marks(view: IpcsView) -> None:
    shmid = made()
    assert marks(view, shmid) == [" "], "the first look: nothing to compare with"
    other = made("other")
    assert marks(view, other) == ["+"]
    before = sysv.shmctl(shmid, sysv.IPC_STAT)
    sysv.shmctl(shmid, sysv.IPC_SET, before)  # its ctime alone, and that perhaps not
    assert marks(view, other) == ["+"]
    view.show("-t")
    sysv.shmctl(shmid, sysv.IPC_SET, replace(before, shm_perm=replace(before.shm_perm, mode=0o640)))
    view.show("-m")
    assert (marks(view, shmid), marks(view, other)) == (["~"], [" "]), "each option has a memory of its own"


def test_each_option_marks_its_own_lines(view: IpcsView) -> None:
    shmid = made()
    for option in OPTIONS:
        view.show(option)
        assert view.sentence.endswith("Nothing is marked.")
    attached = sysv.shmat(shmid)
    attached.buf[0] = 1
    for option in ("-m", "-p", "-t"):
        view.show(option)
        assert marks(view, shmid) == ["~"], option
    view.show("-c")
    assert marks(view, shmid) == [" "]
    view.show("-u")
    assert ("~", "pages resident  1") in view.lines
    view.show("-l")
    assert {mark for mark, _ in view.lines} == {" "}
    sysv.shmdt(attached)


def test_ids_choose_the_rows() -> None:
    first, second, third = (made(word) for word in ("first", "second", "third"))
    ids = {first}
    some, asked = IpcsView(ids=[first, third]), IpcsView(ids=lambda: ids)
    assert [line.split()[1] for line in some.text.splitlines()[2:]] == [str(first), str(third)]
    assert [line.split()[1] for line in asked.text.splitlines()[2:]] == [str(first)]
    assert "those chosen, 2 more hidden" in asked.sentence
    ids.add(second)
    assert marks(asked, second) == ["+"]
    asked.everything = True
    assert {marks(asked, each)[0] for each in (first, second, third)} == {" "}
    assert "everybody's" in asked.sentence
    some.close(), asked.close()


@pytest.mark.skipif(os.getuid() != 0, reason="giving a segment away takes root")
def test_without_ids_it_is_this_users() -> None:
    mine, given = made("mine"), made("given")
    now = sysv.shmctl(given, sysv.IPC_STAT)
    view = IpcsView()
    assert (marks(view, mine), marks(view, given)) == ([" "], [" "])
    sysv.shmctl(given, sysv.IPC_SET, replace(now, shm_perm=replace(now.shm_perm, uid=65534)))
    assert marks(view, given) == ["~"], "who made it, sees it still"
    view.close()


def test_ipcs_is_run_only_when_something_changed(
    view: IpcsView, browse: Make, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[tuple[str, ...]] = []
    really = observe.ipcs

    def counted(*options: str) -> str:
        runs.append(options)
        return really(*options)

    monkeypatch.setattr(observe, "ipcs", counted)
    page = browse(view).opens()
    until(lambda: page.frames)
    began = view.loop.frame
    until(lambda: view.loop.frame == began and len(runs) == 1)
    shmid = made()
    until(lambda: len(runs) == 2 and str(shmid) in str(page.last["lines"]))
    page.says({"view": "one", "is": "hidden"})
    page.opens()
    view.show("-t")
    until(lambda: page.last["title"] == "$ ipcs -m -t")
    assert runs == [("-m",), ("-m",), ("-m", "-t")]


def test_frames_say_what_the_browser_needs(view: IpcsView, browse: Make, until: Until) -> None:
    shmid = made()
    page = browse(view).opens()
    until(lambda: page.frames)
    assert page.last["ids"] == ((shmid, f"0x{own_key('first') & 0xFFFFFFFF:08x}"),)
    assert page.last["lines"][0] == ["", [("------ Shared Memory Segments --------", False)]]
    with sysv.shmat(shmid):
        until(lambda: page.last["lines"][-1][0] == "~")
        assert ("1", True) in page.last["lines"][-1][1]
    sysv.shmctl(shmid, sysv.IPC_RMID)
    until(lambda: page.last["lines"][-1][0] == "-")
    assert page.last["ids"] == ()
    view.stop()
    assert page.said == ["Stopped."]
    view.start()
    until(lambda: view.running)


def test_the_browser_chooses(view: IpcsView) -> None:
    shmid = made()
    view.set_state({"option": f"-i {shmid}"})
    assert f"shmid={shmid}" in view.text
    view.set_state({"option": "-m", "everything": True})
    assert "ipcs -m (everybody's)" in view.sentence


@pytest.mark.parametrize("option", ["", "-x", "-i", "-i x", "-s", "m", "-m -t", None])
def test_other_options_are_refused(view: IpcsView, option: Any) -> None:
    for ask in (IpcsView, view.show):
        with pytest.raises(ValueError, match="-m, -p, -t, -c, -u, -l, or '-i ID'"):
            ask(option)
    assert view.option == "-m"


def test_without_ipcs_it_says_so(view: IpcsView, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = os.environ["PATH"]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert view.sentence == "ipcs -m: ipcs is not installed (package util-linux)."
    assert view.still() is None
    assert view.lines == ()
    monkeypatch.setenv("PATH", path)
    view._forget()  # as before each whole frame
    assert "ipcs -m (this user's) lists no segment" in view.sentence


def test_without_system_v_it_says_so(view: IpcsView, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observe, "segments", list)
    monkeypatch.setattr(observe, "limits", lambda: None)
    assert "no System V IPC" in view.sentence


def attacher(shmid: int) -> Iterator[str]:
    attached = sysv.shmat(shmid)
    yield "shmat"
    sysv.shmdt(attached)
    yield "shmdt"


def test_it_stands_in_a_panel() -> None:
    shmid = made()
    view = IpcsView()
    panel = Panel(Process(attacher, shmid), views=[view])
    assert marks(view, shmid) == [" "]
    panel.step("A")
    assert marks(view, shmid) == ["~"]
    assert f"id {shmid} (now 1)" in panel.sentence
    assert panel._still()[0]["image/png"].startswith(b"\x89PNG")
    panel.close()


def test_a_still_picture(view: IpcsView) -> None:
    first, second = made("first"), made("second")
    assert view.text
    attached = sysv.shmat(first)
    sysv.shmctl(second, sysv.IPC_RMID)
    made("third")
    picture = view.still()
    sysv.shmdt(attached)
    assert picture is not None
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    colours = {colour for _, colour in image.getcolors(1 << 20) or []}
    for wanted in (palette.RIGHT, palette.CHANGED, palette.WRONG):
        rgb = bytes.fromhex(wanted[1:])
        assert any(sum(abs(a - b) for a, b in zip(each, rgb, strict=True)) < 12 for each in colours), wanted


def test_nothing_is_written_outside_or_too_small() -> None:
    before = printed_lines("key shmid\n0x01 1 " + "x" * 90 + "\n0x02 2 old", 1)
    now = printed_lines("key shmid\n0x01 1 " + "y" * 90 + "\n0x03 3 new", 1)
    canvas = figures.draw_ipcs(Printout("ipcs -m", "everybody's", mark_lines(before, now)))
    canvas.draw()
    (ax,) = canvas.figure.axes
    width, height = canvas.get_width_height()
    assert {"+", "~", "-"} <= {each.get_text() for each in ax.texts}
    for text in ax.texts:
        box = text.get_window_extent()
        assert min(box.x0, box.y0) >= 0
        assert box.x1 <= width
        assert box.y1 <= height
        assert text.get_fontsize() >= figures.TYPE


def test_many_rows_are_cut_in_a_picture_and_in_a_sentence() -> None:
    rows = printed_lines("key shmid\n" + "\n".join(f"0x0 {each} root" for each in range(4096)), 1)
    printout = Printout("ipcs -m", "everybody's", mark_lines(rows[:1], rows))
    canvas = figures.draw_ipcs(printout)
    assert canvas.get_width_height()[1] < 1300
    assert "… and 4058 lines more" in [each.get_text() for each in canvas.figure.axes[0].texts]
    said = figures.describe_ipcs(printout)
    assert "4096 segments" in said
    assert "id 7 and 4088 more" in said


def test_a_word_is_marked_where_it_stands() -> None:
    (line,) = mark_lines([PrintedLine("7  Not set    Nov 25", 7)], [PrintedLine("7  Nov 25     Nov 25", 7)])
    assert [line.text[start:end] for start, end in line.changed] == ["Nov", "25"]
    assert line.changed[0] == (3, 6)
    (line,) = mark_lines([PrintedLine("pages  2")], [PrintedLine("pages  3")])
    assert line.pieces == [("pages  ", False), ("3", True)]


def test_the_buttons_are_the_options_of_ipcs() -> None:
    assert tuple(ipcs_panel.OPTIONS) == OPTIONS
