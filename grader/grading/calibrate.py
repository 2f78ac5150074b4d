"""Run the tests on the solution first: does it pass, and how long does it take?"""

from pathlib import Path

from core.command import CourseError
from grader.course import SOLUTION, Course
from grader.grading.forks import run_jobs
from grader.grading.job import Work, job_for, read_outcomes
from grader.grading.time_limits import Calibration, calibration_from
from grader.sandbox.sandbox import Level
from grader.submissions.intake import copy_files, take
from grader.submissions.intake_zip import IntakeError

DIGITS = 3
MOST_MESSAGE = 200


def calibrate(course: Course, level: Level, folder: Path) -> Calibration:
    """Limits from the solution in assignment/.

    Args:
        course: its tests.
        level: of the sandbox.
        folder: where the job and a copy of the solution get their folders.

    Raises:
        CourseError: the solution does not pass every test.
    """
    try:
        taken = take(course.root / SOLUTION)
    except IntakeError as error:
        raise CourseError(f"{course.root / SOLUTION}: {error}") from error
    code = folder / "solution"
    copy_files(taken.files, code)
    work = Work(course, course.chosen_ids, level, Calibration())
    (answer,) = run_jobs([job_for("solution", code, work, folder, "reference")], 1)
    problem, outcomes = read_outcomes(answer)
    if outcomes is None:
        raise CourseError(f"the tests cannot be run on the solution: {problem}")
    failed = [outcome for outcome in outcomes if outcome.category is not None]
    if failed:
        raise CourseError(
            f"the solution in {SOLUTION}/ fails {len(failed)} of {len(outcomes)} "
            f"tests, first {failed[0].id} ({failed[0].category}: "
            f"{failed[0].message[:MOST_MESSAGE]}); "
            "repair the solution or the test before anybody is graded"
        )
    return calibration_from(
        {outcome.id: round(outcome.seconds, DIGITS) for outcome in outcomes}
    )
