"""Repair what students can do to a submission before nbgrader reads it."""

import os
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, upgrade
from nbgrader.api import Gradebook  # type: ignore[import-untyped]
from nbgrader.preprocessors import NbGraderPreprocessor  # type: ignore[import-untyped]

from core.command import CourseError
from grader.nbgrader_course.cells import SCHEMA
from grader.submissions.intake import FOLDER, MODULE

Answer = tuple[nbformat.NotebookNode, dict[str, Any]]
TIMESTAMP = "timestamp.txt"  # of nbgrader
LANGUAGE = {"name": "python", "file_extension": ".py", "mimetype": "text/x-python"}


def folder_of(
    preprocessor: Any, step: str, resources: dict[str, Any], everybody: bool = False
) -> Path:
    """The folder of the submission at hand in submitted/ or autograded/.

    Args:
        preprocessor: which nbgrader runs.
        step: "submitted", "autograded" or "source".
        resources: of nbgrader.
        everybody: the folder is the same for all students, as that of source/ is.
    """
    # nbconvert gives a preprocessor its exporter, and that its converter.
    courses = preprocessor.parent.parent.coursedir
    directory = getattr(courses, f"{step}_directory")
    own = resources["nbgrader"]
    student = "." if everybody else own["student"]
    return Path(courses.format_path(directory, student, own["assignment"]))


class DropFiles(NbGraderPreprocessor):
    """Remove what nbgrader copied, but for notebooks and the code of assignment/.

    Where a link leads is read with the instructor's rights, and comes back to the
    student with the feedback. A page or a picture with a script would run with those
    rights when somebody opens it in formgrader.
    """

    def preprocess(
        self, notebook: nbformat.NotebookNode, resources: dict[str, Any]
    ) -> Answer:
        """Drop the copies; stop where the notebook itself is a link.

        Raises:
            CourseError: it is; nbgrader then removes its copies and gives no grade.
        """
        submitted = folder_of(self, "submitted", resources)
        copies = folder_of(self, "autograded", resources)
        given = folder_of(self, "source", resources, everybody=True)
        if submitted.is_symlink() or submitted.parent.is_symlink():
            raise CourseError(f"{submitted}: is a link; have it handed in again")
        for path in submitted.rglob("*"):
            short = path.relative_to(submitted)
            is_there = os.path.lexists(copies / short)  # said for the first notebook
            if path.is_symlink():
                (copies / short).unlink(missing_ok=True)
                if path.suffix == ".ipynb":
                    raise CourseError(f"{path}: is a link; have it handed in again")
                if is_there:
                    self.log.warning("%s is a link: it was left out", path)
            elif path.is_file() and not (_is_kept(short) or (given / short).exists()):
                (copies / short).unlink(missing_ok=True)
                if is_there:
                    self.log.warning("%s is not needed: it was left out", path)
        return notebook, resources


def _is_kept(short: Path) -> bool:
    """Whether a file of a submission is read by anybody; `short` is its path there."""
    if short.parent == Path(FOLDER):
        return bool(MODULE.fullmatch(short.name))
    return short.parent == Path() and (
        short.suffix == ".ipynb" or short.name == TIMESTAMP
    )


class RestoreCells(NbGraderPreprocessor):
    """Put cells back that a student removed, and all metadata as it was released.

    nbgrader compares some of it, and stops at the rest; its own add_missing_cells fails
    where a read-only cell is missing too.
    """

    def preprocess(
        self, notebook: nbformat.NotebookNode, resources: dict[str, Any]
    ) -> Answer:
        """Append graded cells that are missing at the end."""
        notebook = upgrade(notebook)
        own = resources["nbgrader"]
        with Gradebook(own["db_url"]) as gradebook:
            stored = gradebook.find_notebook(own["notebook"], own["assignment"])
            marks, sources = _stored_marks(stored)
        for cell in notebook.cells:
            name = cell.metadata.get("nbgrader", {}).get("grade_id")
            # Whatever else stands there could reach the page of whoever reads it.
            cell.metadata.clear()
            if name in marks:
                cell.metadata["nbgrader"] = marks.pop(name)
        for name in [name for name in marks if marks[name]["grade"]]:
            self.log.warning("cell %s was missing; it is back", name)
            is_code = marks[name]["cell_type"] == "code"
            make = new_code_cell if is_code else new_markdown_cell
            cell = make(sources[name], metadata={"nbgrader": marks[name]})
            notebook.cells.append(cell)
        kernel = notebook.metadata.get("kernelspec")
        notebook.metadata.clear()
        notebook.metadata["language_info"] = LANGUAGE
        if kernel:
            notebook.metadata["kernelspec"] = kernel
        return notebook, resources


def _stored_marks(stored: Any) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """By name of the cell: nbgrader's metadata, and the source, as released."""
    points = {cell.name: cell.max_score for cell in stored.grade_cells}
    answers = {cell.name for cell in stored.solution_cells}
    marks = {}
    for cell in stored.source_cells:
        marks[cell.name] = {
            "cell_type": cell.cell_type,
            "checksum": cell.checksum,
            "grade": cell.name in points,
            "grade_id": cell.name,
            "locked": cell.locked,
            "schema_version": SCHEMA,
            "solution": cell.name in answers,
            "task": False,
        }
        if cell.name in points:
            marks[cell.name]["points"] = points[cell.name]
    return marks, {cell.name: cell.source for cell in stored.source_cells}
