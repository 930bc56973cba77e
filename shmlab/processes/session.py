"""Who owns it all: this kernel's session, with its board, its supervisor and its processes.

A session begins with the first name or process that is asked for and ends with :func:`cleanup`, with the
kernel, or with an interrupt; after that the next name begins it anew. Nothing here runs at import.
"""

import atexit
import errno
import fcntl
import os
import subprocess
import sys
import threading
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from shmlab import names, posix
from shmlab.processes import board, sweep
from shmlab.processes.ledger import Ledger

if TYPE_CHECKING:
    from shmlab.observe import Tracer
    from shmlab.processes.process import Process

ROOT = str(Path(__file__).resolve().parents[2])
"""The folder that holds the package: what a worker needs on its path."""


class Session:
    """One kernel's board and supervisor."""

    def __init__(self) -> None:
        self.token = names.session()
        self.inherited = _is_inherited()
        self._supervisor: subprocess.Popen[bytes] | None
        # What was launched and isn't known to have ended: kept, for a notebook that runs a cell a second time
        # drops its handle of a process that goes on.
        self.processes: set[Process] = set()
        self.tracers: WeakSet[Tracer] = WeakSet()
        """What traces them: each has a strace, which is waited for when the session closes."""
        self._lock = threading.RLock()
        self._free = list(range(board.SLOTS))
        self.board_name, self._descriptor = _create_board()
        self.ledger = Ledger(self._descriptor)
        self._words: dict[int, str] = {}
        try:
            self.ledger.open()
            # Through a descriptor of its own: mmap keeps a duplicate, and with it would keep the lock.
            unlocked = self.open_board()
            self._mapping = posix.mmap(
                None, board.SIZE, posix.PROT_READ | posix.PROT_WRITE, posix.MAP_SHARED, unlocked
            )
            os.close(unlocked)
            self._supervisor = None if self.inherited else self._start_supervisor()
        except BaseException:
            posix.shm_unlink(self.board_name)
            os.close(self._descriptor)
            raise

    def _start_supervisor(self) -> "subprocess.Popen[bytes]":
        environment = {key: value for key, value in os.environ.items() if key != names.SESSION_VARIABLE}
        paths = [ROOT, *(each for each in sys.path if each)]
        start = f"import sys; sys.path[:0] = {paths!r}; from shmlab.processes.supervisor import main; "
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", start + "main(sys.argv[1:])", self.token, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # It holds the board's lock with us: the session is alive while either of us is.
            pass_fds=[self._descriptor],
            start_new_session=True,
            cwd="/",
            env=environment,
        )

    def watch(self) -> None:
        """See that the supervisor is there: a killed one is replaced."""
        with self._lock:
            if self._supervisor is not None and self._supervisor.poll() is not None:
                self._close_pipe()
                self._supervisor = self._start_supervisor()

    def take_slot(self) -> tuple[int, board.Slot]:
        """Return a free slot of the board. Raises OSError (EAGAIN) when as many processes run as it holds."""
        if not self._free:
            for process in self._launched():
                _ = process.outcome  # noticing its end gives its slot back
        with self._lock:
            if not self._free:
                raise BlockingIOError(
                    errno.EAGAIN,
                    f"{board.SLOTS} processes of this session run already: stop some, or all with cleanup()",
                )
            number = self._free.pop(0)
            view = self._mapping.buf[number * board.SLOT_SIZE : (number + 1) * board.SLOT_SIZE]
            slot = board.Slot(view)
            slot.clear()
            return number, slot

    def give_back(self, number: int, slot: board.Slot) -> None:
        """Return a slot that no process uses any more."""
        slot.release()
        with self._lock:
            self._free.append(number)

    def open_board(self) -> int:
        """Return a descriptor of the board for a worker: its own, for a lock that it shared with us would
        outlive us with it. What is written to it is appended: a line of the ledger."""
        return posix.shm_open(self.board_name, os.O_RDWR | os.O_APPEND)

    def own(self, key: int, word: str) -> int:
        """Return the key, once it's sure that no other word stands for it."""
        with self._lock:
            other = self._words.setdefault(key, word)
        if other != word:
            raise ValueError(
                f"{word!r} has the same key as {other!r}, {key & 0xFFFFFFFF:#010x}: choose another word"
            )
        return key

    def word_of(self, key: int) -> str:
        """Return the word that :meth:`own` was given for a key; "" when it never was."""
        with self._lock:
            return self._words.get(key, "")

    def close(self) -> list[sweep.Found]:
        """Stop every process, remove every object, segment and semaphore set, end the supervisor; return what
        was removed."""
        found = []
        # Without the session's lock: a process that ends in another thread gives its slot back under it.
        for process in self._launched():
            if process.pid is not None and process.outcome is None:
                found.append(sweep.Found("process", f"{process.pid} {process.label}", self.token, True))
            with suppress(TimeoutError):
                process.stop()
        for tracer in list(self.tracers):
            tracer.close()
        with self._lock:
            if self.inherited:
                _hand_over(self.board_name)
            else:
                found += sweep.remove_session(self.token, os.getuid())
            with suppress(OSError):
                posix.shm_unlink(self.board_name)
            with suppress(BufferError):
                posix.munmap(self._mapping)
            os.close(self._descriptor)
            if self._supervisor is not None:
                # Its work is done. Asked to end, it would finish starting first.
                self._supervisor.kill()
                self._supervisor.wait(timeout=5)
            self._close_pipe()
        return [each for each in found if each.name != self.board_name]

    def let_go(self) -> None:
        """Note a child of this process, in the child, and close what the supervisor and the lock know the
        parent by."""
        with suppress(OSError):
            # By its name: a grandchild has no descriptor of it any more, but perhaps something else there.
            descriptor = posix.shm_open(self.board_name, os.O_WRONLY | os.O_APPEND)
            Ledger(descriptor).begin(os.getpid())
            os.close(descriptor)
        with suppress(OSError):
            os.close(self._descriptor)
        if self._supervisor is not None and self._supervisor.stdin is not None:
            with suppress(OSError):
                os.close(self._supervisor.stdin.fileno())

    def _launched(self) -> list["Process"]:
        with self._lock:
            return list(self.processes)

    def _close_pipe(self) -> None:
        if self._supervisor is not None and self._supervisor.stdin is not None:
            self._supervisor.stdin.close()


_current: Session | None = None
_owner = 0
_cleanups = 0
_guard = threading.RLock()


def current() -> Session:
    """Return this kernel's session, begun now if there is none, with its supervisor awake."""
    global _current, _owner
    with _guard:
        if _current is None or _owner != os.getpid():
            # After a fork the parent's session is the parent's business.
            if _owner == 0:
                atexit.register(_at_exit)
                os.register_at_fork(after_in_child=_in_a_child)
                _hear_interrupts()
            _current = Session()
            _owner = os.getpid()
        else:
            _current.watch()
        return _current


def own_name(word: str) -> str:
    """Return ``/shmlab-<uid>-<session>-<word>``: a name nobody else has, removed whatever happens.

    From now on the supervisor watches: an object of that name goes when this kernel does, however it goes.

    Raises ValueError when *word* is empty, has a slash or a NUL, is too long (names are at most 30
    characters), or is ``board``, which the lab itself uses.
    """
    full = names.name(word)
    if names.is_board(full):
        raise ValueError(f"{word!r} is what the lab calls its own board: choose another word")
    if not _is_inherited():
        current()
    return full


def own_key(word: str) -> int:
    """Return a System V key that nobody else has, whose segment or semaphore set is removed whatever happens.

    A signed C ``key_t``, never IPC_PRIVATE; the same word gives the same key in every process of the session.
    From now on the supervisor watches: what has that key, and was created by this user, goes when this kernel
    does, however it goes.

    Raises ValueError when *word* is empty, or when it happens to have the key of another word (1 in 4,095).
    """
    key = names.key(word)
    return key if _is_inherited() else current().own(key, word)


def _is_inherited() -> bool:
    """Whether this process was launched by the lab, or forked from one that uses it: then its session is its
    parent's, and the parent's supervisor's."""
    return names.SESSION_VARIABLE in os.environ or _owner not in (0, os.getpid())


def cleanups() -> int:
    """Return how often this kernel's processes and objects were taken away: by :func:`cleanup`, or because a
    cell was interrupted."""
    return _cleanups


def cleanup() -> list[str]:
    """Stop every process and remove every object, segment and semaphore set of this session; return what was
    removed, in words."""
    global _cleanups, _current
    with _guard:
        if _current is None or _owner != os.getpid():
            return []
        _cleanups += 1
        session, _current = _current, None
        return [str(each) for each in session.close()]


def _at_exit() -> None:
    if os.getpid() == _owner:
        cleanup()


def _in_a_child() -> None:
    """A student's ``os.fork()``: what says that the kernel lives must not live on in its child."""
    if _current is not None:
        _current.let_go()


def _hear_interrupts() -> None:
    """In a notebook, an interrupted cell means: stop everything the lab is doing."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is not None:
        shell.events.register("post_run_cell", _after_cell)


def _after_cell(result: Any) -> None:
    if isinstance(getattr(result, "error_in_exec", None), KeyboardInterrupt) and _current is not None:
        removed = cleanup()
        kinds = Counter(each.partition(" ")[0] for each in removed)
        processes = kinds.pop("process", 0)
        things = [_count(kinds.pop("object", 0) + kinds.pop("semaphore", 0), "object")]
        things += [_count(number, kind) for kind, number in sorted(kinds.items())]
        print(
            f"Interrupted: the lab stopped {processes} process{'' if processes == 1 else 'es'} and removed "
            f"{', '.join(things)}. To go on, run the lesson from its first cell."
        )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _hand_over(board_name: str) -> None:
    """Give what a board's ledger says to the session's first board, which whoever cleans up will read."""
    first = names.name("board")
    if board_name == first:
        return
    with ExitStack() as opened, suppress(OSError):
        ledgers = []
        for name in (board_name, first):
            descriptor = posix.shm_open(name, os.O_RDWR | os.O_APPEND)
            opened.callback(os.close, descriptor)
            ledgers.append(Ledger(descriptor))
        ledgers[0].hand_over(ledgers[1])


def _is_abandoned(board_name: str) -> bool:
    """Whether nobody holds the lock of a board."""
    try:
        descriptor = posix.shm_open(board_name, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _create_board() -> tuple[str, int]:
    """Create the session's board, reserve its memory, and lock it; return its name and descriptor."""
    for attempt in range(10):
        name = names.name("board" if attempt == 0 else f"board{attempt + 1}")
        try:
            descriptor = posix.shm_open(name, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            # A process that the lab launched uses the lab itself, within its parent's session; or one that
            # did was killed, and left it.
            if attempt and _is_abandoned(name):
                _hand_over(name)
                with suppress(OSError):
                    posix.shm_unlink(name)
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            # Reserved, not only sized: on a full /dev/shm a first touch would be a Bus error in the kernel.
            posix.posix_fallocate(descriptor, 0, board.SIZE)
        except BlockingIOError:
            # Somebody who cleans up is looking at it this instant and takes it for an orphan's.
            os.close(descriptor)
            continue
        except BaseException:
            os.close(descriptor)
            posix.shm_unlink(name)
            raise
        if os.fstat(descriptor).st_nlink:
            return name, descriptor
        os.close(descriptor)
    raise FileExistsError(17, "this session has ten boards already", names.prefix() + "board")
