"""What the course is made of: the one reader of course.toml.

Parts hold steps (a notebook each), steps hold exercises, exercises are functions in the
modules of assignment/. Whoever needs to know asks here, so that a new part is a new
entry in course.toml and no change of code.
"""

import tomllib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from core.command import CourseError
from core.course_checks import check_registry
from core.course_entries import (
    FILE,
    ID,
    MENTION,
    PACKAGE,
    Detector,
    Exercise,
    Module,
    Part,
    Registry,
    Step,
    id_order,
)
from core.field_types import Text, check_value, read_table, real

__all__ = [
    "FILE",
    "ID",
    "MENTION",
    "PACKAGE",
    "ROOT",
    "Detector",
    "Exercise",
    "Module",
    "Part",
    "Registry",
    "Step",
    "id_order",
    "make_registry",
    "mentioned",
    "read_registry",
]
ROOT = Path(__file__).resolve().parent.parent
KINDS: dict[str, tuple[type, str]] = {
    "part": (Part, "name"),
    "step": (Step, "number"),
    "module": (Module, "name"),
    "detector": (Detector, "name"),
    "exercise": (Exercise, "id"),
}
OTHER_KEYS: dict[str, Any] = {
    "default_parts": tuple[Text, ...],
    "drop": tuple[Text, ...],
    "points": dict[str, Annotated[float, real(0)]],
    "name": Text,
    "note": Text,
    "leave_out": tuple[Text, ...],
    "stands_for": dict[str, tuple[Text, ...]],
    "written_in": dict[str, Text],
}


def read_registry(root: Path = ROOT) -> Registry:
    """Read course.toml, and see that it is right.

    Args:
        root: the folder of the course: the grader's own, never a submission's.

    Raises:
        CourseError: the file cannot be read, or an entry is wrong; one sentence.
    """
    path = root / FILE
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CourseError(
            f"{path}: cannot read it ({error.strerror}); fetch the whole course"
        ) from error
    return _registry_of(data, str(path))


@lru_cache(maxsize=8)
def _registry_of(data: bytes, where: str) -> Registry:
    """Kept, since a grader asks for the same one with each test."""
    try:
        content = tomllib.loads(data.decode("utf-8"))
    except ValueError as error:
        raise CourseError(f"{where}: is no TOML ({error}); repair it") from error
    return make_registry([content], where)


def require_files(registry: Registry, root: Path) -> None:
    """See that each exercise has its file; a student's may be deleted, and come back.

    Raises:
        CourseError: one has not.
    """
    for exercise in registry.exercises.values():
        if not (root / PACKAGE / exercise.file).is_file():
            raise CourseError(
                f"{root / FILE}: exercise {exercise.id}: there is no file "
                f"{PACKAGE}/{exercise.file}; write it, or name another"
            )


def make_registry(contents: Sequence[dict[str, Any]], where: str) -> Registry:
    """One course of the contents of one or more files; a later one adds to the others.

    Args:
        contents: as tomllib reads them.
        where: what a message calls the file.

    Raises:
        CourseError: see read_registry.
    """
    found: dict[str, dict[Any, Any]] = {kind: {} for kind in KINDS}
    default_parts: Any = []
    drop: list[Any] = []
    points: dict[str, Any] = {}
    name = note = ""
    leave_out: list[Any] = []
    stands_for: dict[str, Any] = {}
    written_in: dict[str, Any] = {}
    for content in contents:
        for key in content:
            if key not in (*KINDS, *OTHER_KEYS):
                raise CourseError(
                    f"{where}: {key!r} is unknown; a course has "
                    f"{', '.join((*KINDS, *OTHER_KEYS))}"
                )
            if key in OTHER_KEYS:
                check_value(content[key], OTHER_KEYS[key], f"{where}: {key}")
        for kind in KINDS:
            _add_entries(content.get(kind, []), kind, found[kind], where)
        default_parts = content.get("default_parts", default_parts)
        name, note = content.get("name", name), content.get("note", note)
        drop += content.get("drop", [])
        points |= content.get("points", {})
        leave_out += content.get("leave_out", [])
        stands_for |= content.get("stands_for", {})
        written_in |= content.get("written_in", {})
    registry = Registry(
        parts=found["part"],
        steps=found["step"],
        modules=found["module"],
        detectors=found["detector"],
        exercises=dict(
            sorted(found["exercise"].items(), key=lambda entry: id_order(entry[0]))
        ),
        default_parts=tuple(default_parts),
        dropped=tuple(drop),
        points=points,
        name=name,
        note=note,
        leave_out=tuple(leave_out),
        stands_for={name: tuple(value) for name, value in stands_for.items()},
        written_in=written_in,
    )
    check_registry(registry, where)
    return registry


def _add_entries(tables: Any, kind: str, found: dict[Any, Any], where: str) -> None:
    """Make the entries of one kind, and see that none is there already."""
    made, key = KINDS[kind]
    if not isinstance(tables, list) or not all(
        isinstance(table, dict) for table in tables
    ):
        raise CourseError(f"{where}: write each {kind} as a table [[{kind}]]")
    for number, table in enumerate(tables, start=1):
        name = table.get(key, f"number {number}")
        place = f"{where}: {kind} {name}"
        entry = read_table(table, made, place)
        if name in found:
            raise CourseError(f"{place}: stands there twice; remove or rename one")
        found[name] = entry


def mentioned(text: str) -> str:
    """The id of the exercise that a text begins with; "" if none.

    Example:
        >>> mentioned("Exercise 10.1 iou: see notebook 10"), mentioned("no such")
        ('10.1', '')
    """
    found = MENTION.match(text)
    return found[1] if found else ""
