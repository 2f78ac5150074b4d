"""The options of `python -m grader grade`, and what is said around a run."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from core.command import (
    EXIT_PARTLY_FAILED,
    CommandParser,
    CourseError,
    SignalError,
    positive,
)
from grader.course_folder import add_course_options, course_with


def add_grade_parser(
    commands: "argparse._SubParsersAction[CommandParser]", root: Path
) -> None:
    """Add the sub-command.

    Args:
        commands: of `python -m grader`.
        root: the checkout of the course.
    """
    parser = commands.add_parser(
        "grade",
        help="grade submissions, each in a sandbox, and write the class's pages",
        description="Grade submissions: results.json and feedback.html for each, "
        "grades.csv and index.html for the class. Called again, it goes on where it "
        "stopped.",
    )
    parser.add_argument(
        "submissions",
        type=Path,
        nargs="+",
        metavar="SUBMISSION",
        help="folder or zip with assignment/*.py, or a folder of such",
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of results, new or of a run"
    )
    parser.add_argument(
        "--jobs", type=positive, default=1, help="submissions at once (default: 1)"
    )
    parser.add_argument(
        "--exercises", nargs="+", default=[], metavar="N.N", help="only these count"
    )
    add_course_options(parser, root)
    parser.add_argument(
        "--regrade",
        nargs="+",
        default=[],
        metavar="NAME",
        help="grade these again, even if nothing has changed",
    )
    parser.add_argument(
        "--references", type=Path, help="folder with the references of a term"
    )
    parser.add_argument(
        "--limits",
        nargs="+",
        default=[],
        metavar="NAME=NUMBER",
        help="limits of a test instead of the measured ones, e.g. cpu_seconds=60",
    )
    parser.add_argument(
        "--allow-ops",
        nargs="+",
        default=[],
        metavar="NAME",
        help="functions of torchvision.ops that may be called although an exercise "
        "asks to write them, e.g. sigmoid_focal_loss",
    )
    parser.add_argument(
        "--device",
        default="cpu",
        choices=("cpu", "pretend", "cuda"),
        help="where all tests' tensors are: pretend is a GPU that is none, cuda this "
        "machine's, lent to each submission (default: cpu; one test of each exercise "
        "pretends a GPU all the same)",
    )
    parser.add_argument(
        "--level",
        choices=("bubblewrap", "own user", "none"),
        help="weaker walls than this machine has",
    )
    parser.add_argument(
        "--unsafe",
        action="store_true",
        help="grade although there are no walls, or walls with a gap: submissions "
        "may then read hidden tests and other students' work; for code that you have "
        "read",
    )
    parser.set_defaults(run=lambda options: run_grade(options, root))


def run_grade(options: argparse.Namespace, root: Path) -> int:
    """Grade, and say where the results are."""
    from grader.course import LIMITS_VARIABLE, REFERENCES_VARIABLE
    from grader.grading.time_limits import chosen_limits

    if options.references:
        os.environ[REFERENCES_VARIABLE] = str(options.references.resolve())
    if options.limits:
        os.environ[LIMITS_VARIABLE] = " ".join(options.limits)
    chosen_limits()  # a wrong one is said before anything runs
    try:
        with course_with(root, options.course_dir) as course:
            return grade_paths(
                course,
                options.submissions,
                options.out,
                options.jobs,
                exercises=options.exercises,
                regrade=options.regrade,
                level_name=options.level,
                unsafe=options.unsafe,
                allowed_ops=options.allow_ops,
                parts=options.parts,
                device=options.device,
            )
    except KeyboardInterrupt as error:
        raise SignalError(
            f"stopped; who is graded stays so in {options.out}, and the same command "
            "goes on with the others",
            getattr(error, "number", signal.SIGINT),
        ) from None


def grade_paths(
    root: Path,
    paths: Sequence[Path],
    out: Path,
    jobs: int,
    *,
    exercises: Sequence[str] = (),
    regrade: Sequence[str] = (),
    level_name: str | None = None,
    unsafe: bool = False,
    allowed_ops: Sequence[str] = (),
    parts: Sequence[str] = (),
    device: str = "cpu",
) -> int:
    """Grade what the paths hold; the arguments are the command's options."""
    from grader.grading.level import choose_level
    from grader.sandbox.gpu import require_gpu

    if device == "cuda":
        require_gpu()
    # Before torch is imported, which takes a while and may have something to say.
    level = choose_level(level_name, unsafe)
    import torch

    from core.course import read_registry
    from grader.course import read_course
    from grader.grading.earlier import add_earlier, join_earlier
    from grader.grading.grade import grade
    from grader.submissions.find import find_submissions

    torch.set_num_threads(1)
    registry = read_registry(root)
    check_allowed(allowed_ops, registry.closed(registry.parts))
    course = read_course(root, exercises, level.value, allowed_ops, parts)
    asked = list(dict.fromkeys(test.exercise for test in course.chosen))
    known = {test.exercise for test in course.tests}
    known &= set(registry.asked(registry.parts))
    counting = add_earlier(asked, out, known)
    course = read_course(root, counting, level.value, allowed_ops, device=device)
    submissions = find_submissions(paths, out.resolve(), course.files)
    join_earlier(out.resolve(), submissions)
    code = grade(course, level, submissions, out, jobs=jobs, regrade=regrade)
    print(f"{out / 'index.html'}: {len(submissions)} submissions")
    if code == EXIT_PARTLY_FAILED:
        print("not every submission has a grade; the page says why", file=sys.stderr)
    return code


def check_allowed(names: Sequence[str], asked: Sequence[str]) -> None:
    """Raise a CourseError for a name that needs no permission, or does not exist."""
    from grader.sandbox.closing import public_names

    closed = public_names(asked)
    for name in names:
        if name not in closed:
            raise CourseError(
                f"--allow-ops {name}: no exercise asks for such a function of "
                f"torchvision.ops; those that can be allowed are "
                f"{', '.join(closed)}"
            )
