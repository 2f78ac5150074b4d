"""Planted mistakes: small changes of the solution that a test must catch by name."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.command import CourseError

FOLDER = Path("grader_tests/mistakes")
FIELDS = ("description", "exercise", "file", "find", "replace", "test", "cause")


@dataclass(frozen=True)
class Edit:
    """A text that occurs once in a file, and what takes its place."""

    file: str
    find: str
    replace: str


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """A wrong solution, and the test that must tell why it is wrong.

    Attributes:
        id: name of its file.
        description: one line.
        exercise: number of the exercise that it spoils.
        edits: what to change.
        test: id of the test that must fail.
        cause: must be part of the cause that the test names.
    """

    id: str
    description: str
    exercise: str
    edits: tuple[Edit, ...]
    test: str
    cause: str


def read_mistakes(root: Path) -> list[Mistake]:
    """All planted mistakes of the checkout.

    Raises:
        CourseError: a file is not as grader_tests/README.md says.
    """
    return [_read(path) for path in sorted((root / FOLDER).glob("*.toml"))]


def _read(path: Path) -> Mistake:
    try:
        table: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
        tables = [table, *table.pop("also", [])]
        edits = tuple(
            Edit(edit["file"], edit["find"], edit["replace"]) for edit in tables
        )
        if set(table) != set(FIELDS):
            raise KeyError(*(set(table) ^ set(FIELDS)))
    except (OSError, ValueError, KeyError) as error:
        raise CourseError(
            f"{path}: {error} is wrong or missing; write {', '.join(FIELDS)}"
        ) from error
    return Mistake(
        id=path.stem,
        description=table["description"],
        exercise=table["exercise"],
        edits=edits,
        test=table["test"],
        cause=table["cause"],
    )


def plant(edits: tuple[Edit, ...], sources: Mapping[str, str], folder: Path) -> None:
    """Write all sources with the edits made.

    Args:
        edits: what to change.
        sources: file name -> text of the solution.
        folder: an existing folder.

    Raises:
        CourseError: a text to be replaced is not there exactly once.
    """
    changed = dict(sources)
    for edit in edits:
        count = changed.get(edit.file, "").count(edit.find)
        if count != 1:
            raise CourseError(
                f"{edit.file}: {edit.find!r} is there {count} times, not once; "
                "write the planted mistake for the solution as it is now"
            )
        changed[edit.file] = changed[edit.file].replace(edit.find, edit.replace)
    for name, text in changed.items():
        (folder / name).write_text(text, "utf-8")
