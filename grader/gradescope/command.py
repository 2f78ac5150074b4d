"""The options of `python -m grader gradescope`, and what is said afterwards."""

import argparse
from pathlib import Path

from core.command import EXIT_OK, CommandParser
from grader.course_folder import add_course_options, course_with


def add_gradescope_parser(
    commands: "argparse._SubParsersAction[CommandParser]", root: Path
) -> None:
    """Add the sub-command that makes the zip for Gradescope.

    Args:
        commands: of `python -m grader`.
        root: the checkout of the course.
    """
    parser = commands.add_parser(
        "gradescope",
        help="make the zip that is uploaded to Gradescope",
        description="Make the autograder for Gradescope: scripts, pinned packages for "
        "the CPU, tests and solution.",
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="the zip, autograder.zip"
    )
    parser.add_argument(
        "--references", type=Path, help="folder with the references of a term"
    )
    add_course_options(parser, root)
    parser.set_defaults(run=lambda options: run_gradescope(options, root))


def run_gradescope(options: argparse.Namespace, root: Path) -> int:
    """Write the zip and say how it is used."""
    from grader.gradescope.build import write_autograder

    with course_with(root, options.course_dir) as course:
        count = write_autograder(course, options.out, options.references, options.parts)
    print(
        f"{options.out}: {count} files; upload it under Configure Autograder, with a "
        "base image that has Python 3.11 or newer, and 2 CPUs with 3 GB or more"
    )
    return EXIT_OK
