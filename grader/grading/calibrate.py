"""Run the tests on the solution first: does it pass, and how long does it take?"""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from core.command import CourseError
from grader.course import SOLUTION, Course
from grader.grading.forks import run_jobs
from grader.grading.job import Work, job_for, read_outcomes
from grader.grading.time_limits import Calibration, calibration_from, out_of_line
from grader.outcomes import Outcome
from grader.sandbox.sandbox import Level
from grader.submissions.intake import copy_files, take
from grader.submissions.intake_zip import IntakeError

DIGITS = 3
TURNS = 2  # for a measurement that is out of line
MOST_MESSAGE = 200


def calibrate(course: Course, level: Level, folder: Path) -> Calibration:
    """Limits from the solution in assignment/; what is out of line is tried again.

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
    outcomes = _run(course, level, folder, code, course.chosen_ids, 0)
    for turn in range(1, 1 + TURNS):
        again = out_of_line({name: one.cpu_seconds for name, one in outcomes.items()})
        again |= {name for name, one in outcomes.items() if one.category == "timeout"}
        if not again:
            break
        for name, one in _run(course, level, folder, code, again, turn).items():
            if one.category is None and outcomes[name].category is None:
                least = min(one.cpu_seconds, outcomes[name].cpu_seconds)
                one = replace(one, cpu_seconds=least)
            if one.category is None or outcomes[name].category is not None:
                outcomes[name] = one
    failed = [one for one in outcomes.values() if one.category is not None]
    if failed:
        raise CourseError(
            f"the solution in {SOLUTION}/ fails {len(failed)} of {len(outcomes)} "
            f"tests, first {failed[0].id} ({failed[0].category}: "
            f"{failed[0].message[:MOST_MESSAGE]}); "
            "repair the solution or the test before anybody is graded"
        )
    return calibration_from(
        {name: round(one.cpu_seconds, DIGITS) for name, one in outcomes.items()}
    )


def _run(
    course: Course,
    level: Level,
    folder: Path,
    code: Path,
    chosen: Collection[str],
    turn: int,
) -> dict[str, Outcome]:
    """Id -> outcome of tests of the solution."""
    work = Work(course, chosen, level, Calibration())
    name = f"solution-{turn}" if turn else "solution"
    (answer,) = run_jobs([job_for(name, code, work, folder, "reference")], 1)
    problem, outcomes = read_outcomes(answer)
    if outcomes is None:
        raise CourseError(f"the tests cannot be run on the solution: {problem}")
    return {outcome.id: outcome for outcome in outcomes}
