"""A small course of one exercise, which the tests of the release work on."""

from pathlib import Path

import nbformat
from nbformat.v4 import new_notebook

from grader.release.release_files import README

SECRET = "answer = sum(value * value for value in values)"
SOURCE = f'''"""A course of one exercise."""


def hello() -> None:
    """Given."""


class Adder:
    """A class with an exercise."""

    def add(self, values: list[int]) -> int:
        """Exercise 1.1 (about 2 lines): the sum of squares.

        It is said in words.
        """
        ### BEGIN SOLUTION
        # A comment of the solution tells, too.
        {SECRET}
        return answer
        ### END SOLUTION

    def given(self) -> int:
        """Also given."""
        return 1
'''
COURSE = """
default_parts = ["adding"]

[[part]]
name = "adding"
title = "Adding"

[[module]]
name = "common"
part = "adding"
visible = true

[[step]]
number = 1
part = "adding"
title = "Adding"
notebook = "one.ipynb"
minutes = 10
writes = "a sum"

[[exercise]]
id = "1.1"
function = "Adder.add"
file = "common.py"
title = "the sum of squares"
lines = 2
minutes = 5
"""


def make_course(root: Path) -> Path:
    """Write it outside of git, with its exercise in line 12; returns root."""
    for folder in ("assignment", "helpers", "notebooks", "core", "data_scripts"):
        (root / folder).mkdir(parents=True)
    (root / "assignment" / "common.py").write_text(SOURCE)
    (root / "helpers" / "given.py").write_text("VALUE = 1\n")
    (root / "course.toml").write_text(COURSE)
    for name in ("environment.yml", "requirements.txt", "LICENSE", "CHANGELOG.md"):
        (root / name).write_text(f"{name}\n")
    (root / README).parent.mkdir(parents=True)
    (root / README).write_text("# For students\n")
    return root


def save_notebook(root: Path, *cells: nbformat.NotebookNode, **metadata) -> None:
    notebook = new_notebook(cells=list(cells), metadata=metadata)
    nbformat.write(notebook, root / "notebooks" / "one.ipynb")
