"""The student release of notebooks: cells cleared, solutions nowhere."""

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from core.command import CourseError
from grader.release.build import make_release
from tests.adder_course import SECRET, make_course, save_notebook

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small course outside of git."""
    return make_course(tmp_path / "course")


def test_notebook_is_cleared(tree: Path):
    """Solutions become a stub, hidden tests vanish, the rest stays."""
    save_notebook(
        tree,
        new_markdown_cell("### Data\n\nText."),
        new_code_cell(
            "%matplotlib inline\n### BEGIN SOLUTION\nsolved = [3, 1, 4, 1, 5]\n"
            "### END SOLUTION\nshow = 1"
        ),
        new_code_cell(
            "assert solved\n### BEGIN HIDDEN TESTS\nassert solved[0] == 3, 'pi'\n"
            "### END HIDDEN TESTS"
        ),
    )
    text = make_release(tree).files["notebooks/one.ipynb"].decode()
    sources = [cell.source for cell in nbformat.reads(text, as_version=4).cells]
    assert sources[0] == "### Data\n\nText."
    assert sources[1].startswith("%matplotlib inline\nraise NotImplementedError(")
    assert sources[1].endswith("show = 1")
    assert sources[2] == "assert solved"


LEAKS: dict[str, dict[str, Any]] = {
    "source": {"source": f"x = 1\n{SECRET}"},
    "output": {"outputs": [new_output("stream", text=f"a\n{SECRET}\n")]},
    "html output": {
        "source": "### BEGIN SOLUTION\nsmaller = 3 < 4 and 5 > 2\n### END SOLUTION",
        "outputs": [
            new_output(
                "display_data", {"text/html": "<b>smaller = 3 &lt; 4 and 5 &gt; 2</b>"}
            )
        ],
    },
    "with quotes, which the file escapes": {
        "source": "### BEGIN SOLUTION\nword = 'a' + \"very secret\"\n### END SOLUTION",
        "outputs": [new_output("stream", text="word = 'a' + \"very secret\"")],
    },
    "cell metadata": {"metadata": {"note": SECRET}},
    "own solution in outputs": {
        "source": "### BEGIN SOLUTION\nvery_secret = [3, 1, 4]\n### END SOLUTION",
        "outputs": [new_output("stream", text="very_secret = [3, 1, 4]")],
    },
    "hidden test in outputs": {
        "source": "### BEGIN HIDDEN TESTS\nassert f(3, 1, 4) == 15\n"
        "### END HIDDEN TESTS",
        "outputs": [new_output("stream", text="assert f(3, 1, 4) == 15")],
    },
}


@pytest.mark.parametrize("case", LEAKS)
def test_release_refuses_notebook_that_shows_a_solution(tree: Path, case: str):
    """Sources, outputs and metadata of a notebook are all searched."""
    save_notebook(tree, new_code_cell(**LEAKS[case]))
    with pytest.raises(
        CourseError, match=r"^notebooks/one.ipynb.* shows the secret line"
    ):
        make_release(tree)


def test_release_refuses_solution_in_metadata_of_the_notebook(tree: Path):
    """Also the metadata of the whole file, down to its keys."""
    save_notebook(tree, new_code_cell("x = 1"), course={SECRET: [1, {"a": "b"}]})
    with pytest.raises(CourseError, match=r"one.ipynb.* shows the secret line"):
        make_release(tree)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("### BEGIN SOLUTION\nx = 1", "cell 1, line:1: .* has no '### END"),
        ("x = 1\n### END SOLUTION", "cell 1, line:2: .* has no '### BEGIN"),
        ("x = 1\n## BEGIN SOLUTION", "cell 1, line:2: .* looks like a marker"),
        ("x = 1\n### BEGIN HIDDEN TEST", "cell 1, line:2: .* looks like a marker"),
    ],
)
def test_release_refuses_wrong_markers_of_a_notebook(tree: Path, source, message):
    """By itself nbgrader would let some of these pass, and hand out the solution."""
    save_notebook(tree, new_code_cell(source))
    with pytest.raises(CourseError, match=rf"^notebooks/one.ipynb: {message}"):
        make_release(tree)


def test_release_refuses_broken_notebook(tree: Path):
    """A file that is no notebook is named."""
    (tree / "notebooks" / "one.ipynb").write_text("{}")
    with pytest.raises(CourseError, match=r"^notebooks/one.ipynb: is no notebook"):
        make_release(tree)
