"""Put what was handed in into submitted/; what was there before is kept."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from core.files import new_folder
from grader.submissions.intake_zip import IntakeError

EARLIER = "earlier"  # folder of the course folder, with what a later one replaced


def place(
    files: Mapping[str, bytes], target: Path, earlier: Path
) -> tuple[str, Path | None]:
    """Write a submission, unless just this one is there already.

    Args:
        files: "assignment/common.py" -> content.
        target: submitted/<student>/<assignment>.
        earlier: where a different submission that is there goes; made if needed.

    Returns:
        "taken", "unchanged" or "replaced", and where the earlier one is.

    Raises:
        IntakeError: a link, or a file, stands in the place of a folder.
        CourseError: it cannot be written; what was there still is.
        OSError: the same.
    """
    for path in (target, target.parent):
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            raise IntakeError(f"{path} is a link or a file; move it away")
    if target.exists() and _is_same(files, target):
        return "unchanged", None
    complete = _complete(target)
    shutil.rmtree(complete, ignore_errors=True)  # of a run that was killed
    with new_folder(complete) as folder:
        for name, content in files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(content)
    kept = move_away(target, earlier) if target.exists() else None
    complete.rename(target)
    return ("replaced" if kept else "taken"), kept


def finish(target: Path) -> None:
    """Place a submission that a killed run had written, and moved the earlier away."""
    if not os.path.lexists(target) and _complete(target).is_dir():
        _complete(target).rename(target)


def _complete(target: Path) -> Path:
    return target.with_name(f".{target.name}.new")


def _is_same(files: Mapping[str, bytes], folder: Path) -> bool:
    """Whether the folder holds these files, and none beside them."""
    found = set()
    for top, folders, names in os.walk(folder):
        for path in (Path(top) / name for name in [*names, *folders]):
            if path.is_symlink():
                return False
        found |= {(Path(top) / name).relative_to(folder).as_posix() for name in names}
    return found == files.keys() and all(
        (folder / name).read_bytes() == content for name, content in files.items()
    )


def move_away(folder: Path, earlier: Path) -> Path:
    """Give a folder this name, or one like it that is free; return it."""
    earlier.parent.mkdir(parents=True, exist_ok=True)
    free, number = earlier, 1
    while free.exists():  # two within a second
        number += 1
        free = earlier.with_name(f"{earlier.name}-{number}")
    folder.rename(free)
    return free
