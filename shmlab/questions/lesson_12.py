"""What lesson 12 asks: six predictions, and three exercises that are judged on a real bounded buffer.

Imported by :mod:`shmlab.questions` alone. The facts are FACTS.md's D03, D04, F62, F65 and F66.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from time import monotonic, sleep
from typing import Any

from shmlab import posix
from shmlab.processes import Process, Shared, State, own_name, start
from shmlab.programs.consumer import consumer
from shmlab.programs.producer import FIRST, HEAD, SLOTS, TAIL, producer
from shmlab.questions import Exercise, Question, Verdict, right, wrong
from shmlab.questions.judging import absent, kind_of, program_of

QUESTIONS = (
    Question(
        "12-overrun",
        "The buffer has four slots, and nobody takes anything. The producer puts a fifth item. What happens?",
        (
            wrong(
                "It waits until a slot is empty",
                "For that it would have to look whether one is, or ask somebody who knows. Which line of the "
                "program does?",
            ),
            right(
                "Item 1 is lost: item 5 stands in its slot",
                "The fifth store goes into slot 4 % 4 = 0. A store overwrites whatever is there, and no call "
                "fails: memory doesn't know that item 1 was still wanted.",
            ),
            wrong(
                "A Bus error: it stores behind the last slot",
                "The slot's number is taken modulo the number of slots. What is 4 % 4?",
            ),
            wrong(
                "The buffer grows by a slot",
                "An object has the size that ftruncate gave it, and the number of slots is a word in it. Who "
                "would change either?",
            ),
        ),
    ),
    Question(
        "12-same-slot",
        "Two semaphores, no mutex. A has stored its item and not yet the new tail. Now B puts an item, all "
        "four steps of it; then A goes on to its end. What is in the buffer?",
        (
            wrong(
                "Two items: each waited for an empty slot",
                "Each was promised that there is an empty slot. Was either told which one?",
            ),
            right(
                "One item, B's; the semaphore full says 2",
                "Both loaded the same tail, so both stored into slot 0, and both stored 1 as the new tail. A "
                "lost update, and the semaphores count what was posted, not what is there.",
            ),
            wrong(
                "One item, A's: it was there first",
                "It was. But what does B's store do to a slot that has something in it?",
            ),
            wrong(
                "Two items: B waits until A has posted full",
                "B waits on empty, whose value is 3 by then. Which semaphore would hold B back?",
            ),
        ),
    ),
    Question(
        "12-full",
        "All slots are full, and the producer goes on. Where does it block, and what can the consumer do?",
        (
            right(
                "In sem_wait(empty), and the consumer can take",
                "It waits for a slot before it asks for the mutex, so whoever waits long holds nothing that "
                "others need. The mutex is 1, and the consumer goes in.",
            ),
            wrong(
                "In sem_wait(mutex), until the consumer has taken",
                "The mutex is held for the few steps in which somebody is at the buffer. Who is at it now?",
            ),
            wrong(
                "In sem_wait(full), for the buffer is full",
                "full counts the items that wait. Who waits on it, and for what?",
            ),
            wrong(
                "In sem_wait(empty), and the consumer is kept out",
                "Half of it is right. What would keep the consumer out: what's the value of the mutex, if "
                "the producer hasn't asked for it yet?",
            ),
        ),
    ),
    Question(
        "12-mutex-first",
        "This consumer takes the mutex first and waits for an item then. The buffer is empty. The producer "
        "comes. What happens?",
        (
            wrong(
                "The producer puts an item, and the consumer takes it",
                "To put it, the producer needs the mutex. Who holds it, and when will that one post it?",
            ),
            right(
                "Both block for ever",
                "A deadlock: the consumer holds the mutex and waits for an item; the producer, who could put "
                "one, waits for the mutex. Each waits for what only the other can do.",
            ),
            wrong(
                "The consumer's sem_wait fails, for nothing can be put",
                "sem_wait doesn't know what anybody will do next; it waits for a post, however long.",
            ),
            wrong(
                "The producer takes the mutex from the consumer",
                "A semaphore has no owner, so there is nobody to take it from; its value is 0, and whoever "
                "waits on it, waits.",
            ),
        ),
    ),
    Question(
        "12-killed",
        "A producer is killed with -9 while it holds the mutex. One other producer, one consumer: who goes "
        "on?",
        (
            wrong(
                "Both: the kernel posts what a dead process held",
                "Then it would have to know who held it. What is a POSIX semaphore: an owner, or a number?",
            ),
            wrong(
                "The consumer, for it waits on full",
                "On full, yes. Who would have to post it, and what does that one need first?",
            ),
            right(
                "Nobody: the mutex stays 0",
                "A POSIX semaphore is a number in shared memory and has no owner. The other producer waits "
                "on the mutex, the consumer on full, and the one who would post is gone.",
            ),
            wrong(
                "Nobody, but only until the dead process is waited for",
                "Being waited for takes a dead process out of the process table. Which line of the kernel's "
                "would then add 1 to a number in shared memory?",
            ),
        ),
    ),
    Question(
        "12-tail-first",
        "One producer, one consumer, no semaphore. The producer stores the new tail first and the item "
        "after it. The consumer comes in between. What does it take?",
        (
            wrong(
                "Nothing: it sees that the item isn't there",
                "All that it looks at is the tail. What does the tail say?",
            ),
            wrong(
                "The item: the producer has begun to put it",
                "The producer's next step would store it. It hasn't been made.",
            ),
            right(
                "Whatever was in the slot before",
                "The tail is the promise that the item is there, so it must be stored last. Here it's stored "
                "first, by the program; a processor that reorders stores does the same to the right program.",
            ),
            wrong(
                "Half of the item",
                "An aligned number of 8 bytes is stored in one go on this processor. It's either there or "
                "not.",
            ),
        ),
    ),
)

PATIENCE = 2.0
"""Seconds in which a student's process is to get to where it waits."""


class Buffer:
    """A bounded buffer for a judge: four slots, and semaphores of these values."""

    def __init__(self, words: memoryview, name: str, gates: list[posix.Semaphore]) -> None:
        self.words, self.shared, self.gates = words, Shared(name), gates
        self.empty, self.full, self.mutex = gates[:3]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(gate.name for gate in self.gates)

    @property
    def values(self) -> list[int]:
        return [posix.sem_getvalue(gate) for gate in self.gates]

    @property
    def head(self) -> int:
        return self.words[HEAD]

    def put(self, number: int) -> bool:
        """Put an item as a producer does; False when no turn at the buffer is to be had."""
        try:
            posix.sem_timedwait(self.empty, PATIENCE)
            posix.sem_timedwait(self.mutex, PATIENCE)
        except TimeoutError:
            return False
        self.store(number)
        posix.sem_post(self.mutex)
        posix.sem_post(self.full)
        return True

    def store(self, number: int) -> None:
        """Store an item and the new tail: the part that wants the mutex."""
        tail = self.words[TAIL]
        self.words[FIRST + tail % self.words[SLOTS]] = number
        self.words[TAIL] = tail + 1


@contextmanager
def _buffer(slots: int = 4, **values: int) -> Iterator[Buffer]:
    """Create a bounded buffer and its semaphores; remove them."""
    with ExitStack() as stack:
        name = stack.enter_context(absent("check"))
        names = [own_name(f"check-{word}") for word in values]
        for each in names:
            with suppress(FileNotFoundError):
                posix.sem_unlink(each)
            stack.callback(_unlink, each)
        flags = posix.O_CREAT | posix.O_EXCL
        gates = [
            posix.sem_open(each, flags, value=value)
            for each, value in zip(names, values.values(), strict=True)
        ]
        mapping = stack.enter_context(posix.create(name, 4096))
        words = stack.enter_context(mapping.buf.cast("Q"))
        words[SLOTS] = slots
        yield Buffer(words, name, gates)


def _unlink(name: str) -> None:
    with suppress(FileNotFoundError):
        posix.sem_unlink(name)


def _waits(process: Process, *gates: posix.Semaphore) -> bool:
    """Whether a process comes to wait on one of these semaphores, or ends or blocks elsewhere before."""
    on = tuple(f"sem_wait on '{gate.name}'" for gate in gates)
    return _until(lambda: (state := process.state).kind == "ended" or state.on.startswith(on), PATIENCE)


def _on(process: Process, gate: posix.Semaphore) -> bool:
    return process.state.on.startswith(f"sem_wait on '{gate.name}'")


def _until(true: Callable[[], bool], seconds: float) -> bool:
    """Look again and again, at most for *seconds*; return whether it came true."""
    deadline = monotonic() + seconds
    while not true():
        if monotonic() > deadline:
            return False
        sleep(0.005)
    return True


# --- 12-a --------------------------------------------------------------------------------------------------


def judge_values(values: Any) -> Verdict:
    """Exercise 12-a: the first values of empty, full and mutex for eight slots of which three are full."""
    if not isinstance(values, tuple | list) or len(values) != 3:
        hint = "Three numbers, as in (1, 2, 3): the values of empty, full and mutex."
        return Verdict(False, f"that's {kind_of(values)}, not three numbers.", hint)
    if not all(type(value) is int and 0 <= value <= 1000 for value in values):
        return Verdict(False, "a semaphore's value is a whole number from 0.", "See sem_overview(7).")
    empty, full, mutex = values
    with _buffer(8, empty=empty, full=full, mutex=mutex) as buffer, ExitStack() as stack:
        for number in (1, 2, 3):
            buffer.store(number)
        one = stack.enter_context(Process(producer, buffer.shared, 1, 20, *buffer.names))
        one.run()
        _waits(one, *buffer.gates)
        if _on(one, buffer.mutex):
            hint = "The mutex says how many may be at the buffer now."
            return Verdict(False, f"with {mutex} as the mutex, the producer waits on it for ever.", hint)
        if (fill := buffer.words[TAIL] - buffer.head) != 8:
            what = f"the producer went on until {fill} of 8 slots were full"
            if fill > 8:
                what = f"the producer put {fill - 3} items into 5 empty slots: the oldest are lost"
            return Verdict(False, f"{what}.", "empty counts the slots into which something may be put.")
        other = stack.enter_context(Process(consumer, buffer.shared, 8, *buffer.names))
        one.stop()
        other.run()
        _waits(other, *buffer.gates)
        if buffer.head != 8:
            hint = "full counts the items that wait to be taken, those that were there before, too."
            return Verdict(
                False, f"the buffer held 8 items, and the consumer took {buffer.head} of them.", hint
            )
        if posix.sem_getvalue(buffer.full) or other.outcome is None:
            hint = "full counts the items that wait to be taken, and there are three."
            return Verdict(
                False, f"8 items were taken, and full is still {posix.sem_getvalue(buffer.full)}.", hint
            )
    if mutex != 1:
        hint = "How many may be between sem_wait(mutex) and sem_post(mutex) at one time?"
        return Verdict(
            False, f"with {mutex} as the mutex, {mutex} processes may be at the buffer at once.", hint
        )
    return Verdict(True, "the producer put 5 and waited; the consumer took all 8; one at a time.")


# --- 12-b --------------------------------------------------------------------------------------------------


def judge_consumer(program: Any) -> Verdict:
    """Exercise 12-b: a consumer that waits for an item, then for the mutex, and posts both others."""
    program = program_of(program, "the function")
    if isinstance(program, Verdict):
        return program
    with _buffer(empty=4, full=0, mutex=1) as buffer:
        with Process(program, buffer.shared, 3, *buffer.names) as process:
            if (verdict := _judge_alone(process, buffer)) is not None:
                return verdict
        if (verdict := _judge_many(program, buffer)) is not None:
            return verdict
    return Verdict(
        True, "it waits with empty hands, takes one at a time, and two of it took 400 items once each."
    )


def _judge_alone(process: Process, buffer: Buffer) -> Verdict | None:
    """Return what is wrong with it, or None. (Such a verdict is false: compare it with None.)"""
    process.run()
    _waits(process, *buffer.gates)
    if not _on(process, buffer.full):
        return _went_wrong(process, "the buffer is empty", "It waits on full: that is what counts the items.")
    if posix.sem_getvalue(buffer.mutex) == 0:
        hint = "Who could put an item while this one holds the mutex? First full, then the mutex."
        return Verdict(False, "it waits for an item with the mutex in its hand: a deadlock.", hint)
    posix.sem_wait(buffer.mutex)  # as a producer who is at the buffer
    posix.sem_trywait(buffer.empty)
    buffer.store(101)
    posix.sem_post(buffer.full)
    _waits(process, buffer.mutex)
    if not _on(process, buffer.mutex):
        hint = "The check held the mutex, as a producer does who is at the buffer."
        return _went_wrong(process, "somebody else held the mutex", hint)
    posix.sem_post(buffer.mutex)
    _until(lambda: buffer.head == 1 and (_on(process, buffer.full) or process.outcome is not None), PATIENCE)
    if buffer.head != 1:
        return _went_wrong(
            process, f"an item was there, and the head is {buffer.head}", "It moves the head by 1."
        )
    empty, _, mutex = buffer.values
    if mutex != 1:
        hint = "Who has waited on the mutex posts it when done with the buffer, once."
        return Verdict(False, f"it has taken an item, and the mutex is {mutex}.", hint)
    if empty != 4:
        hint = "It has made room: the producers want to hear of it, by a post."
        return Verdict(False, f"it has taken an item, and empty is {empty} of 4.", hint)
    if not (buffer.put(102) and buffer.put(103)):
        return _went_wrong(
            process, "a producer couldn't put a second item", "Is something posted too rarely?"
        )
    _until(lambda: process.outcome is not None, PATIENCE)
    if process.outcome is None or not process.outcome.ok:
        return _went_wrong(process, "it had three items to take", "It's called with how many it shall take.")
    if process.output.split() != ["101", "102", "103"]:
        hint = "Each item that it takes it prints, one a line."
        return Verdict(False, f"101, 102 and 103 were there; it printed {process.output[:80]!r}.", hint)
    return None


def _judge_many(program: Any, buffer: Buffer) -> Verdict | None:
    """Two of the student's consumers and two producers at full speed: every item once."""
    times = 200
    with ExitStack() as stack:
        those = [Process(producer, buffer.shared, who, times, *buffer.names) for who in (1, 2)]
        takers = [Process(program, buffer.shared, times, *buffer.names) for _ in range(2)]
        for process in (*those, *takers):
            stack.enter_context(process)
        start(*those, *takers)
        for process in (*those, *takers):
            process.run()
        if not _until(lambda: all(each.outcome is not None for each in takers), 3 * PATIENCE):
            hint = "Count the posts: each wait on one semaphore goes with a post of another."
            return Verdict(False, f"with two producers and two of it, it's {takers[0].state}.", hint)
        taken = sorted(int(each) for process in takers for each in process.output.split() if each.isdigit())
    if taken != [who * 10**9 + number for who in (1, 2) for number in range(1, times + 1)]:
        hint = "Between loading the head and storing it nobody else may come: that's what the mutex is for."
        return Verdict(
            False, f"of {2 * times} items, {len(set(taken))} were taken, some of them twice.", hint
        )
    return None


def _went_wrong(process: Process, when: str, hint: str) -> Verdict:
    """Say of a student's process what it does instead of what it should."""
    state: State = process.state
    if state.outcome is not None and not state.outcome.ok:
        return Verdict(False, f"it {state.outcome}.", _help_for(str(state.outcome), hint))
    if state.kind == "ended":
        return Verdict(False, f"{when}, and it ended.", hint)
    return Verdict(False, f"{when}, and it is {state}.", hint)


def _help_for(outcome: str, hint: str) -> str:
    if "positional" in outcome or "unpack" in outcome:
        return "It's called as the one above is: the buffer, how many, and the names of its semaphores."
    return hint


# --- 12-c --------------------------------------------------------------------------------------------------


def judge_pairs(program: Any) -> Verdict:
    """Exercise 12-c: two items at a time, from a buffer that others take pairs from as well."""
    program = program_of(program, "the function")
    if isinstance(program, Verdict):
        return program
    with _buffer(empty=4, full=0, mutex=1, turn=1) as buffer, ExitStack() as stack:
        both = [stack.enter_context(Process(program, buffer.shared, 1, *buffer.names)) for _ in range(2)]
        for process in both:
            process.run()
            _waits(process, *buffer.gates)
            if process.outcome is not None or not process.state.on:
                return _went_wrong(process, "the buffer is empty", "It waits on full, twice.")
        for number in (1, 2):
            if not buffer.put(number):
                hint = "Whoever waits on full may hold turn, which no producer wants, but not the mutex."
                return Verdict(False, "it waits for items with the mutex in its hand.", hint)
            # Until nobody is under way: the next item comes when all of them wait again, or have ended.
            _until(lambda: all(each.outcome is not None or bool(each.state.on) for each in both), PATIENCE)
        _until(lambda: any(each.outcome is not None for each in both), PATIENCE / 2)
        done = [each for each in both if each.outcome is not None]
        if not done:
            hint = "Two waits are not one. Only one process at a time may collect: that's what turn is for."
            return Verdict(
                False, "two items came, two processes wait, and each has got one: a deadlock.", hint
            )
        if (verdict := _judge_pair(done[0], ["1", "2"])) is not None:
            return verdict
        if not (buffer.put(3) and buffer.put(4)):
            return Verdict(
                False, "the first pair was taken, and no producer can put a third item.", "Post both."
            )
        _until(lambda: all(each.outcome is not None for each in both), PATIENCE)
        if (
            verdict := _judge_pair(next(each for each in both if each is not done[0]), ["3", "4"])
        ) is not None:
            return verdict
        if buffer.values != [4, 0, 1, 1]:
            hint = "Two items taken are two slots empty; who has the mutex or turn posts it."
            return Verdict(False, f"in the end empty, full, mutex and turn are {buffer.values}.", hint)
    return Verdict(
        True, "1 and 2 went to one of them, 3 and 4 to the other, and nobody was left with half a pair."
    )


def _judge_pair(process: Process, wanted: list[str]) -> Verdict | None:
    if process.outcome is None or not process.outcome.ok:
        return _went_wrong(process, f"{' and '.join(wanted)} were there", "One pair, and it ends.")
    if (found := process.output.split()) != wanted:
        hint = "Two neighbours: both are taken before anybody else takes one. It prints them."
        return Verdict(
            False, f"{' and '.join(wanted)} were there; it printed {' '.join(found)[:80]!r}.", hint
        )
    return None


EXERCISES = (
    Exercise("12-a", ("three values",), judge_values),
    Exercise("12-b", ("the program",), judge_consumer),
    Exercise("12-c", ("the program",), judge_pairs),
)
