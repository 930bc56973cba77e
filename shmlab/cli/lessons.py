"""Which lesson is meant by a number, a word or a path: what ``shmlab lab`` opens."""

from pathlib import Path

from shmlab import course


def choose(wanted: str | None) -> Path:
    """Return the lesson that *wanted* means: its number, a word of its name, or a path; by default the first.

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
        return there[0]
    if wanted.isdecimal():
        meant = [each for each in there if int(each.name[:2]) == int(wanted)]
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
