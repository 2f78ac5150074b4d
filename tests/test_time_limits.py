"""Limits come from the solution's times, and from the instructor who says otherwise."""

import pytest

from core.command import CourseError
from grader.border.limits import Limits
from grader.course import read_course
from grader.grading.time_limits import LIMITS_VARIABLE, calibration_from
from tests.small_course import write_course


def test_limits_follow_a_slow_solution():
    """A test that takes the solution 10 s may take a student 150 s."""
    limits = calibration_from({"slow": 10.0, "fast": 0.1}).limits
    assert limits.cpu_seconds == 150
    assert limits.call_seconds == 150.0
    assert calibration_from({"fast": 0.1}).limits == Limits()


def test_limits_that_were_chosen_count(monkeypatch, tmp_path):
    """They replace the measured ones, and a result depends on them."""
    root = write_course(tmp_path)
    before = read_course(root, [], "none").hashes
    monkeypatch.setenv(LIMITS_VARIABLE, "cpu_seconds=3 memory_mb=512")
    limits = calibration_from({"slow": 10.0}).limits
    assert (limits.cpu_seconds, limits.memory_mb) == (3, 512)
    assert limits.call_seconds == 150.0
    assert read_course(root, [], "none").hashes != before


@pytest.mark.parametrize("text", ["cpu_second=3", "cpu_seconds=0", "3", "cpu_seconds="])
def test_limits_that_do_not_exist_are_refused(monkeypatch, text):
    """The message lists the names."""
    monkeypatch.setenv(LIMITS_VARIABLE, text)
    with pytest.raises(CourseError, match="memory_mb"):
        calibration_from({})
