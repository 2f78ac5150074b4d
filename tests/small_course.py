"""A course of two exercises, its tests, and a session without a sandbox."""

import importlib.util
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import grader.grading.job
from grader.border.limits import Limits
from grader.course import read_course
from grader.grading.grade import grade
from grader.sandbox.sandbox import Level
from grader.submissions.find import find_submissions
from helpers.checks.expect import CheckError

COURSE = """
default_parts = ["small"]

[[part]]
name = "small"
title = "A small one"

[[module]]
name = "common"
part = "small"
visible = true

[[step]]
number = 1
part = "small"
title = "Small"
notebook = "01_small.ipynb"
minutes = 10
writes = "two functions"

[[exercise]]
id = "1.1"
function = "double"
file = "common.py"
title = "twice"
lines = 1
minutes = 1
closed = ["nms", "box_iou", "sigmoid_focal_loss"]

[[exercise]]
id = "1.2"
function = "add_one"
file = "common.py"
title = "one more"
lines = 1
minutes = 1
"""
MANIFEST = """
[[test]]
id = "test_1_small.py::test_double_of_two"
exercise = "1.1"
points = 2
title = "double of two"
visible = false
hint = "Twice the number."

[[test]]
id = "test_1_small.py::test_add_one_to_a_double"
exercise = "1.2"
points = 1.5
title = "one more than a double"
visible = false
hint = "One more."

[[test]]
id = "checks/test_1_small.py::test_add_one"
exercise = "1.2"
points = 0.5
title = "one more than three"
visible = true
hint = "Add one."
"""
HIDDEN = '''
from helpers.checks.expect import expect_equal

def test_double_of_two(student):
    """Two is doubled."""
    got = student.common.double(2)
    cause = "halved instead of doubled" if got == 1 else None
    expect_equal(got, 4, "double of 98765", cause)

def test_add_one_to_a_double(student):
    """Both together."""
    expect_equal(student.common.add_one(student.common.double(2)), 5, "add_one")
'''
VISIBLE = '''
from helpers.checks.expect import expect_equal

def test_add_one(student):
    """Three and one."""
    expect_equal(student.common.add_one(3), 4, "add_one")
'''
SOLUTION = """
def double(x):
    return 2 * x

def add_one(x):
    return x + 1
"""
STUB = """
def double(x):
    raise NotImplementedError("Exercise 1.1 double: see notebook 1, twice")

def add_one(x):
    return x + 1
"""
HALF = SOLUTION.replace("2 * x", "x // 2")


def write_course(root: Path) -> Path:
    """A course whose solution passes every test."""
    files = {
        "course.toml": COURSE,
        "grader_tests/pytest.ini": "[pytest]\n",
        "grader_tests/manifest/step1.toml": MANIFEST,
        "grader_tests/test_1_small.py": HIDDEN,
        "helpers/checks/test_1_small.py": VISIBLE,
        "assignment/common.py": SOLUTION,
        "requirements.txt": "torch==1\n",
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def write_submission(folder: Path, source: str = SOLUTION) -> Path:
    """A submission whose common.py is this."""
    (folder / "assignment").mkdir(parents=True)
    (folder / "assignment" / "common.py").write_text(source)
    return folder


class LocalRun:
    """What was printed; nothing here."""

    output = "printed <b>bold</b> 0x7f00deadbeef"
    peak_memory = 2**20
    seconds = 0.01


class LocalSession:
    """A Session without any walls, in the process of the tests."""

    start_cpu_seconds = cpu_seconds = load_seconds = 0.0  # in a sandbox; there is none
    next_limits, ends_at = Limits(), 0.0
    given = b""

    def __init__(self, submission: Path, level: Any, limits: Any, **others: Any):
        self.submission = submission

    def __enter__(self) -> "LocalSession":
        return self

    def __exit__(self, *ending: object) -> None:
        pass

    def student(self, exercise: str = "") -> Any:
        return types.SimpleNamespace(common=_Functions(self.submission / "common.py"))

    def end_test(self) -> LocalRun:
        return LocalRun()


class _Functions:
    def __init__(self, path: Path):
        self._path = path
        spec = importlib.util.spec_from_file_location("student_common", path)
        assert spec and spec.loader
        self._module = importlib.util.module_from_spec(spec)
        sys.modules.pop("student_common", None)
        try:
            spec.loader.exec_module(self._module)
        except SyntaxError as error:
            raise CheckError(
                "exception", "common.py", "SyntaxError at line 1 of common.py"
            ) from error

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._module, name)

        def call(*args: Any) -> Any:
            try:
                return function(*args)
            except CheckError:
                raise
            except NotImplementedError as error:
                text = str(error)[: len("Exercise 1.1")]
                raise CheckError("not implemented", name, text) from error
            except Exception as error:
                kind = type(error).__name__
                raise CheckError(
                    "exception", name, f"{kind} at line 2 of common.py"
                ) from error

        return call


def grade_small(
    root: Path,
    folder: Path,
    *,
    exercises: Sequence[str] = (),
    jobs: int = 1,
    regrade: Sequence[str] = (),
    alone: bool = False,
) -> int:
    """Grade a folder of submissions into `out` beside it, with no walls around them.

    The sandbox has tests of its own; here each job's process is its sandbox.
    """
    course = read_course(root, exercises, "bubblewrap")
    submissions = find_submissions([folder])
    out = folder.parent / "out"
    with mock.patch.object(grader.grading.job, "Session", LocalSession):
        return grade(
            course,
            Level.BUBBLEWRAP,
            submissions,
            out,
            jobs=jobs,
            regrade=regrade,
            is_alone=alone,
        )
