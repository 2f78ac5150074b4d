"""Collect hand-ins into submitted/: each by itself, with its reason."""

import contextlib
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from core.command import CourseError
from core.files import locked_folder
from grader.nbgrader_course.hand_in import MOST_NAMED, HandIn, read_hand_in
from grader.nbgrader_course.names import STUDENT_ID, check_name, show
from grader.nbgrader_course.place import EARLIER, finish, place
from grader.submissions.intake_zip import IntakeError
from grader.submissions.names import shown
from grader.submissions.pile import is_left_out

REFUSED = "REFUSED"
PROBE = ".room"
LEAST_ROOM = 2**20  # bytes that can be written if a disk is not full


@dataclass(frozen=True)
class Row:
    """What became of one entry of the archive.

    Attributes:
        who: the student, or the entry if it names none; safe for a terminal.
        what: "taken", "unchanged", "replaced" or REFUSED.
        why: the reason, and what was left out.
    """

    who: str
    what: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Class:
    """Where hand-ins come from and go to.

    Attributes:
        archive: folder with a zip, or a folder, for each student.
        course: the course folder, in which EARLIER gets what is replaced.
        submitted: its folder submitted/.
        assignment: its name.
        notebooks: names of its notebooks.
        known: students of the gradebook and of submitted/.
        only_known: whether anybody else is refused.
    """

    archive: Path
    course: Path
    submitted: Path
    assignment: str
    notebooks: Collection[str]
    known: Collection[str]
    only_known: bool


def collect(group: Class) -> list[Row]:
    """Take each hand-in that can be taken; every entry has a row.

    Raises:
        CourseError: the archive is empty, or another command collects from it.
    """
    entries = sorted(
        path for path in group.archive.iterdir() if not is_left_out(path.name)
    )
    if not entries:
        raise CourseError(f"{group.archive}: is empty; put the students' zips there")
    owners = {path: _owner(path) for path in entries}
    names = Counter(owner.casefold() for owner in owners.values())
    rows = []
    with locked_folder(group.archive):
        for path, owner in owners.items():
            try:
                if names[owner.casefold()] > 1:
                    raise IntakeError(
                        "there are several hand-ins of this name, or of one that "
                        f"differs in capitals only ({show(path.name)}); keep one"
                    )
                rows.append(_collect_one(group, path, owner))
            except (IntakeError, CourseError) as error:
                _check_room(group, error.__cause__, len(rows))
                rows.append(_refused(group, owner, str(error)))
            except OSError as error:
                _check_room(group, error, len(rows))
                why = f"a file cannot be read or written ({error.strerror})"
                rows.append(_refused(group, owner, why))
            except Exception as error:  # noqa: BLE001 - it concerns this hand-in alone
                why = f"it cannot be read ({type(error).__name__}); pack it anew"
                rows.append(_refused(group, owner, why))
    return rows


def _check_room(group: Class, error: BaseException | None, done: int) -> None:
    """Stop where nothing can be written: that is no fault of the hand-in at hand.

    Args:
        group: where hand-ins go to.
        error: what happened, if the system said so.
        done: entries that have a row already.

    Raises:
        CourseError: nothing can be written.
    """
    if not isinstance(error, OSError):
        return
    probe = group.course / PROBE
    try:
        probe.write_bytes(bytes(LEAST_ROOM))
    except OSError as full:
        raise CourseError(
            f"{group.course}: cannot be written ({full.strerror}), after {done} "
            "hand-ins; make room and call it again: what is collected stays"
        ) from full
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)


def _refused(group: Class, owner: str, why: str) -> Row:
    is_there = (
        STUDENT_ID.fullmatch(owner)
        and (group.submitted / owner / group.assignment).is_dir()
    )
    stays = "; what was collected earlier is still there" if is_there else ""
    return Row(show(owner), REFUSED, f"{why}{stays}")


def _owner(path: Path) -> str:
    """Whose an entry is: what the learning platform, or the instructor, called it."""
    return path.stem if path.suffix.lower() == ".zip" else path.name


def _collect_one(group: Class, path: Path, owner: str) -> Row:
    if path.is_symlink():
        raise IntakeError("the hand-in is a link; put the zip itself there")
    if not path.is_dir() and path.suffix.lower() != ".zip":
        raise IntakeError("this is neither a zip nor a folder; pack it as one zip")
    check_name(owner)
    _check_known(group, owner)
    target = group.submitted / owner / group.assignment
    finish(target)
    taken = read_hand_in(path, group.notebooks)
    stamp = time.strftime("%Y-%m-%d-%H%M%S")
    what, kept = place(
        taken.files, target, group.course / EARLIER / group.assignment / owner / stamp
    )
    notes = [f"the earlier one is in {kept.relative_to(group.course)}"] if kept else []
    return Row(owner, what, "; ".join([*notes, *_notes(taken, owner in group.known)]))


def _check_known(group: Class, owner: str) -> None:
    if owner in group.known:
        return
    if group.only_known:
        raise IntakeError(
            "nobody of this name is in the gradebook; add the student with nbgrader db "
            "student add, or rename the hand-in"
        )
    for name in group.known:
        if name.casefold() == owner.casefold():
            raise IntakeError(
                f"{show(name)} is known, which differs in capitals only; rename the "
                "hand-in"
            )


def _notes(taken: HandIn, is_known: bool) -> list[str]:
    """What whoever reads the table must know of a hand-in that was taken."""
    notes = [] if is_known else ["new in the gradebook"]
    if taken.missing:
        notes.append(f"without {', '.join(taken.missing)}")
    if not any(name.endswith(".py") for name in taken.files):
        notes.append("without assignment/*.py, so the exercises have no points")
    if taken.left_out:
        others = [show(name) for name in taken.left_out if name.endswith(".ipynb")]
        named = f", {', '.join(others[:MOST_NAMED])} among them" if others else ""
        notes.append(f"files that were left out: {len(taken.left_out)}{named}")
    return notes


def report(rows: list[Row]) -> list[str]:
    """The table, and the sums below it."""
    width = max(len(row.who) for row in rows)
    lines = [f"{row.who:{width}}  {row.what:9}  {row.why}".rstrip() for row in rows]
    counts = Counter(row.what for row in rows)
    lines.append(f"{len(rows)} hand-ins: {', '.join(_counted(counts))}")
    if counts["replaced"]:
        lines.append("replaced ones are graded anew by nbgrader autograde --force")
    # Names of files stand in them, and nobody knows what the terminal can show.
    return [shown(line).encode("ascii", "backslashreplace").decode() for line in lines]


def _counted(counts: Counter[str]) -> list[str]:
    return [f"{number} {what}" for what, number in sorted(counts.items())]
