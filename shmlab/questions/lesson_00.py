"""What lesson 00 asks: one prediction and one exercise, to try both.

Imported by :mod:`shmlab.questions` alone.
"""

from typing import Any

from shmlab import observe
from shmlab.processes import Process, Shared
from shmlab.questions import Exercise, Question, Verdict, right, scratch, wrong
from shmlab.questions.judging import how, program_of, run_to_end

QUESTIONS = (
    Question(
        "00-stays",
        "A process stores five bytes in shared memory, and ends. Nobody else was there. Are the bytes still "
        "there afterwards?",
        (
            wrong(
                "No: a process's memory goes with it",
                "Its own memory does. Is this memory its own? What would “shared” mean, if it were?",
            ),
            right(
                "Yes, until somebody removes the object",
                "The kernel keeps the object, like a file, until it's unlinked or the machine is switched "
                "off. Some people are surprised by what lies around in their /dev/shm.",
            ),
            wrong(
                "Only as long as somebody looks at them",
                "The kernel doesn't care who looks. What would a process do that starts an hour later, and "
                "knows the name?",
            ),
            wrong(
                "Yes, for ever, even over a restart of the machine",
                "Then it would have to be on a disk. Where is /dev/shm?",
            ),
        ),
    ),
)


def judge_word(program: Any) -> Verdict:
    """Exercise 00-a: a program that stores a word of the student's own."""
    found = program_of(program, "hello")
    if isinstance(found, Verdict):
        return found
    with scratch(bytes(16)) as name:
        with Process(found, Shared(name, "B")) as process:
            outcome = run_to_end(process)
        if outcome is None:
            return Verdict(False, f"it {how(outcome)}.", "It needs no loop: it stores the word, and ends.")
        if not outcome.ok:
            return Verdict(
                False, f"it {how(outcome)}.", "Five letters, between b and quotation marks: b'howdy'."
            )
        stored = observe.Sampler(name).read(0, 16).rstrip(b"\0")
    if not stored:
        return Verdict(False, "it stored nothing.", "memory[0:5] = b'…', with five letters of your own.")
    if stored == b"hello":
        return Verdict(
            False, "it stores hello, as it did.", "Change the word in the program, run the cell again."
        )
    return Verdict(True, f"a process of its own stored {stored!r}, and the check read it back.")


EXERCISES = (Exercise("00-a", ("the program",), judge_word),)
