"""Prints a word, once, and forks. Twin: stutter.c."""

import os
import sys
from collections.abc import Iterator


def stutter(care: str) -> Iterator[str]:
    print("once", end=" ")
    if care == "fflush":
        sys.stdout.flush()
    child = os.fork()
    if child == 0:
        if care == "_exit":
            os._exit(0)
        return  # and so to exit(3), which writes what is left to be written
    os.waitpid(child, 0)
    yield "wait"
