"""Find what is to be graded, and give each a name that is safe for a folder."""

import contextlib
import os
import stat
import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.command import CourseError
from grader.submissions.ids import exact_id, person_of
from grader.submissions.intake import ARCHIVES, NoCodeError, take
from grader.submissions.intake_zip import IntakeError
from grader.submissions.names import listed, shown
from grader.submissions.pile import is_left_out, is_one


@dataclass(frozen=True)
class Submission:
    """Something that was handed in.

    Attributes:
        name: as it was given, for people; may hold anything.
        id: the name of its folder of results; safe everywhere.
        path: a folder or a zip.
        earlier: names of other hand-ins of the same person, which do not count.
        refused: a sentence, if a later hand-in of the same person cannot be read.
    """

    name: str
    id: str
    path: Path
    earlier: tuple[str, ...] = ()
    refused: str = ""


def find_submissions(
    paths: Sequence[Path], out: Path | None = None, wanted: Collection[str] = ()
) -> list[Submission]:
    """Every submission that is meant, one for each person.

    Each entry of a folder of submissions is one, readable or not: what cannot be graded
    gets a result that says why. What is left out, and what does not count since the
    same person has handed in again, is named on stderr.

    Args:
        paths: submissions, or folders of submissions.
        out: absolute path of the folder of results, which is no submission.
        wanted: as take's.

    Raises:
        CourseError: a path is neither, or nothing was found.
    """
    found: list[Path] = []
    for given in paths:
        try:
            found += _found_at(given, len(paths) == 1, out)
        except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
            why = getattr(error, "strerror", None) or "a loop of links"
            raise CourseError(
                f"{shown(str(given))}: cannot be read ({why}); check the path"
            ) from error
    unique = [path for path in dict.fromkeys(found) if out is None or path != out]
    kept = [path for path in unique if not is_left_out(path.name)]
    left_out = sorted({path.name for path in found if path not in kept})
    if left_out:
        print(f"left out: {listed(left_out)}", file=sys.stderr)
    if not kept:
        raise CourseError(
            f"{shown(str(paths[0]))}: holds no submission; give folders or zips"
        )
    return with_ids(((path, _name(path)) for path in kept), wanted)


def _found_at(given: Path, is_alone: bool, out: Path | None) -> list[Path]:
    """The submissions of a path that was given.

    Args:
        given: folder or zip.
        is_alone: no other path was given. Of several, such as `class/*`, each that is
            no folder stands for a student, and may be a trick.
        out: as find_submissions's.
    """
    if not os.path.lexists(given):
        raise CourseError(
            f"{shown(str(given))}: there is no such folder or zip; check the path"
        )
    if not is_alone and (given.is_symlink() or not given.is_dir()):
        return [given.parent.resolve() / given.name]
    path = given.resolve()  # who calls the command may give a link
    if path.is_dir():
        if is_one(path, out):
            return [path]
        with os.scandir(path) as entries:
            children = sorted(path / entry.name for entry in entries)
        return children or ([] if is_alone else [path])
    if path.suffix.lower() != ".zip":
        raise CourseError(
            f"{shown(str(path))}: is neither a folder nor a .zip; pack it as one"
        )
    return [path]


def _name(path: Path) -> str:
    """Of a submission; the kind of a file that is no zip belongs to it."""
    is_folder = False
    with contextlib.suppress(OSError):  # it may be gone, or out of reach
        is_folder = stat.S_ISDIR(path.lstat().st_mode)
    is_zip = path.suffix.lower() == ".zip" and not is_folder
    name = path.stem if is_zip else path.name
    # Python decodes names as the terminal's language has it; ids must not differ.
    return os.fsencode(name).decode("utf-8", "surrogateescape")


def with_ids(
    submissions: Iterable[tuple[Path, str]], wanted: Collection[str] = ()
) -> list[Submission]:
    """One submission for each person of (path, name), in the order of the first ones.

    Of several hand-ins the latest that can be read counts: by the learning platform's
    number of the attempt, else by the date of the file.

    Args:
        wanted: as take's.
    """
    groups: dict[str, list[tuple[Path, str]]] = {}
    for path, name in submissions:
        groups.setdefault(person_of(name).key, []).append((path, name))
    found = []
    for key, group in groups.items():
        path, name, refused = (
            _latest(group, wanted) if len(group) > 1 else (*group[0], "")
        )
        others = [other for other in group if other[0] != path]
        names = tuple(other for _, other in others)
        found.append(Submission(name, exact_id(key), path, names, refused))
        if others:
            print(
                f"{len(group)} hand-ins of one person: {shown(path.name)} counts, the "
                "latest that can be read, and not "
                f"{listed([other.name for other, _ in others])}",
                file=sys.stderr,
            )
    return found


def _latest(
    group: Sequence[tuple[Path, str]], wanted: Collection[str]
) -> tuple[Path, str, str]:
    """The latest that can be read; the latest of all if none can be.

    Returns:
        Its path and name, and a sentence if a later one was refused.
    """
    ordered = sorted(group, key=_order, reverse=True)
    refused = ""
    for path, name in ordered:
        try:
            take(path, wanted)
        except IntakeError as error:
            if not refused and _holds_work(path, error):
                refused = (
                    f"{shown(path.name)} was handed in later and refused, and does not "
                    f"count: {error}."
                )
        else:
            return path, name, refused
    return (*ordered[0], "")


def _holds_work(path: Path, error: IntakeError) -> bool:
    """Whether a student packed it; platforms put a text or a page beside a hand-in."""
    is_packed = path.is_dir() or path.suffix.lower() in ARCHIVES
    return is_packed and not isinstance(error, NoCodeError)


def _order(hand_in: tuple[Path, str]) -> tuple[int, int, str]:
    """Of two hand-ins of one person the later one is the larger."""
    path, name = hand_in
    date = 0
    with contextlib.suppress(OSError):
        date = path.lstat().st_mtime_ns
    return person_of(name).attempt, date, str(path)
