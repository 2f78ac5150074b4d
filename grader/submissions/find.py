"""Find what is to be graded, and give each a name that is safe for a folder."""

import contextlib
import hashlib
import os
import re
import stat
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.command import CourseError
from grader.submissions.names import listed, shown
from grader.submissions.pile import is_left_out, is_one

SAFE_NAME = re.compile(r"[^A-Za-z0-9_.@+-]+")
MOST_NAME = 100  # characters of a folder of results
DIGEST_LENGTH = 8  # of the characters that make a name unique
# A name like a made id gets a digest, too, so that nobody can ask for another's.
MADE_ID = re.compile(rf"-[0-9a-f]{{{DIGEST_LENGTH}}}\Z", re.IGNORECASE)
# What a folder of results holds beside those of submissions.
TAKEN = ("run.json", "grades.csv", "index.html")


@dataclass(frozen=True)
class Submission:
    """Something that was handed in.

    Attributes:
        name: as it was given, for people; may hold anything.
        id: the name of its folder of results; safe everywhere.
        path: a folder or a zip.
    """

    name: str
    id: str
    path: Path


def find_submissions(
    paths: Sequence[Path], out: Path | None = None
) -> list[Submission]:
    """Every submission that is meant, each with an id of its own.

    Each entry of a folder of submissions is one, readable or not: what cannot be graded
    gets a result that says why. What is left out is named on stderr.

    Args:
        paths: submissions, or folders of submissions.
        out: absolute path of the folder of results, which is no submission.

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
    return with_ids((path, _name(path)) for path in kept)


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
    return path.stem if is_zip else path.name


def with_ids(submissions: Iterable[tuple[Path, str]]) -> list[Submission]:
    """Make a safe and unique id from each (path, name)."""
    named = list(submissions)
    plain = [_safe(name) for _, name in named]
    lower = [name.lower() for name in plain]
    ids = []
    for (path, name), safe in zip(named, plain, strict=True):
        # What was changed could collide with another; what collides must not merge.
        if lower.count(safe.lower()) > 1:
            safe = f"{safe}-{_digest(str(path))[:DIGEST_LENGTH]}"
        elif safe != name or safe.lower() in TAKEN or MADE_ID.search(safe):
            safe = f"{safe}-{_digest(name)[:DIGEST_LENGTH]}"
        ids.append(safe)
    lower = [name.lower() for name in ids]
    for place, (path, _) in enumerate(named):
        if lower.count(lower[place]) > 1:  # somebody searched for the same short digest
            ids[place] = f"{plain[place]}-{_digest(str(path))}"
    return [
        Submission(name, own, path)
        for (path, name), own in zip(named, ids, strict=True)
    ]


def _safe(name: str) -> str:
    return SAFE_NAME.sub("_", name)[:MOST_NAME].strip("._") or "submission"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
