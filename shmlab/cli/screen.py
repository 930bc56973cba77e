"""A terminal taken over for a while: :mod:`shmlab.cli.watch` draws on it and listens for keys.

The alternate screen, no echo, no cursor; all of it is given back at the end, however that comes: a key, an
error, Ctrl-C, Ctrl-Z (until the process goes on), SIGTERM, SIGHUP, SIGQUIT. Only of SIGKILL nobody hears.
"""

import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Sequence
from time import monotonic
from types import FrameType, TracebackType
from typing import Any

from shmlab.cli.terminal import writable

ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l"
LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l"
"""The alternate screen, the cursor hidden, and no line that goes on in the next, whatever letters it has
(xterm's private modes); and back."""
HOME, REST_OF_LINE, REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"
BOLD, PLAIN = "\x1b[1m", "\x1b[m"

ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)

QUIT = b"qQ\x04"
"""Keys that end: q, and Ctrl-D, which is a key here."""


def possible() -> bool:
    """Whether standard output is a terminal that can move its cursor."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


class Screen:
    """The terminal on standard output, from ``with`` to its end. For the main thread only."""

    def __enter__(self) -> "Screen":
        self._keys = sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else None
        self._resized = False
        self._before: Any = termios.tcgetattr(self._keys) if self._keys is not None else None
        self._woken, self._waker = os.pipe()
        os.set_blocking(self._waker, False)
        self._old_waker = signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        self._handlers: dict[int, Any] = {
            signal.SIGWINCH: signal.signal(signal.SIGWINCH, self._on_resize),
            signal.SIGTSTP: signal.signal(signal.SIGTSTP, self._on_stop),
        }
        for number in ENDING:
            self._handlers[number] = signal.signal(number, self._on_end)
        try:
            self._take()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A second Ctrl-C must not leave the terminal half given back.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, *self._handlers})
        try:
            self._give_back()
        except (OSError, termios.error):
            # The terminal is gone; what is left to write would only fail again at the end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        finally:
            for number, handler in self._handlers.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(self._old_waker)
            os.close(self._woken)
            os.close(self._waker)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def size(self) -> os.terminal_size:
        """Return columns and lines, as they are now; 80 and 24 of a terminal that nobody sized."""
        columns, lines = os.get_terminal_size(sys.stdout.fileno())
        return os.terminal_size((columns or 80, lines or 24))

    def draw(self, lines: Sequence[str], bold: Sequence[bool]) -> None:
        """Show *lines*, which fit the screen; those with *bold* true are brighter."""
        shown = [writable(line) for line in lines]
        text = "\n".join(
            f"{BOLD}{line}{PLAIN}{REST_OF_LINE}" if strong else f"{line}{REST_OF_LINE}"
            for line, strong in zip(shown, bold, strict=True)
        )
        self._write(HOME + text + REST_OF_SCREEN)

    def wait(self, seconds: float) -> str:
        """Wait for a key that ends (``quit``), another size (``resize``), or the time to be over (````)."""
        deadline = monotonic() + seconds
        poll = select.poll()
        poll.register(self._woken, select.POLLIN)
        if self._keys is not None:
            poll.register(self._keys, select.POLLIN)
        while True:
            if self._resized:
                self._resized = False
                return "resize"
            left = deadline - monotonic()
            if left <= 0:
                return ""
            for descriptor, _ in poll.poll(left * 1000):
                try:
                    typed = os.read(descriptor, 256)
                except OSError:
                    typed = b""
                # Nothing to read where something was announced: the terminal hung up.
                if descriptor == self._keys and (not typed or any(key in QUIT for key in typed)):
                    return "quit"

    def _take(self) -> None:
        if self._keys is not None:
            tty.setcbreak(self._keys, termios.TCSANOW)
        self._write(ENTER)

    def _give_back(self) -> None:
        try:
            self._write(LEAVE)
        finally:
            if self._keys is not None:
                termios.tcsetattr(self._keys, termios.TCSANOW, self._before)

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    def _on_resize(self, number: int, frame: FrameType | None) -> None:
        self._resized = True

    def _on_end(self, number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        self._give_back()
        handler = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)  # stops here, until somebody says SIGCONT
        signal.signal(signal.SIGTSTP, handler)
        self._take()
        self._resized = True
