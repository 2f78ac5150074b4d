"""Grading of a class: seconds, memory, and the same tests in two other ways.

Copies of the solution are graded as the command does it; by `python -m grader tests`,
which starts pytest anew and has no sandbox; and by `nbgrader autograde`, where each
notebook is converted besides. They take turns, so that a machine whose speed drifts
changes all. Then many copies in a row show what grading leaves behind: of a few
exercises, since what is left does not depend on how many tests were run.
"""

import os
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from benchmarks.grading_leaks import measure_leaks, work_of
from benchmarks.grading_ways import (
    Used,
    adopt_orphans,
    run_nbgrader,
    run_ours,
    run_plain,
)
from benchmarks.record import write_result
from core.command import EXIT_OK, CommandParser, positive, run_command
from grader.grading.forks import Answer, prepare_forks
from grader.sandbox.levels import Level, probe_level

MEBIBYTE = 2**20
MINUTE, HOUR = 60.0, 3600.0
ONE_TEST = "test_iou_by_hand"  # what is left then is the start of pytest and torch
WHAT_IS_NBGRADER = (
    "nbgrader autograde of --copies submissions in a course folder that `python -m "
    "grader nbgrader` has made: its marks come from our sandboxed grader (the same "
    "tests, the solution once more before them), and nbgrader converts every notebook; "
    "per submission"
)


@dataclass
class Times:
    """What each way took for one submission, once for each trial."""

    ours: list[Used] = field(default_factory=list)
    two_jobs: list[Used] = field(default_factory=list)
    plain: list[Used] = field(default_factory=list)
    plain_start: list[Used] = field(default_factory=list)
    nbgrader: list[Used] = field(default_factory=list)


def per_submission(used: Used, copies: int) -> Used:
    """Of one submission."""
    return Used(used.seconds / copies, used.cpu_seconds / copies)


def median(times: Sequence[Used]) -> Used:
    """The middle, of both."""
    return Used(
        statistics.median(used.seconds for used in times),
        statistics.median(used.cpu_seconds for used in times),
    )


def measure_speed(level: Level, folder: Path, copies: int, trials: int) -> dict:
    """Seconds and memory of a submission, our way and the others."""
    work = work_of([], level, folder)
    times = Times()
    answers: list[Answer] = []
    for trial in range(trials):
        times.plain_start.append(run_plain(ONE_TEST))
        times.plain.append(run_plain())
        some, used = run_ours(work, folder / f"one-{trial}", copies, 1)
        times.ours.append(per_submission(used, copies))
        answers += some
        _, used = run_ours(work, folder / f"two-{trial}", 2 * copies, 2)
        times.two_jobs.append(per_submission(used, 2 * copies))
        used = run_nbgrader(folder / f"nbgrader-{trial}", copies)
        times.nbgrader.append(per_submission(used, copies))
    values = [answer.value for answer in answers]
    student = max(
        outcome["peak_memory"] for value in values for outcome in value["outcomes"]
    )
    grader = max(value["peak_memory"] for value in values)
    starts = [value["start_cpu_seconds"] / value["cpu_seconds"] for value in values]
    return {
        "tests": len(work.course.chosen),
        "copies": copies,
        "trials": trials,
        "start_share": round(statistics.median(starts), 3),
        "peak_memory_student_mb": round(student / MEBIBYTE),
        "peak_memory_grader_mb": round(grader / MEBIBYTE),
        **figures_of(times),
    }


def figures_of(times: Times) -> dict:
    """Seconds of each way, and how they compare."""
    ours, two, plain = median(times.ours), median(times.two_jobs), median(times.plain)
    start, nbgrader = median(times.plain_start), median(times.nbgrader)
    figures: dict = {
        f"{name}_{unit}": round(getattr(used, unit), 2)
        for name, used in (
            ("ours", ours),
            ("ours_2_jobs", two),
            ("plain_pytest", plain),
            ("plain_pytest_start", start),
        )
        for unit in ("seconds", "cpu_seconds")
    }
    tests = plain.cpu_seconds - start.cpu_seconds
    ratios = {
        "plain_pytest_over_ours": plain.seconds / ours.seconds,
        "plain_pytest_over_ours_cpu": plain.cpu_seconds / ours.cpu_seconds,
        "plain_pytest_over_ours_2_jobs": plain.seconds / two.seconds,
        "nbgrader_over_ours": nbgrader.seconds / ours.seconds,
        # No start, no sandbox, no process for each test: the tests alone.
        "most_that_plain_over_ours_can_be": plain.cpu_seconds / tests,
    }
    return figures | {
        "per_minute_1_job": round(MINUTE / ours.seconds, 2),
        "per_minute_2_jobs": round(MINUTE / two.seconds, 2),
        "per_core_hour": round(HOUR / ours.cpu_seconds),
        **{name: round(value, 2) for name, value in ratios.items()},
        "nbgrader_autograde_seconds": round(nbgrader.seconds, 2),
        "nbgrader_autograde_is": WHAT_IS_NBGRADER,
    }


def main() -> int:
    """Measure, store and print."""
    parser = CommandParser(prog="python -m benchmarks.grading", description=__doc__)
    parser.add_argument("--copies", type=positive, default=3, help="in each trial")
    parser.add_argument("--trials", type=positive, default=3)
    parser.add_argument(
        "--many", type=positive, default=200, help="copies of the run for leaks"
    )
    parser.add_argument(
        "--exercises", nargs="+", default=["6.3"], help="of the run for leaks"
    )
    parser.add_argument("--jobs", type=positive, default=2, help="of that run")
    parser.add_argument("--name", default="grading", help="of the file of results")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    adopt_orphans()
    prepare_forks()
    level = probe_level().level
    figures: dict = {"level": level.value}
    with tempfile.TemporaryDirectory(prefix="fcos-benchmark-") as name:
        speed, leaks = Path(name) / "speed", Path(name) / "leaks"
        speed.mkdir()
        leaks.mkdir()
        figures |= measure_speed(level, speed, options.copies, options.trials)
        figures["many_in_a_row"] = measure_leaks(
            level, leaks, options.many, options.exercises, options.jobs
        )
    for key, value in figures.items():
        print(f"{key}: {value}")
    print(write_result(options.name, figures))
    return EXIT_OK


if __name__ == "__main__":
    run_command(main)
