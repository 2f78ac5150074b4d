"""Each notebook is whole: one form, no outputs, all exercises, and no broken link."""

import re
from pathlib import Path

import nbformat
import pytest

from core.course import ID, read_registry
from grader.release.notebooks import TEXT_STUB, clear_notebook
from helpers.notebook import REPOSITORY
from tests.notebook_points import points_of_exercises, write_points

ROOT = Path(__file__).resolve().parent.parent
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = [path.name for path in PATHS]
MOST_CELLS = 58  # about 45 as a rule
MOST_LINES = 20  # of a code cell
BOOTSTRAP_LINES = 12
EACH = pytest.mark.parametrize("path", PATHS, ids=NAMES)


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


def sources(path: Path, cell_type: str) -> list[str]:
    return [cell.source for cell in read(path).cells if cell.cell_type == cell_type]


def graded(path: Path) -> dict[str, dict]:
    """grade_id -> nbgrader metadata of all cells that get points."""
    found = {}
    for cell in read(path).cells:
        marks = cell.metadata.get("nbgrader", {})
        if marks.get("grade"):
            assert marks["grade_id"] not in found, marks["grade_id"]
            found[marks["grade_id"]] = marks
    return found


def test_there_is_a_notebook_for_each_step():
    """Each once, and no other."""
    steps = read_registry(ROOT).steps.values()
    assert [
        step.notebook for step in sorted(steps, key=lambda step: step.number)
    ] == NAMES
    assert all(step.notebook.startswith(f"{step.number:02}_") for step in steps)


@EACH
def test_notebook_is_valid_and_has_no_outputs(path: Path):
    """What is committed is the source: format 4.5, ids of its cells, nothing run."""
    notebook = read(path)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not cell.outputs and cell.execution_count is None, cell.id


@EACH
def test_first_cell_has_title_badge_and_time(path: Path):
    """A reader sees what it is, how long it takes, and how to open it on Colab."""
    first = read(path).cells[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith(f"# {int(path.name[:2])} · ")
    github = REPOSITORY.removeprefix("https://github.com/")
    colab = "https://colab.research.google.com/github"
    assert f"({colab}/{github}/blob/main/notebooks/{path.name})" in first.source
    assert "**Time**" in first.source and "**You write**" in first.source


@EACH
def test_bootstrap_is_the_first_code_and_the_same_everywhere(path: Path):
    """One cell to run after a restart, at most eight lines."""
    cell = sources(path, "code")[0]
    assert cell == sources(PATHS[0], "code")[0]
    assert REPOSITORY in cell
    lines = [line for line in cell.splitlines() if line.strip()]
    assert len(lines) <= BOOTSTRAP_LINES


@EACH
def test_cells_are_short(path: Path):
    """A cell is read at a glance; a notebook is one sitting."""
    assert len(read(path).cells) <= MOST_CELLS
    for source in sources(path, "code")[1:]:
        assert len(source.splitlines()) <= MOST_LINES, source


@EACH
def test_reader_is_asked_to_predict(path: Path):
    """At least one guess, shown beside the truth."""
    guesses = [text for text in sources(path, "code") if "guess = ..." in text]
    assert guesses
    assert all(re.search(r"compare_(guess|stored)\(", guess) for guess in guesses)


def test_every_exercise_is_in_the_notebook_of_its_step():
    """Announced, opened, tried and checked, once, in order."""
    checked = []
    for path in PATHS:
        text = "\n".join(sources(path, "markdown"))
        code = sources(path, "code")
        for number in re.findall(rf'^check\("({ID})"\)', "\n".join(code), re.M):
            assert number.split(".")[0] == str(int(path.name[:2])), path.name
            assert f"### Exercise {number} · `" in text
            assert f'hint("{number}")' in text
            assert any(f'open_exercise("{number}")' in source for source in code)
            marks = graded(path)[f"exercise-{number.replace('.', '-')}"]
            assert marks["points"] > 0 and marks["locked"] and not marks["solution"]
            checked.append(number)
    assert checked == list(read_registry(ROOT).exercises)


def test_points_of_checks_are_those_of_the_manifest():
    """What a cell promises is what the hidden tests give."""
    points = points_of_exercises()
    for path in PATHS:
        for name, marks in graded(path).items():
            if name in points:
                hint = "run python -m tests.notebook_points"
                assert marks["points"] == points[name], f"{name}: {hint}"


def test_points_are_written_and_the_rest_is_left(tmp_path: Path):
    """Only the points of a check cell change."""
    copy = tmp_path / PATHS[1].name
    copy.write_bytes(PATHS[1].read_bytes())
    assert write_points(copy, {"exercise-1-1": 77.0}) == 1
    assert graded(copy)["exercise-1-1"]["points"] == 77
    assert sources(copy, "code") == sources(PATHS[1], "code")
    assert write_points(copy, {"exercise-1-1": 77.0}) == 0


def test_graded_cells_have_names_of_their_own():
    """No name twice in all notebooks, because they are one assignment."""
    names = [name for path in PATHS for name in graded(path)]
    assert len(set(names)) == len(names)


@EACH
def test_answers_to_questions_are_not_released(path: Path):
    """Model answers and rubrics are for instructors."""
    released, _ = clear_notebook(path.read_text("utf-8"), path.name)
    cells = {cell.id: cell for cell in nbformat.reads(released, as_version=4).cells}
    for cell in read(path).cells:
        marks = cell.metadata.get("nbgrader", {})
        if marks.get("grade") and marks.get("solution"):
            assert "*Rubric.*" in cell.source and "*Model answer.*" in cell.source
            assert cells[cell.id].source == TEXT_STUB
    assert "Rubric" not in released


@EACH
def test_links_lead_somewhere(path: Path):
    """Files that a notebook names are there; pictures come from here."""
    for source in sources(path, "markdown"):
        for target in re.findall(r"\]\(([^)\s]+)\)", source):
            if not target.startswith(("https://", "#")):
                assert (path.parent / target.split("#")[0]).exists(), target
        assert not re.search(r"!\[[^\]]*\]\(https?:|<img[^>]+https?:", source)


@EACH
def test_text_does_not_talk_down(path: Path):
    """What is simple for one reader is not for the next."""
    text = " ".join(sources(path, "markdown")).lower()
    for word in ("simply", "obviously", "trivial"):
        assert word not in text, word
