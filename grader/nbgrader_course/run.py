"""`python -m grader.nbgrader_course.run TASK`: grade what nbgrader asks for."""

import json
import sys
from pathlib import Path

from core.command import run_command


def main() -> int:
    """Grade; the task is a JSON file that SandboxGrades wrote."""
    from grader.grading.level import choose_level

    task = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    level = choose_level(task["level"], task["unsafe"])
    import torch

    from grader.course import read_course
    from grader.grading.grade import grade
    from grader.submissions.find import Submission

    torch.set_num_threads(1)
    course = read_course(Path(task["root"]), task["exercises"], level.value)
    submissions = [
        Submission(name, ident, Path(path)) for name, ident, path in task["submissions"]
    ]
    return grade(course, level, submissions, Path(task["out"]), jobs=task["jobs"])


if __name__ == "__main__":
    run_command(main)
