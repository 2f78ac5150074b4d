"""Let folders of the course be folders on Google Drive, without losing a version.

The folder that was here moves to before_drive/ and a link takes its place. Needs Python
alone, and git where the course was cloned.
"""

import hashlib
import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from helpers.drive.copies import digest, files_in
from helpers.drive.keep import Merge

RUNS = "runs"  # the one that a new course does not have
RELEASED = "released"  # on Drive: each published version that a session brought
BEFORE = "before_drive"  # in the course: folders as they were
MANIFEST = "release.json"
BRANCH = "origin/HEAD"  # what was fetched, whatever is committed here


class NotMovedError(Exception):
    """Why a folder stays where it is; the text says what to do."""


class Published:
    """What is known of the course as it was fetched.

    Args:
        root: the folder of the course.
    """

    def __init__(self, root: Path):
        listed = _git(root, "ls-tree", "-r", "-z", BRANCH).split("\0")
        parts = [line.partition("\t") for line in listed if line]
        self._blobs = {name: facts.split()[2] for facts, _, name in parts}
        committed = _git(root, "log", "-1", "--format=%ct", BRANCH).strip()
        self._committed = float(committed) if committed else None
        self._sums: dict[str, str] | None
        try:
            self._sums = dict(
                json.loads((root / MANIFEST).read_bytes())["student_release"]
            )
        except (OSError, ValueError, LookupError, TypeError):
            self._sums = None

    @property
    def is_known(self) -> bool:
        """Whether anything is known; not so in a plain copy of the source."""
        return self._sums is not None or bool(self._blobs)

    def has(self, name: str, path: Path) -> bool:
        """Whether a file is as the course was published under this name."""
        if self._sums is not None:
            return self._sums.get(name) == digest(path)
        return self._was_fetched(name, path)

    def age(self, name: str, path: Path) -> float:
        """Time of a file; a clone writes all files now, whenever they were made."""
        if self._committed is not None and self._was_fetched(name, path):
            return self._committed
        return path.stat().st_mtime

    def _was_fetched(self, name: str, path: Path) -> bool:
        if name not in self._blobs:
            return False
        content = path.read_bytes()
        blob = b"blob %d\0" % len(content) + content
        sha1 = hashlib.sha1(blob, usedforsecurity=False).hexdigest()
        return sha1 == self._blobs[name]


def _git(root: Path, *command: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *command], capture_output=True, check=False
        )
    except OSError:  # no git here
        return ""
    return "" if done.returncode else os.fsdecode(done.stdout)


def keep_folders(
    root: Path, drive: Path, names: Sequence[str], shown: str
) -> tuple[bool, str]:
    """Let folders of the course be folders on Drive; what is on both sides stays.

    Args:
        root: the folder of the course.
        drive: the folder on Drive.
        names: of the folders.
        shown: how messages name the folder on Drive.

    Returns:
        Whether all are there now, and what to say.
    """
    published = Published(root)
    kept, lines, failed = [], [], []
    for name in names:
        try:
            lines += _keep_folder(root, drive, name, published)
            kept.append(f"{name}/")
        except (OSError, NotMovedError) as error:
            failed.append(f"{name}/ cannot be brought there: {_reason(error)}")
    verb = "are" if len(kept) > 1 else "is"
    first = f"Drive: {' and '.join(kept) or 'nothing'} {verb} kept in {shown}"
    if failed:
        lines += [*failed, "nothing is lost; mend that, then run this cell again"]
    return not failed, "\n       ".join([first, *lines])


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror + (f" ({error.filename})" if error.filename else "")
    return str(error)


def _keep_folder(root: Path, drive: Path, name: str, published: Published) -> list[str]:
    """Bring one folder to Drive and put a link in its place; what to say of it.

    Raises:
        NotMovedError: something else is where the folder or its link should be.
        OSError: Drive or this machine cannot be written.
    """
    here, there = root / name, drive / name
    for path in (drive, there, here):
        if path.exists() and not path.is_dir():
            raise NotMovedError(f"{path} is a file; give it another name")
    if here.is_symlink() and here.exists():
        if there.exists() and here.samefile(there):
            return []
        raise NotMovedError(
            f"it is a link to {here.readlink()}, where your work stays; remove the "
            "link if you want it on Drive"
        )
    source: Path | None = here
    lines = []
    if not here.is_dir():  # an earlier call was stopped, or the folder on Drive is gone
        is_on_drive = there.is_dir() and any(files_in(there))
        source = None if is_on_drive else _last_before(root, name)
        if source is None and not is_on_drive and name != RUNS:
            raise NotMovedError("it is neither here nor there; fetch the course again")
        if source is not None and here.is_symlink():
            lines.append(
                f"{name}/: not on Drive any more (moved, renamed or deleted?), so it "
                f"begins again from {source.relative_to(root)}"
            )
    there.mkdir(parents=True, exist_ok=True)
    if source is not None:
        lines += _merge(source, drive, name, published)
    _link(root, name, there)
    return lines


def _merge(source: Path, drive: Path, name: str, published: Published) -> list[str]:
    def course_name(path: Path) -> str:
        return f"{name}/{path.relative_to(source).as_posix()}"

    def is_published(path: Path) -> bool:
        return name != RUNS and published.has(course_name(path), path)

    merge = Merge(
        source,
        drive / name,
        drive / RELEASED / name,
        by_run=name == RUNS,
        is_released=is_published if published.is_known or name == RUNS else None,
        age=lambda path: published.age(course_name(path), path),
    )
    merge.run()
    changed = {str(source / path) for path in merge.changed}
    old = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    if changed & old:
        merge.lines.append(
            f"restart the kernel and run this cell again: Python has read {name}/ as "
            "it was"
        )
    return merge.lines


def _last_before(root: Path, name: str) -> Path | None:
    """The newest folder that was set aside; links to Drive were, too."""
    found = sorted((root / BEFORE).glob(f"*/{name}"))
    folders = [path for path in found if path.is_dir() and not path.is_symlink()]
    return folders[-1] if folders else None


def _link(root: Path, name: str, there: Path) -> None:
    """Set the folder aside, and put a link in its place."""
    here, link = root / name, root / f".{name}.link"
    link.unlink(missing_ok=True)
    link.symlink_to(there, target_is_directory=True)
    before = None
    if os.path.lexists(here):
        before = _free_before(root, name)
        before.parent.mkdir(parents=True, exist_ok=True)
        here.rename(before)
    try:
        link.rename(here)
    except OSError:
        if before is not None:
            before.rename(here)
        raise
    importlib.invalidate_caches()


def _free_before(root: Path, name: str) -> Path:
    date, number = time.strftime("%Y-%m-%d_%H-%M-%S"), 1
    path = root / BEFORE / date / name
    while os.path.lexists(path):
        number += 1
        path = root / BEFORE / f"{date}_{number}" / name
    return path
