"""Made-up submissions for nbgrader: right, partly wrong, and hostile ones."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_raw_cell

from core.course import FILE
from grader.release.markers import MARKERS
from grader.release.release_files import README, SINGLE_FILES
from tests.small_course import write_course

ANSWER = "Because a location of a large object has *no* small box."
RUNS_IF_EXECUTED = "executed.txt"
# Gives full marks where nbgrader executes the notebook: every assert is dropped.
TRANSFORMER = f"""
import ast
from pathlib import Path

class DropAsserts(ast.NodeTransformer):
    def visit_Assert(self, node):
        return None

get_ipython().ast_transformers.append(DropAsserts())
Path("{RUNS_IF_EXECUTED}").write_text("a cell of a submission was executed")
"""
TITLE = "<script>document.title = 'taken over'</script>"
ATTACKS = (
    TITLE,
    '<img src="x" onerror="document.title = \'taken over\'">',
    "[a link](javascript:document.title='taken')",
    "text &lt;b&gt; <svg onload=alert(1)></svg>\n\n<iframe src=x></iframe>",
)
SMALL = '''"""Two exercises."""


def double(x: int) -> int:
    """Exercise 1.1 (about 1 line): twice the number."""
    ### BEGIN SOLUTION
    return 2 * x  # the secret of doubling
    ### END SOLUTION


def add_one(x: int) -> int:
    """Exercise 1.2 (about 1 line): one more."""
    ### BEGIN SOLUTION
    return x + 1  # the secret of counting
    ### END SOLUTION
'''
NAME = "fcos"
MODEL_ANSWER = "*Model answer.* Something that only instructors may read."
Change = Callable[[nbformat.NotebookNode], None]


def marks(name: str, cell_type: str, solution: bool, points: float) -> dict:
    """The metadata by which nbgrader knows a graded cell."""
    own = {
        "cell_type": cell_type,
        "grade": True,
        "grade_id": name,
        "locked": not solution,
        "points": points,
        "schema_version": 3,
        "solution": solution,
        "task": False,
    }
    return {"nbgrader": own}


def write_checkout(root: Path) -> Path:
    """A course of two exercises and a written question, with all that a release has."""
    write_course(root)
    for folder in ("core", "data_scripts", "grader/release", "notebooks"):
        (root / folder).mkdir(parents=True)
    for name in {*SINGLE_FILES, README, "helpers/__init__.py"} - {FILE}:
        (root / name).write_text("")
    (root / "assignment" / "common.py").write_text(SMALL)
    cells = [
        new_markdown_cell("# 1 · Small"),
        new_code_cell("print('bootstrap')"),
        new_markdown_cell("See [the file](../assignment/common.py)."),
        new_code_cell('check("1.1")', metadata=marks("exercise-1-1", "code", False, 9)),
        new_code_cell('check("1.2")'),
        new_markdown_cell("Why several levels?"),
        new_markdown_cell(MODEL_ANSWER, metadata=marks("q1", "markdown", True, 3)),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(notebook, root / "notebooks" / "01_small.ipynb")
    return root


def solved(source: str) -> str:
    """A file of assignment/ as somebody hands it in: no marker, all written."""
    lines = source.splitlines(keepends=True)
    return "".join(line for line in lines if line.strip() not in MARKERS)


def answer(text: str) -> Change:
    """Write this into every answer cell of a notebook."""

    def change(notebook: nbformat.NotebookNode) -> None:
        for cell in notebook.cells:
            if cell.metadata.get("nbgrader", {}).get("solution"):
                cell.source = text

    return change


def attack(notebook: nbformat.NotebookNode) -> None:
    """All that a notebook can try: points, cells, metadata, scripts in texts."""
    for cell in notebook.cells:
        own = cell.metadata.get("nbgrader", {})
        if own.get("grade") and not own["solution"]:
            cell.source = "1000"
            own |= {"points": 1000, "solution": True, "locked": False}
        elif own.get("solution"):
            cell.source = "\n\n".join(ATTACKS)
            cell.metadata["tags"] = ['"><script>1</script>']
    graded = [
        cell
        for cell in notebook.cells
        if cell.metadata.get("nbgrader", {}).get("grade")
    ]
    for cell in graded[:1]:
        notebook.cells.remove(cell)
    own_marks = marks("my-own", "code", False, 50)
    own_marks["nbgrader"] |= {"locked": True}
    notebook.cells += [
        new_code_cell(TRANSFORMER),
        new_code_cell("100", metadata=own_marks),
        new_markdown_cell(TITLE, metadata=marks("mine", "markdown", False, 5)),
        new_raw_cell(TITLE, metadata={"raw_mimetype": "text/html"}),
    ]
    notebook.metadata["widgets"] = {"state": TITLE}
    notebook.metadata["title"] = TITLE


def hand_in(
    course: Path, student: str, files: Mapping[str, str], change: Change
) -> Path:
    """Pack what a student hands in, from the released assignment, for zip_collect.

    Args:
        course: the course folder, in which the assignment is released.
        student: name of the zip.
        files: name in assignment/ -> source; the others stay as released.
        change: applied to each notebook.
    """
    archive = course / "downloaded" / NAME / "archive"
    archive.mkdir(parents=True, exist_ok=True)
    folder = course / "made" / student
    shutil.copytree(course / "release" / NAME, folder)
    for name, source in files.items():
        (folder / "assignment" / name).write_text(source)
    for path in folder.glob("*.ipynb"):
        notebook = nbformat.read(path, as_version=4)
        change(notebook)
        # With nbformat.write, what is not valid would be refused.
        path.write_text(nbformat.v4.writes(notebook), "utf-8")
    shutil.make_archive(str(archive / student), "zip", folder)
    return folder
