"""Limits come from the solution's times, and from the instructor who says otherwise."""

import pytest

from core.command import CourseError
from grader.border.limits import Limits
from grader.course import read_course
from grader.grading import calibrate as calibrating
from grader.grading.calibrate import calibrate
from grader.grading.forks import Answer
from grader.grading.time_limits import (
    LIMITS_VARIABLE,
    MOST_BUDGET_S,
    MOST_TEST_S,
    WALL_FACTOR,
    calibration_from,
    first_turn,
)
from grader.sandbox.level import Level
from tests.small_course import write_course


def test_limits_follow_a_slow_solution():
    """A test that takes the solution 8 s may take a student 120 s of the processor."""
    limits = calibration_from({"slow": 8.0, "fast": 0.1}).limits
    assert limits.cpu_seconds == 120
    assert limits.call_seconds == 240.0  # on the clock, beside another program
    assert calibration_from({"fast": 0.1}).limits == Limits()


def test_limits_have_an_upper_bound():
    """Whatever was measured, one hand-in cannot hold a class for hours."""
    found = calibration_from(dict.fromkeys("abc", 22.5))  # as once, on a busy machine
    assert found.limits.cpu_seconds == MOST_TEST_S
    assert found.budget_s == MOST_BUDGET_S
    assert found.wall_s == WALL_FACTOR * MOST_BUDGET_S
    # But for a course whose solution takes so long itself.
    assert calibration_from(dict.fromkeys("abc", 100.0)).budget_s == 900.0


def test_the_first_turn_is_short_and_never_longer_than_the_limits(monkeypatch):
    """Honest work fits, four times over; limits that were chosen stay the most."""
    found = calibration_from({"slow": 1.0, "fast": 0.1})
    first = first_turn(found)
    assert first.limits.cpu_seconds == 10 < found.limits.cpu_seconds
    assert first.budget_s < found.budget_s and first.is_first
    monkeypatch.setenv(LIMITS_VARIABLE, "cpu_seconds=3 call_seconds=4")
    assert first_turn(calibration_from({})).limits.cpu_seconds == 3
    assert first_turn(calibration_from({})).limits.call_seconds == 4


def test_limits_that_were_chosen_count(monkeypatch, tmp_path):
    """They replace the measured ones, and a result depends on them."""
    root = write_course(tmp_path)
    before = read_course(root, [], "none").hashes
    monkeypatch.setenv(LIMITS_VARIABLE, "cpu_seconds=3 memory_mb=512")
    limits = calibration_from({"slow": 10.0}).limits
    assert (limits.cpu_seconds, limits.memory_mb) == (3, 512)
    assert limits.call_seconds == 60.0
    assert read_course(root, [], "none").hashes != before


@pytest.mark.parametrize("text", ["cpu_second=3", "cpu_seconds=0", "3", "cpu_seconds="])
def test_limits_that_do_not_exist_are_refused(monkeypatch, text):
    """The message lists the names."""
    monkeypatch.setenv(LIMITS_VARIABLE, text)
    with pytest.raises(CourseError, match="memory_mb"):
        calibration_from({})


@pytest.mark.parametrize("odd", ["slow", "all a bit", "timeout"])
def test_a_measurement_that_is_out_of_line_is_repeated(tmp_path, monkeypatch, odd):
    """The least of it counts: what a busy machine adds is no part of the limits."""
    root = write_course(tmp_path)
    course = read_course(root, [], "bubblewrap")
    turns = []

    def run_jobs(jobs, slots):
        (job,) = jobs
        work = job.work.args[1]
        turns.append(sorted(work.chosen))
        category = "timeout" if odd == "timeout" and len(turns) == 1 else None
        seconds = {"slow": 22.5, "all a bit": 1.9, "timeout": 0.5}[odd]
        yield Answer(
            job,
            {
                "outcomes": [
                    {
                        "id": name,
                        "category": category if not place else None,
                        "cpu_seconds": 0.1 if len(turns) > 1 or place else seconds,
                    }
                    for place, name in enumerate(sorted(work.chosen))
                ]
            },
        )

    monkeypatch.setattr(calibrating, "run_jobs", run_jobs)
    if odd == "all a bit":
        monkeypatch.setattr("grader.grading.time_limits.LEAST_BUDGET_S", 10.0)
    found = calibrate(course, Level.BUBBLEWRAP, tmp_path)
    assert found.limits == Limits()
    first = sorted(course.chosen_ids)
    assert turns == [first, first if odd == "all a bit" else first[:1]]
