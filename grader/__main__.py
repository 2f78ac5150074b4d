"""`python -m grader`: what an instructor does with the course."""

import argparse
from pathlib import Path

from core.command import (
    EXIT_OK,
    CommandParser,
    run_command,
)
from grader.course_folder import add_course_options, course_with
from grader.demo import add_demo_parser
from grader.doctor.command import add_doctor_parser
from grader.gradescope.command import add_gradescope_parser
from grader.grading.command import add_grade_parser
from grader.nbgrader_course.command import add_nbgrader_parser
from grader.release.build import write_release
from grader.site.command import add_site_parser
from grader.suites.command import add_tests_parser

ROOT = Path(__file__).resolve().parent.parent
STORED_REFERENCES = ROOT / "grader_tests" / "references"


def make_parser() -> CommandParser:
    """The sub-commands and their options."""
    parser = CommandParser(prog="python -m grader", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    release = commands.add_parser(
        "release",
        help="make the students' version: solutions cut out, searched, tried out",
        description="Make the students' version of the course.",
    )
    release.add_argument(
        "--out", type=Path, required=True, help="new folder, or an earlier release"
    )
    release.add_argument("--zip", type=Path, help="also write this zip")
    release.add_argument(
        "--repository",
        default="",
        metavar="ADDRESS",
        help="where you will publish it, for Colab: https://github.com/YOU/COURSE",
    )
    add_course_options(release)
    release.set_defaults(run=run_release)
    references = commands.add_parser(
        "references",
        help="make new inputs and expected values for the hidden tests",
        description="Make the stored inputs and expected values of the hidden tests.",
    )
    references.add_argument("--seed", type=int, required=True, help="of the inputs")
    references.add_argument(
        "--out", type=Path, default=STORED_REFERENCES, help="folder to write to"
    )
    references.set_defaults(run=run_references)
    add_tests_parser(commands, ROOT)
    add_grade_parser(commands, ROOT)
    add_gradescope_parser(commands, ROOT)
    add_nbgrader_parser(commands, ROOT)
    add_doctor_parser(commands)
    add_demo_parser(commands, ROOT)
    add_site_parser(commands, ROOT)
    return parser


def run_release(options: argparse.Namespace) -> int:
    """Write the release and say what is in it."""
    with course_with(ROOT, options.course_dir) as root:
        release = write_release(
            root, options.out, options.zip, options.repository, options.parts
        )
    print(
        f"{options.out}: {len(release.files)} files, {len(release.registry.exercises)} "
        "exercises, each raises NotImplementedError; none of "
        f"{release.num_secrets} secret lines is in it"
    )
    if release.new is not None:
        print(f"New since the release before: {', '.join(release.new) or 'no file'}")
    if release.solved:
        print(f"With their solutions: exercises {', '.join(release.solved)}")
    if options.zip:
        print(f"{options.zip}: the same as a zip")
    if not options.repository:
        print("Its Colab badges lead nowhere yet; --repository says where it will be")
    return EXIT_OK


def run_references(options: argparse.Namespace) -> int:
    """Write the references and say which."""
    from grader.suites.references import write_references  # imports torch

    for path in write_references(ROOT, options.out, options.seed):
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")
    return EXIT_OK


def main() -> int:
    """Read the command line and run the sub-command."""
    options = make_parser().parse_args()
    code: int = options.run(options)
    return code


if __name__ == "__main__":
    run_command(main)
