"""Notebooks of a course in which an instructor has dropped or re-weighted exercises."""

import re
from collections.abc import Mapping

import nbformat

from core.course import ID, Registry

CALL = re.compile(rf'(check|open_exercise)\(\s*"({ID})"')


def fit_notebook(text: str, registry: Registry, points: Mapping[str, float]) -> str:
    """The same notebook for the course as it is.

    Args:
        text: the .ipynb file.
        registry: of the whole course; where an exercise is dropped, the cell that opens
            it says where its solution stands, and its check is left out.
        points: name of a graded cell -> what its tests give.
    """
    if not registry.dropped and not registry.points:
        return text
    notebook = nbformat.reads(text, as_version=4)
    cells = []
    for cell in notebook.cells:
        calls = CALL.findall(cell.source) if cell.cell_type == "code" else []
        dropped = [call for call in calls if call[1] in registry.dropped]
        marks = cell.metadata.get("nbgrader", {})
        if marks.get("grade_id") in points and marks.get("grade"):
            marks["points"] = points[marks["grade_id"]]
        if not dropped:
            cells.append(cell)
        elif dropped[0][0] == "open_exercise":
            exercise = registry.exercises[dropped[0][1]]
            file = f"assignment/{exercise.file}"
            given = nbformat.v4.new_markdown_cell(
                f"**Exercise {exercise.id} is given**: `{exercise.function}` stands, "
                f"with its solution, in [{file}](../{file}).",
                id=cell.id,
            )
            cells.append(given)
    notebook.cells = cells
    return nbformat.writes(notebook) + "\n"
