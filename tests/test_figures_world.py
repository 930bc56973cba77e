"""The drawing of names, objects and processes: all is drawn, what changed is marked, nothing is cut."""

from dataclasses import replace

import numpy as np
import pytest

from shmlab import figures
from shmlab.figures import World, WorldDescriptor, WorldMapping, WorldObject, WorldProcess
from shmlab.figures.world import MARKS, MOST_PAGES
from shmlab.palette import MARKED

NAME = "/shmlab-1000-abcd-mymem-and-on"
OBJECT = WorldObject(4711, 10_000, 4096, NAME, pages=(True, False, False))
PROCESS = WorldProcess(
    "A",
    "#0072B2",
    'paused after step 3 at line 7 ("mmap")',
    mappings=(WorldMapping(12288, "rw-s", 0, 4711),),
    descriptors=(WorldDescriptor(3, "O_RDWR", 4711),),
)
WHOLE = World((OBJECT,), (PROCESS,), title="After step 3: mmap")

WORLDS = [
    World(),
    World(absent=(NAME,), processes=(replace(PROCESS, alive=False, words="not started"),)),
    WHOLE,
    World((replace(OBJECT, name="", was=NAME, mark="changed", name_mark="gone"),), (PROCESS,)),
    World((WorldObject(1, None, None), replace(OBJECT, mark="gone", name_mark="gone", name="", was=NAME))),
    World((replace(OBJECT, size=10**9, pages=(True,) * (MOST_PAGES + 1), allocated=10**9),), (PROCESS,) * 3),
    World((WorldObject(98304, 4096, 4096, "key 0x5ac70010", kind="segment"),)),
    World(
        processes=(
            replace(
                PROCESS,
                alive=False,
                died=True,
                words="killed by signal 7 (SIGBUS: Bus error) at line 12",
                mark="gone",
                mappings=(WorldMapping(1 << 40, "rwxp", 1 << 40, None, "gone"),),
            ),
        )
    ),
]


def texts(world: World) -> list[str]:
    return [each.get_text() for each in figures.world_figure(world).figure.axes[0].texts if each.get_text()]


def pixels(world: World, colour: str) -> int:
    """How many pixels of its drawing have a colour, "#RRGGBB"."""
    canvas = figures.world_figure(world)
    canvas.draw()
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return int((np.asarray(canvas.buffer_rgba())[..., :3] == wanted).all(axis=2).sum())


@pytest.mark.parametrize("world", WORLDS)
def test_every_text_is_inside_and_in_large_type(world: World) -> None:
    canvas = figures.world_figure(world)
    canvas.draw()
    width, height = canvas.get_width_height()
    assert (width, height) == (figures.WORLD_WIDTH, figures.world_height(world))
    for text in canvas.figure.axes[0].texts:
        if not text.get_text():
            continue
        assert text.get_fontsize() >= 12
        box = text.get_window_extent(canvas.get_renderer())
        assert (box.x0 >= 0, box.y0 >= 0, box.x1 <= width, box.y1 <= height) == (True,) * 4, text.get_text()


@pytest.mark.parametrize("world", WORLDS)
def test_no_text_runs_out_of_its_box(world: World) -> None:
    from shmlab.figures.world import HOLDERS, NAMES, OBJECTS

    canvas = figures.world_figure(world)
    canvas.draw()
    for text in canvas.figure.axes[0].texts:
        box = text.get_window_extent(canvas.get_renderer())
        for left, right in (NAMES, OBJECTS, HOLDERS):
            if text.get_text() not in ("", world.title) and left + 10 <= box.x0 <= right:
                assert box.x1 <= right, text.get_text()


def test_it_says_what_there_is() -> None:
    said = "\n".join(texts(WHOLE))
    for words in (
        "After step 3: mmap", "names in /dev/shm", "object, inode 4711", "size 10,000 bytes",
        "1 of 3 pages allocated", "process A", "fd 3  O_RDWR", "mapping rw-s 12 KiB",
    ):  # fmt: skip
        assert words in said
    assert NAME in said.replace("\n", "")


def test_a_change_is_marked_in_words_and_in_colour() -> None:
    assert not any(pixels(WHOLE, colour) for colour in MARKED.values())
    assert not set(texts(WHOLE)) & set(MARKS.values())
    for what, sign in MARKS.items():
        mapped = replace(PROCESS, mappings=(WorldMapping(4096, "rw-s", 0, 4711, what),))
        changed = World((OBJECT,), (mapped,))
        assert texts(changed).count(sign) == 1
        assert pixels(changed, MARKED[sign]) > 500
    assert len(set(MARKS.values())) == len(MARKS)


def test_an_object_without_a_name_has_none() -> None:
    lost = World((replace(OBJECT, name="", was=NAME),), (PROCESS,))
    assert "no name any more" in texts(lost)
    assert NAME not in "".join(texts(lost)).replace("\n", "")


SEGMENT = WorldObject(98304, 4096, 4096, "key 0x5ac70010", kind="segment")
ATTACHED = WorldProcess("A", "#0072B2", "paused", mappings=(WorldMapping(4096, "rw-s", 0, 98304),))


def test_a_world_of_system_v_speaks_of_keys_and_segments() -> None:
    assert {"keys", "segments in memory", "segment 98304", "attached rw-s 4 KiB"} <= set(
        texts(World((SEGMENT,), (ATTACHED,), system_v=True))
    )
    assert {"keys", "segments in memory", "none"} <= set(texts(World(system_v=True)))
    assert {"names and keys", "objects in memory"} <= set(texts(World((OBJECT, SEGMENT))))
    marked = World((replace(SEGMENT, name="", was="key 0x5ac70010"),), (ATTACHED,), system_v=True)
    assert "no key any more" in texts(marked)
    assert figures.describe_world(marked) == (
        "Process A (paused) attaches 4 KiB (rw-s) of the segment that was 'key 0x5ac70010'. "
        "The segment that was 'key 0x5ac70010': 4,096 bytes, 1 of 1 page allocated."
    )
    alone = World(processes=(replace(ATTACHED, mappings=()),), system_v=True)
    assert figures.describe_world(alone) == "Process A (paused) attaches no segment."


def test_a_killed_process_is_drawn_dead() -> None:
    died = replace(PROCESS, alive=False, died=True, words="killed by signal 7 (SIGBUS: Bus error)")
    assert "✗ process A" in texts(World(processes=(died,)))
    assert "process A" in texts(World(processes=(replace(died, died=False),)))


def test_lines_join_who_belongs_together() -> None:
    def arrows(world: World) -> int:
        axes = figures.world_figure(world).figure.axes[0]
        return sum(each.arrow_patch is not None for each in axes.texts if hasattr(each, "arrow_patch"))

    assert arrows(WHOLE) == 3  # the name, the descriptor, the mapping
    stranger = replace(PROCESS, mappings=(WorldMapping(4096, "rw-p"),), descriptors=())
    assert arrows(World((OBJECT,), (stranger,))) == 1


def test_the_sentence() -> None:
    assert figures.describe_world(WHOLE) == (
        f"Process A (paused after step 3 at line 7 (\"mmap\")) maps 12 KiB (rw-s) of '{NAME}' "
        f"and has descriptor 3 open on '{NAME}'. '{NAME}': 10,000 bytes, 1 of 3 pages allocated."
    )
    gone = World((replace(OBJECT, name="", was=NAME, mark="gone"),), absent=("/other",))
    assert figures.describe_world(gone) == f"The object that was '{NAME}' is gone. There is no '/other'."
    for world in WORLDS:
        assert "4711" not in figures.describe_world(world)


def test_a_step_in_words() -> None:
    canvas = figures.draw_step("Step 3", [("call", "m = mmap()"), ("result", ""), ("calls", "word " * 400)])
    canvas.draw()
    said = [each.get_text() for each in canvas.figure.axes[0].texts]
    assert "call" in said
    assert "result" not in said
    assert said[-1] == "…"
    renderer = canvas.get_renderer()
    assert all(each.get_window_extent(renderer).x1 <= 1000 for each in canvas.figure.axes[0].texts)
