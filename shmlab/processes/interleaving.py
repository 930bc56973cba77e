"""Several real processes, stepped in an order that somebody chooses, from a beginning that can be had again.

:class:`Interleaving` is what the scheduler panel shows and what :mod:`shmlab.processes.schedule` runs whole
schedules with. What happened comes back as values (:mod:`shmlab.processes.turns`); no method raises because a
program misbehaves. Thread-safe as :class:`Process` is: an order waits for the one before it, but *stop* ends
it.

What a step is. A process that is chosen runs to its next ``yield`` (``step("…")`` in C), to its end, or until
the kernel says that it is blocked; the others stand still. A blocked process is not chosen again: its step is
completed *at once* when another one's step lets it (a post, an exit that releases a lock), before anybody
else is chosen, and stands in the history as a turn that nobody chose. Where several wait, the kernel decides
which goes on, for a futex and a semaphore set the one that came first.
"""

import os
import random
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from shmlab.processes import deadlock
from shmlab.processes.crew import Crew, end
from shmlab.processes.deadlock import Deadlock, Holders
from shmlab.processes.process import Process, State
from shmlab.processes.surroundings import Look, Surroundings, Watch
from shmlab.processes.turns import KILL, Run, Semaphore, Turn, parse, result_of, scheduled

PATIENCE = 2.0
"""Seconds that one step may take; a process that needs longer is called running, and the others go on."""

MOST_TURNS = 1000
"""Turns of a run after which programs without an end are left where they are."""

STEPPABLE = ("not started", "paused")

ASTRAY = ("blocked", "running")
"""In the middle of a step that was begun before: no other can be taken."""

OTHERS_END = ("sem_wait", "semop", "semtimedop", "futex", "flock", "fcntl")
"""Waits that nothing ends but another process of the same kind: who is in one can be in a deadlock."""

UNSEEN = Look()


class Interleaving:
    """*processes* (two to four, or any number) to be stepped in turns, each run by fresh ones.

    The given ones are models: their program, arguments, label and colour count, and they are never started
    themselves. *setup* is called before each run, once the processes of the run before are gone: the place to
    write the memory's first contents. *watch* says what is shown of the memory: for each word a function
    that reads it (``{"counter": lambda: counter[0]}``) or a :class:`Shared`, whose first item it is; by
    default that of every object among the arguments. Semaphores are found by themselves, by their names and
    own keys among the arguments. *outcome* says of a run whose processes all exited with status 0 what it
    came to, in a few words (by default the memory's values). *timeout* is for each step, in seconds.

    Before every run but the first, the objects, segments and semaphores that the arguments name are made what
    they were before the first (contents up to 1 MiB), and those that have come since are removed; then
    *setup* is called again. With *ahead* the next run's processes are launched during this one's.

    Nothing is started by making it. Use it in a ``with``, or :meth:`close` it. Raises ValueError for two
    processes of one label, or none.
    """

    def __init__(
        self,
        processes: Sequence[Process],
        *,
        setup: Callable[[], object] | None = None,
        watch: Watch | None = None,
        outcome: Callable[[Run], object] | None = None,
        timeout: float = PATIENCE,
        ahead: bool = False,
    ) -> None:
        self._surroundings = Surroundings(processes, watch)
        self._crew = Crew(processes, ahead, self._surroundings.identity)
        self.labels = self._crew.labels
        self.timeout = timeout
        self._setup, self._outcome = setup, outcome
        self._lock = threading.RLock()
        self._closed = False
        self._orders = 0
        self._new()

    def _new(self) -> None:
        self.processes: tuple[Process, ...] = self._crew.unstarted()
        """The processes of this run; others after a reset."""
        self._begun = False
        self._turns: tuple[Turn, ...] = ()
        self._states = {label: State("not started") for label in self.labels}
        self._waits: dict[str, str] = {}
        self._holders = Holders()
        self._look = UNSEEN
        self._free = False

    def __repr__(self) -> str:
        told = ", ".join(f"{label} {state.kind}" for label, state in self._states.items())
        return f"<Interleaving {self.schedule or '(no turn yet)'}: {told}>"

    def __enter__(self) -> "Interleaving":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- what there is -----------------------------------------------------------------------------------

    @property
    def turns(self) -> tuple[Turn, ...]:
        """What has happened since the start, the first turn first."""
        return self._turns

    @property
    def shares(self) -> frozenset[object]:
        """The names and keys that the processes share, as far as their arguments tell."""
        return self._surroundings.names

    @property
    def schedule(self) -> str:
        """Who was chosen so far, without those who couldn't step and ends that changed nothing."""
        return scheduled(self._turns)

    @property
    def choices(self) -> list[str]:
        """Every choice so far, as :meth:`replay` takes them."""
        return [each.token for each in self._turns if each.token]

    @property
    def states(self) -> Mapping[str, State]:
        """Where each process was after the last turn, by label; where it is now, once they were let go."""
        if self._free:
            return {process.label: process.state for process in self.processes}
        return dict(self._states)

    @property
    def able(self) -> tuple[str, ...]:
        """The labels of those who can be stepped: neither blocked nor ended."""
        return tuple(label for label, state in self._states.items() if state.kind in STEPPABLE)

    @property
    def waits(self) -> Mapping[str, str]:
        """What each blocked process waits for, by label."""
        return dict(self._waits)

    @property
    def memory(self) -> Mapping[str, Any]:
        """What is watched of the memory, as it is now."""
        return dict(self._surroundings.look().memory)

    @property
    def semaphores(self) -> tuple[Semaphore, ...]:
        """The semaphores, as they are now; who waits and who holds is known from the turns."""
        return self._named(self._surroundings.look())

    @property
    def deadlock(self) -> Deadlock | None:
        """Who can never go on, or None."""
        if self._free:
            return None
        ended = [label for label, state in self._states.items() if state.kind == "ended"]
        waits = {
            label: thing
            for label, thing in self._waits.items()
            if self._states[label].on.partition(" on ")[0] in OTHERS_END
        }
        able = [label for label in self.labels if label not in ended and label not in waits]
        return deadlock.find(waits, self._holders, able, ended)

    # --- what can be asked of it -------------------------------------------------------------------------

    def start(self) -> None:
        """Launch the processes, when that isn't done; each stands before its first line then.

        Raises what :meth:`Process.start` raises, and what *setup* does.
        """
        with self._lock:
            if self._closed:
                raise ValueError("the interleaving has been closed: make a new one")
            if self._begun:
                return
            self._surroundings.put_back()
            if self._setup is not None:
                self._setup()
            self._surroundings.remember()
            self.processes = self._crew.fresh()
            self._begun = True
            self._states = {process.label: process.state for process in self.processes}
            self._look = self._surroundings.look()

    def step(self, who: str) -> Turn:
        """Let one process take one step; return its turn. ``"!A"`` kills A instead, with SIGKILL.

        One that is blocked or has ended can't: the turn says so (``"idle"``). After :meth:`let_go` all are
        paused first. Raises ValueError for a label that none has.
        """
        (token,) = parse([who], self.labels)
        with self._lock:
            self.start()
            if self._free:
                self._gather()
            return self._take(token.removeprefix(KILL), kill=token.startswith(KILL))

    def undo(self) -> Turn | None:
        """Take the last choice back: fresh processes take all the others again. Return the turn reached."""
        with self._lock:
            chosen = [each for each in self._turns if each.chosen]
            if chosen:
                # What came after they were let go can't be had again: to undo any of it undoes all of it.
                kinds = [each.kind for each in chosen]
                keep = kinds.index("free") if "free" in kinds else len(chosen) - 1
                self.replay([each.token for each in chosen[:keep]])
            return self._turns[-1] if self._turns else None

    def replay(self, schedule: "str | Iterable[str]", *, finish: bool = False) -> Run:
        """Run a schedule from a fresh start; with *finish* the rest follows, in order. Return what there is
        then; the processes stay where they are.

        Raises ValueError, before anything happens, for a label that no process has.
        """
        tokens = parse(schedule, self.labels)
        with self._lock:
            order = self._orders
            self._again()
            for token in tokens:
                if order != self._orders:
                    break  # somebody has stopped it meanwhile
                self.step(token)
            return self.finish() if finish and order == self._orders else self.so_far

    def random(self, seed: int | None = None) -> Run:
        """Run a schedule drawn at random, from a fresh start to the end: each time one of those who can step.

        The same *seed* gives the same schedule, as long as the programs do the same.
        """
        with self._lock:
            dice, order = random.Random(seed), self._orders
            self._again()
            for _ in range(MOST_TURNS):
                if not self.able or order != self._orders:
                    break
                self.step(dice.choice(self.able))
            return self.so_far

    def finish(self, most: int = MOST_TURNS) -> Run:
        """Let the first process that can step take all its steps, then the next one …, until none can; at
        most *most* turns. Return what there is then."""
        with self._lock:
            self.start()
            order = self._orders
            for _ in range(most):
                if not self.able or order != self._orders:
                    break
                self.step(self.able[0])
            return self.so_far

    @contextmanager
    def at_rest(self) -> Iterator[bool]:
        """Keep everybody else's orders away for the block, so that what is read in it belongs together; or
        enter it with False, at once, while another thread is at work."""
        free = self._lock.acquire(blocking=False)
        try:
            yield free
        finally:
            if free:
                self._lock.release()

    def notice(self) -> tuple[Turn, ...]:
        """Look whether anything happened that nobody here chose: a process was killed, a semaphore posted by
        somebody else, a long step done. Return the turns that it makes.

        Steps do this by themselves. Returns at once, with nothing, while another thread is at work.
        """
        with self.at_rest() as free:
            if not free or not self._begun or self._free:
                return ()
            ended = [
                (process.label, process.state)
                for process in self.processes
                if self._states[process.label].kind != "ended" and process.outcome is not None
            ]
            found = [*ended, *self._let_on(dict(ended))]
            turns = self._settle(found) if found else ()
            self._turns += turns
            return turns

    def let_go(self) -> None:
        """Let all go on by themselves, at full speed. What they do then is nobody's turn."""
        with self._lock:
            self.start()
            for process in self.processes:
                process.run()
            self._free = True
            self._record("", "free", State("running"), self._look)

    def pause(self) -> None:
        """After :meth:`let_go`: stop each after the step it is in."""
        with self._lock:
            if self._free:
                self._gather()

    def stop(self) -> None:
        """End every process, whatever it is doing; what happened stays. May be called twice."""
        self._orders += 1
        end(self.processes)  # without the lock: this ends the step that another thread may wait in
        with self._lock:
            end(self.processes)
            if self._begun:
                self._states = {process.label: process.state for process in self.processes}
                self._waits, self._free = {}, False

    def reset(self) -> None:
        """End every process and be as new: not started. What they share is put back by the next start."""
        self._orders += 1
        end(self.processes)
        with self._lock:
            self._renew()

    def close(self) -> None:
        """End every process, for good. What they shared stays as it is. May be called twice."""
        self.stop()
        with self._lock:
            self._closed = True
            self._crew.dismiss()

    def put_back(self) -> None:
        """Make what they share what it was before the first run. Ends the processes first."""
        with self._lock:
            self.reset()
            self._surroundings.put_back()

    @property
    def so_far(self) -> Run:
        """What has happened so far, as a value."""
        states = self.states
        last = self._turns[-1] if self._turns else None
        memory = last.memory if last is not None else MappingProxyType(dict(self._look.memory))
        semaphores = last.semaphores if last is not None else self._named(self._look)
        run = Run(self._turns, MappingProxyType(dict(states)), memory, semaphores, self.deadlock)
        if run.ok and self._outcome is not None:
            return replace(run, result=str(self._outcome(run)))
        return replace(run, result=result_of(run))

    # --- how it is done ----------------------------------------------------------------------------------

    def _again(self) -> None:
        self._renew()
        self.start()

    def _renew(self) -> None:
        end(self.processes)
        self._new()

    def _process(self, label: str) -> Process:
        return self.processes[self.labels.index(label)]

    def _take(self, who: str, *, kill: bool) -> Turn:
        self.notice()
        process, known = self._process(who), self._states[who]
        if known.kind == "ended" or (known.kind in ASTRAY and not kill):
            return self._record(who, "idle", known, self._look, killed=kill)
        state = _killed(process, self.timeout) if kill else process.step(self.timeout)
        turns = self._settle([(who, state), *self._let_on({who: state})], who, kill)
        self._turns += turns
        return turns[0]

    def _let_on(self, fresh: Mapping[str, State]) -> list[tuple[str, State]]:
        """Return where those have got to that can go on now that others are where *fresh* says: whoever isn't
        asleep where it was is waited for. In the order in which they began to wait, which is that of the
        kernel's queues."""
        latest = {**self._states, **fresh}
        found: list[tuple[str, State]] = []
        moved = True
        while moved:
            moved = False
            for label in (*self._waits, *(label for label in self.labels if label not in self._waits)):
                stood = latest[label]
                if stood.kind not in ASTRAY:
                    continue
                process = self._process(label)
                state = process.state
                if state.kind == "running" and stood.kind == "blocked":
                    state = process.pause(self.timeout)
                if not _same(state, stood):
                    found.append((label, state))
                    latest[label] = state
                    moved = True
        return found

    def _settle(
        self, arrivals: Sequence[tuple[str, State]], chosen: str = "", killed: bool = False
    ) -> tuple[Turn, ...]:
        """Note where processes have got to, the *chosen* one first; return their turns.

        All are told of the same surroundings, those of the moment when everybody stands still again: before
        it, whoever was let on and who let it are both at work.
        """
        before, now = self._look, self._surroundings.look()
        let_on = []
        for label, state in arrivals:
            waited = self._waits.pop(label, None)
            if waited is not None and label != chosen and state.kind != "ended":
                let_on.append((label, waited))
            if state.kind == "blocked":
                self._waits[label] = self._surroundings.thing(state.on, before, now)
            self._states[label] = state
        if any(thing not in now.values for thing in self._waits.values()):
            now = self._surroundings.look()  # it has just been heard of
        self._holders.note(arrivals[0][0], before.values, now.values, let_on)
        still = (before.memory, before.values, before.mark) == (now.memory, now.values, now.mark)
        self._look = now
        outcome = arrivals[0][1].outcome
        quiet = bool(chosen) and still and len(arrivals) == 1 and outcome is not None and outcome.ok
        return tuple(
            replace(
                self._turn(label, _kind(state), state, now, killed=killed and not at),
                chosen=bool(chosen) and not at,
                quiet=quiet,
                changed=not still,
            )
            for at, (label, state) in enumerate(arrivals)
        )

    def _record(self, who: str, kind: str, state: State, look: Look, *, killed: bool = False) -> Turn:
        turn = self._turn(who, kind, state, look, killed=killed)
        self._turns += (turn,)
        return turn

    def _turn(self, who: str, kind: str, state: State, look: Look, *, killed: bool = False) -> Turn:
        return Turn(
            who,
            kind,
            state,
            killed=killed,
            memory=MappingProxyType(dict(look.memory)),
            semaphores=self._named(look),
            thing=self._waits.get(who, ""),
        )

    def _named(self, look: Look) -> tuple[Semaphore, ...]:
        return tuple(
            Semaphore(
                name,
                value,
                tuple(label for label, thing in self._waits.items() if thing == name),
                self._holders.of(name) if self._holders.owned(name) else (),
            )
            for name, value in look.semaphores
        )

    def _gather(self) -> None:
        """Bring all to their gates after they ran freely. Who holds what by now, nobody has seen."""
        for process in self.processes:
            process.pause(self.timeout)
        before, self._look = self._look, self._surroundings.look()
        self._free, self._holders, self._waits = False, Holders(), {}
        self._states = {process.label: process.state for process in self.processes}
        for label, state in self._states.items():
            if state.kind == "blocked":
                self._waits[label] = self._surroundings.thing(state.on, before, self._look)


def _kind(state: State) -> str:
    return "step" if state.kind == "paused" else state.kind


def _same(state: State, known: State) -> bool:
    return (state.kind, state.on, state.step) == (known.kind, known.on, known.step)


def _killed(process: Process, timeout: float) -> State:
    """Kill a process as anybody could, with SIGKILL, and return its state once it has ended."""
    if process.pid is not None and process.outcome is None:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        with suppress(TimeoutError):
            process.wait(timeout)
    return process.state
