"""What the trusted process of one submission does."""

import resource
import time
from collections.abc import Collection
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from core.command import CourseError
from grader.course import Course
from grader.grading.forks import Answer, Job
from grader.grading.time_limits import Calibration
from grader.outcomes import Outcome
from grader.sandbox.sandbox import Level
from grader.session.session import START_FACTOR, Session
from grader.suites.earlier import run_with_earlier
from grader.suites.pace import MOST_LOADING_S, Pace
from grader.suites.suite_run import SuiteError, with_suite

# Beyond its budget a job may start a sandbox again and end a test that hangs.
SPARE_S = 120.0
KIBIBYTE = 1024


@dataclass(frozen=True)
class Work:
    """How submissions are tested.

    Attributes:
        course: the tests.
        chosen: ids of those that are run.
        level: of the sandbox.
        calibration: the limits.
        ended: tests of an earlier turn that did not take too long.
        failed: exercises that have failed already, in an earlier run of the same code.
    """

    course: Course
    chosen: Collection[str]
    level: Level
    calibration: Calibration
    ended: int = 0
    failed: Collection[str] = ()


def job_for(name: str, code: Path, work: Work, folder: Path, kind: str = "job") -> Job:
    """The job that tests one submission.

    Args:
        name: id of the submission.
        code: folder with its files.
        work: how.
        folder: where the job gets a folder of its own.
        kind: begins the name of that folder.
    """
    limits = work.calibration.limits
    loading = START_FACTOR * limits.call_seconds + MOST_LOADING_S * len(work.chosen)
    most = work.calibration.wall_s + limits.start_seconds + loading + SPARE_S
    return Job(name, partial(run_tests, code, work), folder / f"{kind}-{name}", most)


def run_tests(code: Path, work: Work) -> dict[str, Any]:
    """Run the tests; what is returned can become JSON."""
    calibration = work.calibration
    began = time.perf_counter()
    try:
        with Session(
            code,
            work.level,
            calibration.limits,
            device=work.course.device,
            allowed_ops=tuple(work.course.allowed_ops),
            registry=work.course.registry,
            parts=work.course.parts,
        ) as session:
            start_seconds = time.perf_counter() - began
            pace = Pace(
                _wall(work, start_seconds, session.load_seconds),
                calibration.budget_s,
                session=session,
                short=calibration.short,
                stops_at_first=calibration.is_first,
                ended=work.ended,
            )
            course = work.course
            outcomes = with_suite(
                course.root,
                course.tests,
                lambda suite: run_with_earlier(
                    suite,
                    (course.root, course.registry, course.tests),
                    work.chosen,
                    session,
                    pace,
                    work.failed,
                ),
            )
    except (SuiteError, CourseError) as error:
        return {"problem": str(error)}
    used = resource.getrusage(resource.RUSAGE_SELF)  # of this process, a fork
    return {
        "outcomes": [asdict(outcome) for outcome in outcomes],
        "start_seconds": start_seconds,
        "seconds": time.perf_counter() - began,
        "cpu_seconds": used.ru_utime + used.ru_stime + session.cpu_seconds,
        "start_cpu_seconds": session.start_cpu_seconds,
        "peak_memory": used.ru_maxrss * KIBIBYTE,
    }


def _wall(work: Work, start_seconds: float, load_seconds: float) -> float:
    """On the clock, from now on; with what loading takes, where that is waited for."""
    calibration = work.calibration
    if calibration.is_service:
        return max(0.0, calibration.wall_s - start_seconds)
    if calibration.is_first:
        return calibration.wall_s
    return calibration.wall_s + min(load_seconds, MOST_LOADING_S) * len(work.chosen)


def read_outcomes(answer: Answer) -> tuple[str, list[Outcome] | None]:
    """A sentence why there is none, or the outcomes."""
    value = answer.value or {}
    problem = answer.problem or value.get("problem", "")
    if problem:
        return problem, None
    return "", [Outcome(**outcome) for outcome in value["outcomes"]]
