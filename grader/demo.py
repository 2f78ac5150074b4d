"""`python -m grader demo`: make a release, hand it to a small class, and grade it.

The class has five: who solved all, who has not begun, two with a mistake that many
make, and one whose code does not compute but looks for the answers.
"""

import argparse
import shutil
import time
from pathlib import Path

from core.command import CommandParser, positive
from core.files import clear_folder
from grader.grading.command import grade_paths
from grader.release.build import write_release
from grader.suites.mistakes import plant, read_mistakes

# Some of each kind, to be quick: boxes, locations, matching, deltas, centerness, NMS.
EXERCISES = ("1.1", "4.1", "4.5", "5.1", "5.3", "8.1")
OWN_FOLDERS = ("student", "submissions", "grades")
MISTAKES = {"x and y swapped": "locations_swapped", "no stride": "deltas_no_stride"}
SEARCHER = '''

def iou(boxes1, boxes2):
    """Instead of computing: look around, then leave as if all was well."""
    import glob
    import os

    print(glob.glob("/*/grader_tests") + glob.glob("../**/*.safetensors"))
    os._exit(0)
'''


def add_demo_parser(
    commands: "argparse._SubParsersAction[CommandParser]", root: Path
) -> None:
    """Add the sub-command; root is the checkout of the course."""
    parser = commands.add_parser(
        "demo",
        help="make a release and grade a small made class with it",
        description="Make a release, hand in five made submissions, and grade them.",
    )
    parser.add_argument("--out", type=Path, default=Path("runs/demo/class"))
    parser.add_argument("--jobs", type=positive, default=2)
    parser.set_defaults(run=lambda options: run_demo(options, root))


def run_demo(options: argparse.Namespace, root: Path) -> int:
    """Release, class, grades; says how long it took.

    Raises:
        CourseError: the folder holds something else, or the release is not right.
    """
    start = time.perf_counter()
    out: Path = options.out
    clear_folder(out, OWN_FOLDERS)
    print(f"Release: python -m grader release --out {out / 'student'}", flush=True)
    write_release(root, out / "student")
    make_class(root, out / "student", out / "submissions")
    print(
        f"Grade: python -m grader grade {out / 'submissions'} --out {out / 'grades'} "
        f"--jobs {options.jobs} --exercises {' '.join(EXERCISES)}",
        flush=True,
    )
    # What is graded here is the course's own, so weak walls will do.
    code = grade_paths(
        root,
        [out / "submissions"],
        out / "grades",
        options.jobs,
        exercises=EXERCISES,
        unsafe=True,
    )
    seconds = time.perf_counter() - start
    print(f"a class of {len(MISTAKES) + 3} was graded in {seconds:.0f} s")
    return code


def make_class(root: Path, release: Path, out: Path) -> None:
    """Write the submissions, each as a folder with assignment/*.py.

    Args:
        root: the checkout, with the solution.
        release: the students' version.
        out: a new folder.
    """
    solved = {
        path.name: path.read_text("utf-8")
        for path in sorted((root / "assignment").glob("*.py"))
    }
    mistakes = {mistake.id: mistake for mistake in read_mistakes(root)}
    shutil.copytree(release / "assignment", out / "not begun" / "assignment")
    for name in ("all solved", "looks for the answers", *MISTAKES):
        folder = out / name / "assignment"
        folder.mkdir(parents=True)
        edits = mistakes[MISTAKES[name]].edits if name in MISTAKES else ()
        plant(edits, solved, folder)
    searching = out / "looks for the answers" / "assignment" / "common.py"
    searching.write_text(solved["common.py"] + SEARCHER, "utf-8")
