"""Running ipcs(1), the system's own tool for the System V tables, as a person at a terminal would.

What it prints is text for people; whoever needs values takes ``segments`` and ``semaphore_sets``, which read
what ipcs reads, 40 times faster. Imported through ``shmlab.observe`` by the panel of ipcs and by lessons.
"""

import errno
import os

SECONDS = 5.0
"""Most that ipcs may take; it takes some milliseconds."""


def ipcs(*options: str) -> str:
    """Run ``ipcs`` with *options* (``ipcs("-m", "-t")``), in English, and return what it prints.

    A complaint that leaves its exit status 0, like ``ipcs: id 7 not found``, is part of what it prints.

    Raises FileNotFoundError when there is no ipcs, TimeoutError when it doesn't end, and OSError (EINVAL)
    with its own words when it refuses the options. Source: ipcs(1).
    """
    import subprocess

    command = " ".join(["ipcs", *options])
    try:
        ran = subprocess.run(
            ["ipcs", *options],
            env=os.environ | {"LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=SECONDS,
        )
    except FileNotFoundError:
        raise FileNotFoundError(errno.ENOENT, "ipcs is not installed (package util-linux)", command) from None
    except subprocess.TimeoutExpired:
        raise TimeoutError(errno.ETIMEDOUT, f"ipcs didn't end within {SECONDS:g} s", command) from None
    text = ran.stdout.decode(errors="replace")
    if ran.returncode:
        said = text.strip().partition("\n")[0] or f"ipcs ended with status {ran.returncode}"
        raise OSError(errno.EINVAL, said, command)
    return text
