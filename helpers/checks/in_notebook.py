"""Checks in a notebook: the picture below the cell, and no traceback of ours."""

import re
from typing import TypeVar

from core.command import CourseError
from core.course import ID
from helpers.checks.exercises import find_exercise, read_exercises
from helpers.checks.pictures import draw_picture
from helpers.checks.report import report_text
from helpers.checks.results import BLOCKED, OPEN, PASS
from helpers.checks.runner import CheckRun
from helpers.checks.shell import is_stale, show

Error = TypeVar("Error", bound=Exception)
ADVICE = (
    "Note: this notebook may still hold your old code. Run these two lines once, then "
    "the cells that import:\n  %load_ext autoreload\n  %autoreload 2"
)


def check_in_notebook(exercise: str, device: str, picture: bool) -> None:
    """Run the checks of one exercise, show the picture, and raise if one fails.

    Raises:
        CourseError: there is no such exercise or device.
        NotImplementedError, AssertionError: see helpers.check.check.
    """
    number = find_exercise(exercise, read_exercises()).id
    with CheckRun(device) as run:
        report = run.report(number)
        if picture and report.status not in (OPEN, BLOCKED):
            show(draw_picture(number, run.student))
    text = as_calls(report_text(report))
    if report.status == PASS:
        print(text)
        return
    if is_stale():
        print(ADVICE)
    kind = NotImplementedError if report.status in (OPEN, BLOCKED) else AssertionError
    raise without_traceback(kind(text))


def as_calls(text: str) -> str:
    """Commands of the terminal as what one writes in a cell.

    >>> as_calls("Again: python -m helpers.check 3.2")
    'Again: check("3.2")'
    """
    text = re.sub(rf"python -m helpers\.check ({ID})", r'check("\1")', text)
    text = re.sub(rf"python -m helpers\.check reset ({ID})", r'reset("\1")', text)
    text = text.replace("python -m helpers.check list", "progress()")
    return re.sub(rf"python -m helpers\.check hint ({ID})", r'hint("\1")', text)


def in_a_cell(error: CourseError) -> CourseError:
    """A mistake that one sentence explains, with calls for commands."""
    return without_traceback(CourseError(as_calls(str(error))))


def without_traceback(error: Error) -> Error:
    """The same exception; IPython asks it for the lines to show, and gets its text."""
    vars(error)["_render_traceback_"] = lambda: str(error).splitlines()
    return error
