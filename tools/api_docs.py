"""Write the public API as web pages, from the docstrings: ``python tools/api_docs.py [FOLDER]``.

FOLDER is build/api if it isn't given. The pages are those of the packages that a lesson imports; what is
behind them is nobody else's (CONTRIBUTING.md, the layers).
"""

import sys
import warnings
from importlib import import_module
from pathlib import Path

import pdoc

PUBLIC = (
    "shmlab",  # with check, observe, posix and sysv, which it exports
    "shmlab.document",
    "shmlab.figures",
    "shmlab.panels",
    "shmlab.processes",
    "shmlab.programs",
    "shmlab.ring",
)


def bind_lazy_names() -> None:
    """Make attributes of the names that a package loads when first asked for: pdoc sees no others."""
    for package in (*PUBLIC, "shmlab.sysv"):
        module = import_module(package)
        for name in getattr(module, "__all__", ()):
            setattr(module, name, getattr(module, name))


def main(folder: Path) -> None:
    bind_lazy_names()
    warnings.simplefilter("error")  # what pdoc can't show is a defect of ours
    # An annotation in quotes whose name is imported for the type checker alone stays as it is written.
    warnings.filterwarnings("ignore", "Error parsing type annotation")
    pdoc.render.configure(docformat="restructuredtext", show_source=False, footer_text="shmlab, MIT licence")
    pdoc.pdoc(*PUBLIC, output_directory=folder)
    print(f"the public API: {folder}/shmlab.html")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "build/api"))
