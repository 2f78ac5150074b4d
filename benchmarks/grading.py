"""Grading of a class: seconds, memory, and the same tests in a plain pytest process.

Copies of the solution are graded as the command does it, and by `python -m grader
tests`, which starts pytest anew and has no sandbox. The two take turns, so that a
machine whose speed drifts changes both. Compare the ratios, not the seconds.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.record import write_result
from data_scripts.command import EXIT_OK, CommandParser, positive, run_command
from grader.course import SOLUTION, Course, read_course
from grader.grading.calibrate import calibrate
from grader.grading.job import Work, job_for, read_outcomes
from grader.grading.jobs import Answer, prepare_forks, run_jobs
from grader.sandbox.sandbox import Level, probe_level
from grader.submissions.intake import copy_files, take

ROOT = Path(__file__).resolve().parent.parent
MEBIBYTE = 2**20
MINUTE = 60.0


def plain_seconds() -> float:
    """The same tests in a fresh process of pytest, on the same solution."""
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "grader", "tests", "--solution", str(ROOT / SOLUTION)],
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    return time.perf_counter() - start


def graded(
    work: Work, folder: Path, copies: int, jobs: int
) -> tuple[float, list[Answer]]:
    """Seconds for all copies together, and what came back."""
    folder.mkdir()
    names = [f"copy-{number}" for number in range(copies)]
    files = take(ROOT / SOLUTION).files
    for name in names:
        copy_files(files, folder / name)
    start = time.perf_counter()
    each = (job_for(name, folder / name, work, folder) for name in names)
    answers = list(run_jobs(each, jobs))
    seconds = time.perf_counter() - start
    for answer in answers:
        problem, outcomes = read_outcomes(answer)
        if outcomes is None or any(o.category for o in outcomes):
            raise SystemExit(f"{answer.job.id}: the solution does not pass ({problem})")
    return seconds, answers


def left_behind() -> dict[str, int]:
    """What grading could leave on this machine."""
    status = Path("/proc/self/status").read_text()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    temporary = [
        path
        for path in Path(tempfile.gettempdir()).iterdir()
        if path.name.startswith("fcos-grader-") and not path.name.endswith("slots")
    ]
    return {
        "memory_mb": int(resident.split()[1]) // 1024,
        "folders": len(temporary),
        "children": sum(
            1
            for path in Path("/proc").glob("[0-9]*/stat")
            if _parent(path) == os.getpid()
        ),
    }


def _parent(stat: Path) -> int:
    try:
        return int(stat.read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def measure(course: Course, level: Level, copies: int, trials: int) -> dict:
    """All figures, from one run."""
    plain, single, double = [], [], []
    answers: list[Answer] = []
    with tempfile.TemporaryDirectory(prefix="fcos-benchmark-") as name:
        folder = Path(name)
        prepare_forks()
        before = left_behind()
        work = Work(course, course.chosen_ids, level, calibrate(course, level, folder))
        for trial in range(trials):
            plain.append(plain_seconds())
            seconds, some = graded(work, folder / f"one-{trial}", copies, 1)
            answers += some
            single.append(seconds / copies)
            seconds, _ = graded(work, folder / f"two-{trial}", 2 * copies, 2)
            double.append(seconds / (2 * copies))
    values = [answer.value for answer in answers]
    each = statistics.median(single)
    student = max(o["peak_memory"] for value in values for o in value["outcomes"])
    return {
        "level": level.value,
        "tests": len(course.chosen),
        "copies": copies,
        "trials": trials,
        "seconds": round(each, 2),
        "start_share": round(
            statistics.median(v["start_seconds"] / v["seconds"] for v in values), 3
        ),
        "peak_memory_student_mb": round(student / MEBIBYTE),
        "peak_memory_grader_mb": round(
            max(value["peak_memory"] for value in values) / MEBIBYTE
        ),
        "per_minute_1_job": round(MINUTE / each, 2),
        "per_minute_2_jobs": round(MINUTE / statistics.median(double), 2),
        "plain_pytest_seconds": round(statistics.median(plain), 2),
        "plain_pytest_over_ours": round(statistics.median(plain) / each, 2),
        "before": before,
        "after": left_behind(),
    }


def main() -> int:
    """Measure, store and print."""
    parser = CommandParser(prog="python -m benchmarks.grading", description=__doc__)
    parser.add_argument("--copies", type=positive, default=3, help="in each trial")
    parser.add_argument("--trials", type=positive, default=3)
    parser.add_argument("--name", default="grading", help="of the file of results")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    level = probe_level().level
    course = read_course(ROOT, [], level.value)
    figures = measure(course, level, options.copies, options.trials)
    for key, value in figures.items():
        print(f"{key}: {value}")
    print(write_result(options.name, figures))
    return EXIT_OK


if __name__ == "__main__":
    run_command(main)
