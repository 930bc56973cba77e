"""What came, changed and went between two looks at a list: ``shmlab ls --watch`` and the ipcs panel mark it.

Things are compared by their ``identity``: the same one with other contents has changed. Imported by the
command line and by :mod:`shmlab.figures`.
"""

from collections.abc import Hashable, Sequence
from typing import Protocol, TypeVar

NEW, CHANGED, GONE, SAME = "+", "~", "-", " "

LEGEND = f"{NEW} new  {CHANGED} changed  {GONE} gone"


class Identified(Protocol):
    """What can be compared: *identity* says which one it is, ``==`` whether it's as it was."""

    @property
    def identity(self) -> Hashable: ...


Thing = TypeVar("Thing", bound=Identified)


def compared(before: Sequence[Thing], now: Sequence[Thing]) -> list[tuple[str, Thing]]:
    """Return the things of *now*, marked, and those that are gone, each where it stood."""
    old = {each.identity: each for each in before}
    new = {each.identity for each in now}
    after: dict[Hashable, list[tuple[str, Thing]]] = {}
    neighbour: Hashable = None
    for each in before:
        if each.identity in new:
            neighbour = each.identity
        else:
            after.setdefault(neighbour, []).append((GONE, each))
    rows = after.get(None, [])
    for each in now:
        mark = NEW if each.identity not in old else SAME if old[each.identity] == each else CHANGED
        rows += [(mark, each), *after.get(each.identity, [])]
    return rows
