"""Voilà as ``shmlab demo`` starts it: ``python -m shmlab.cli.board``, its token in ``JUPYTER_TOKEN``.

Not on the command line, which every user of a machine may read. And a page that is closed ends its processes
at once: its farewell is a beacon, which can't carry the ``_xsrf`` token that the server wants of it, so Voilà
0.5 refuses it and keeps the kernel. Here it's enough that the page is the server's own.
"""

import os
import sys
from typing import Any

from tornado.web import HTTPError
from voila.app import main
from voila.shutdown_kernel_handler import VoilaShutdownKernelHandler


def check_origin_alone(farewell: Any) -> None:
    """Let the farewell of this server's own page pass. Raises 404 for another's, as the server does."""
    if not farewell.check_origin():
        raise HTTPError(404)


if __name__ == "__main__":
    VoilaShutdownKernelHandler.check_xsrf_cookie = check_origin_alone
    sys.argv.append("--token=" + os.environ["JUPYTER_TOKEN"])
    main()
