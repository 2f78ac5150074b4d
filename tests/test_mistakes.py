"""Every planted mistake is caught by its test, which names the cause."""

from pathlib import Path

import pytest

from data_scripts.command import CourseError
from grader.manifest import read_manifest
from grader.suites.mistakes import Edit, Mistake, plant, read_mistakes
from grader.suites.solutions import load_solution
from grader.suites.suites import collect_tests, make_student, run_test

ROOT = Path(__file__).resolve().parent.parent
SOURCES = {path.name: path.read_text() for path in (ROOT / "assignment").glob("*.py")}
TESTS = collect_tests(ROOT)
MANIFEST = {entry.id: entry for entry in read_manifest(ROOT)}
MISTAKES = read_mistakes(ROOT)


@pytest.mark.parametrize("mistake", MISTAKES, ids=[each.id for each in MISTAKES])
def test_mistake_is_caught_and_named(mistake: Mistake, tmp_path: Path):
    """The named test fails, and tells a student why."""
    assert mistake.test in TESTS, "there is no such test"
    assert MANIFEST[mistake.test].exercise == mistake.exercise
    plant(mistake.edits, SOURCES, tmp_path)
    student = make_student(load_solution(tmp_path))
    told = run_test(TESTS[mistake.test], MANIFEST[mistake.test], student)
    assert told.category, f"{mistake.test} passes"
    assert mistake.cause, "say which cause the test must name"
    assert mistake.cause in (told.cause or ""), f"{told.cause!r}\n{told.message}"


def test_every_exercise_has_a_planted_mistake():
    """An exercise whose tests nobody tried to fool may have none that bite."""
    tried = {mistake.exercise for mistake in MISTAKES}
    assert tried == {entry.exercise for entry in MANIFEST.values()}


def test_mistake_that_does_not_fit_the_solution_is_refused(tmp_path: Path):
    """When the solution changes, a planted mistake must not silently do nothing."""
    with pytest.raises(CourseError, match="is there 0 times"):
        plant((Edit("common.py", "no such text", ""),), SOURCES, tmp_path)
