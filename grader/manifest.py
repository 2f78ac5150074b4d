"""The fixed list of tests that a grade is made of: grader_tests/manifest/*.toml."""

import math
import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from data_scripts.command import CourseError

FOLDER = Path("grader_tests/manifest")
EXERCISES = Path("notebooks/README.md")
VISIBLE_PREFIX = "checks/"
TEST_ID = re.compile(r"(?:checks/)?test_\w+\.py::test_\w+")
# A row of the map: | 2 Backbone | 2.1 | `make_fpn_layers` | `common.py` |
MAP_ROW = re.compile(r"^\|[^|]*\|\s*(\d+\.\d+)\s*\|\s*`([\w.]+)`", re.MULTILINE)


@dataclass(frozen=True)
class ManifestTest:
    """One test, and what it is worth.

    Attributes:
        id: "test_1_boxes.py::test_iou_by_hand"; a visible one begins with "checks/".
        exercise: number of the exercise that it tests, "1.1".
        points: at least 0.
        title: what the feedback calls it.
        visible: whether students have this test themselves.
        hint: one sentence that a student sees when it fails.
    """

    id: str
    exercise: str
    points: float
    title: str
    visible: bool
    hint: str


def read_exercises(root: Path) -> dict[str, str]:
    """Number -> function of every exercise, from the map in notebooks/README.md.

    Raises:
        CourseError: the map is missing or empty.
    """
    path = root / EXERCISES
    try:
        found = dict(MAP_ROW.findall(path.read_text("utf-8")))
    except OSError as error:
        raise CourseError(
            f"{path}: cannot read the map of exercises ({error.strerror}); "
            "grade from a whole checkout of the course"
        ) from error
    if not found:
        raise CourseError(f"{path}: no exercise stands in its table; add the rows")
    return found


def read_manifest(root: Path) -> list[ManifestTest]:
    """Every test of the course, in the order of the files and of their tables.

    Args:
        root: folder of the course, which holds grader_tests/ and notebooks/.

    Raises:
        CourseError: a file cannot be read, or a table is not as ManifestTest says.
    """
    exercises = read_exercises(root)
    files = sorted((root / FOLDER).glob("*.toml"))
    if not files:
        raise CourseError(
            f"{root / FOLDER}: no *.toml is there; grade from a whole checkout"
        )
    tests: dict[str, ManifestTest] = {}
    for path in files:
        for number, table in enumerate(_read_tables(path), start=1):
            where = f"{path}: test {number}"
            test = _make_test(table, where)
            if test.exercise not in exercises:
                raise CourseError(
                    f"{where} ({test.id}): there is no exercise {test.exercise!r}; "
                    f"the map in {EXERCISES} has {', '.join(exercises)}"
                )
            if test.id in tests:
                raise CourseError(f"{where}: {test.id} stands there twice; remove one")
            tests[test.id] = test
    return list(tests.values())


def choose_exercises(
    tests: Iterable[ManifestTest], wanted: Sequence[str] | None
) -> list[ManifestTest]:
    """The tests of some exercises; of all if `wanted` is empty.

    Raises:
        CourseError: an exercise has no test.
    """
    tests = list(tests)
    known = {test.exercise for test in tests}
    for exercise in wanted or ():
        if exercise not in known:
            raise CourseError(
                f"--exercises {exercise}: no test belongs to it; choose of "
                + ", ".join(sorted(known))
            )
    return [test for test in tests if not wanted or test.exercise in wanted]


def points_by_exercise(tests: Iterable[ManifestTest]) -> dict[str, float]:
    """Exercise -> the most points that it can give, in the order of the tests."""
    total: dict[str, float] = {}
    for test in tests:
        total[test.exercise] = total.get(test.exercise, 0) + test.points
    return total


def _read_tables(path: Path) -> list[dict[str, Any]]:
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CourseError(f"{path}: cannot read it ({error}); repair it") from error
    tables = content.get("test")
    if set(content) != {"test"} or not isinstance(tables, list):
        raise CourseError(f"{path}: write [[test]] tables and nothing else")
    return tables


def _make_test(table: dict[str, Any], where: str) -> ManifestTest:
    names = [each.name for each in fields(ManifestTest)]
    wrong = [name for name in names if name not in table]
    wrong += [name for name in table if name not in names]
    if wrong:
        raise CourseError(
            f"{where}: {wrong[0]!r} is missing or unknown; a test has "
            + ", ".join(names)
        )
    for name in ("id", "exercise", "title", "hint"):
        if not isinstance(table[name], str) or not table[name].strip():
            raise CourseError(f"{where}: {name} must be a text that is not empty")
    if not TEST_ID.fullmatch(table["id"]):
        raise CourseError(
            f"{where}: {table['id']!r} is no id of a test; write "
            "'test_1_boxes.py::test_name' or 'checks/test_1_boxes.py::test_name'"
        )
    points = table["points"]
    if type(points) not in (int, float) or not 0 <= points < math.inf:
        raise CourseError(f"{where}: points must be a number of at least 0")
    if table["visible"] is not table["id"].startswith(VISIBLE_PREFIX):
        raise CourseError(
            f"{where}: visible must be true for the ids that begin with "
            f"{VISIBLE_PREFIX!r} and false for all others"
        )
    return ManifestTest(**table)


def manifest_id(path: Path, name: str) -> str:
    """The id that the manifest has for a test: its file, and its name in there."""
    prefix = VISIBLE_PREFIX if path.parent.name == "checks" else ""
    return f"{prefix}{path.name}::{name}"
