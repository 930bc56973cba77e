"""Objects to look at, and a live view that is driven as a browser would drive it."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shmlab import names


def _until(condition: Callable[[], object], timeout: float = 5.0) -> None:
    """Wait until *condition* holds; fail after *timeout* seconds."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "it didn't happen"
        time.sleep(0.005)


@pytest.fixture
def until() -> Callable[..., None]:
    """Wait until a condition holds: ``until(lambda: frames)``."""
    return _until


def frame_threads() -> list[str]:
    """Return the names of the frame threads that run."""
    return [thread.name for thread in threading.enumerate() if thread.name == "shmlab-frames"]


class Thing:
    """A shared memory object, written through the file system as any process could."""

    def __init__(self, word: str) -> None:
        self.name = names.name(word)
        self.path = Path("/dev/shm" + self.name)

    def create(self, content: bytes = b"", size: int | None = None) -> "Thing":
        self.path.write_bytes(content)
        if size is not None:
            os.truncate(self.path, size)
        return self

    def write(self, content: bytes, offset: int = 0) -> None:
        with self.path.open("r+b", buffering=0) as file:
            file.seek(offset)
            file.write(content)

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


@pytest.fixture
def thing() -> Iterator[Callable[[str], Thing]]:
    """Name objects; those that exist at the end are removed."""
    made: list[Thing] = []

    def name(word: str) -> Thing:
        made.append(Thing(word))
        return made[-1]

    yield name
    for one in made:
        one.remove()


class Browser:
    """What a browser does with a view, without one: it keeps frames, and acknowledges them when told to."""

    def __init__(self, view: Any, answers: bool = True) -> None:
        self.view, self.answers = view, answers
        self.frames: list[dict[str, Any]] = []
        self.said: list[str] = []
        view.send = self._receive

    def _receive(self, content: dict[str, Any], buffers: list[bytes] | None = None) -> None:
        if "say" in content:
            self.said.append(content["say"])
            return
        self.frames.append(content | {"buffers": [bytes(part) for part in buffers or []]})
        if self.answers:
            self.says({"ack": content["frame"]})

    def says(self, content: dict[str, Any]) -> None:
        """Send a message as it arrives from the front end."""
        data = {"method": "custom", "content": content}
        self.view._handle_msg({"content": {"data": data}, "buffers": []})

    def opens(self) -> "Browser":
        self.says({"view": "one", "is": "seen"})
        return self

    @property
    def last(self) -> dict[str, Any]:
        return self.frames[-1]


@pytest.fixture
def browse() -> Iterator[Callable[..., Browser]]:
    """Attach a browser to a view; views are closed when the test ends."""
    opened: list[Browser] = []

    def attach(view: Any, answers: bool = True) -> Browser:
        opened.append(Browser(view, answers))
        return opened[-1]

    yield attach
    for browser in opened:
        browser.view.close()
    _until(lambda: not frame_threads())
