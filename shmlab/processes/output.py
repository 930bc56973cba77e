"""What processes print: read as it comes, so that no process waits for a reader, and kept in bounds.

One daemon thread for all processes of the session; it ends by itself when nothing is left to read.
"""

import os
import select
import threading

KEPT = 64 * 1024
"""Bytes of a process's output that are kept: the last ones."""


CATCH_UP = 16
"""Reads at most before an answer: one who prints without end is never caught up with."""


class Output:
    """The tail of one process's standard output and error."""

    def __init__(self) -> None:
        self.total = 0
        self.ended = threading.Event()
        self._tail = bytearray()

    def feed(self, data: bytes) -> None:
        self.total += len(data)
        self._tail += data
        if len(self._tail) > 2 * KEPT:
            del self._tail[:-KEPT]

    @property
    def text(self) -> str:
        tail = bytes(self._tail[-KEPT:]).decode("utf-8", "replace")
        lost = self.total - KEPT
        return tail if lost <= 0 else f"[{lost} bytes before this were not kept]\n{tail}"


class _Pump:
    """Reads every pipe it was given until its end."""

    def __init__(self) -> None:
        # Re-entrant: a panel that is forgotten is closed by the collector, wherever this thread is then.
        self._lock = threading.RLock()
        self._pipes: dict[int, Output] = {}
        self._thread: threading.Thread | None = None
        self._wake: int | None = None

    def add(self, descriptor: int) -> Output:
        """Read *descriptor*, a pipe that this object now owns, to its end."""
        output = Output()
        os.set_blocking(descriptor, False)
        with self._lock:
            self._pipes[descriptor] = output
            if self._thread is None:
                read, self._wake = os.pipe()
                self._thread = threading.Thread(
                    target=self._run, args=(read, self._wake), name="shmlab-output", daemon=True
                )
                self._thread.start()
            elif self._wake is not None:
                os.write(self._wake, b".")
        return output

    def catch_up(self, output: Output) -> None:
        """Read what a process has printed until now."""
        with self._lock:
            for descriptor in [each for each, its in self._pipes.items() if its is output]:
                for _ in range(CATCH_UP):
                    if not self._read(descriptor):
                        break

    def drop(self, output: Output) -> None:
        """Stop reading: the process is gone, and whoever still holds its pipe is not ours to wait for."""
        with self._lock:
            for descriptor in [each for each, its in self._pipes.items() if its is output]:
                self._read(descriptor)  # its last words, if we are late
                if self._pipes.pop(descriptor, None) is not None:
                    os.close(descriptor)
                    output.ended.set()
            if self._wake is not None:
                os.write(self._wake, b".")

    def _run(self, wake: int, waker: int) -> None:
        while True:
            with self._lock:
                if not self._pipes:
                    self._thread = self._wake = None
                    os.close(wake)
                    os.close(waker)
                    return
                poll = select.poll()
                poll.register(wake, select.POLLIN)
                for descriptor in list(self._pipes):
                    poll.register(descriptor, select.POLLIN)
            ready = poll.poll()
            with self._lock:
                for descriptor, _ in ready:
                    if descriptor == wake:
                        os.read(wake, 4096)
                    elif descriptor in self._pipes:
                        self._read(descriptor)

    def _read(self, descriptor: int) -> bool:
        """Read once; return whether there was something."""
        output = self._pipes[descriptor]
        try:
            data = os.read(descriptor, 65536)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if data:
            output.feed(data)
        else:
            del self._pipes[descriptor]
            os.close(descriptor)
            output.ended.set()
        return bool(data)


pump = _Pump()
