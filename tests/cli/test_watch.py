"""``shmlab ls --watch``: on a real terminal (a pty, whose settings are looked at) and into a pipe."""

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import shlex
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import sysv_ipc

from shmlab import own_name, posix
from shmlab.cli import watch
from shmlab.cli.entry import Entry
from tests.cli.commands import ENVIRONMENT, PYTHON

ALTERNATE, BACK, HOME = "\x1b[?1049h", "\x1b[?1049l", "\x1b[H"

BROKEN = """
from shmlab.__main__ import main
from shmlab.cli import listing

def broken(*_):
    raise OSError("no such luck")

listing.gather = broken
main(["ls", "--watch"])
"""


class Terminal:
    """A pseudo-terminal on which a command runs; what it writes is read up to what a test waits for."""

    def __init__(
        self,
        *arguments: str,
        columns: int = 100,
        lines: int = 20,
        command: Sequence[str] = (*PYTHON, "ls"),
        stderr: int | None = None,
        **environment: str,
    ) -> None:
        self.master, self.slave = pty.openpty()
        self.resize(columns, lines)
        self.before = termios.tcgetattr(self.slave)
        self.written = ""
        self.looked_at = 0
        self.process = subprocess.Popen(
            [*command, *arguments], stdin=self.slave, stdout=self.slave,
            stderr=self.slave if stderr is None else stderr,
            env={**ENVIRONMENT, "TERM": "xterm"} | environment, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def frames(self) -> list[str]:
        """Return the frames that were drawn to their end, without what moves the cursor."""
        frames = [each for each in self.written.split(HOME)[1:] if each.endswith("\x1b[J") or BACK in each]
        return [re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", each).replace("\r", "") for each in frames]

    def frame(self) -> str:
        return self.frames()[-1] if self.frames() else ""

    def until(self, condition: Callable[[], Any], timeout: float = 10.0) -> Any:
        deadline = time.monotonic() + timeout
        while not (answer := condition()):
            assert time.monotonic() < deadline, self.written
            if select.select([self.master], [], [], 0.05)[0]:
                self.written += os.read(self.master, 65536).decode()
        return answer

    def line(self, pattern: str) -> str:
        """Wait for a frame, not before the one found last, with a line that matches; return the line."""

        def found() -> str:
            for at, frame in enumerate(self.frames()[self.looked_at :]):
                if match := re.search(pattern, frame, re.MULTILINE):
                    self.looked_at += at
                    return match[0]
            return ""

        return self.until(found)

    def ended(self) -> int:
        """Wait for the end; return the status. The terminal must be as it was."""
        self.until(lambda: self.process.poll() is not None)
        self.until(lambda: BACK in self.written)
        assert termios.tcgetattr(self.slave) == self.before
        assert self.written.rindex(BACK) > self.written.rindex(ALTERNATE)
        assert self.written.count("\x1b[?25h") == self.written.count("\x1b[?25l")
        assert "Traceback" not in self.written
        return self.process.returncode


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    made: list[Terminal] = []

    def make(*arguments: str, **options: Any) -> Terminal:
        made.append(Terminal(*arguments, **options))
        return made[-1]

    yield make
    for each in made:
        each.process.kill()
        each.process.wait(5)
        os.close(each.master)
        os.close(each.slave)


class TestOnATerminal:
    def test_what_is_new_changed_and_gone_is_marked(
        self, terminal: Callable[..., Terminal], thing: str
    ) -> None:
        seen = terminal("--watch", "0.3")
        assert seen.line(rf"^  object +{thing} .*")
        assert re.search(
            r"^\d\d:\d\d:\d\d  every 0.3 s  \+ new  ~ changed  - gone  q ends$", seen.frame(), re.M
        )
        assert seen.written.startswith(ALTERNATE)
        segment = sysv_ipc.SharedMemory(None, sysv_ipc.IPC_CREX, mode=0o600, size=6000, init_character=b"\0")
        try:
            assert seen.line(rf"^\+ segment .* id {segment.id} .*  in use  ")
            assert seen.line(rf"^  segment .* id {segment.id} .*  in use  "), "a mark is for one look"
            segment.detach()
            assert seen.line(rf"^~ segment .* id {segment.id} .*  unused ")
        finally:
            with contextlib.suppress(sysv_ipc.NotAttachedError):
                segment.detach()
            segment.remove()
        assert seen.line(rf"^- segment .* id {segment.id} .*  unused ")
        seen.until(lambda: "segment" not in seen.frame())
        seen.type(b"q")
        assert seen.ended() == 0

    @pytest.mark.parametrize(
        ("end", "status"),
        [
            (b"q", 0), (b"Q", 0), (b"\x04", 0), (b"\x03", 130),
            (signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGHUP, 128 + signal.SIGHUP),
            (signal.SIGQUIT, 128 + signal.SIGQUIT),
        ],
    )  # fmt: skip
    def test_however_it_ends_the_terminal_is_as_it_was(
        self, terminal: Callable[..., Terminal], end: bytes | signal.Signals, status: int
    ) -> None:
        seen = terminal("--watch", "60")
        seen.until(seen.frame)
        assert not termios.tcgetattr(seen.slave)[3] & (termios.ECHO | termios.ICANON)
        seen.type(b"x")  # a key that says nothing
        if isinstance(end, bytes):
            seen.type(end)
        else:
            seen.process.send_signal(end)
        assert seen.ended() == status

    def test_an_error_gives_the_terminal_back(self, terminal: Callable[..., Terminal]) -> None:
        seen = terminal(command=[sys.executable, "-c", BROKEN])
        seen.until(lambda: "no such luck" in seen.written)
        seen.until(lambda: seen.process.poll() is not None)
        assert seen.written.index(BACK) < seen.written.index("no such luck")
        assert termios.tcgetattr(seen.slave) == seen.before

    def test_a_terminal_that_hangs_up_ends_it(self, terminal: Callable[..., Terminal]) -> None:
        seen = terminal("--watch", "60", stderr=subprocess.PIPE)
        seen.until(seen.frame)
        os.close(seen.slave)
        os.close(seen.master)
        assert seen.process.wait(10) in (0, 128 + signal.SIGHUP)
        assert seen.process.stderr is not None
        assert seen.process.stderr.read() == b""
        seen.process.stderr.close()
        seen.master, seen.slave = os.pipe()  # for the fixture to close

    def test_another_size_is_followed_at_once(self, terminal: Callable[..., Terminal], thing: str) -> None:
        seen = terminal("--watch", "60", columns=140)
        assert "allocated" in seen.line(r"^  kind .*")
        seen.resize(70, 20)
        seen.until(lambda: "allocated" not in seen.frame())
        assert all(len(line) <= 70 for line in seen.frame().splitlines())
        with posix.create(own_name("second"), 4096):
            lower = terminal("--watch", "60", lines=4)
            assert lower.line(r"^  … \d+ rows more: make the window taller$")
            assert len(lower.frame().splitlines()) == 4

    def test_ctrl_z_gives_the_terminal_back_until_it_goes_on(self, terminal: Callable[..., Terminal]) -> None:
        # A shell with job control (-m): a process group that nobody could continue isn't stopped at all.
        command = [*PYTHON, "ls", "--watch", "60"]
        seen = terminal(command=["sh", "-mc", f"{shlex.join(command)}; read line; fg >/dev/null"])
        seen.until(seen.frame)
        seen.type(b"\x1a")
        seen.until(lambda: BACK in seen.written)
        seen.until(lambda: termios.tcgetattr(seen.slave) == seen.before)
        seen.type(b"\n")
        seen.until(lambda: seen.written.count(ALTERNATE) == 2)
        seen.until(lambda: seen.written.rfind(HOME) > seen.written.rindex(ALTERNATE))
        assert not termios.tcgetattr(seen.slave)[3] & termios.ICANON
        seen.type(b"q")
        assert seen.ended() == 0

    def test_a_terminal_that_cannot_move_its_cursor_gets_lines(
        self, terminal: Callable[..., Terminal], thing: str
    ) -> None:
        seen = terminal("--watch", "0.1", TERM="dumb")
        seen.until(lambda: thing in seen.written)
        assert "\x1b" not in seen.written


class TestIntoAPipe:
    @pytest.fixture
    def piped(self) -> Iterator[Callable[..., "subprocess.Popen[bytes]"]]:
        started = []

        def start(*arguments: str) -> "subprocess.Popen[bytes]":
            process = subprocess.Popen(
                [*PYTHON, "ls", "--watch", "0.1", *arguments],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT,
            )  # fmt: skip
            started.append(process)
            return process

        yield start
        for process in started:
            process.kill()
            process.communicate(timeout=5)

    def line(self, process: "subprocess.Popen[bytes]") -> str:
        """Return the next line, byte by byte: what a buffer holds back, select(2) doesn't know of."""
        assert process.stdout is not None
        line = b""
        while not line.endswith(b"\n"):
            assert select.select([process.stdout], [], [], 10)[0]
            byte = os.read(process.stdout.fileno(), 1)
            assert byte, "it ended"
            line += byte
        return line.decode()

    def test_a_document_a_line_at_each_change(self, piped: Callable[..., Any], thing: str) -> None:
        process = piped("--json")
        first = json.loads(self.line(process))
        assert {each["mark"] for each in first["entries"]} == {None}
        assert thing in [each["name"] for each in first["entries"]]
        name = own_name("passing")
        with posix.create(name, 4096):
            marks = self.marks(process, name)
            assert marks == ["new"] or marks[:2] == ["new", "changed"]
        while marks[-1] != "gone":
            marks += self.marks(process, name)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130

    def marks(self, process: "subprocess.Popen[bytes]", name: str) -> list[str]:
        """Return the marks of an object in the next document that has one."""
        while True:
            found = json.loads(self.line(process))
            marks = [each["mark"] for each in found["entries"] if each["name"] == name and each["mark"]]
            if marks:
                return marks

    def test_a_table_at_each_change(self, piped: Callable[..., Any], thing: str) -> None:
        process = piped()
        lines = [self.line(process) for _ in range(3)]
        assert re.fullmatch(r"\d\d:\d\d:\d\d  \+ new  ~ changed  - gone\n", lines[0])
        assert lines[1].split()[0] == "kind"
        os.truncate(f"/dev/shm{thing}", 6000)
        while not (line := self.line(process)).startswith("~"):
            lines.append(line)
        assert thing in line
        assert "  6,000 B  " in line
        assert "\x1b" not in "".join(lines)

    def test_it_ends_when_nobody_reads(self, piped: Callable[..., Any]) -> None:
        process = piped("--json")
        self.line(process)
        process.stdout.close()
        assert process.wait(10) == 141
        assert process.stderr.read() == b""
        process.stdout = None

    @pytest.mark.parametrize("seconds", ["0", "nan", "-1", "a", "1e9"])
    def test_an_interval_that_is_none(self, seconds: str) -> None:
        done = subprocess.run(
            [*PYTHON, "ls", f"--watch={seconds}"], capture_output=True, text=True, timeout=20, check=False
        )
        assert done.returncode == 2
        assert "no interval: 0.1 to 86400 seconds" in done.stderr


class TestMarks:
    def entry(self, name: str, **fields: Any) -> Entry:
        return Entry("object", name, **{"inode": ord(name[1]), "size": 1, **fields})

    def marks(self, before: list[Entry], now: list[Entry]) -> str:
        return " ".join(f"{mark}{each.name[1:]}" for mark, each in watch.compared(before, now))

    def test_what_is_gone_stands_where_it_stood(self) -> None:
        a, b, c, d = map(self.entry, ("/a", "/b", "/c", "/d"))
        assert self.marks([a, b, c], [a, b, c]) == " a  b  c"
        assert self.marks([a, b, c], [b, d]) == "-a  b -c +d"
        assert self.marks([], [a]) == "+a"
        assert self.marks([a, b], []) == "-a -b"
        assert self.marks([a, b], [self.entry("/a", size=2), b]) == "~a  b"

    def test_a_name_given_again_is_another_object(self) -> None:
        assert self.marks([self.entry("/a")], [self.entry("/a", inode=1)]) in ("-a +a", "+a -a")
