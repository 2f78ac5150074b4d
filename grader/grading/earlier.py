"""A folder of results keeps the exercises of earlier runs: a run only adds to them."""

import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from data_scripts.command import CourseError
from grader.course import ALL_EXERCISES
from grader.pages.class_results import read_class
from grader.submissions.names import shown


def add_earlier(
    exercises: Sequence[str], out: Path, known: Collection[str]
) -> Sequence[str]:
    """The exercises that count: those that are asked for, and those of earlier runs.

    A result is of one hand-in, one set of tests and all that counts. If a run counted
    only what it is asked for, 5 of 5 would stand where 236 of 236 stood.

    Args:
        exercises: that are asked for; all if empty.
        out: folder of results, which need not exist.
        known: all exercises that the course has tests for.

    Returns:
        Numbers; none for all.

    Raises:
        CourseError: there are results of an exercise that the course does not have.
    """
    earlier, odd = set(), set()
    for each in read_class(out) if out.is_dir() else ():
        earlier |= set(str(each.extra["hashes"].get("exercises", "")).split())
        odd |= set(each.extra["exercises"]) - set(known)
    if odd:
        raise CourseError(
            f"{shown(str(out))}: holds results of exercise {shown(min(odd))}, which "
            "the course does not have; give another --out"
        )
    more = sorted(earlier - set(exercises))
    if not exercises or not more:
        return exercises
    is_all = ALL_EXERCISES in more
    print(
        f"{shown(str(out))}: holds results of "
        f"{'all exercises' if is_all else ' '.join(more)}, which count too; for "
        f"{' '.join(exercises)} alone give another --out",
        file=sys.stderr,
    )
    return [] if is_all else [*exercises, *more]
