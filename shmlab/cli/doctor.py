"""``shmlab doctor``: what this machine has and lacks, for which lesson, and what brings it.

What is checked is in :mod:`shmlab.cli.checks`; here it is printed.
"""

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict
from textwrap import fill, wrap

from shmlab import __version__, observe
from shmlab.cli.checks import Check, blockers, examine
from shmlab.cli.terminal import HAVE, LACK, say, say_json, width


def run(options: Namespace) -> int:
    """Examine the machine and say what was found; the exit status is 1 if the lab can't run here."""
    machine = observe.machine()
    checks = list(examine(machine))
    ready = not blockers(checks)
    if options.json:
        say_json(
            {
                "shmlab": __version__,
                "ready": ready,
                "checks": [asdict(each) for each in checks],
                "machine": asdict(machine),
            }
        )
    else:
        say(f"shmlab {__version__} on {machine.kernel}, {machine.architecture}")
        say()
        limit = width(otherwise=100)
        for line in table(checks, limit):
            say(line)
        say()
        say(fill(verdict(checks), limit))
    return 0 if ready else 1


def verdict(checks: Sequence[Check]) -> str:
    """Return the sentence under the table."""
    if blocking := blockers(checks):
        return f"The lab can't run here: {', '.join(each.what for each in blocking)}."
    missing = [each.what for each in checks if not each.have]
    if not missing:
        return "Everything that the lab uses is here."
    return f"The lab runs here, without: {', '.join(missing)}."


def table(checks: Sequence[Check], limit: int) -> list[str]:
    """Return the lines to print, at most *limit* columns wide: a check's explanation, then its remedy."""
    label = max(len(each.what) for each in checks)
    value = min(max(len(each.value) for each in checks), 30)
    beside = 2 + label + 2 + value + 2
    room = limit - beside
    lines = []
    for each in checks:
        head = f"{HAVE if each.have else LACK} {each.what:{label}}  "
        explanation = [each.explanation(), *([f"to do: {each.remedy}"] if each.remedy else [])]
        if room < 30 or len(each.value) > value:
            lines.append(f"{head}{each.value}"[:limit])
            indent = 6 if room < 30 else beside
            lines += [
                " " * indent + line for part in explanation for line in wrap(part, max(20, limit - indent))
            ]
        else:
            parts = [line for part in explanation for line in wrap(part, room)]
            lines.append(f"{head}{each.value:{value}}  {parts[0]}")
            lines += [" " * beside + line for line in parts[1:]]
    return lines
