"""The list of tests that a grade is made of."""

import re
from pathlib import Path

import pytest

from core.command import CourseError
from core.course import read_registry
from grader.manifest import (
    choose_exercises,
    points_by_exercise,
    read_manifest,
)
from tests.small_course import MANIFEST, write_course

ROOT = Path(__file__).resolve().parent.parent


def write_manifest(tmp_path: Path, text: str) -> Path:
    root = write_course(tmp_path)
    (root / "grader_tests" / "manifest" / "step1.toml").write_text(text)
    return root


def test_manifest_is_read_in_its_order(tmp_path):
    """Each table becomes a test, in the order in which it stands."""
    tests = read_manifest(write_course(tmp_path))
    assert [test.exercise for test in tests] == ["1.1", "1.2", "1.2"]
    assert tests[0].points == 2 and not tests[0].visible
    assert tests[2].visible and tests[2].hint == "Add one."


def test_manifest_adds_up_points_by_exercise(tmp_path):
    """An exercise is worth what its tests are worth together."""
    tests = read_manifest(write_course(tmp_path))
    assert points_by_exercise(tests) == {"1.1": 2, "1.2": 2.0}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('exercise = "1.1"', 'exercise = "9.9"', "there is no exercise '9.9'"),
        ("points = 2", "points = -1", "points must be"),
        ("points = 2", "points = true", "points must be"),
        ("points = 2", "points = nan", "points must be"),
        ("points = 2", "points = inf", "points must be a number of at least 0"),
        ("points = 2", 'points = "2"', "points must be a number of at least 0"),
        ('hint = "Twice the number."', 'hint = " "', "hint must be"),
        ('hint = "Twice the number."', "", "'hint' is missing"),
        ("visible = true", "visible = false", "visible must be true"),
        ("visible = false", 'visible = "no"', "visible must be true"),
        ("::test_double_of_two", "::double", "is no id of a test"),
        ("test_1_small.py::test_add_one_to_a_double", "../x.py::test_a", "no id"),
        ("test_add_one_to_a_double", "test_double_of_two", "stands there twice"),
        ("points = 2\n", "points = 2\nbonus = 1\n", "'bonus' is unknown"),
        ("[[test]]", "[test]", "cannot read"),
        ('title = "double of two"', "title = 3", "title must be"),
    ],
)
def test_manifest_with_a_mistake_is_refused(tmp_path, old, new, said):
    """One sentence says which test of which file is wrong."""
    root = write_manifest(tmp_path, MANIFEST.replace(old, new))
    with pytest.raises(CourseError, match=re.escape(said)) as caught:
        read_manifest(root)
    assert "step1.toml" in str(caught.value)


def test_manifest_that_is_no_list_of_tables_is_refused(tmp_path):
    """`test = [1]` is TOML, but no test."""
    root = write_manifest(tmp_path, "test = [1]")
    with pytest.raises(CourseError, match=r"write \[\[test\]\] tables"):
        read_manifest(root)


def test_manifest_without_files_is_refused(tmp_path):
    """A checkout without a manifest grades nobody."""
    root = write_course(tmp_path)
    (root / "grader_tests" / "manifest" / "step1.toml").unlink()
    with pytest.raises(CourseError, match="is there; grade from"):
        read_manifest(root)


def test_chosen_exercise_without_tests_is_refused(tmp_path):
    """--exercises names those that exist."""
    tests = read_manifest(write_course(tmp_path))
    registry = read_registry(tmp_path)
    chosen = choose_exercises(tests, ["1.2"], registry)
    assert [test.exercise for test in chosen] == ["1.2", "1.2"]
    with pytest.raises(CourseError, match=r"choose of 1\.1, 1\.2"):
        choose_exercises(tests, ["7.7"], registry)


def test_manifest_of_this_course_has_every_exercise():
    """Each exercise of the course can earn points, in hidden tests too."""
    tests = read_manifest(ROOT)
    hidden = points_by_exercise(test for test in tests if not test.visible)
    assert set(hidden) == set(read_registry(ROOT).exercises)
    assert all(points > 0 for points in hidden.values())
