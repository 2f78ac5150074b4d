"""The fixed list of tests that a grade is made of: grader_tests/manifest/*.toml."""

import fnmatch
import re
import tomllib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from core.command import CourseError
from core.course import FILE, Registry, id_order, read_registry, require_files
from core.field_types import Switch, Text, read_table, real, whole

FOLDER = Path("grader_tests/manifest")
VISIBLE_PREFIX = "checks/"
TEST_ID = re.compile(r"(?:checks/)?test_\w+\.py::test_\w+")
DIGITS = 6  # of points that were scaled
TOTAL_DIGITS = 4  # of their sum
# A whole number stays one, as results.json shows it.
Points = Annotated[
    Annotated[int, whole(0)] | Annotated[float, real(0)],
    Field(description="a number of at least 0"),
]


@dataclass(frozen=True, kw_only=True)
class ManifestTest:
    """One test, and what it is worth.

    Attributes:
        id: "test_1_boxes.py::test_iou_by_hand"; a visible one begins with "checks/".
        exercise: number of the exercise that it tests, "1.1".
        points: at least 0.
        title: what the feedback calls it.
        visible: whether students have this test themselves.
        hint: one sentence that a student sees when it fails.
        needs: exercises whose functions it runs although its own does not need them.
    """

    id: Text
    exercise: Text
    points: Points
    title: Text
    visible: Switch
    hint: Text
    needs: tuple[Text, ...] = ()


def read_manifest(root: Path, registry: Registry | None = None) -> list[ManifestTest]:
    """Every test of the course, in the order of the files and of their tables.

    Args:
        root: folder of the course, which holds grader_tests/ and course.toml.
        registry: what course.toml says, if it was read already.

    Raises:
        CourseError: a file cannot be read, or a table is not as ManifestTest says.
    """
    registry = registry or read_registry(root)
    require_files(registry, root)
    exercises = registry.exercises
    files = sorted((root / FOLDER).glob("*.toml"), key=_file_order)
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
                    f"{FILE} has {', '.join(exercises)}"
                )
            for need in test.needs:
                if need not in exercises:
                    raise CourseError(
                        f"{where} ({test.id}): needs {need!r}, which is no exercise"
                    )
            if test.id in tests:
                raise CourseError(f"{where}: {test.id} stands there twice; remove one")
            tests[test.id] = test
    for pattern in registry.leave_out:
        if not fnmatch.filter(tests, pattern):
            raise CourseError(
                f"{root / FILE}: leave_out: no test is called {pattern!r}; see "
                f"{FOLDER}/"
            )
    kept = [test for test in tests.values() if _is_kept(test, registry)]
    return [_weigh(test, kept, registry) for test in tests.values()]


def _file_order(path: Path) -> list[tuple[int, str]]:
    """step2.toml comes before step10.toml, and visible.toml behind both."""
    parts = re.findall(r"\d+|\D+", path.name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _is_kept(test: ManifestTest, registry: Registry) -> bool:
    """Whether the course leaves it in."""
    return not any(
        fnmatch.fnmatchcase(test.id, pattern) for pattern in registry.leave_out
    )


def _weigh(
    test: ManifestTest, tests: Collection[ManifestTest], registry: Registry
) -> ManifestTest:
    """The test with the share of the points that course.toml gives to its exercise."""
    wanted = registry.points.get(test.exercise)
    if wanted is None or test not in tests:
        return test
    own = sum(other.points for other in tests if other.exercise == test.exercise)
    if not own:
        raise CourseError(
            f"{FILE}: points of {test.exercise}: its tests have none to be shared out; "
            "give them points in the manifest"
        )
    return replace(test, points=round(test.points * wanted / own, DIGITS))


def choose_exercises(
    tests: Iterable[ManifestTest],
    wanted: Sequence[str],
    registry: Registry,
    parts: Sequence[str] = (),
) -> list[ManifestTest]:
    """The tests of some exercises, or else of all that some parts ask for.

    Args:
        tests: the manifest.
        wanted: ids; they may be of any part.
        registry: says which exercises are asked for.
        parts: the default ones if there are none.

    Raises:
        CourseError: there is no such exercise or part, or one has no hidden test.
    """
    tests = [test for test in tests if _is_kept(test, registry)]
    # With ids alone a part need not be named, too.
    asked = registry.asked(parts or (registry.parts if wanted else ()))
    for exercise in wanted:
        if exercise not in asked:
            raise CourseError(
                f"--exercises {exercise}: no test belongs to it; choose of "
                + ", ".join(asked)
            )
    chosen = [number for number in asked if not wanted or number in wanted]
    hidden = {test.exercise for test in tests if not test.visible}
    for number in chosen:
        if number not in hidden:
            raise CourseError(
                f"exercise {number} has no hidden test; write one in grader_tests/ and "
                f"list it in {FOLDER}/"
            )
    return [test for test in tests if test.exercise in chosen]


def points_by_exercise(tests: Iterable[ManifestTest]) -> dict[str, float]:
    """Exercise -> the most points that it can give, in the order of the course."""
    total: dict[str, float] = {}
    for test in sorted(tests, key=lambda test: id_order(test.exercise)):
        total[test.exercise] = total.get(test.exercise, 0) + test.points
    # Fourteen shares of 100, each rounded, are 99.999998.
    return {number: round(points, TOTAL_DIGITS) for number, points in total.items()}


def _read_tables(path: Path) -> list[dict[str, Any]]:
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CourseError(f"{path}: cannot read it ({error}); repair it") from error
    tables: Any = content.get("test")
    is_list = isinstance(tables, list) and all(isinstance(t, dict) for t in tables)
    if set(content) != {"test"} or not is_list:
        raise CourseError(f"{path}: write [[test]] tables and nothing else")
    return tables


def _make_test(table: dict[str, Any], where: str) -> ManifestTest:
    test: ManifestTest = read_table(table, ManifestTest, where)
    if not TEST_ID.fullmatch(test.id):
        raise CourseError(
            f"{where}: {test.id!r} is no id of a test; write "
            "'test_1_boxes.py::test_name' or 'checks/test_1_boxes.py::test_name'"
        )
    if test.visible != test.id.startswith(VISIBLE_PREFIX):
        raise CourseError(
            f"{where}: visible must be true for the ids that begin with "
            f"{VISIBLE_PREFIX!r} and false for all others"
        )
    return test


def manifest_id(path: Path, name: str) -> str:
    """The id that the manifest has for a test: its file, and its name in there."""
    prefix = VISIBLE_PREFIX if path.parent.name == "checks" else ""
    return f"{prefix}{path.name}::{name}"
