"""What a folder of results keeps of earlier runs: exercises, and who is who."""

import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from core.command import CourseError
from core.course import id_order
from core.files import locked_folder
from grader.course import ALL_EXERCISES
from grader.files import read_json
from grader.pages.class_report import REPLACED
from grader.pages.class_results import read_class
from grader.results.results import FINISHED, read_results
from grader.submissions.find import Submission
from grader.submissions.ids import id_of
from grader.submissions.names import shown

RUN_FILE = "run.json"  # by which a folder of results is known


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


def join_earlier(out: Path, submissions: Sequence[Submission]) -> None:
    """Rename results that a folder has under another id of the same person.

    Earlier releases of the course made ids of the whole name, and of what others were
    called. If both are there, one goes to REPLACED; a grade stays, whichever it is.

    Args:
        out: folder of results, which need not exist.
        submissions: of this run.

    Raises:
        CourseError: another command writes there.
        OSError: it cannot be written.
    """
    ids = {submission.id for submission in submissions}
    if read_json(out / RUN_FILE) is None:
        return
    with locked_folder(out):
        for folder in sorted(out.iterdir()):
            results = None if folder.name in ids else read_results(folder)
            own = id_of(results["extra_data"]["name"]) if results else ""
            if own not in ids or own == folder.name:
                continue
            if _has_grade(folder) and not _has_grade(out / own):
                _move(out, out / own, own)
            _move(out, folder, own)


def _has_grade(folder: Path) -> bool:
    results = read_results(folder)
    return results is not None and results["extra_data"]["status"] == FINISHED


def _move(out: Path, folder: Path, own: str) -> None:
    """Give a folder of results its id, or a name in REPLACED if that is taken."""
    target, number = out / own, 0
    while target.exists():
        number += 1
        target = out / REPLACED / f"{folder.name}-{number}"
    if folder.exists():
        target.parent.mkdir(exist_ok=True)
        folder.rename(target)
        print(
            f"{shown(folder.name)}: results of {shown(own)}, now in "
            f"{shown(target.relative_to(out).as_posix())}",
            file=sys.stderr,
        )
