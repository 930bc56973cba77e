"""Which lesson is meant by a number, a word or a path: what ``shmlab lab`` opens."""

from pathlib import Path

from shmlab import course


def choose(wanted: str | None) -> Path:
    """Return the lesson that *wanted* means: its number, a word of its name, or a path; by default the first.

    A number means the lesson, not a student's copy of it, whose name is longer (``…-Copy1.ipynb``).
    Raises SystemExit, with what there is, when it means none or more than one.
    """
    if wanted is not None and wanted.endswith(".ipynb") and Path(wanted).is_file():
        return Path(wanted).resolve()
    there = course.paths()
    if not there:
        raise SystemExit(
            f"shmlab: no lessons in {course.folder()}: they come with the repository, not with the package; "
            "clone it and run make lab, or name a notebook: shmlab lab FILE.ipynb"
        )
    if wanted is None:
        return min(there, key=lambda path: (path.name[:2], len(path.name)))
    if wanted.isdecimal():
        copies = [each for each in there if int(each.name[:2]) == int(wanted)]
        meant = sorted(copies, key=lambda path: len(path.name))[:1]
    else:
        word = wanted.lower().removesuffix(".ipynb").replace(" ", "-").replace("_", "-")
        meant = [each for each in there if word in each.stem.lower().replace("_", "-")]
    if len(meant) != 1:
        listed = "".join(f"\n  {each.stem}" for each in meant or there)
        many = f"{wanted!r} could be any of" if meant else f"there is no lesson {wanted!r}; there are"
        raise SystemExit(f"shmlab: {many}{listed}")
    return meant[0]


def root_of(lesson: Path) -> Path:
    """Return the folder that JupyterLab shows: the checkout, so that a lesson can link to its sources."""
    return course.folder().parent if lesson.parent == course.folder() else lesson.parent
