"""Run the visible checks; notebooks import check, hint, progress and reset from here.

python -m helpers.check              the first exercise that does not pass
python -m helpers.check 3.2          one exercise; 3 for a whole step; nms by name
python -m helpers.check --all        every exercise
python -m helpers.check --watch      again at every save, on to the next when it passes
python -m helpers.check hint 3.2     a hint; --level 2 and 3 say more
python -m helpers.check list         the map of the course with what is done
python -m helpers.check reset 3.2    the start of an exercise again; keeps your file
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from core.command import (
    EXIT_OK,
    EXIT_PARTLY_FAILED,
    CommandParser,
    CourseError,
    run_command,
)
from helpers.checks.exercises import (
    ROOT,
    Exercise,
    find_exercise,
    find_exercises,
    read_exercises,
)
from helpers.checks.hints import LEVELS, hint_text
from helpers.checks.reset import reset as put_back

if TYPE_CHECKING:
    from helpers.checks.runner import CheckRun

# What loads torch is imported where it is used, so that a hint comes at once.

WORDS = ("hint", "list", "reset")
PICTURES = Path("runs/checks")
# Exercise -> level of the hint that this notebook has shown last.
_given: dict[str, int] = {}


def make_parser() -> CommandParser:
    """The options; what they mean stands at the top of this file."""
    parser = CommandParser(
        prog="python -m helpers.check",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "words",
        nargs="*",
        metavar="EXERCISE",
        help='"3.2", or "hint 3.2", "list", "reset 3.2"',
    )
    parser.add_argument("--all", action="store_true", help="every exercise")
    parser.add_argument("--watch", action="store_true", help="again at every save")
    parser.add_argument(
        "--device",
        choices=("cpu", "cuda", "pretend"),
        default="cpu",
        help="where the tensors are; pretend: on a GPU that is none, to see what a "
        "GPU would refuse",
    )
    parser.add_argument(
        "--level",
        type=int,
        choices=range(1, len(LEVELS) + 1),
        default=1,
        help="of a hint",
    )
    parser.add_argument(
        "--picture", action="store_true", help="draw yours beside the expected"
    )
    return parser


def main() -> int:
    """Read the command line, and do what it says."""
    options = make_parser().parse_args()
    words = list(options.words)
    action = words.pop(0) if words and words[0] in WORDS else ""
    exercises = read_exercises()
    chosen = [
        exercise for word in words for exercise in find_exercises(word, exercises)
    ]
    if action == "list":
        return _list(options.device)
    if action and len(chosen) != 1:
        raise CourseError(
            f"{action} takes one exercise; write python -m helpers.check {action} 3.2"
        )
    if action == "hint":
        print(hint_text(chosen[0].id, options.level))
        if options.level < len(LEVELS):
            print(
                f"\nMore: python -m helpers.check hint {chosen[0].id} "
                f"--level {options.level + 1}"
            )
        return EXIT_OK
    if action == "reset":
        print(_reset(chosen[0]))
        return EXIT_OK
    if options.watch:
        from helpers.checks.watch import watch

        return watch(chosen[0].id if chosen else None, options.device)
    if options.all:
        return _check_all(options.device)
    return _check(chosen, options.device, options.picture)


def _short(path: Path) -> str:
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else str(path)


def _reset(exercise: Exercise) -> str:
    """Put the start of an exercise back, and say so."""
    done = put_back(exercise)
    lines = [f"{_short(done.path)}: {exercise.name} is as it was at the start"]
    if done.note:
        lines.append(done.note)
    if done.kept is not None:
        lines.append(f"Your file is kept as {_short(done.kept)}")
    return "\n".join(lines)


def _list(device: str) -> int:
    from helpers.checks.report import map_text
    from helpers.checks.runner import CheckRun

    with CheckRun(device, quiet=True) as run:
        print(map_text([run.report(number) for number in run.exercises]))
    return EXIT_OK


def _check_all(device: str) -> int:
    """Messages of what is wrong, then the map."""
    from helpers.checks.report import map_text, report_text
    from helpers.checks.results import PASS, WRONG
    from helpers.checks.runner import CheckRun

    with CheckRun(device, quiet=True) as run:
        reports = [run.report(number) for number in run.exercises]
    told = set()
    for report in reports:
        # A file that cannot be read by Python is the problem of many exercises.
        problem = report.problem
        if not problem or report.status != WRONG:
            continue
        if (problem.headline, problem.lines) not in told:
            told.add((problem.headline, problem.lines))
            print(report_text(report), end="\n\n")
    print(map_text(reports))
    passed = all(report.status == PASS for report in reports)
    return EXIT_OK if passed else EXIT_PARTLY_FAILED


def _check(chosen: list[Exercise], device: str, picture: bool) -> int:
    """The chosen exercises; without any, the first that does not pass."""
    from helpers.checks.report import report_text
    from helpers.checks.results import PASS, WRONG
    from helpers.checks.runner import CheckRun

    with CheckRun(device, quiet=not chosen) as run:
        numbers: list[str | None] = [exercise.id for exercise in chosen]
        reports = [
            run.report(number)
            for number in numbers or [run.first_open()]
            if number is not None
        ]
        for report in reports:
            print(report_text(report))
            if picture or (report.status == WRONG and len(reports) == 1):
                _save_picture(run, report.exercise.id)
    if not reports:
        print("All exercises pass their visible checks. Well done!")
    passed = all(report.status == PASS for report in reports)
    return EXIT_OK if passed else EXIT_PARTLY_FAILED


def _save_picture(run: "CheckRun", number: str) -> None:
    from helpers.checks.pictures import draw_picture

    figure = draw_picture(number, run.student)
    if figure is None:
        return
    path = ROOT / PICTURES / f"{number}.png"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
    except OSError as error:
        print(f"  No picture: {_short(path)} cannot be written ({error.strerror})")
    else:
        print(f"  Picture: {_short(path)}")


def check(exercise: str, device: str = "cpu", picture: bool = True) -> None:
    """For notebooks: run the visible checks of one exercise on your file as it is now.

    Args:
        exercise: "3.2".
        device: "cpu", "cuda", or "pretend" for a GPU that is none.
        picture: also show yours beside the expected, where there is such a picture.

    Raises:
        NotImplementedError: it is not written yet, or one that it needs is not.
        AssertionError: a check fails; the message says which and why.
    """
    from helpers.checks.in_notebook import check_in_notebook, in_a_cell

    try:
        check_in_notebook(exercise, device, picture)
    except CourseError as error:
        raise in_a_cell(error) from None


def hint(exercise: str, level: int | None = None) -> None:
    """For notebooks: print a hint; called again, the next one, which says more.

    Args:
        exercise: "3.2".
        level: 1, 2 or 3, if you want a certain one.
    """
    try:
        chosen = find_exercise(exercise, read_exercises())
    except CourseError as error:
        from helpers.checks.in_notebook import in_a_cell

        raise in_a_cell(error) from None
    if level is None:
        level = min(_given.get(chosen.id, 0) + 1, len(LEVELS))
    if level not in range(1, len(LEVELS) + 1):
        raise CourseError(f"there is no hint of level {level}; choose 1, 2 or 3")
    _given[chosen.id] = level
    print(hint_text(chosen.id, level))
    if level < len(LEVELS):
        print(f'\nMore: run hint("{chosen.id}") again')


def progress(device: str = "cpu") -> None:
    """For notebooks: the map of the course with what is done, as a picture."""
    from helpers.checks.progress import map_html
    from helpers.checks.report import map_text
    from helpers.checks.runner import CheckRun
    from helpers.checks.shell import show_html

    with CheckRun(device, quiet=True) as run:
        reports = [run.report(number) for number in run.exercises]
    if not show_html(map_html(reports)):
        print(map_text(reports))


def reset(exercise: str) -> None:
    """For notebooks: put an exercise back to its start; your file is kept in runs/kept.

    Args:
        exercise: "3.2".
    """
    from helpers.checks.in_notebook import in_a_cell

    try:
        print(_reset(find_exercise(exercise, read_exercises())))
    except CourseError as error:
        raise in_a_cell(error) from None


if __name__ == "__main__":
    run_command(main)
