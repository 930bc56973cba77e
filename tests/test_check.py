"""Predictions answer at once and give nothing away; exercises judge by the kernel, and never raise."""

import os
from collections.abc import Iterator
from time import monotonic
from typing import Any

import pytest

from shmlab import Process, Shared, check, observe, own_name, posix, questions
from shmlab.programs import c_program, find_compiler
from shmlab.programs.increment import increment

READ_WRITE = posix.PROT_READ | posix.PROT_WRITE


@pytest.fixture
def memory() -> Iterator[posix.OwnedMapping]:
    with posix.create(own_name("mymem"), 4096) as mapping:
        yield mapping


# --- predictions -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("id_", questions.questions())
def test_every_question_has_one_right_option_and_a_reply_to_each(id_: str) -> None:
    options = questions.question(id_).options
    assert 3 <= len(options) <= len(check.LETTERS)
    assert [check.predict(id_).choose(option.text).passed for option in options].count(True) == 1
    replies = [option.reply for option in options]
    assert all(len(reply) > 40 for reply in replies)
    assert len(set(replies)) == len(options)


def test_a_wrong_choice_is_answered_with_its_own_help_and_may_be_followed_by_another() -> None:
    prediction = check.predict("01-at-once")
    first = prediction.choose("A")
    assert not first
    assert "msync" in first.message
    assert repr(first).startswith("✗ Not so: ")
    second = prediction.choose("at once")
    assert second
    assert repr(second).startswith("✓ Right: ")
    assert [each["option"] for each in prediction.chosen] == [0, 2]


@pytest.mark.parametrize("answer", ["", "Z", "When", "something else", "1"])
def test_choosing_what_is_no_option_or_several_is_refused(answer: str) -> None:
    prediction = check.predict("01-at-once")
    with pytest.raises(ValueError, match="isn't one of the options"):
        prediction.choose(answer)
    assert prediction.chosen == []


@pytest.mark.parametrize("id_", questions.questions())
def test_neither_the_stored_output_nor_the_browser_is_told_the_answer(id_: str) -> None:
    prediction = check.predict(id_)
    shown = prediction._repr_mimebundle_()
    bundle = shown[0] if isinstance(shown, tuple) else shown
    told = f"{bundle['text/plain']} {bundle['text/html']} {prediction.get_state()}"
    for option in prediction.question.options:
        assert option.text in bundle["text/plain"]
        assert option.reply not in told
    prediction.choose("A")
    prediction.choose("B")
    assert repr(prediction) == bundle["text/plain"]
    state = str(prediction.get_state())
    assert not any(option.reply in state for option in prediction.question.options[2:])


def test_a_click_is_answered_and_nonsense_from_the_browser_is_not() -> None:
    prediction = check.predict("01-copy")
    for nonsense in (
        None,
        3,
        {},
        {"choose": -1},
        {"choose": 9},
        {"choose": True},
        {"choose": "0"},
        {"choose": 1.0},
    ):
        prediction._handle_custom_msg(nonsense, [])
    assert prediction.chosen == []
    prediction._handle_custom_msg({"choose": 2}, [])
    assert [each["right"] for each in prediction.chosen] == [True]


@pytest.mark.parametrize("ask", [check.predict, check.exercise])
def test_an_unknown_id_names_the_known_ones(ask: Any) -> None:
    with pytest.raises(KeyError, match=r"there is no .* 'nope': there are 00-"):
        ask("nope")


# --- verdicts ----------------------------------------------------------------------------------------------


def test_a_verdict_is_told_in_words_and_escapes_what_students_write() -> None:
    verdict = check.Verdict(False, "<b>", "a & b")
    assert not verdict
    assert repr(verdict) == "✗ Not yet: <b>\n  Hint: a & b"
    assert "✗ Not yet" in verdict._repr_html_()
    assert "&lt;b&gt;" in verdict._repr_html_()
    assert "a &amp; b" in verdict._repr_html_()
    with pytest.raises(AttributeError):
        verdict.passed = True  # type: ignore[misc]


class Hostile:
    """Raises at whatever may be asked of a value."""

    def __getattribute__(self, name: str) -> Any:
        raise SystemExit(name)

    def __repr__(self) -> str:
        raise SystemExit("repr")

    def __eq__(self, other: object) -> bool:
        raise SystemExit("eq")

    def __hash__(self) -> int:
        raise SystemExit("hash")


VALUES: list[Any] = [
    None, 0, -1, 3.5, "", "/", "a/b", "/a\0b", "x" * 5000, b"hello", [], ["A", 1], {}, object(), Hostile(),
    Hostile, print, lambda: None, observe, ["A"] * 10_000, "AB" * 10_000, "ABC", type, Ellipsis,
]  # fmt: skip

RIGHT = {"11-a": (0,), "11-b": ("ABC",)}
"""Of these values, the ones that are an exercise's answer."""


@pytest.mark.parametrize("id_", questions.exercises())
def test_no_value_makes_an_exercise_raise_or_pass(id_: str) -> None:
    count = len(questions.exercise(id_).wants)
    for value in VALUES:
        verdict = check.exercise(id_, *[value] * count)
        assert bool(verdict) == (type(value) in (int, str) and value in RIGHT.get(id_, ()))
        if verdict:
            continue
        assert verdict.message
        assert repr(verdict).startswith("✗ Not yet: ")
    for values in ([], [1] * (count + 1)):
        assert f"wants {count}" in check.exercise(id_, *values).hint


@pytest.mark.parametrize("id_", ["01-a", "01-b", "01-c"])
def test_no_room_in_shm_is_a_verdict_and_not_an_exception(id_: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "/mymem")

    monkeypatch.setattr(posix, "create", full)
    monkeypatch.setattr(observe.Sampler, "__init__", full)
    given = {"01-a": ["/mymem"], "01-b": [shout], "01-c": ["AAAAAABBBBBB"] * 2}[id_]
    verdict = check.exercise(id_, *given)
    assert not verdict
    assert "No space left" in verdict.message


# --- 01-a: hello at offset 100 -----------------------------------------------------------------------------


def test_hello_is_found_in_the_object_itself(memory: posix.OwnedMapping) -> None:
    assert memory.name is not None
    assert r"\x00\x00\x00\x00\x00" in check.exercise("01-a", memory.name).message
    memory.buf[10:15] = b"hello"
    assert "offset 10;" in check.exercise("01-a", memory.name).message
    memory.buf[100:105] = b"Hello"
    assert "small letters" in check.exercise("01-a", memory.name).hint
    memory.buf[100:105] = b"jelly"
    assert "jelly" in check.exercise("01-a", memory.name).message
    memory.buf[100:105] = b"hello"
    assert check.exercise("01-a", memory.name)
    assert check.exercise("01-a", memory)


def test_hello_in_an_unmapped_unlinked_or_short_object(memory: posix.OwnedMapping) -> None:
    fd = posix.shm_open(memory.name or "", posix.O_RDWR)
    mapping = posix.mmap(None, 4096, READ_WRITE, posix.MAP_SHARED, fd)
    mapping.buf[100:105] = b"hello"
    posix.munmap(mapping)
    assert check.exercise("01-a", mapping)
    posix.ftruncate(fd, 50)
    assert "50 bytes" in check.exercise("01-a", memory.name).message
    posix.close(fd)
    posix.shm_unlink(memory.name or "")
    assert "no object called" in check.exercise("01-a", memory.name).message
    assert "not the name" in check.exercise("01-a", posix.mmap(None, 4096, READ_WRITE, 0x22, -1)).message


# --- 01-b: a program that shouts ---------------------------------------------------------------------------


def mapped(name: str) -> posix.Mapping:
    fd = posix.shm_open(name, posix.O_RDWR)
    m = posix.mmap(None, 4096, posix.PROT_READ | posix.PROT_WRITE, posix.MAP_SHARED, fd)
    posix.close(fd)
    return m


def shout(name: str) -> Iterator[str]:
    m = mapped(name)
    yield "mmap"
    for i, byte in enumerate(bytes(m.buf)):
        if 97 <= byte <= 122:
            m.buf[i] = byte - 32
            yield "store"


def shout_at_once(name: str) -> Iterator[str]:
    m = mapped(name)
    m.buf[:30] = bytes(m.buf[:30]).upper()
    yield "all"


def shout_everything(name: str) -> Iterator[str]:
    m = mapped(name)
    for i in range(30):
        m.buf[i] = max(0, m.buf[i] - 32)
        yield "store"


def shout_half(name: str) -> Iterator[str]:
    m = mapped(name)
    for i in range(6):
        m.buf[i] = bytes([m.buf[i]]).upper()[0]
        yield "store"


def shout_privately(name: str) -> Iterator[str]:
    fd = posix.shm_open(name, posix.O_RDWR)
    m = posix.mmap(None, 4096, posix.PROT_READ | posix.PROT_WRITE, posix.MAP_PRIVATE, fd)
    m.buf[:30] = bytes(m.buf[:30]).upper()
    yield "all"


def shout_and_unlink(name: str) -> Iterator[str]:
    posix.shm_unlink(name)
    yield "gone"


def shout_and_shrink(name: str) -> Iterator[str]:
    posix.ftruncate(posix.shm_open(name, posix.O_RDWR), 0)
    yield "shrunk"


def shout_elsewhere(name: str) -> Iterator[str]:
    posix.shm_open(name + "x", posix.O_RDWR)
    yield "open"


def shout_read_only(name: str) -> Iterator[str]:
    fd = posix.shm_open(name, posix.O_RDONLY)
    posix.mmap(None, 4096, posix.PROT_READ, posix.MAP_SHARED, fd).buf[0] = 65
    yield "store"


def shout_and_die(name: str) -> Iterator[str]:
    yield "one"
    os.kill(os.getpid(), 11)


def shout_and_exit(name: str) -> Iterator[str]:
    yield "one"
    os._exit(3)


def takes_two(name: str, text: str) -> Iterator[str]:
    yield "never"


@pytest.mark.parametrize(
    ("program", "message", "hint"),
    [
        (shout_at_once, "18 bytes changed in one step", "yield"),
        (shout_everything, "at offset 3, byte 32 is 0 now", "no small letter"),
        (shout_half, "at offset 6, byte 109 is 109 now", "small letter"),
        (shout_privately, "still reads 'one memory", "MAP_SHARED"),
        (shout_and_unlink, "the object is gone", "shm_unlink"),
        (shout_and_shrink, "0 bytes long", "ftruncate"),
        (shout_elsewhere, "FileNotFoundError", "an object that exists"),
        (shout_read_only, "read-only", "PROT_WRITE"),
        (shout_and_die, "killed by signal 11", "step by step"),
        (shout_and_exit, "exited with status 3", "step by step"),
        (takes_two, "missing 1 required", "one argument"),
    ],
)
def test_a_program_that_does_not_shout_is_told_why(program: Any, message: str, hint: str) -> None:
    verdict = check.exercise("01-b", program)
    assert not verdict
    assert message in verdict.message
    assert hint in verdict.hint


def test_a_program_that_shouts_passes() -> None:
    verdict = check.exercise("01-b", shout)
    assert verdict, verdict
    assert "18 steps" in verdict.message
    assert not observe.objects(own_name("check"))


def never_yields(name: str) -> Iterator[str]:
    while name:
        pass
    yield "never"


def never_ends(name: str) -> Iterator[str]:
    while True:
        yield "again"


@pytest.mark.slow
@pytest.mark.parametrize("program", [never_yields, never_ends])
def test_a_program_that_never_ends_is_judged_in_bounded_time(program: Any) -> None:
    begun = monotonic()
    verdict = check.exercise("01-b", program)
    assert "has not ended" in verdict.message
    assert monotonic() - begun < questions.PATIENCE + 2


@pytest.mark.skipif(find_compiler() is None, reason="no C compiler")
def test_a_program_may_be_in_c_and_one_that_does_not_compile_is_no_exception() -> None:
    assert "CompileError" in check.exercise("01-b", c_program("bad", "int main(void) { return x; }")).message
    good = """
        #include <fcntl.h>
        #include <sys/mman.h>
        #include "step.h"
        int main(int argc, char **argv)
        {
            (void)argc;
            int fd = shm_open(argv[1], O_RDWR, 0);
            char *m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
            for (int i = 0; m[i]; i++)
                if ('a' <= m[i] && m[i] <= 'z') {
                    m[i] -= 32;
                    step("store");
                }
        }
    """
    verdict = check.exercise("01-b", c_program("good", good))
    assert verdict, verdict


# --- 01-c: schedules ---------------------------------------------------------------------------------------

LOWEST = "A BBBB A B AAAA B"


@pytest.mark.parametrize(
    ("all_kept", "fewest", "message"),
    [
        ("AAAAAABBBBBB", "AAAAAABBBBBB", "fewest ended at 6: it can be fewer"),
        ("AABBAABBAABB", "ABABABABABAB", "fewest ended at 3: half of them"),
        ("ABABABABABAB", LOWEST, "all_kept ended at 3, not at 6"),
        ("AAAAABBBBBB", LOWEST, "all_kept gives A 5 steps: it needs 6"),
        ("AAAAAABBBBBB", "", "fewest is empty"),
        ("AAAAAACCCCCC", LOWEST, "all_kept names 'C'"),
        (7, LOWEST, "all_kept is a value of type int"),
    ],
)
def test_schedules_are_played_on_real_processes(all_kept: Any, fewest: Any, message: str) -> None:
    verdict = check.exercise("01-c", all_kept, fewest)
    assert not verdict
    assert message in verdict.message
    assert verdict.hint


@pytest.mark.parametrize(
    "fewest", [LOWEST, LOWEST.lower(), list(LOWEST.replace(" ", "")), tuple(LOWEST.split())]
)
def test_a_schedule_may_be_written_in_many_ways(fewest: Any) -> None:
    assert check.exercise("01-c", "AABBAABBAABB", fewest)


def test_nothing_survives_less_than_two_of_six(memory: posix.OwnedMapping) -> None:
    """Every schedule, on paper: the exercise asks for the lowest there is."""
    counter = memory.buf.cast("Q")
    outcomes = set()

    def play(schedule: str, state: tuple[int, ...], loaded: tuple[int, ...], value: int) -> None:
        if state == (0, 0):
            outcomes.add((value, schedule) if value == 2 else (value, ""))
            return
        for who in (0, 1):
            if state[who]:
                left, held = list(state), list(loaded)
                left[who] -= 1
                if left[who] % 2:
                    held[who] = value
                    play(schedule + "AB"[who], tuple(left), tuple(held), value)
                else:
                    play(schedule + "AB"[who], tuple(left), tuple(held), held[who] + 1)

    play("", (6, 6), (0, 0), 0)
    assert {value for value, _ in outcomes} == {2, 3, 4, 5, 6}
    schedule = sorted(schedule for value, schedule in outcomes if value == 2)[0]
    pair = {each: Process(increment, Shared(memory.name or ""), 3, label=each) for each in "AB"}
    for each in schedule:
        pair[each].step()
    assert counter[0] == 2
    counter.release()
    for process in pair.values():
        process.stop()
