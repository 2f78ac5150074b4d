"""Give a notebook of the course the form in which nbgrader wants it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import nbformat

from core.command import CourseError
from core.course import ID

PREFIX = "exercise-"  # grade_id of the cell of exercise 4.1: "exercise-4-1"
CHECK = re.compile(rf'^check\("({ID})"\)', re.MULTILINE)
SCHEMA = 3  # of nbgrader's metadata
# nbgrader wants notebooks at the top of an assignment, not in notebooks/.
LINKS = (("](../", "]("), ("](images/", "](notebooks/images/"))
MAP_LINK = ("](README.md)", "](notebooks/README.md)")
README_LINKS = re.compile(r"\]\(notebooks/(\w+\.ipynb)\)")
MAP_LINKS = re.compile(r"\]\((\w+\.ipynb)\)")


@dataclass(frozen=True)
class Prepared:
    """A notebook for source/.

    Attributes:
        text: the .ipynb file.
        exercises: numbers of those that have a graded cell in it, in their order.
    """

    text: str
    exercises: tuple[str, ...]


def grade_id(exercise: str) -> str:
    """The name of the graded cell of an exercise.

    Example:
        >>> grade_id("4.1")
        'exercise-4-1'
    """
    return PREFIX + exercise.replace(".", "-")


def exercise_of(name: str) -> str | None:
    """The exercise of a graded cell; None if the name is of another cell.

    Example:
        >>> exercise_of("exercise-4-1"), exercise_of("q4-1")
        ('4.1', None)
    """
    number = name.removeprefix(PREFIX).replace("-", ".")
    fits = name.startswith(PREFIX) and re.fullmatch(ID, number)
    return number if fits else None


def prepare_notebook(text: str, where: str, points: Mapping[str, float]) -> Prepared:
    """Points of the manifest, a graded cell for each exercise, read-only cells.

    Args:
        text: the .ipynb file, with solutions; `nbgrader generate_assignment` cuts them.
        where: its name, for messages.
        points: exercise -> the most that its tests give.

    Raises:
        CourseError: a check or a graded cell is of no exercise of the manifest.
    """
    notebook = nbformat.reads(text, as_version=4)
    named = {_marks(cell).get("grade_id") for cell in notebook.cells}
    cells = []
    for cell in notebook.cells:
        cells.append(cell)
        for number in CHECK.findall(cell.source) if cell.cell_type == "code" else ():
            if grade_id(number) not in named:
                cells.append(_graded_cell(number))
    notebook.cells = cells
    exercises: list[str] = []
    for cell in cells:
        if cell.cell_type == "markdown":
            cell.source = _move_links(cell.source)
        marks = _marks(cell)
        if cell.cell_type == "code" and marks.get("grade") and not marks["solution"]:
            number = exercise_of(marks["grade_id"])
            if number is None or number not in points:
                raise CourseError(
                    f"{where}: the graded cell {marks['grade_id']} is of no exercise "
                    "in grader_tests/manifest; rename or remove it"
                )
            marks["points"] = points[number]
            exercises.append(number)
    _lock(cells)
    return Prepared(nbformat.writes(notebook) + "\n", tuple(exercises))


def move_map_links(text: str) -> str:
    """The map of exercises stays in notebooks/, its notebooks are one folder up."""
    return MAP_LINKS.sub(r"](../\1)", text)


def move_readme_links(text: str) -> str:
    """The students' README is beside the notebooks.

    Example:
        >>> move_readme_links("[begin](notebooks/00_start.ipynb)")
        '[begin](00_start.ipynb)'
    """
    return README_LINKS.sub(r"](\1)", text)


def _marks(cell: nbformat.NotebookNode) -> dict:
    marks: dict = cell.metadata.get("nbgrader", {})
    return marks


def _graded_cell(number: str) -> nbformat.NotebookNode:
    name = grade_id(number)
    source = f"# The points of exercise {number} come from your file in assignment/."
    cell = nbformat.v4.new_code_cell(source, id=name)
    cell.metadata["nbgrader"] = _new_marks(name, "code", grade=True) | {"points": 0}
    return cell


def _new_marks(name: str, cell_type: str, grade: bool) -> dict:
    return {
        "cell_type": cell_type,
        "grade": grade,
        "grade_id": name,
        "locked": True,
        "schema_version": SCHEMA,
        "solution": False,
        "task": False,
    }


def _lock(cells: list[nbformat.NotebookNode]) -> None:
    """Make the bootstrap, and what is above a written answer, read-only."""
    bootstrap = next((cell for cell in cells if cell.cell_type == "code"), None)
    for cell, following in zip(cells, [*cells[1:], None], strict=True):
        is_question = following is not None and _marks(following).get("solution")
        if "nbgrader" not in cell.metadata and (cell is bootstrap or is_question):
            marks = _new_marks(f"given-{cell.id}", cell.cell_type, grade=False)
            cell.metadata["nbgrader"] = marks


def _move_links(source: str) -> str:
    for old, new in (*LINKS, MAP_LINK):
        source = source.replace(old, new)
    return source
