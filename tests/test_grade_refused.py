"""Grading says no where a grade would be wrong, and why."""

import subprocess
import sys
from pathlib import Path

import pytest

from core.command import CourseError
from core.course import read_registry
from grader.grading.command import check_allowed
from grader.results.results import read_results
from tests.small_course import HALF, HIDDEN, grade_small, write_course, write_submission

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def root(tmp_path):
    return write_course(tmp_path / "course")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("def test_double_of_two", "def test_double_of_three"),
        ("def test_double_of_two", "def double_of_two"),
        ("from helpers", "import no_such_module\nfrom helpers"),
        (
            "def test_double",
            "import pytest\npytest.skip('', allow_module_level=True)\n",
        ),
        ("got =", "import pytest; pytest.exit('no')\n    got ="),
        ("    got =", "def test_more(student):\n    pass\n\ndef later():\n    got ="),
    ],
)
def test_grade_is_refused_when_the_tests_are_not_the_manifest(tmp_path, root, old, new):
    """A test that is missing, new or unreadable: an error, and a grade for nobody."""
    write_submission(tmp_path / "class" / "right")
    path = root / "grader_tests" / "test_1_small.py"
    path.write_text(HIDDEN.replace(old, new, 1))
    with pytest.raises(CourseError, match="cannot be run on the solution"):
        grade_small(root, tmp_path / "class")
    assert read_results(tmp_path / "out" / "right") is None


def test_grade_is_refused_when_the_solution_fails(tmp_path, root):
    """A test that the solution fails would cost everybody points."""
    write_submission(tmp_path / "class" / "right")
    (root / "assignment" / "common.py").write_text(HALF)
    with pytest.raises(CourseError, match="fails 2 of 3 tests"):
        grade_small(root, tmp_path / "class")


def test_grade_does_not_write_into_a_foreign_folder(tmp_path, root):
    """--out with somebody's files in it is refused."""
    write_submission(tmp_path / "class" / "right")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(CourseError, match="no folder of results"):
        grade_small(root, tmp_path / "class")


def test_allowed_op_that_no_exercise_asks_for_is_refused():
    """The sentence lists the functions that can be allowed."""
    asked = read_registry().closed()
    check_allowed(["nms", "sigmoid_focal_loss"], asked)
    with pytest.raises(CourseError, match=r"--allow-ops roi_align: .*batched_nms, "):
        check_allowed(["nms", "roi_align"], asked)


def test_grade_command_that_is_called_wrongly_exits_with_2(tmp_path):
    """A missing submission is one sentence, without a traceback."""
    answer = subprocess.run(
        [
            sys.executable,
            "-m",
            "grader",
            "grade",
            str(tmp_path / "nobody"),
            "--out",
            str(tmp_path / "out"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 2
    assert "no such folder or zip" in answer.stderr
    assert "Traceback" not in answer.stderr
