"""The strip of steps: as wide as asked, as high as its rows, filled for who was chosen; in words too."""

import numpy as np
import pytest

from shmlab import figures
from shmlab.figures.strip import MOST_ROWS, ROW

BLUE = "#0072B2"


def pixels(*steps, shown=(), verdict="", width=900):
    canvas = figures.draw_strip(steps, shown, verdict, width)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].astype(int)


def share_of(picture, colour):
    wanted = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    return (abs(picture - wanted).max(axis=2) < 8).mean()


def test_a_step_is_filled_and_one_that_was_let_on_or_blocked_is_hollow():
    chosen = share_of(pixels(figures.StripStep("A", BLUE, "load")), BLUE)
    let_on = share_of(pixels(figures.StripStep("A", BLUE, "load", chosen=False)), BLUE)
    blocked = share_of(pixels(figures.StripStep("A", BLUE, "waits for x", "blocked")), BLUE)
    assert chosen > 2 * let_on > 0
    assert let_on > blocked > 0


def test_rows_grow_up_to_a_bound():
    step = figures.StripStep("A", BLUE, "load")
    heights = [pixels(*[step] * count).shape[0] for count in (1, 9, 10, 500)]
    assert heights[0] == heights[1]
    assert heights[2] - heights[1] == ROW
    assert heights[3] < (MOST_ROWS + 1) * ROW
    assert pixels(step, width=700).shape[1] == 700


def test_values_and_a_verdict_take_lines_of_their_own():
    bare = pixels().shape[0]
    shown = [figures.StripValue("counter", "1", changed=True), figures.StripValue("a$b$", "\\frac{")]
    assert pixels(shown=shown, verdict="deadlock: " + "A waits for x, held by B; " * 6).shape[0] > bare + 100


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([], "nobody has been let on yet."),
        (["load", "store"], "A load, A store. counter: 1. lost."),
    ],
)
def test_in_words(steps, words):
    made = [figures.StripStep("A", BLUE, each) for each in steps]
    shown = [figures.StripValue("counter", "1")] if steps else []
    assert figures.describe_strip(made, shown, "lost" if steps else "") == words
