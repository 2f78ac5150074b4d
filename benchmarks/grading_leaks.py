"""What the grading of many submissions in a row leaves behind."""

import os
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.grading_ways import ROOT, run_ours
from grader.course import read_course
from grader.grading.calibrate import calibrate
from grader.grading.job import Work
from grader.sandbox.sandbox import Level

MEBIBYTE = 2**20
ENDS = 10  # copies at both ends of a long run whose memory is compared


def work_of(exercises: Sequence[str], level: Level, folder: Path) -> Work:
    """The tests, and limits that suit this machine."""
    course = read_course(ROOT, exercises, level.value)
    return Work(course, course.chosen_ids, level, calibrate(course, level, folder))


def left_behind() -> dict[str, int]:
    """What grading could leave on this machine, in this process and beside it."""
    status = Path("/proc/self/status").read_text()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    temporary = Path(tempfile.gettempdir()).glob("fcos-grader-*")
    return {
        "memory_mb": int(resident.split()[1]) // 1024,
        "open_files": len(list(Path("/proc/self/fd").iterdir())),
        "folders": sum(not path.name.endswith("slots") for path in temporary),
        "shared_memory_files": len(list(Path("/dev/shm").iterdir())),
        "children": sum(
            _parent(path) == os.getpid() for path in Path("/proc").glob("[0-9]*/stat")
        ),
    }


def _parent(stat: Path) -> int:
    try:
        return int(stat.read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def measure_leaks(
    level: Level, folder: Path, copies: int, exercises: Sequence[str], jobs: int
) -> dict:
    """What many submissions in a row leave behind."""
    work = work_of(exercises, level, folder)
    run_ours(work, folder / "first", jobs, jobs)  # what stays once and for all
    before = left_behind()
    answers, used = run_ours(work, folder / "many", copies, jobs)
    peaks = [answer.value["peak_memory"] / MEBIBYTE for answer in answers]
    return {
        "copies": copies,
        "jobs": jobs,
        "exercises": list(exercises) or "all",
        "tests": len(work.course.chosen),
        "seconds": round(used.seconds, 1),
        "cpu_seconds": round(used.cpu_seconds, 1),
        "before": before,
        "after": left_behind(),
        "grader_peak_mb_first": round(statistics.median(peaks[:ENDS]), 1),
        "grader_peak_mb_last": round(statistics.median(peaks[-ENDS:]), 1),
    }
