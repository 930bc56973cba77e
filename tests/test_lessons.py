"""What holds for every lesson in notebooks/, whatever it teaches: its shape, its words, its stored output.

That a lesson *runs* is nbval's to show (``make lessons``).
"""

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

from shmlab import questions

FOLDER = Path(__file__).parent.parent / "notebooks"
LESSONS = sorted(FOLDER.glob("[0-9][0-9]-*.ipynb"))

LIMIT = 300_000
CELLS = range(25, 46)
LINES, LISTING = 6, 25
START = "00"
"""Shows how a lesson works, and needs one of each for it."""
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
KINDS = {"predict": questions.questions(), "exercise": questions.exercises()}

NEVER_SAID = (
    r"shared memory files?\b",
    r"\block(s|ed|ing)? (a|the|this|that) semaphore",
    r"\bsemaphore locks?\b",
    r"\bfree(s|d|ing)? (a|an|the|this|that|its) (object|name|segment|memory)",
    r"\bdelet(e|es|ed|ing) (a|an|the|this|that|its) (object|name|segment)",
)
"""Against DESIGN.md's Words: an object is no file, a semaphore no lock, and unlink frees nothing."""

HOST_PATH = re.compile(r"(?<![\w.])/(?:home|root|Users|work|tmp|opt|usr|var|mnt|srv)/\w")

Cell = dict[str, Any]


def source(cell: Cell) -> str:
    return "".join(cell["source"])


def cells_of(lesson: Path, kind: str | None = None) -> list[Cell]:
    cells: list[Cell] = json.loads(lesson.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if kind in (None, cell["cell_type"])]


def lines_of(cell: Cell) -> list[str]:
    """The lines that aren't blank. What is said to nbval is said by tags: a reader has no use for it."""
    assert "NBVAL" not in source(cell), cell["id"]
    return [line for line in source(cell).splitlines() if line.strip()]


def number(lesson: Path) -> str:
    return lesson.name[:2]


def asked(lesson: Path, kind: str) -> list[str]:
    """The ids that the lesson hands to ``check.predict`` or ``check.exercise``, in order."""
    calls = [
        node
        for cell in cells_of(lesson, "code")
        for node in ast.walk(ast.parse(source(cell)))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == kind
    ]
    return [argument.value for call in calls if isinstance(argument := call.args[0], ast.Constant)]


def outputs(lesson: Path) -> list[tuple[str, dict[str, Any]]]:
    return [(cell["id"], output) for cell in cells_of(lesson, "code") for output in cell["outputs"]]


def texts(output: dict[str, Any]) -> str:
    """All that an output says in words."""
    data = {kind: said for kind, said in output.get("data", {}).items() if kind.startswith("text/")}
    return "".join("".join(said) for said in [output.get("text", ""), *data.values()])


def test_there_is_a_lesson() -> None:
    assert LESSONS


def test_what_is_asked_belongs_to_a_lesson() -> None:
    numbers = {number(lesson) for lesson in LESSONS}
    assert {id_[:2] for kind in KINDS.values() for id_ in kind} <= numbers


@pytest.fixture(params=LESSONS, ids=lambda path: path.stem)
def lesson(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_one_question_in_its_title(lesson: Path) -> None:
    first, *_, last = cells_of(lesson)
    assert re.match(rf"# {number(lesson)} · .+\n\n\*\*The question: .+\?\*\*", source(first))
    assert "minutes" in source(first)
    assert source(last).startswith("## Summary")
    assert re.search(r"`\w+\(\d\)`", source(last)), "no man page"


def test_its_size(lesson: Path) -> None:
    assert lesson.stat().st_size < LIMIT
    assert len(cells_of(lesson)) in (CELLS if number(lesson) != START else range(15, 46))


def test_cells_are_short(lesson: Path) -> None:
    for cell in cells_of(lesson, "code"):
        lines = lines_of(cell)
        if all(re.match(r"(import |from |_ = cleanup\(\)|    |\))", line) for line in lines):
            continue
        most = LISTING if any(line.startswith("def ") for line in lines) else LINES
        assert len(lines) <= most, f"{cell['id']} has {len(lines)} lines"


def test_no_star_imports_no_installs_no_sleeping(lesson: Path) -> None:
    for cell in cells_of(lesson, "code"):
        said = source(cell)
        assert not re.search(r"import \*|^\s*[%!]|\bpip\b|\bsleep\(", said, re.MULTILINE), cell["id"]


def test_every_cell_ran_in_order_and_none_failed(lesson: Path) -> None:
    code = cells_of(lesson, "code")
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    for id_, output in outputs(lesson):
        assert output["output_type"] != "error", id_
        assert output.get("name") != "stderr", f"{id_} says {texts(output)}"


def test_some_output_is_compared(lesson: Path) -> None:
    compared = [
        cell for cell in cells_of(lesson, "code") if "nbval-check-output" in cell["metadata"].get("tags", [])
    ]
    assert len(compared) >= 3
    assert all(cell["outputs"] for cell in compared)
    assert sum("assert " in source(cell) for cell in cells_of(lesson, "code")) >= 5


def test_stored_output_shows_without_a_kernel(lesson: Path) -> None:
    for id_, output in outputs(lesson):
        data = output.get("data", {})
        assert WIDGET_VIEW not in data, f"{id_} stores a widget's view, which shows nothing"
        assert not re.search(r"<[\w.]+ (object|at) ", texts(output)), f"{id_} says {texts(output)}"


def test_every_picture_has_its_sentence(lesson: Path) -> None:
    for id_, output in outputs(lesson):
        if "image/png" in output.get("data", {}):
            sentence = "".join(output["data"].get("text/plain", ""))
            assert len(sentence.split()) >= 5, f"{id_} says {sentence!r}"
            assert "<Figure" not in sentence


def test_stored_output_names_no_place_on_this_machine(lesson: Path) -> None:
    for id_, output in outputs(lesson):
        assert not HOST_PATH.search(texts(output)), f"{id_} says {texts(output)}"


@pytest.mark.parametrize("kind", KINDS)
def test_it_asks_what_the_package_knows_and_all_of_it(lesson: Path, kind: str) -> None:
    ids = asked(lesson, kind)
    assert set(ids) == {id_ for id_ in KINDS[kind] if id_[:2] == number(lesson)}
    assert len(set(ids)) >= (3 if number(lesson) != START else 1)


def test_predictions_do_not_stand_beside_their_answers(lesson: Path) -> None:
    stored = "\n".join(texts(output) for _, output in outputs(lesson))
    for id_ in asked(lesson, "predict"):
        for option in questions.question(id_).options:
            assert option.text in stored
            assert option.reply not in stored


def test_what_a_prediction_asks_for_is_folded_in_until_the_cell_is_run(lesson: Path) -> None:
    code = cells_of(lesson, "code")
    predicts = ["check.predict(" in source(cell) for cell in code]
    answers = [
        cell for before, now, cell in zip(predicts, predicts[1:], code[1:], strict=False) if before > now
    ]
    assert answers
    for cell in answers:
        assert cell["metadata"].get("jupyter", {}).get("outputs_hidden"), cell["id"]


def test_exercises_come_unsolved_with_a_folded_solution_that_ran(lesson: Path) -> None:
    code = cells_of(lesson, "code")
    for id_ in set(asked(lesson, "exercise")):
        own, solution = [cell for cell in code if f'check.exercise("{id_}"' in source(cell)]
        assert any("✗ Not yet" in texts(output) for output in own["outputs"]), id_
        assert solution["metadata"].get("jupyter", {}).get("source_hidden"), id_
        assert source(solution).startswith("# A solution\n"), "JupyterLab shows a folded cell's first line"
        assert "assert verdict.passed" in source(solution), id_


def test_its_last_cell_cleans_up(lesson: Path) -> None:
    last = source(cells_of(lesson, "code")[-1])
    assert "cleanup()" in last
    assert "assert not observe.objects(" in last


def test_links_lead_somewhere(lesson: Path) -> None:
    for cell in cells_of(lesson, "markdown"):
        for target in re.findall(r"\]\(([^)\s]+)\)", source(cell)):
            if not re.match(r"https?://|#|attachment:", target):
                assert (FOLDER / target.partition("#")[0]).exists(), f"{cell['id']} links to {target}"


def test_it_speaks_the_fields_words(lesson: Path) -> None:
    said = [source(cell) for cell in cells_of(lesson)]
    said += [option for id_ in asked(lesson, "predict") for option in words_of(questions.question(id_))]
    for text in said:
        for never in NEVER_SAID:
            assert not re.search(never, text, re.IGNORECASE), f"{never} in {text!r}"


def words_of(question: questions.Question) -> list[str]:
    return [question.text, *(part for option in question.options for part in (option.text, option.reply))]
