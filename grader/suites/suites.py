"""`python -m grader tests`: all suites in this process, for the maintainer.

Hidden tests are grader_tests/test_*.py, visible checks helpers/checks/test_*.py. Each
is a function with one argument, `student`, which raises when the student is wrong.
"""

import contextlib
import importlib
import io
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from core.course import PACKAGE, id_order, mentioned, read_registry
from data_scripts.command import CourseError
from grader.manifest import ManifestTest, manifest_id, read_manifest
from helpers.checks.expect import CheckError
from helpers.checks.student import Student, student_of

HIDDEN, VISIBLE = "grader_tests", "helpers/checks"
Test = Callable[[Student], None]


@dataclass(frozen=True)
class Outcome:
    """How one test ended.

    Attributes:
        id: as in the manifest.
        category: one of helpers.checks.expect.CATEGORIES; None if it passed.
        cause: the known mistake, if it was recognised.
        message: what the test said.
        seconds: how long it took.
    """

    id: str
    category: str | None
    cause: str | None
    message: str
    seconds: float


def suite_files(root: Path) -> list[Path]:
    """The files of all suites: hidden tests, then visible checks."""
    return [
        path
        for folder in (HIDDEN, VISIBLE)
        for path in sorted((root / folder).glob("test_*.py"))
    ]


def collect_tests(root: Path) -> dict[str, Test]:
    """Id -> function of every test; `root` is the checkout that is running."""
    tests = {}
    for path in suite_files(root):
        folder = path.parent.relative_to(root).as_posix().replace("/", ".")
        module = importlib.import_module(f"{folder}.{path.stem}")
        for name, value in vars(module).items():
            if name.startswith("test_") and callable(value):
                tests[manifest_id(path, name)] = value
    return tests


def use_device(device: str) -> None:
    """Make a device ready: whole float32 products, as the tolerances expect.

    Raises:
        CourseError: torch finds no such device.
    """
    if device != "cpu" and not torch.cuda.is_available():
        raise CourseError(f"--device {device}: torch finds no GPU here; use cpu")
    torch.set_num_threads(1)  # as grading does; the tensors are small
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def make_student(
    modules: dict[str, ModuleType] | None = None, device: str = "cpu"
) -> Student:
    """A student with these modules (by default those of assignment/)."""
    registry = read_registry()
    if modules is None:
        modules = {
            name: importlib.import_module(f"{PACKAGE}.{name}")
            for name in registry.modules
        }
    return student_of(modules, registry.visible, device)


def judge(error: BaseException, exercise: str) -> tuple[str, str | None]:
    """Category and cause of what a test raised.

    Args:
        error: what was raised.
        exercise: number of the exercise that the test is about.
    """
    if isinstance(error, CheckError):
        return error.category, error.cause
    if isinstance(error, NotImplementedError):
        found = mentioned(str(error))
        if found and found != exercise:
            return "blocked", f"exercise {found} comes first"
        return "not implemented", None
    return "exception", None


def run_test(test: Test, entry: ManifestTest, student: Student) -> Outcome:
    """Run one test here, without pytest; what it prints is dropped."""
    started = time.perf_counter()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            test(student)
    except Exception as error:  # noqa: BLE001 - that is what is asked for
        category, cause = judge(error, entry.exercise)
        message = f"{type(error).__name__}: {error}"
        seconds = time.perf_counter() - started
        return Outcome(entry.id, category, cause, message, seconds)
    return Outcome(entry.id, None, None, "", time.perf_counter() - started)


class _Plugin:
    """What pytest needs of us: the fixture, and a place for the outcomes."""

    def __init__(self, student: Student, entries: Mapping[str, ManifestTest]):
        self._student = student
        self._entries = entries
        self.outcomes: list[Outcome] = []

    @pytest.fixture
    def student(self) -> Student:
        """The code under test."""
        return self._student

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Any:
        """Keep how a test ended; a set-up that fails is an end too."""
        report = yield
        if call.when == "call" or call.excinfo is not None:
            name = manifest_id(item.path, item.name)
            entry = self._entries.get(name)
            category, cause, message = None, None, ""
            if call.excinfo is not None:
                error = call.excinfo.value
                exercise = entry.exercise if entry else ""
                category, cause = judge(error, exercise)
                message = f"{type(error).__name__}: {error}"
            self.outcomes.append(Outcome(name, category, cause, message, call.duration))
        return report


def run_suites(root: Path, student: Student, chosen: str = "") -> list[Outcome]:
    """Run all suites with pytest.

    Args:
        root: the checkout.
        student: the code under test.
        chosen: pytest's -k expression.

    Raises:
        CourseError: pytest could not collect or run the tests.
    """
    entries = {entry.id: entry for entry in read_manifest(root)}
    plugin = _Plugin(student, entries)
    options = [
        *("-c", str(root / HIDDEN / "pytest.ini"), "--rootdir", str(root / HIDDEN)),
        *("--disable-plugin-autoload", "-p", "no:cacheprovider", "-p", "no:terminal"),
        *("-k", chosen),
    ]
    files = [str(path) for path in suite_files(root)]
    code = pytest.main([*options, *files], plugins=[plugin])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise CourseError(
            f"pytest could not run the suites ({pytest.ExitCode(code).name}); run "
            "`python -m pytest grader_tests` to see why"
        )
    return plugin.outcomes


def format_table(
    outcomes: Iterable[Outcome], entries: Mapping[str, ManifestTest]
) -> str:
    """One line an exercise: tests passed, points, seconds; then what failed."""
    rows: dict[str, list[Outcome]] = {}
    for each in outcomes:
        exercise = entries[each.id].exercise if each.id in entries else "?"
        rows.setdefault(exercise, []).append(each)
    lines = ["exercise  passed      points   seconds"]
    for exercise, own in sorted(rows.items(), key=lambda row: id_order(row[0])):
        points = [entries[o.id].points if o.id in entries else 0 for o in own]
        earned = sum(p for p, o in zip(points, own, strict=True) if not o.category)
        passed = sum(not o.category for o in own)
        seconds = sum(o.seconds for o in own)
        lines.append(
            f"{exercise:8}  {passed:3} of {len(own):3}  {earned:3g} of {sum(points):3g}"
            f"  {seconds:7.2f}"
        )
    for own in rows.values():
        for each in own:
            if each.category:
                lines.append(f"\n{each.id} ({each.category})\n  {each.message}")
    return "\n".join(lines)
