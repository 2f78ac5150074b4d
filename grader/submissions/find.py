"""Find what is to be graded, and give each a name that is safe for a folder."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_scripts.command import CourseError
from grader.submissions.intake import FOLDER

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

    Args:
        paths: submissions, or folders of submissions.
        out: absolute path of the folder of results, which is no submission.

    Raises:
        CourseError: a path is neither, or nothing was found.
    """
    found: list[Path] = []
    for given in paths:
        path = given.resolve()  # who calls the command may give a link
        if not path.exists():
            raise CourseError(
                f"{given}: there is no such folder or zip; check the path"
            )
        if _is_submission(path):
            found.append(path)
        elif path.is_dir():
            found += _children(path)
        else:
            raise CourseError(f"{path}: is neither a folder nor a .zip; pack it as one")
    unique = [path for path in dict.fromkeys(found) if out is None or path != out]
    if not unique:
        raise CourseError(f"{paths[0]}: holds no submission; give folders or zips")
    names = [path.name if path.is_dir() else path.stem for path in unique]
    return with_ids(zip(unique, names, strict=True))


def _is_submission(path: Path) -> bool:
    if not path.is_dir():
        return path.suffix.lower() == ".zip"
    return (path / FOLDER).exists() or any(path.glob("*.py"))


def _children(folder: Path) -> list[Path]:
    """Folders and zips; links too, which are refused by name instead of lost."""
    entries = (path for path in folder.iterdir() if not path.name.startswith("."))
    return sorted(
        path
        for path in entries
        if path.is_symlink() or path.is_dir() or path.suffix.lower() == ".zip"
    )


def with_ids(submissions: Iterable[tuple[Path, str]]) -> list[Submission]:
    """Make a safe and unique id from each (path, name)."""
    named = list(submissions)
    plain = [_safe(name) for _, name in named]
    lower = [each.lower() for each in plain]
    ids = []
    for (path, name), safe in zip(named, plain, strict=True):
        # What was changed could collide with another; what collides must not merge.
        if lower.count(safe.lower()) > 1:
            safe = f"{safe}-{_digest(str(path))[:DIGEST_LENGTH]}"
        elif safe != name or safe.lower() in TAKEN or MADE_ID.search(safe):
            safe = f"{safe}-{_digest(name)[:DIGEST_LENGTH]}"
        ids.append(safe)
    lower = [each.lower() for each in ids]
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
