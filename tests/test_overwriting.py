"""Code that overwrites its inputs chooses no number that it is measured by."""

from pathlib import Path
from typing import Any

import pytest

from grader.manifest import read_manifest
from grader.session.local_session import LocalSession
from grader.suites.solutions import load_solution
from grader.suites.suites import collect_tests, make_student, run_test
from helpers.checks.exercises import read_exercises
from tests.overwriting import NOTHING, RIGHT, ROOT, WRONG, write_submission

TESTS = collect_tests(ROOT)
MANIFEST = {entry.id: entry for entry in read_manifest(ROOT)}
EXERCISES = read_exercises(ROOT)


def passed_in_process(folder: Path, names: list[str]) -> set[str]:
    """Those that a submission passes as checks run at home."""
    student = make_student(load_solution(folder))
    told = {name: run_test(TESTS[name], MANIFEST[name], student) for name in names}
    return {name for name, outcome in told.items() if outcome.category is None}


def passed_behind_border(folder: Path, names: list[str]) -> set[str]:
    """The same, with all that crosses the border as messages, like in a sandbox."""
    passed = set()
    with LocalSession(folder) as session:
        for name in names:
            student: Any = session.student()  # a stand-in for a Student
            told = run_test(TESTS[name], MANIFEST[name], student)
            passed |= {name} if told.category is None else set()
    return passed


@pytest.mark.parametrize("number", EXERCISES)
@pytest.mark.parametrize(
    ("passed", "answer", "left"),
    [
        (passed_in_process, RIGHT, -1.0),
        (passed_behind_border, RIGHT, -1.0),
        (passed_behind_border, NOTHING, -1e4),
        (passed_behind_border, WRONG, None),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)[:10]),
)
def test_overwriting_inputs_passes_no_test_that_its_answer_does_not(
    number: str, passed, answer: str, left: float | None, tmp_path: Path
):
    """Each exercise, each way to write: what passes passes without writing, too."""
    names = [name for name in TESTS if MANIFEST[name].exercise == number]
    found = {}
    for overwrites in (False, True):
        folder = tmp_path / str(overwrites)
        write_submission(folder, EXERCISES[number], answer, left, overwrites)
        found[overwrites] = passed(folder, names)
    assert found[True] <= found[False]
