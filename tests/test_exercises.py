"""Every exercise is whole: one region, its docstring, a place in every text."""

import ast
import re
import shutil

import nbformat
import pytest

from core.command import CourseError
from core.course import read_registry
from grader.release.stubs import definitions
from helpers.checks import hints
from helpers.checks.hints import read_hints
from helpers.checks.runner import read_checks
from tests import course_texts
from tests.course_texts import ROOT, texts

REGISTRY = read_registry(ROOT)
EXERCISES = tuple(REGISTRY.exercises.values())
FILES = tuple(sorted(path.name for path in (ROOT / "assignment").glob("*.py")))
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
EACH = pytest.mark.parametrize(
    "exercise", EXERCISES, ids=[exercise.id for exercise in EXERCISES]
)
READING = 10  # minutes that a notebook's text takes at least, beside its exercises
ROUND = 5  # minutes are said in steps of so many


def source_of(exercise) -> str:
    """The function of an exercise, with the comment that ends its region."""
    source = (ROOT / "assignment" / exercise.file).read_text()
    node = definitions(ast.parse(source))[exercise.function]
    # One line more: the end of the region is a comment.
    return "\n".join(source.splitlines()[node.lineno - 1 : (node.end_lineno or 0) + 1])


def test_numbers_are_without_gaps():
    """1.1, 2.1, 2.2, ...: none left out, and each step but the ends has some."""
    for number, step in REGISTRY.steps.items():
        own = [exercise.id for exercise in EXERCISES if exercise.step == number]
        assert own == [f"{number}.{i + 1}" for i in range(len(own))], number
        assert own or step.writes.startswith("nothing"), number


def test_regions_and_exercises_are_the_same_in_number():
    """No region outside of an exercise."""
    for file in FILES:
        source = (ROOT / "assignment" / file).read_text()
        here = [exercise for exercise in EXERCISES if exercise.file == file]
        assert source.count(BEGIN) == source.count(END) == len(here), file


@EACH
def test_solution_is_the_whole_body(exercise):
    """Behind the docstring comes the region; before it at most super() and a name."""
    source = source_of(exercise)
    assert source.count(BEGIN) == source.count(END) == 1
    assert source.rstrip().endswith(END)
    between = source.split('"""', 2)[2].split(BEGIN)[0]
    given = [line.strip() for line in between.splitlines() if line.strip()]
    allowed = {"super().__init__()", "self.num_classes = num_classes"}
    assert set(given) <= allowed
    assert not given or exercise.function.endswith("__init__")


@EACH
def test_lines_are_those_of_the_solution(exercise):
    """Counted without blank lines and comments; what is said of it is no guess."""
    region = source_of(exercise).split(BEGIN)[1].split(END)[0]
    lines = [line.strip() for line in region.splitlines()]
    count = sum(bool(line) and not line.startswith("#") for line in lines)
    assert exercise.lines == count


@EACH
def test_exercise_has_checks_and_a_hint(exercise):
    """Without them nobody could be told that it is done, or how to go on."""
    assert read_checks()[exercise.id], f"{exercise.id} has no visible check"
    assert exercise.id in read_hints(), f"{exercise.id} has no hint"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '["9.1"]\nread = "a"\nunseen = "b"\nnudge = "c"\nplan = "d"',
            "'code' is missing",
        ),
        ('["9.1"]\nread = "a"\nunseen = "b"\nnudge = 3', "9.1 must be a table"),
        ('["9.1"]\nraed = "a"', "9.1: 'raed' is unknown; it has read, unseen"),
        ('"9.1" = "a"', "9.1 must be a table, each value a text"),
        ('["9.1"', "cannot be read"),
    ],
)
def test_wrong_hint_is_one_sentence(tmp_path, monkeypatch, text, said):
    """An instructor who adds exercises writes these files by hand."""
    (tmp_path / "hints_9.toml").write_text(text)
    monkeypatch.setattr(hints, "FOLDER", tmp_path)
    with pytest.raises(CourseError, match=re.escape(said)) as caught:
        hints.read_hints.__wrapped__()
    assert "hints_9.toml" in str(caught.value)


@pytest.mark.parametrize("step", REGISTRY.steps.values(), ids=lambda step: step.title)
def test_minutes_of_the_exercises_fit_the_notebook(step):
    """They leave time to read."""
    own = [exercise.minutes for exercise in EXERCISES if exercise.step == step.number]
    assert sum(own) + READING <= step.minutes
    assert not any(minutes % ROUND for minutes in (step.minutes, *own))


def test_texts_say_what_course_toml_says():
    """Docstrings, boxes of notebooks, the map, the table in README.md, times."""
    for path, text in texts().items():
        name = path.relative_to(ROOT)
        message = f"{name}: run python -m tests.course_texts"
        assert path.read_text("utf-8") == text, message


@pytest.mark.parametrize(
    ("name", "old", "said"),
    [
        ("README.md", "| [5 Deltas", "README.md: has 0 places like '| [5 Deltas"),
        ("notebooks/05_deltas_and_centerness.ipynb", "**Time**", "like '**Time** 40"),
        ("assignment/common.py", "Exercise 1.1 (", "like 'Exercise 1.1 (about 8"),
        ("docs/self-study.md", "", "docs/self-study.md: cannot read it"),
    ],
)
def test_place_that_is_missing_is_one_sentence(tmp_path, monkeypatch, name, old, said):
    """Whoever adds an exercise by hand forgets one of these."""
    ignored = shutil.ignore_patterns("__pycache__", "images")
    for folder in ("assignment", "notebooks", "docs"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    for file in ("course.toml", "README.md"):
        shutil.copy(ROOT / file, tmp_path / file)
    monkeypatch.setattr(course_texts, "ROOT", tmp_path)
    assert len(texts()) > 1
    if old:
        text = (tmp_path / name).read_text("utf-8")
        (tmp_path / name).write_text(text.replace(old, "another"), "utf-8")
    else:
        (tmp_path / name).unlink()
    with pytest.raises(CourseError, match=re.escape(said)):
        texts()


@pytest.mark.parametrize("step", REGISTRY.steps.values(), ids=lambda step: step.title)
def test_first_cell_says_which_exercises_are_written(step):
    """As in "You write 4.1 in common.py, 4.2 to 4.5 in fcos_matching.py": all of it."""
    notebook = nbformat.read(ROOT / "notebooks" / step.notebook, as_version=4)
    text = " ".join(notebook.cells[0].source.split("**You write**")[1].split())
    said = set(re.findall(r"\d+\.\d+", text))
    for first, last in re.findall(r"(\d+\.\d+) to (\d+\.\d+)", text):
        ids = list(REGISTRY.exercises)
        said |= set(ids[ids.index(first) : ids.index(last) + 1])
    own = [exercise for exercise in EXERCISES if exercise.step == step.number]
    assert said == {exercise.id for exercise in own}
    files = set(re.findall(r"\(\.\./assignment/(\w+\.py)\)", text))
    assert files == {exercise.file for exercise in own}
