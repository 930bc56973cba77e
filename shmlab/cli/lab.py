"""``shmlab lab``: become JupyterLab, open on a lesson, with the address in one plain line.

Port, token and path are settled here, before the server starts, so that the address can be said without
searching the server's log for it. The process then *becomes* the server: the terminal's Ctrl-C, a closed
terminal and the exit status are the server's own.
"""

import errno
import os
import socket
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shmlab.cli.lessons import choose, root_of

PORTS = 50
"""How many ports are tried, as JupyterLab does."""

CONFIG = Path(__file__).parent / "jupyter"
"""JupyterLab's settings where the user has chosen none: it would ask, over the panels, whether it may fetch
news, and ask the world for a newer JupyterLab."""

WILDCARDS = ("", "*", "0.0.0.0", "::")


def run(options: Namespace) -> int:
    """Start JupyterLab on a lesson. Doesn't return; raises SystemExit when it can't be started."""
    from shmlab import observe
    from shmlab.cli import checks
    from shmlab.cli.terminal import say

    lesson = choose(options.lesson)
    root = root_of(lesson)
    found = list(checks.examine(observe.machine()))
    for each in checks.blockers(found):
        raise SystemExit(f"shmlab: {each.what}: {each.value}; {each.explanation()} ({each.remedy})")
    for note in checks.notes(found):
        say(note)
    port = free_port(options.ip, options.port)
    if port != options.port != 0:
        say(f"note: port {options.port} is in use, {port} is free")
    token = os.environ.get("JUPYTER_TOKEN") or new_token()
    command = [
        # -P: modules in the folder that the terminal happens to be in are none of the server's business.
        *(sys.executable, "-P", "-m", "jupyterlab", str(lesson)),
        *(f"--ServerApp.ip={options.ip}", f"--ServerApp.port={port}", "--ServerApp.port_retries=0"),
        *(f"--ServerApp.root_dir={root}", "--ServerApp.base_url=/", "--ServerApp.answer_yes=True"),
        "--Application.log_level=WARN",
    ]
    if os.geteuid() == 0:
        command.append("--allow-root")
    if options.no_browser or not has_browser():
        command.append("--no-browser")
    say(f"shmlab is at {address(options.ip, port, lesson.relative_to(root), token)}")
    say("It answers in a few seconds. Ctrl-C here stops it, with every process of the lab.")
    sys.stdout.flush()
    # In the environment and not on the command line, which every user of this machine may read.
    paths = [str(CONFIG), *filter(None, [os.environ.get("JUPYTER_CONFIG_PATH")])]
    settled = {"JUPYTER_TOKEN": token, "JUPYTER_CONFIG_PATH": os.pathsep.join(paths)}
    os.execve(sys.executable, command, {**os.environ, **settled})


def free_port(ip: str, first: int) -> int:
    """Return the first port from *first* on that can be listened on. Raises SystemExit when there's none."""
    host = None if ip in ("", "*") else ip
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise SystemExit(f"shmlab: {ip!r} is no address to listen on: {error.strerror}") from None
    # tornado listens on every address that a name stands for.
    places = [(family, where) for family, _, _, _, where in found]
    reason = ""
    for port in range(first, min(first + PORTS, 65536)):
        try:
            return _listen_once(places, port)
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                break
    raise SystemExit(f"shmlab: can't listen on {ip!r}, port {first} or above: {reason}")


def _listen_once(places: Sequence[tuple[int, tuple[Any, ...]]], port: int) -> int:
    """Listen on *port* (0: any) of every address, and stop again; return the port."""
    missing: OSError | None = None
    for family, where in places:
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                # Or the port of a lab that was just stopped would count as taken for a minute (TIME_WAIT).
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind((where[0], port, *where[2:]))
                probe.listen(1)
                port = probe.getsockname()[1]
        except OSError as error:
            # A machine without IPv6 may still say that localhost is ::1, too.
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT) or len(places) == 1:
                raise
            missing = error
    if not port:
        raise missing or OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
    return port


def address(ip: str, port: int, lesson: Path | None, token: str) -> str:
    """Return the address of a lesson for a browser, or of a page without one; a wildcard becomes this
    machine's name."""
    from urllib.parse import quote

    host = socket.gethostname() if ip in WILDCARDS else ip
    host = f"[{host}]" if ":" in host else host
    path = f"lab/tree/{quote(lesson.as_posix())}" if lesson is not None else ""
    return f"http://{host}:{port}/{path}?token={quote(token)}"


def has_browser() -> bool:
    """Whether there's a browser to open: not a text browser, which would fight over the terminal."""
    import webbrowser

    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return False
    return "BROWSER" in os.environ or type(browser) is not webbrowser.GenericBrowser


def new_token() -> str:
    """Return a token that nobody guesses."""
    from secrets import token_hex

    return token_hex(24)
