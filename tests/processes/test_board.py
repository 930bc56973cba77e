"""The board: one layout in two languages, texts that never overflow, and readers that see all or nothing."""

import os
import re
import struct
import subprocess
import threading
from pathlib import Path

import pytest

from shmlab.processes import board
from shmlab.processes.board import Slot
from shmlab.programs import FOLDER, c_program, compile_c, find_compiler

HEADER = (FOLDER / "step.h").read_text()

FIELDS = {
    "magic": board.AT_MAGIC,
    "pid": board.AT_PID,
    "state": board.AT_STATE,
    "command": board.AT_COMMAND,
    "step": board.AT_STEP,
    "heard": board.AT_HEARD,
    "interval": board.AT_INTERVAL,
    "sequence": board.AT_SEQUENCE,
    "line": board.AT_LINE,
    "label_length": board.AT_LABEL,
    "label": board.AT_LABEL + 4,
    "locals_length": board.AT_LOCALS,
    "locals": board.AT_LOCALS + 4,
    "error_length": board.AT_ERROR,
    "error": board.AT_ERROR + 4,
}


@pytest.fixture
def slot():
    slot = Slot(memoryview(bytearray(board.SLOT_SIZE)))
    slot.clear()
    return slot


@pytest.mark.skipif(find_compiler() is None, reason="no C compiler")
def test_the_layout_is_that_of_step_h():
    fields = re.findall(
        r"^\t(?:uint\d+_t|char) (\w+)", re.search(r"struct step_slot \{(.*?)\};", HEADER, re.S)[1], re.M
    )
    assert fields == list(FIELDS), "every field, in order"
    slot = "((struct step_slot *)0)"
    lines = "".join(
        f'printf("{name} %zu %zu\\n", offsetof(struct step_slot, {name}), sizeof {slot}->{name});'
        for name in fields
    )
    constants = ("STEP_SLOTS", "STEP_SLOT_SIZE", "STEP_PAUSED", "STEP_RUNNING", "STEP_GATED", "STEP_FREE")
    lines += "".join(f'printf("{name} %d 0\\n", {name});' for name in constants)
    program = c_program("layout", f'#include <stddef.h>\n#include "step.h"\nint main(void) {{ {lines} }}')
    printed = subprocess.run(
        [compile_c(program)], capture_output=True, text=True, check=True, timeout=10
    ).stdout
    offsets = {name: int(offset) for name, offset, _ in map(str.split, printed.splitlines())}
    sizes = {name: int(size) for name, _, size in map(str.split, printed.splitlines())}
    assert {name: offsets[name] for name in fields} == FIELDS
    assert [offsets[name] for name in constants] == [
        board.SLOTS,
        board.SLOT_SIZE,
        board.PAUSED,
        board.RUNNING,
        board.GATED,
        board.FREE,
    ]
    assert (sizes["label"], sizes["locals"], sizes["error"]) == (
        board.LABEL_ROOM,
        board.LOCALS_ROOM,
        board.ERROR_ROOM,
    )
    eight = {name for name in fields if sizes[name] == 8}
    assert eight == {"step", "heard", "interval"}
    assert all(offsets[name] % sizes[name] == 0 for name in fields if sizes[name] in (4, 8))


def test_no_two_fields_overlap():
    rooms = {"label": board.LABEL_ROOM, "locals": board.LOCALS_ROOM, "error": board.ERROR_ROOM}
    end = 0
    for name, offset in FIELDS.items():
        assert offset == end
        end = offset + rooms.get(name, 8 if name in ("step", "heard", "interval") else 4)
    assert end == board.SLOT_SIZE


def test_numbers_are_native_and_little_endian(slot):
    slot.put(board.AT_LINE, 0x01020304)
    slot.put64(board.AT_STEP, 2**63 + 1)
    assert struct.unpack_from("<I", slot.view, board.AT_LINE) == (slot.get(board.AT_LINE),) == (0x01020304,)
    assert struct.unpack_from("<Q", slot.view, board.AT_STEP) == (slot.get64(board.AT_STEP),) == (2**63 + 1,)
    assert slot.get(board.AT_MAGIC) == int.from_bytes(b"SHMB", "little")


def test_a_text_stays_in_its_room(slot):
    before = bytes(slot.view)
    slot.put_text(board.AT_LABEL, board.LABEL_ROOM, "ä" * 1000)
    assert slot.text(board.AT_LABEL, board.LABEL_ROOM) == "ä" * (board.LABEL_ROOM // 2)
    end = board.AT_LABEL + 4 + board.LABEL_ROOM
    assert bytes(slot.view[end:]) == before[end:]
    slot.put_text(board.AT_LABEL, board.LABEL_ROOM, "xä" * 1000)
    assert slot.text(board.AT_LABEL, board.LABEL_ROOM).startswith("xäxä")
    slot.put(board.AT_LABEL, 0xFFFFFFFF)
    assert len(slot.text(board.AT_LABEL, board.LABEL_ROOM)) <= board.LABEL_ROOM, "a length is never believed"


def test_a_snapshot_is_all_or_nothing(slot):
    stop = threading.Event()

    def write():
        number = 0
        while not stop.is_set():
            number += 1
            slot.publish(board.PAUSED, number, number, str(number), f"n\t{number}\n")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        whole = 0
        for _ in range(3000):
            copy = slot.snapshot()
            if copy.get(board.AT_SEQUENCE) & 1:
                continue  # it gave up: the writer was switched away in the middle
            number = copy.get64(board.AT_STEP)
            if number:
                assert copy.get(board.AT_LINE) == number
                assert copy.text(board.AT_LABEL, board.LABEL_ROOM) == str(number)
                assert copy.text(board.AT_LOCALS, board.LOCALS_ROOM) == f"n\t{number}\n"
                whole += 1
        assert whole > 100
    finally:
        stop.set()
        thread.join()


def test_a_writer_that_died_in_the_middle_keeps_nobody_waiting(slot):
    slot.publish(board.PAUSED, 1, 2, "last words", "")
    slot.put(board.AT_SEQUENCE, slot.get(board.AT_SEQUENCE) | 1)
    assert slot.snapshot().text(board.AT_LABEL, board.LABEL_ROOM) == "last words"
    slot.publish(board.PAUSED, 2, 3, "next", "")
    assert slot.get(board.AT_SEQUENCE) % 2 == 0, "the next writer puts it right"


def test_the_sequence_wraps(slot):
    slot.put(board.AT_SEQUENCE, 0xFFFFFFFE)
    slot.publish(board.PAUSED, 1, 2, "x", "")
    assert slot.get(board.AT_SEQUENCE) == 0


def test_a_cleared_slot_has_nothing_of_the_last_process(slot):
    slot.publish(board.PAUSED, 1, 2, "x", "n\t1\n")
    slot.put_text(board.AT_ERROR, board.ERROR_ROOM, "ValueError")
    slot.clear()
    assert not any(slot.view[4:])


def test_a_c_program_outside_the_lab_runs_as_any_other(tmp_path: Path):
    program = c_program(
        "alone", '#include "step.h"\nint main(void) { show("n", "%d", 1); step("x"); puts("ran"); }'
    )
    environment = {key: value for key, value in os.environ.items() if key != "SHMLAB_STEP"}
    done = subprocess.run(
        [compile_c(program)], env=environment, capture_output=True, text=True, timeout=10, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "ran\n", "")


def test_show_keeps_to_its_room_and_rows(launch):
    source = """
    #include "step.h"
    int main(void)
    {
        show("text", "%s", "two\\nlines\\tand a tab");
        for (int i = 0; i < 1000; i++)
            show("number", "%d", i);
        step("shown");
        step("forgotten");
    }
    """
    p = launch(c_program("shows", source))
    rows = p.step().locals
    assert rows[0] == ("text", "two lines\tand a tab")
    assert rows[1:3] == (("number", "0"), ("number", "1"))
    assert {name for name, _ in rows[1:]} == {"number"}
    assert [int(text) for _, text in rows[1:]] == list(range(len(rows) - 1))
    assert len(rows) > 150
    assert p.step().locals == ()
