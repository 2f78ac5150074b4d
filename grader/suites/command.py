"""`python -m grader tests`: all suites in this process, for the maintainer."""

import argparse
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from core.command import (
    EXIT_OK,
    EXIT_PARTLY_FAILED,
    CommandParser,
    CourseError,
)
from core.course import id_order, read_registry
from grader.course import REFERENCES_VARIABLE
from grader.course_folder import add_named_course, course_with
from grader.manifest import ManifestTest, choose_exercises, read_manifest
from grader.outcomes import Outcome


def add_tests_parser(
    commands: "argparse._SubParsersAction[CommandParser]", root: Path
) -> None:
    """Add the sub-command `tests`."""
    parser = commands.add_parser(
        "tests",
        help="run all suites in this process, against the solution",
        description="Run the hidden and the visible tests in this process.",
    )
    parser.add_argument(
        "--device",
        default="cpu",
        choices=("cpu", "cuda", "pretend"),
        help="where the tests' tensors are; pretend: on a GPU that is none",
    )
    parser.add_argument(
        "--solution",
        type=Path,
        default=root / "assignment",
        help="folder with other assignment files; trusted",
    )
    parser.add_argument(
        "--references", type=Path, help="folder with the references of a term"
    )
    parser.add_argument("-k", default="", dest="chosen", help="only tests that match")
    add_named_course(parser, root)
    parser.set_defaults(run=lambda options: run_tests(options, root))


def run_tests(options: argparse.Namespace, root: Path) -> int:
    """Run the suites and print a table.

    Raises:
        CourseError: there is no such device, no file to test, or no test that matches.
    """
    from grader.session.local_session import LocalSession  # imports torch
    from grader.suites.suite_run import Suite, SuiteError, with_suite
    from grader.worker.vision import work_offline

    use_device(options.device)
    folder = options.solution.resolve()
    if not any(folder.glob("*.py")):
        raise CourseError(
            f"{folder}: no file of assignment/ is there; name the folder that holds "
            "common.py"
        )
    if options.references:
        os.environ[REFERENCES_VARIABLE] = str(options.references.resolve())
    with course_with(root, options.course_dir) as course_root:
        registry = read_registry(course_root)
        tests = read_manifest(course_root, registry)
        chosen = {test.id for test in tests}
        if options.course_dir is not None:
            chosen = {test.id for test in choose_exercises(tests, (), registry)}
            work_offline()  # backbones without their weights, as in the sandbox

        def run(suite: Suite) -> list[Outcome]:
            ids = [name for name in suite.ids if name in chosen]
            if not ids:
                raise CourseError(
                    f"-k {options.chosen}: no test matches; see pytest's -k"
                )
            with LocalSession(folder, options.device) as session:
                return suite.run(ids, session)

        try:
            outcomes = with_suite(course_root, tests, run, options.chosen)
        except SuiteError as error:
            raise CourseError(f"{root / 'grader_tests'}: {error}") from error
    print(format_table(outcomes, {test.id: test for test in tests}))
    failed = any(outcome.category for outcome in outcomes)
    return EXIT_PARTLY_FAILED if failed else EXIT_OK


def use_device(device: str) -> None:
    """Make a device ready: whole float32 products, as the tolerances expect.

    Raises:
        CourseError: torch finds no such device.
    """
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise CourseError(
            f"--device {device}: torch finds no GPU here; use cpu or pretend"
        )
    torch.set_num_threads(1)  # as grading does; the tensors are small
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def format_table(outcomes: Iterable[Outcome], tests: Mapping[str, ManifestTest]) -> str:
    """One line for each exercise: tests passed, points, seconds; then what failed."""
    rows: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        rows.setdefault(tests[outcome.id].exercise, []).append(outcome)
    lines = ["exercise  passed      points   seconds"]
    for exercise, own in sorted(rows.items(), key=lambda row: id_order(row[0])):
        points = [tests[outcome.id].points for outcome in own]
        earned = sum(
            share
            for share, outcome in zip(points, own, strict=True)
            if not outcome.category
        )
        passed = sum(not outcome.category for outcome in own)
        seconds = sum(outcome.seconds for outcome in own)
        lines.append(
            f"{exercise:8}  {passed:3} of {len(own):3}  {earned:3g} of {sum(points):3g}"
            f"  {seconds:7.2f}"
        )
    for own in rows.values():
        for outcome in own:
            if outcome.category:
                cause = f"\n  Likely: {outcome.cause}" if outcome.cause else ""
                lines.append(
                    f"\n{outcome.id} ({outcome.category})\n  {outcome.message}{cause}"
                    f"\n{outcome.traceback}".rstrip()
                )
    return "\n".join(lines)
