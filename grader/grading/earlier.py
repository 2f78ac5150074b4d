"""A folder of results keeps the exercises of earlier runs: a run only adds to them."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from data_scripts.command import CourseError
from grader.course import ALL_EXERCISES
from grader.pages.class_report import read_class
from grader.submissions.names import shown


def add_earlier(
    exercises: Sequence[str], out: Path, known: Iterable[str]
) -> Sequence[str]:
    """The exercises that count: those that are asked for, and those of earlier runs.

    A result is of one hand-in, one set of tests and all that counts. If a run counted
    only what it is asked for, 5 of 5 would stand where 236 of 236 stood.

    Args:
        exercises: that are asked for; all if empty.
        out: folder of results, which need not exist.
        known: all exercises of the course.

    Returns:
        Numbers; none for all.

    Raises:
        CourseError: there are results of an exercise that the course does not have.
    """
    if not exercises or not out.is_dir():
        return exercises
    earlier = {
        name
        for each in read_class(out)
        for name in str(each.extra["hashes"].get("exercises", "")).split()
    }
    more = sorted(earlier - set(exercises))
    if ALL_EXERCISES in more:
        exercises, more = [], ["all exercises"]
    odd = [name for name in more if name not in known and exercises]
    if odd:
        raise CourseError(
            f"{out}: holds results of exercise {odd[0]}, which the course does not "
            "have; give another --out"
        )
    if more:
        print(
            f"{shown(str(out))}: holds results of {' '.join(more)}, which count too; "
            "for these exercises alone give another --out",
            file=sys.stderr,
        )
    return [*exercises, *more] if exercises else []
