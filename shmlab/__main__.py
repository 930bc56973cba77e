"""The command line: ``shmlab lab · doctor · ls · clean``, and ``python -m shmlab`` alike.

Only what the words mean: the parser, and what every command shares (a closed pipe, an interrupt). What a
command does is in the module of its name in :mod:`shmlab.cli`, loaded when it is asked for, so that
``shmlab --help`` costs no more than starting Python. Nothing imports this module.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from shmlab import __version__

COMMANDS = {
    "lab": ("open JupyterLab on a lesson", "shmlab lab 01"),
    "demo": ("open the classroom board, for the projector", "shmlab demo"),
    "doctor": ("say what this machine has and lacks, for which lesson", "shmlab doctor"),
    "ls": ("list objects, semaphores, segments and sets: whose, how big, who uses them", "shmlab ls --all"),
    "clean": ("remove what dead sessions of the lab left", "shmlab clean --dry-run"),
    "progress": ("list the exercises that were passed on this machine", "shmlab progress --json"),
}


COLUMNS = """\
columns:
  allocated  memory that it takes now; size is how long it is
  value      of a semaphore, or the semaphores of a set
  changed    how long ago it was created or last changed: an object by ftruncate,
             write, or a first store into a page (not by those after it), a segment
             by IPC_SET, a set by IPC_SET, SETVAL or SETALL
  state      in use, or unused: no process has it; unknown: some processes can't
             be looked at. dest: goes with the last detach. locked: never swapped.
             unlinked: has lost its name. waiting: processes blocked on it
  session    of the lab, that it belongs to: alive, or orphan
  used by    processes that map it, attach it, or have it open; x2: twice;
             +3: and three more, which `shmlab ls --json` lists

"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status. Raises SystemExit for a wrong command line."""
    try:
        try:
            return _run(arguments)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # `shmlab ls | head -1` has what it wanted. Python's own last flush must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13
    except KeyboardInterrupt:
        return 128 + 2


def _run(arguments: Sequence[str] | None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        print(parser.format_help(), end="")
        return 0
    status: int = import_module(f"shmlab.cli.{options.command}").run(options)
    return status


def _parser() -> argparse.ArgumentParser:
    width = max(len(example) for _, example in COMMANDS.values())
    parser = argparse.ArgumentParser(
        prog="shmlab",
        description="A laboratory for shared memory: real calls, real processes, real bytes.",
        epilog="\n".join(
            ["examples:", *(f"  {example:{width}}   {what}" for what, example in COMMANDS.values())]
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"shmlab {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command")
    made = {}
    for name, (what, example) in COMMANDS.items():
        made[name] = commands.add_parser(
            name, help=what, description=f"{what[0].upper()}{what[1:]}.", epilog=f"example: {example}"
        )

    lab = made["lab"]
    lab.add_argument(
        "lesson", nargs="?", help="number, a word of the name, or a notebook's path; else the first"
    )
    made["demo"].add_argument("--lab", action="store_true", help="in JupyterLab, also where there is Voilà")
    for server in (lab, made["demo"]):
        server.add_argument("--no-browser", action="store_true", help="only print the address")
        server.add_argument(
            "--port", type=_port, default=8888, metavar="N", help="first port to try (8888); 0: any"
        )
        server.add_argument(
            "--ip", default="127.0.0.1", help="address to listen on (127.0.0.1); 0.0.0.0: all"
        )

    for name in ("doctor", "ls", "clean", "progress"):
        made[name].add_argument("--json", action="store_true", help="for programs to read")
    ls = made["ls"]
    ls.add_argument("-a", "--all", action="store_true", help="other users' as well")
    ls.add_argument(
        "--anonymous",
        action="store_true",
        help="memory without a name as well: anonymous, memory files, and unlinked objects still in use",
    )
    ls.add_argument(
        "--watch",
        nargs="?",
        type=_interval,
        const=1.0,
        metavar="SECONDS",
        help="look again every second, or so many, and mark what is new, changed or gone; with a pipe, "
        "print at each change; with --json, one document a line",
    )
    ls.formatter_class = argparse.RawDescriptionHelpFormatter
    ls.epilog = COLUMNS + (ls.epilog or "")
    made["progress"].add_argument("--forget", action="store_true", help="remove what is remembered")
    made["clean"].add_argument("--dry-run", action="store_true", help="only say what would be removed")
    made["clean"].add_argument(
        "--everything",
        action="store_true",
        help="also what living sessions of yours have, processes included",
    )
    return parser


def _interval(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is no interval: 0.1 to 86400 seconds")
    return seconds


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: 0 to 65535")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
