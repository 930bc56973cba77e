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
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shmlab import names, posix
from shmlab.processes import board, sweep

if TYPE_CHECKING:
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
        self._lock = threading.RLock()
        self._free = list(range(board.SLOTS))
        self.board_name, self._descriptor = _create_board()
        try:
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
        outlive us with it."""
        return posix.shm_open(self.board_name, os.O_RDWR)

    def close(self) -> list[sweep.Found]:
        """Stop every process, remove every object, end the supervisor; return what was removed."""
        found = []
        # Without the session's lock: a process that ends in another thread gives its slot back under it.
        for process in self._launched():
            if process.pid is not None and process.outcome is None:
                found.append(sweep.Found("process", f"{process.pid} {process.label}", self.token, True))
            with suppress(TimeoutError):
                process.stop()
        with self._lock:
            if not self.inherited:
                found += sweep.remove_session(self.token, os.getuid())
            with suppress(OSError):
                posix.shm_unlink(self.board_name)
            with suppress(BufferError):
                posix.munmap(self._mapping)
            os.close(self._descriptor)
            self._close_pipe()
            if self._supervisor is not None:
                try:
                    self._supervisor.wait(timeout=5)
                except subprocess.TimeoutExpired:
                    self._supervisor.kill()
                    self._supervisor.wait(timeout=5)
        return [each for each in found if each.name != self.board_name]

    def let_go(self) -> None:
        """Close, in a child of this process, what the supervisor and the lock know this process by."""
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


def _is_inherited() -> bool:
    """Whether this process was launched by the lab, or forked from one that uses it: then its session is its
    parent's, and the parent's supervisor's."""
    return names.SESSION_VARIABLE in os.environ or _owner not in (0, os.getpid())


def cleanup() -> list[str]:
    """Stop every process and remove every object of this session; return what was removed, in words."""
    global _current
    with _guard:
        if _current is None or _owner != os.getpid():
            return []
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
        processes = sum(each.startswith("process") for each in removed)
        objects = len(removed) - processes
        print(
            f"Interrupted: the lab stopped {processes} process{'' if processes == 1 else 'es'} and removed "
            f"{objects} object{'' if objects == 1 else 's'}. To go on, run the lesson from its first cell."
        )


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
            descriptor = posix.shm_open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            # A process that the lab launched uses the lab itself, within its parent's session; or one that
            # did was killed, and left it.
            if attempt and _is_abandoned(name):
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
