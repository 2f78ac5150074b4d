"""A folder of results keeps the exercises of earlier runs: a run only adds to them."""

import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from core.command import CourseError
from core.course import id_order
from grader.course import ALL_EXERCISES
from grader.pages.class_results import read_class
from grader.submissions.names import shown


def add_earlier(
    asked: Sequence[str], out: Path, known: Collection[str]
) -> Sequence[str]:
    """The exercises that count: those that are asked for, and those of earlier runs.

    A result is of one hand-in, one set of tests and all that counts. If a run counted
    only what it is asked for, 5 of 5 would stand where 236 of 236 stood.

    Args:
        asked: ids of the exercises of this run.
        out: folder of results, which need not exist.
        known: all exercises that the course has tests for.

    Returns:
        Ids, those that are asked for first.

    Raises:
        CourseError: there are results of an exercise that the course does not have.
    """
    earlier: set[str] = set()
    odd: set[str] = set()
    for student in read_class(out) if out.is_dir() else ():
        earlier |= set(str(student.extra["hashes"].get("exercises", "")).split())
        odd |= set(student.extra["exercises"]) - set(known)
    if odd:
        raise CourseError(
            f"{shown(str(out))}: holds results of exercise {shown(min(odd))}, which "
            "the course does not have; give another --out"
        )
    if ALL_EXERCISES in earlier:
        earlier = set(known)
    more = sorted(earlier - set(asked), key=id_order)
    if not more:
        return asked
    print(
        f"{shown(str(out))}: holds results of "
        f"{'all exercises' if earlier == set(known) else ' '.join(more)}, which count "
        f"too; for {' '.join(asked)} alone give another --out",
        file=sys.stderr,
    )
    return [*asked, *more]
