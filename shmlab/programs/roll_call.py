"""Forks a slow child and a quick one, and asks for them in every way that there is. Twin: roll_call.c."""

import os
from collections.abc import Iterator

from shmlab import posix


def roll_call(go: str) -> Iterator[str]:
    go_on = posix.sem_open(go, 0)
    slow = os.fork()
    if slow == 0:
        posix.sem_wait(go_on)
        os._exit(1)
    quick = os.fork()
    if quick == 0:
        os._exit(2)
    child, status = os.wait()
    who = {slow: "slow", quick: "quick"}[child]
    yield f"wait: {who}, {os.WEXITSTATUS(status)}"
    child, status = os.waitpid(slow, os.WNOHANG)
    yield f"WNOHANG: {child}, {status}"
    child, status = os.waitpid(slow, 0)
    who = {slow: "slow", quick: "quick"}[child]
    yield f"waitpid: {who}, {os.WEXITSTATUS(status)}"
    try:
        os.wait()
    except ChildProcessError as error:
        yield f"wait: {error.strerror}"
