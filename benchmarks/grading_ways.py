"""Three ways to run the same tests on one submission, with what each of them used."""

import ctypes
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from grader.course import SOLUTION
from grader.grading.forks import Answer, run_jobs
from grader.grading.job import Work, job_for, read_outcomes
from grader.nbgrader_course.build import build_course
from grader.submissions.intake import copy_files, take

ROOT = Path(__file__).resolve().parent.parent
ASSIGNMENT = "fcos"
PR_SET_CHILD_SUBREAPER = 36  # of linux/prctl.h
MOST_WAIT_S = 10.0  # for a sandbox that was killed to be gone
PAUSE_S = 0.05
Result = TypeVar("Result")


@dataclass(frozen=True)
class Used:
    """What something took.

    Attributes:
        seconds: on the clock.
        cpu_seconds: of the processor; what `measured` gives is without sandboxes,
            whose processes nobody can wait for.
    """

    seconds: float
    cpu_seconds: float


def adopt_orphans() -> None:
    """Be the parent of processes whose parents end, so that none is overlooked."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def measured(call: Callable[[], Result]) -> tuple[Result, Used]:
    """The result of a call that starts processes, and what they used."""
    _wait_for_all()
    start, cpu = time.perf_counter(), _cpu_of_children()
    result = call()
    seconds = time.perf_counter() - start
    _wait_for_all()
    return result, Used(seconds, _cpu_of_children() - cpu)


def _wait_for_all() -> None:
    deadline = time.monotonic() + MOST_WAIT_S
    with suppress(ChildProcessError):
        while time.monotonic() < deadline:
            if not os.waitpid(-1, os.WNOHANG)[0]:
                time.sleep(PAUSE_S)


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run_plain(chosen: str = "") -> Used:
    """The tests in a fresh process of pytest, without a sandbox.

    Args:
        chosen: pytest's -k; everything if empty.
    """
    command = [sys.executable, "-m", "grader", "tests", "--solution"]
    return _run([*command, str(ROOT / SOLUTION), "-k", chosen], ROOT)


def run_ours(
    work: Work, folder: Path, copies: int, jobs: int
) -> tuple[list[Answer], Used]:
    """The solution, graded so many times as `python -m grader grade` does it.

    Raises:
        SystemExit: a copy does not pass.
    """
    folder.mkdir()
    names = [f"copy-{number}" for number in range(copies)]
    files = take(ROOT / SOLUTION).files
    for name in names:
        copy_files(files, folder / name)
    waiting = (job_for(name, folder / name, work, folder) for name in names)
    answers, used = measured(lambda: list(run_jobs(waiting, jobs)))
    for answer in answers:
        problem, outcomes = read_outcomes(answer)
        if outcomes is None or any(outcome.category for outcome in outcomes):
            raise SystemExit(f"{answer.job.id}: the solution does not pass ({problem})")
    cpu_seconds = sum(answer.value["cpu_seconds"] for answer in answers)
    return answers, Used(used.seconds, cpu_seconds)


def run_nbgrader(folder: Path, copies: int) -> Used:
    """`nbgrader autograde`, set up as `python -m grader nbgrader` does it.

    Args:
        folder: new folder for the course.
        copies: students who hand in the solution and the notebooks as released.
    """
    nbgrader = str(Path(sys.executable).parent / "nbgrader")
    build_course(ROOT, folder, ASSIGNMENT)
    _run([nbgrader, "generate_assignment", ASSIGNMENT], folder)
    files = take(ROOT / SOLUTION).files
    released = folder / "release" / ASSIGNMENT
    for number in range(copies):
        own = folder / "submitted" / f"student-{number}" / ASSIGNMENT
        for path in released.rglob("*"):
            if path.is_file():
                target = own / path.relative_to(released)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(path.read_bytes())
        for name, content in files.items():
            (own / SOLUTION / name).write_bytes(content)
    return _run([nbgrader, "autograde", ASSIGNMENT], folder)


def _run(command: list[str], folder: Path) -> Used:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ended, used = measured(
        lambda: subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True
        )
    )
    if ended.returncode:
        lines = (ended.stdout + ended.stderr).strip().splitlines()
        raise SystemExit(f"{' '.join(command)}: {lines[-1] if lines else 'failed'}")
    return used
