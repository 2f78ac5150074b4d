"""Checks in a notebook: the picture below the cell, and no traceback of ours."""

import sys
from typing import Any

from helpers.checks.exercises import find_exercise, read_exercises
from helpers.checks.pictures import draw_picture
from helpers.checks.report import report_text
from helpers.checks.results import BLOCKED, OPEN, PASS
from helpers.checks.runner import CheckRun

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
    text = report_text(report)
    text = text.replace("python -m helpers.check hint ", "").replace(
        f"Hint: {number}", f'Hint: hint("{number}")'
    )
    text = text.replace(report.exercise.command, f'check("{number}")')
    if report.status == PASS:
        print(text)
        return
    if is_stale():
        print(ADVICE)
    kind = NotImplementedError if report.status in (OPEN, BLOCKED) else AssertionError
    error = kind(text)
    # IPython asks the exception itself for the lines to show.
    vars(error)["_render_traceback_"] = lambda: text.splitlines()
    raise error


def show(figure: Any) -> None:
    """Show a figure below the cell; nothing happens outside of a notebook."""
    if figure is None or "IPython" not in sys.modules:
        return
    from IPython import get_ipython
    from IPython.display import display

    if get_ipython() is not None:
        display(figure)


def is_stale() -> bool:
    """Whether the notebook has imported assignment/ without `%autoreload 2`."""
    if "IPython" not in sys.modules or "assignment.common" not in sys.modules:
        return False
    from IPython import get_ipython

    shell = get_ipython()
    if shell is None:
        return False
    return "IPython.extensions.autoreload" not in shell.extension_manager.loaded
