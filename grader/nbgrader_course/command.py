"""`python -m grader nbgrader`: build the folder in which nbgrader's commands work."""

import argparse
from pathlib import Path

from core.command import EXIT_OK, CommandParser, CourseError
from grader.course_folder import add_course_options


def add_nbgrader_parser(
    commands: "argparse._SubParsersAction[CommandParser]", root: Path
) -> None:
    """Add the sub-command.

    Args:
        commands: of `python -m grader`.
        root: the checkout of the course.
    """
    parser = commands.add_parser(
        "nbgrader",
        help="build or update a course folder for nbgrader",
        description="Build a course folder for nbgrader, or an assignment anew in one "
        "that is there; docs/nbgrader.md says what follows.",
    )
    parser.add_argument("--out", type=Path, required=True, help="the course folder")
    parser.add_argument("--name", default="fcos", help="of the assignment")
    parser.add_argument(
        "--notebooks",
        nargs="+",
        default=[],
        metavar="NN",
        help="only these, such as 01 02 03; their exercises count",
    )
    add_course_options(parser)
    parser.set_defaults(run=lambda options: run_nbgrader(options, root))


def run_nbgrader(options: argparse.Namespace, root: Path) -> int:
    """Build, and say what comes next."""
    from grader.nbgrader_course.build import build_course

    try:
        built = build_course(
            root,
            options.out,
            options.name,
            notebooks=options.notebooks,
            parts=options.parts,
            own=options.course_dir,
        )
    except OSError as error:
        raise CourseError(
            f"{error.filename or options.out}: cannot be written ({error.strerror}); "
            "make room, or give another --out"
        ) from error
    print(
        f"{options.out / 'source' / options.name}: {len(built.exercises)} graded "
        f"exercises; next, in {options.out}: nbgrader generate_assignment "
        f"{options.name}"
    )
    return EXIT_OK
