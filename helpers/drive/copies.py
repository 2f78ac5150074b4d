"""Copies of files and folders: whole or not there, under a name that was free.

Needs Python alone, as the first cell of the notebooks uses it.
"""

import contextlib
import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

COPYING = ".to_drive"  # ends the hidden name of a copy that is not complete
DATE = "_%Y-%m-%d_%H-%M-%S"
DATED = r"_\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d(_\d+)?"
CACHES = ("__pycache__",)  # Python makes them again
OF_A_RUN = ("checkpoint.pt", "log.jsonl")  # they tell how old a run is
CHUNK = 1 << 20  # bytes


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_in(folder: Path) -> Iterator[Path]:
    """All files below a folder, without caches, unfinished copies, and linked folders.

    Yields:
        Paths within the folder.
    """
    for path in sorted(folder.iterdir()):
        if path.name in CACHES or path.name.endswith(COPYING):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from (Path(path.name, inner) for inner in files_in(path))
        elif path.is_file():
            yield Path(path.name)


def is_same(one: Path, other: Path) -> bool:
    """Whether two files, or all files of two folders, have the same content."""
    if one.is_dir() and other.is_dir():
        names = list(files_in(one))
        return names == list(files_in(other)) and all(
            is_same(one / name, other / name) for name in names
        )
    if not (one.is_file() and other.is_file()):
        return False
    return one.stat().st_size == other.stat().st_size and digest(one) == digest(other)


def place(
    source: Path, target: Path, age: float | None = None, aside: Path | None = None
) -> None:
    """Copy a file or a folder to a name; the name appears when all is written.

    Args:
        source: a file, or a folder.
        target: a free name, or that of a file which a file replaces.
        age: time of a file's copy; that of the source by default.
        aside: new name for what is at `target`; no folder replaces another at once.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}{COPYING}")
    if source.is_dir():
        partial.mkdir(exist_ok=True)
        for name in files_in(source):
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            _copy(source / name, partial / name)
    else:
        _copy(source, partial, age)
    if aside is not None:
        target.rename(aside)
    partial.replace(target)


def _copy(source: Path, target: Path, age: float | None = None) -> None:
    seconds = source.stat().st_mtime if age is None else age
    with source.open("rb") as old, target.open("wb") as new:
        shutil.copyfileobj(old, new)
        new.flush()
        os.fsync(new.fileno())
    with contextlib.suppress(OSError):  # a drive may set its own times
        os.utime(target, (seconds, seconds))


def versions(path: Path) -> list[Path]:
    """What lies beside a path under its name and a date."""
    if not path.parent.is_dir():
        return []
    form = re.compile(re.escape(path.stem) + DATED + re.escape(path.suffix))
    return [
        other for other in sorted(path.parent.iterdir()) if form.fullmatch(other.name)
    ]


def free_name(path: Path, age: float) -> Path:
    """A name beside a path, with a date, that nothing has."""
    stem, number = path.stem + time.strftime(DATE, time.localtime(age)), 1
    found = path.with_name(f"{stem}{path.suffix}")
    while os.path.lexists(found):
        number += 1
        found = path.with_name(f"{stem}_{number}{path.suffix}")
    return found


def keep_version(source: Path, path: Path, age: float) -> tuple[Path, bool]:
    """Copy a version beside a path, unless it is there already.

    Returns:
        Where it is, and whether it is new there.
    """
    for version in versions(path):
        if is_same(version, source):
            return version, False
    target = free_name(path, age)
    place(source, target, age)
    return target, True


def keep_other(path: Path, content: bytes, kept: Path | None = None) -> Path | None:
    """Copy a file before other content takes its place; its own needs no copy.

    Args:
        path: the file, which need not be there.
        content: what will be written.
        kept: the copy's name without its date; by default that of the file.

    Returns:
        Where the copy is, or None.
    """
    if not path.is_file() or path.read_bytes() == content:
        return None
    return keep_version(path, kept or path, last_write(path))[0]


def last_write(path: Path) -> float:
    """Time of a file or of a run, in seconds; a picture drawn later does not count."""
    if not path.is_dir():
        return path.stat().st_mtime
    files = [path / name for name in files_in(path)]
    of_the_run = [file for file in files if file.name in OF_A_RUN]
    return max((file.stat().st_mtime for file in of_the_run or files), default=0.0)


def begins(left: Path, whole: Path) -> bool:
    """Whether all that is in `left` is in `whole` too, which may go on."""
    if left.is_dir():
        return whole.is_dir() and all(
            begins(left / name, whole / name) for name in files_in(left)
        )
    if not whole.is_file() or left.stat().st_size > whole.stat().st_size:
        return False
    with left.open("rb") as one, whole.open("rb") as other:
        while part := one.read(CHUNK):
            if part != other.read(len(part)):
                return False
    return True
