"""A release holds files of known kinds only, and no notebook with an output.

What cannot be searched for solutions is not handed out: archives, unknown endings,
texts that are not UTF-8, outputs.
"""

import json
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from core.command import CourseError
from grader.release.release_files import GITIGNORE, SINGLE_FILES, SUFFIXES

PICTURES = {
    ".png": (b"\x89PNG\r\n\x1a\n",),
    ".jpg": (b"\xff\xd8\xff",),
    ".jpeg": (b"\xff\xd8\xff",),
    ".gif": (b"GIF87a", b"GIF89a"),
}
PASTED = ("image/png", "image/jpeg", "image/gif")
OUTPUTS = ("outputs", "widgets")  # of cells; also what some tools keep in metadata


def check_kinds(files: Mapping[str, bytes]) -> None:
    """See that every file can be searched, and that no notebook has an output.

    Args:
        files: path -> content of the release.

    Raises:
        CourseError: one cannot be, or has.
    """
    for name, content in sorted(files.items()):
        suffix = PurePosixPath(name).suffix.lower()
        if suffix in PICTURES:
            if not content.startswith(PICTURES[suffix]):
                raise CourseError(
                    f"{name}: is no picture, as its ending says; leave it out of git"
                )
        elif suffix not in SUFFIXES and name not in (*SINGLE_FILES, GITIGNORE):
            raise CourseError(
                f"{name}: nobody can search a file of this ending for solutions; leave "
                f"it out of git, or make it one of {', '.join(SUFFIXES)}"
            )
        else:
            _check_text(name, content)
        if suffix == ".ipynb":
            _check_notebook(name, content)


def _check_text(name: str, content: bytes) -> None:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise CourseError(f"{name}: is no text in UTF-8; save it as UTF-8")


def _check_notebook(name: str, content: bytes) -> None:
    try:
        notebook = json.loads(content)
        cells = list(notebook["cells"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CourseError(
            f"{name}: is no notebook; save it again in Jupyter"
        ) from error
    if _holds_output(notebook.get("metadata")):
        raise CourseError(f"{name}: its metadata hold outputs; clear all outputs")
    for number, cell in enumerate(cells, start=1):
        place = f"{name}: cell {number}"
        if cell.get("outputs") or _holds_output(cell.get("metadata")):
            raise CourseError(
                f"{place} has an output, which may show a solution; clear all outputs"
            )
        kinds = {
            kind for bundle in cell.get("attachments", {}).values() for kind in bundle
        }
        if kinds - set(PASTED):
            raise CourseError(
                f"{place} has something attached that is no picture "
                f"({min(kinds - set(PASTED))}); remove it"
            )


def _holds_output(value: Any) -> bool:
    if isinstance(value, dict):
        return any(bool(value.get(key)) for key in OUTPUTS) or any(
            map(_holds_output, value.values())
        )
    return isinstance(value, list) and any(map(_holds_output, value))
