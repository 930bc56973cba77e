"""``shmlab demo``: the classroom board, for the projector.

With Voilà installed (``pip install -e '.[demo]'``) the page holds the board and nothing else; without it, or
with ``--lab``, the same notebook is opened in JupyterLab, its one cell folded in. Either server is *become*,
as in :mod:`shmlab.cli.lab`: Ctrl-C ends it, and with it every process of the board.
"""

import os
import sys
from argparse import Namespace
from importlib.util import find_spec

from shmlab import course
from shmlab.cli import lab
from shmlab.cli.terminal import say


def run(options: Namespace) -> int:
    """Start Voilà, or JupyterLab, on the board. Doesn't return; raises SystemExit when it can't."""
    board = course.folder() / "classroom.ipynb"
    if not board.exists():
        raise SystemExit(f"shmlab: no {board}: the board comes with the repository, not with the package")
    if options.lab or find_spec("voila") is None:
        if not options.lab:
            say("note: no Voilà here (README says how to get it): it opens in JupyterLab, press Shift+Enter")
        options.lesson = str(board)
        lab.run(options)
    port = lab.free_port(options.ip, options.port)
    token = os.environ.get("JUPYTER_TOKEN") or lab.new_token()
    command = [
        *(sys.executable, "-P", "-m", "shmlab.cli.board", str(board)),
        *(f"--port={port}", f"--Voila.ip={options.ip}", "--Application.log_level=WARN"),
        # A browser that is killed says no farewell. Busy or not: with nobody at the page, it's nobody's.
        *("--MappingKernelManager.cull_idle_timeout=20", "--MappingKernelManager.cull_interval=5"),
        "--MappingKernelManager.cull_busy=True",
    ]
    if options.no_browser or not lab.has_browser():
        command.append("--no-browser")
    say(f"the board is at {lab.address(options.ip, port, None, token)}")
    say("It answers in a few seconds. Ctrl-C here stops it, with every process of the board.")
    sys.stdout.flush()
    os.execve(sys.executable, command, {**os.environ, "JUPYTER_TOKEN": token})
