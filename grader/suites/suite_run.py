"""Run the hidden and the visible tests on one submission, in this trusted process.

pytest sees only the grader's own folder: no conftest, no plugin, no ini of anybody
else. What it collects must be the manifest, or there is no grade at all.
"""

import gc
import os
import sys
import time
import traceback
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import pytest

from data_scripts.command import CourseError
from grader.manifest import ManifestTest, manifest_id
from grader.outcomes import NOT_RUN, Outcome, judge
from helpers.checks.expect import CheckError
from helpers.checks.full_memory import is_out_of_memory

HIDDEN, VISIBLE = "grader_tests", "helpers/checks"
# Not needed here; the two of exceptions search all of torch's objects, 0.3 s each time.
LEFT_OUT = (
    *("cacheprovider", "terminal", "doctest", "logging", "junitxml", "faulthandler"),
    *("unraisableexception", "threadexception"),
)
TOO_MUCH_MEMORY = (
    "the answers of this submission took more memory than grading one may take"
)
OUTSIDE_SETTINGS = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_DEBUG")


class SuiteError(Exception):
    """The tests could not be run as they are meant to be: there is no grade."""


class RunReport(Protocol):
    """What the sandbox reports after a test."""

    @property
    def output(self) -> str:
        """The end of what the student's code printed."""

    @property
    def peak_memory(self) -> int:
        """In bytes; 0 where it is not known."""


class StudentSource(Protocol):
    """What a suite needs of a Session: a fresh student for each test."""

    def student(self) -> Any:
        """The student's code, as helpers.checks.student.Student shows it."""

    def end_test(self) -> RunReport:
        """End what `student` began."""


@dataclass
class _Plugin:
    """What pytest is given: the fixture, the choice of tests, a place for outcomes."""

    tests: dict[str, ManifestTest]
    chosen: Collection[str]
    source: StudentSource
    budget_s: float
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    last_run: RunReport | None = None
    started: float = field(default_factory=time.perf_counter)

    @pytest.fixture
    def student(self) -> Iterator[Any]:
        """The code under test, fresh for each test."""
        self.last_run = None
        if time.perf_counter() - self.started > self.budget_s:
            raise CheckError(
                "timeout",
                "all tests together",
                f"the {self.budget_s:.0f} s of the whole submission are used up",
            )
        try:
            yield self.source.student()
        finally:
            self.last_run = self.source.end_test()
            gc.collect()  # frames that pytest has looked into form circles

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file of tests that cannot be read."""
        if not report.passed:
            text = str(report.longrepr).strip().splitlines() or ["skipped"]
            self.problems.append(f"{report.nodeid}: {text[-1]}")

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Hold what was collected against the manifest, then choose and sort.

        Visible tests run first: what a student's code prints there is shown, and then
        it cannot have met a hidden input yet.
        """
        found = sorted(item_id(item) for item in items)
        if found != sorted(self.tests):
            odd = sorted(set(found) ^ set(self.tests)) or ["a test twice"]
            self.problems.append(
                f"the tests are not those of the manifest: {', '.join(odd[:3])}"
                + (f" and {len(odd) - 3} more" if len(odd) > 3 else "")
            )
        order = list(self.tests)
        wanted = [each for each in items if item_id(each) in self.chosen]
        wanted.sort(
            key=lambda item: (
                not self.tests[item_id(item)].visible,
                order.index(item_id(item)),
            )
        )
        items[:] = [] if self.problems else wanted

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Any:
        """Keep how a test ended; passed is only what passed in all three phases."""
        report: pytest.TestReport = yield
        name = item_id(item)
        error = call.excinfo.value if call.excinfo else None
        if isinstance(error, CourseError | OSError):
            self.problems.append(str(error))
            item.session.shouldstop = "the sandbox is broken"
        if error is not None and _is_out_of_memory(error):
            self.problems.append(TOO_MUCH_MEMORY)
            item.session.shouldstop = "the memory of this process is full"
        earlier = self.outcomes.get(name)
        if report.when == "call" or not report.passed:
            now = Outcome(name, None, seconds=call.duration)
            if error is not None and not report.skipped:
                numbers = {each.exercise for each in self.tests.values()}
                now = judge(error, self.tests[name], numbers)
                now = replace(now, seconds=call.duration)
            elif not report.passed or hasattr(report, "wasxfail"):
                now = Outcome(name, NOT_RUN, "the test was skipped")
            if earlier is None or earlier.category is None:
                self.outcomes[name] = now
        if report.when == "teardown" and self.last_run and name in self.outcomes:
            self.outcomes[name] = replace(
                self.outcomes[name],
                output=self.last_run.output,
                peak_memory=int(self.last_run.peak_memory or 0),
            )
        if error is not None:
            _forget_frames(error)
        return report


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether the memory of this process, not of the student's, was full."""
    return any(is_out_of_memory(each, str(each)) for each in _chain(error))


def _forget_frames(error: BaseException) -> None:
    """Let go of all that a failed test held: pytest keeps its exception for long."""
    for each in list(_chain(error)):
        traceback.clear_frames(each.__traceback__)
        each.__traceback__ = None
    sys.last_value = sys.last_traceback = None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception, and those from which it came."""
    seen: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is not None and all(each is not other for other in seen):
            seen.append(each)
            waiting += [each.__cause__, each.__context__]
            yield each


def item_id(item: pytest.Item) -> str:
    """The id that the manifest would have for it."""
    return manifest_id(item.path, item.nodeid.partition("::")[2])


def run_suite(
    root: Path,
    tests: Sequence[ManifestTest],
    chosen: Collection[str],
    source: StudentSource,
    budget_s: float,
) -> list[Outcome]:
    """Run tests, each with a fresh student.

    Args:
        root: folder of the course.
        tests: the whole manifest; what pytest finds must be just this.
        chosen: ids of those that are run.
        source: gives the student.
        budget_s: once so many seconds are over, the remaining tests are timeouts.

    Returns:
        An outcome for each of `chosen`, in the order of the manifest; a test of which
        nothing was heard is there too, as NOT_RUN.

    Raises:
        SuiteError: the tests are not those of the manifest, or the sandbox broke.
    """
    plugin = _Plugin({each.id: each for each in tests}, chosen, source, budget_s)
    for name in OUTSIDE_SETTINGS:
        os.environ.pop(name, None)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    files = [
        str(path)
        for folder in (HIDDEN, VISIBLE)
        for path in sorted((root / folder).glob("test_*.py"))
    ]
    options = [
        *("-c", str(root / HIDDEN / "pytest.ini"), "--rootdir", str(root / HIDDEN)),
        *("--noconftest", "--assert=plain", "--import-mode=importlib"),
        *(part for name in LEFT_OUT for part in ("-p", f"no:{name}")),
    ]
    try:
        code = pytest.main([*options, *files], plugins=[plugin])
    finally:
        _forget_modules(files)
    if plugin.problems:
        raise SuiteError("; ".join(plugin.problems[:3]))
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise SuiteError(f"pytest could not run ({pytest.ExitCode(code).name})")
    return [
        plugin.outcomes.get(each.id, Outcome(each.id, NOT_RUN, "the test did not run"))
        for each in tests
        if each.id in chosen
    ]


def _forget_modules(files: Sequence[str]) -> None:
    """A later suite of this process must read its own files, not find these instead."""
    for name, module in list(sys.modules.items()):
        if getattr(module, "__file__", None) in files:
            del sys.modules[name]
