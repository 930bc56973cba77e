"""``shmlab clean``: remove what dead sessions of this user left; say what went, what stays, and why.

Of System V it sees what its own IPC namespace has: a container's own segments go with ``shmlab clean`` in it.
The finding and removing is :func:`shmlab.processes.sweep.clean`'s; here it is put into words.
"""

import os
from argparse import Namespace

from shmlab.cli.terminal import count, say, say_json
from shmlab.processes import sweep

REMOVED, WOULD, LEFT, FAILED = "removed", "would remove", "left", "could not remove"

KINDS = ("process", "object", "semaphore", "segment", "set")


def run(options: Namespace) -> int:
    """Clean, and report it. The exit status is 1 only when something could not be removed."""
    found = sweep.clean(os.getuid(), everything=options.everything, dry_run=options.dry_run)
    outcomes = [(outcome(each, options.dry_run), each) for each in found]
    if options.json:
        say_json(
            {
                "dry_run": options.dry_run,
                "found": [
                    {
                        "kind": each.kind,
                        "name": each.name,
                        "session": each.session,
                        "outcome": what,
                        "reason": each.reason,
                    }
                    for what, each in outcomes
                ],
            }
        )
    else:
        for line in report(outcomes, options.everything):
            say(line)
    return int(any(what == FAILED for what, _ in outcomes))


def outcome(each: sweep.Found, dry_run: bool) -> str:
    """Return what became of something found; a reason is given only for what was left on purpose."""
    if each.removed:
        return REMOVED
    if each.reason:
        return LEFT
    return WOULD if dry_run else FAILED


def report(outcomes: list[tuple[str, sweep.Found]], everything: bool) -> list[str]:
    """Return the lines to print: one a thing, then the sum."""
    lines = [
        f"{what} {each.kind} {each.name}" + (f": {each.reason}" if each.reason else "")
        for what, each in outcomes
    ]
    sums = []
    for what in (REMOVED, WOULD, LEFT, FAILED):
        kinds = [each.kind for outcome, each in outcomes if outcome == what]
        if kinds:
            parts = [count(kinds.count(kind), kind) for kind in KINDS if kind in kinds]
            sums.append(f"{what} {', '.join(parts)}")
    if not any(what in (REMOVED, WOULD, FAILED) for what, _ in outcomes):
        sums.insert(0, "nothing to remove")
    total = "; ".join(sums)
    if not everything and any(what == LEFT for what, _ in outcomes):
        total += " (--everything removes these, too)"
    return [*lines, total]
