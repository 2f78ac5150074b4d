"""`python -m grader`: what an instructor does with the course."""

import argparse
from pathlib import Path

from data_scripts.command import EXIT_OK, CommandParser, run_command
from grader.release import write_release

ROOT = Path(__file__).resolve().parent.parent


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
    release.set_defaults(run=run_release)
    return parser


def run_release(options: argparse.Namespace) -> int:
    """Write the release and say what is in it."""
    release = write_release(ROOT, options.out, options.zip)
    count = sum(len(each) for each in release.exercises.values())
    print(
        f"{options.out}: {len(release.files)} files, {count} exercises, each raises "
        f"NotImplementedError; none of {release.num_secrets} secret lines is in it"
    )
    if options.zip:
        print(f"{options.zip}: the same as a zip")
    return EXIT_OK


def main() -> int:
    """Read the command line and run the sub-command."""
    options = make_parser().parse_args()
    code: int = options.run(options)
    return code


if __name__ == "__main__":
    run_command(main)
