"""Planted mistakes: small changes of the solution that a test must catch by name."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.command import CourseError
from core.field_types import AnyText, Text, read_table

FOLDER = Path("grader_tests/mistakes")
EDIT = ("file", "find", "replace")  # fields of the first edit, and of each [[also]]


@dataclass(frozen=True)
class Edit:
    """A text that occurs once in a file, and what takes its place."""

    file: Text
    find: Text
    replace: AnyText


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """A wrong solution, and the test that must tell why it is wrong.

    Attributes:
        id: name of its file.
        description: one line.
        exercise: number of the exercise that it spoils.
        edits: what to change.
        test: id of the test that must fail.
        cause: must be part of the cause that the test names; empty if the test fails
            without a cause, because it can tell none truly.
        check: id of the visible check that must fail and name a true cause as well.
        true_causes: parts of what else is true of it; tests may name no other cause.
        variant: the right solution of tests/legitimate.py that it spoils; "" is ours.
    """

    id: Text
    description: Text
    exercise: Text
    edits: tuple[Edit, ...]
    test: Text
    cause: AnyText
    check: AnyText = ""
    true_causes: tuple[Text, ...] = ()
    variant: AnyText = ""

    def explains(self, cause: str | None) -> bool:
        """Whether this cause is true of it; where none is known, none may be told."""
        known = [part for part in (self.cause, *self.true_causes) if part]
        if not self.cause and cause is None:
            return True
        return any(part in (cause or "") for part in known)


def read_mistakes(root: Path) -> list[Mistake]:
    """All planted mistakes of the checkout.

    Raises:
        CourseError: a file is not as grader_tests/README.md says.
    """
    return [_read(path) for path in sorted((root / FOLDER).glob("*.toml"))]


def _read(path: Path) -> Mistake:
    try:
        table: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CourseError(f"{path}: cannot read it ({error}); repair it") from error
    also = table.pop("also", [])
    if not isinstance(also, list) or not all(isinstance(edit, dict) for edit in also):
        raise CourseError(f"{path}: write each further edit as a table [[also]]")
    first = {name: table.pop(name) for name in EDIT if name in table}
    edits = tuple(read_table(edit, Edit, str(path)) for edit in (first, *also))
    return read_table({**table, "id": path.stem, "edits": edits}, Mistake, str(path))


def plant(edits: tuple[Edit, ...], sources: Mapping[str, str], folder: Path) -> None:
    """Write all sources with the edits made.

    Args:
        edits: what to change.
        sources: file name -> text of the solution.
        folder: an existing folder.

    Raises:
        CourseError: a text to be replaced is not there exactly once.
    """
    for name, text in edited(edits, sources).items():
        (folder / name).write_text(text, "utf-8")


def edited(edits: tuple[Edit, ...], sources: Mapping[str, str]) -> dict[str, str]:
    """All sources with the edits made; raises as `plant` does."""
    changed = dict(sources)
    for edit in edits:
        count = changed.get(edit.file, "").count(edit.find)
        if count != 1:
            raise CourseError(
                f"{edit.file}: {edit.find!r} is there {count} times, not once; "
                "write the planted mistake for the solution as it is now"
            )
        changed[edit.file] = changed[edit.file].replace(edit.find, edit.replace)
    return changed
