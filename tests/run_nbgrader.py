"""Walk the whole way through nbgrader, with its commands and three made submissions.

python -m tests.run_nbgrader --out build/nbgrader
"""

import argparse
import csv
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from core.command import (
    EXIT_OK,
    EXIT_PARTLY_FAILED,
    CommandParser,
    CourseError,
    run_command,
)
from core.course import read_registry
from grader.files import read_json
from grader.manifest import points_by_exercise, read_manifest
from grader.nbgrader_course.build import SETTINGS
from grader.nbgrader_course.cells import grade_id
from grader.release.leak_check import check_no_leaks, searched_secrets
from grader.release.notebooks import clear_notebook
from grader.release.stubs import SecretLine, cut_solutions
from tests.nbgrader_class import (
    ANSWER,
    NAME,
    RUNS_IF_EXECUTED,
    answer,
    attack,
    hand_in,
    solved,
)

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
GRADEBOOK = "gradebook.db"
MANUAL_SHARE = 0.5  # of the points of each written answer
# Exercises that a submission has wrong, and some that it must have right.
LOST = {"ada": (), "bob": ("5.1", "5.2", "5.3"), "eve": ("8.1",)}
KEPT = ("1.1", "2.1", "4.1")


def run(folder: Path, *command: str) -> None:
    """Run a command in a folder, and say how long it took.

    Raises:
        CourseError: it failed.
    """
    print(f"$ {' '.join(command)}", flush=True)
    began = time.monotonic()
    ended = subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    said = ended.stdout + ended.stderr
    if ended.returncode:
        log = folder / "failed.log"
        log.write_text(said, "utf-8")
        raise CourseError(
            f"{' '.join(command)}: ended with {ended.returncode}; read {log}"
        )
    print(f"  {time.monotonic() - began:.0f} s", flush=True)


def hand_in_all(course: Path) -> None:
    """A right, a partly wrong and a hostile submission."""
    right = {
        path.name: solved(path.read_text("utf-8"))
        for path in (ROOT / "assignment").glob("*.py")
    }
    write_answer = answer(ANSWER)
    hand_in(course, "ada", right, write_answer)
    partly = {name: text for name, text in right.items() if name != "fcos_deltas.py"}
    hand_in(course, "bob", partly, write_answer)
    crash = "\n\ndef nms(*arguments):\n    import os\n    os._exit(0)\n"
    loud = "import sys\nprint('loud', file=sys.stderr)\n"
    hostile = {**right, "common.py": f"{right['common.py']}{crash}{loud}"}
    hand_in(course, "eve", hostile, attack)


def grade_by_hand(course: Path) -> int:
    """Half of the points for each written answer, through nbgrader's interface."""
    from nbgrader.api import Gradebook  # type: ignore[import-untyped]

    count = 0
    with Gradebook(f"sqlite:///{course / GRADEBOOK}") as gradebook:
        for submission in gradebook.find_assignment(NAME).submissions:
            for notebook in submission.notebooks:
                for grade in notebook.grades:
                    if grade.needs_manual_grade:
                        grade.manual_score = MANUAL_SHARE * grade.max_score
                        grade.needs_manual_grade = False
                        count += 1
        gradebook.db.commit()
    return count


def read_points(course: Path) -> dict[str, dict[str, float]]:
    """Student -> name of a graded cell -> points."""
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{course / GRADEBOOK}") as gradebook:
        return {
            submission.student.id: {
                grade.name: grade.score
                for notebook in submission.notebooks
                for grade in notebook.grades
            }
            for submission in gradebook.find_assignment(NAME).submissions
        }


def secret_lines() -> tuple[dict[str, str], dict[str, str]]:
    """Lines that the release, and lines that the feedback, must not show.

    A traceback in the feedback shows lines of the student's own files, which are the
    solution's here.
    """
    secrets = [
        SecretLine(line.strip(), path.name)
        for path in (ROOT / "grader_tests").glob("test_*.py")
        for line in path.read_text("utf-8").splitlines()
        if line.startswith("def test_")
    ]
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        secrets += clear_notebook(path.read_text("utf-8"), path.name)[1]
    exercises = read_registry(ROOT).exercises.values()
    stubs = [
        cut_solutions(
            path.read_text("utf-8"),
            path.name,
            [exercise for exercise in exercises if exercise.file == path.name],
        )
        for path in (ROOT / "assignment").glob("*.py")
    ]
    solution = [line for stub in stubs for line in stub.secrets]
    given = [stub.text for stub in stubs]
    return searched_secrets([*secrets, *solution], given), searched_secrets(secrets, [])


def find_problems(course: Path) -> list[str]:
    """What is not as it should be."""
    most = points_by_exercise(read_manifest(ROOT))
    points = read_points(course)
    problems = []
    for student, lost in LOST.items():
        for number, full in most.items():
            got = points[student][grade_id(number)]
            if number in lost:
                right = got == 0
            elif student == "ada" or number in KEPT:
                right = got == full
            else:
                right = 0 <= got <= full
            if not right:
                problems.append(f"{student}: {got} of {full} points in {number}")
    tops = (course / "release" / NAME, course / "feedback")
    for top, secrets in zip(tops, secret_lines(), strict=True):
        # The Python files in the feedback are the student's own.
        files = {
            path.relative_to(course).as_posix(): path.read_bytes()
            for path in top.rglob("*")
            if path.is_file() and (top is tops[0] or path.suffix == ".html")
        }
        check_no_leaks(files, secrets)
    if list(course.rglob(RUNS_IF_EXECUTED)):
        problems.append("a cell of a submission was executed")
    return problems


def walk(course: Path) -> list[str]:
    """All steps; returns what went wrong."""
    run(ROOT, "python", "-m", "grader", "nbgrader", "--out", str(course))
    run(course, "nbgrader", "generate_assignment", NAME)
    hand_in_all(course)
    run(course, "nbgrader", "zip_collect", NAME)
    link = course / "submitted" / "eve" / NAME / "passwords.txt"
    link.symlink_to("/etc/passwd")
    run(course, "nbgrader", "autograde", NAME)
    print(f"graded by hand: {grade_by_hand(course)} written answers", flush=True)
    run(course, "nbgrader", "generate_feedback", NAME)
    run(course, "nbgrader", "export", "--to", "grades.csv")
    problems = find_problems(course)
    for folder in ("autograded", "feedback"):
        if (course / folder / "eve" / NAME / link.name).exists():
            problems.append(f"{folder}: a link of a submission was followed")
    return problems


def main() -> int:
    """Read the options, walk, and print the grades."""
    parser = CommandParser(prog="python -m tests.run_nbgrader", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "nbgrader")
    course = parser.parse_args().out.resolve()
    if course.exists():
        if read_json(course / SETTINGS) is None:
            raise CourseError(f"{course}: is no course folder; give another --out")
        shutil.rmtree(course)
    problems = walk(course)
    with (course / "grades.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            print(f"{row['student_id']:6} {row['score']:>6} of {row['max_score']}")
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return EXIT_PARTLY_FAILED if problems else EXIT_OK


if __name__ == "__main__":
    run_command(main)
