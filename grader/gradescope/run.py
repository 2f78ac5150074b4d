"""What run_autograder starts on Gradescope: grade one submission, write one file."""

import argparse
import tempfile
import traceback
from pathlib import Path

from core.command import (
    EXIT_OK,
    EXIT_PARTLY_FAILED,
    CommandParser,
    CourseError,
    run_command,
)
from core.files import write_json

ROOT = Path(__file__).resolve().parents[2]
ASK = "The autograder could not grade this; ask your instructor."


def main() -> int:
    """Grade, and write the result whatever happens."""
    parser = CommandParser(prog="python -m grader.gradescope.run", description=__doc__)
    parser.add_argument("submission", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--level", help="weaker walls than this machine has")
    options = parser.parse_args()
    try:
        content = grade_one(options)
    except CourseError as error:
        # Only the instructor reads what is printed here.
        print(f"error: {error}")
        content = None
    except Exception:  # the student gets a sentence all the same  # noqa: BLE001
        traceback.print_exc()
        content = None
    if content is None:
        write_json(
            options.results, {"score": 0, "output": ASK, "stdout_visibility": "hidden"}
        )
        return EXIT_PARTLY_FAILED
    write_json(options.results, content)
    return EXIT_OK


def grade_one(options: argparse.Namespace) -> dict | None:
    """The content of results.json; None if there is none."""
    from grader.grading.level import choose_level

    closed = [ROOT, options.submission, options.results.resolve().parent]
    level = choose_level(options.level, unsafe=False, alone_with=closed)
    import torch

    from grader.course import read_course
    from grader.grading.grade import grade
    from grader.results.results import read_results
    from grader.submissions.find import Submission

    torch.set_num_threads(1)
    course = read_course(ROOT, [], level.value)
    own = Submission("submission", "submission", options.submission.resolve())
    with tempfile.TemporaryDirectory(prefix="fcos-autograder-") as name:
        out = Path(name) / "out"
        grade(course, level, [own], out, is_alone=True)
        return read_results(out / own.id)


if __name__ == "__main__":
    run_command(main)
