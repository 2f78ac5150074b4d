"""Run the hidden and the visible tests on submissions, in this trusted process.

The one runner and the one judge: grades, `python -m grader tests`, planted mistakes and
mutants all come through here. pytest sees only the grader's own folder: no conftest, no
plugin, no ini of anybody else. What it collects must be the manifest, or there is no
grade at all.
"""

import gc
import math
import os
import sys
import traceback
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest

from core.command import CourseError
from core.course import Registry, read_registry
from grader.manifest import ManifestTest, manifest_id
from grader.outcomes import NOT_RUN, Outcome, judge
from grader.suites.pace import Pace
from helpers.checks.full_memory import is_out_of_memory

HIDDEN, VISIBLE = "grader_tests", "helpers/checks"
OWN_ROOT = Path(__file__).resolve().parent.parent.parent
# Not needed here; the two of exceptions search all of torch's objects, 0.3 s each time.
LEFT_OUT = (
    "cacheprovider",
    "terminal",
    "doctest",
    "logging",
    "junitxml",
    "faulthandler",
    "unraisableexception",
    "threadexception",
)
TOO_MUCH_MEMORY = (
    "the answers of this submission took more memory than grading one may take"
)
OUTSIDE_SETTINGS = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_DEBUG")
# How pytest ends when it could do its work, whatever came of the tests.
ENDED = (
    pytest.ExitCode.OK,
    pytest.ExitCode.TESTS_FAILED,
    pytest.ExitCode.NO_TESTS_COLLECTED,
)
Answer = TypeVar("Answer")


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

    @property
    def seconds(self) -> float:
        """Of the processor."""


class StudentSource(Protocol):
    """What a suite needs of a Session: a fresh student for each test."""

    def student(self, exercise: str = "") -> Any:
        """The student's code for a test of an exercise, see helpers.checks.student."""

    def end_test(self) -> RunReport:
        """End what `student` began."""


class Suite:
    """All tests, collected once, to be run on any number of submissions.

    It is also what pytest is given: the fixture, and a place for outcomes.

    Args:
        tests: the whole manifest; what pytest finds must be just this.
        work: what is done with the suite when all tests are collected.
        registry: of the course.

    Attributes:
        ids: of the tests that there are, in the order in which they run.
        answer: what `work` returned.
        error: what it raised.
        problems: why the tests cannot be run.
    """

    def __init__(
        self,
        tests: Sequence[ManifestTest],
        work: Callable[["Suite"], Any],
        registry: Registry,
    ):
        self._tests = {test.id: test for test in tests}
        self._registry = registry
        self._work = work
        self._items: dict[str, pytest.Item] = {}
        self._run: _Run | None = None
        self.ids: list[str] = []
        self.answer: Any = None
        self.error: BaseException | None = None
        self.problems: list[str] = []

    def pytest_configure(self, config: pytest.Config) -> None:
        """No failed test needs the text of its traceback, which takes long to write."""
        config.option.tbstyle = "no"

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file of tests that cannot be read."""
        if not report.passed:
            text = str(report.longrepr).strip().splitlines() or ["skipped"]
            self.problems.append(f"{report.nodeid}: {text[-1]}")

    @pytest.hookimpl(tryfirst=True)  # before any choice is made
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Hold what was collected against the manifest."""
        found = sorted(map(item_id, items))
        if found != sorted(self._tests):
            odd = sorted(set(found) ^ set(self._tests)) or ["a test twice"]
            self.problems.append(
                f"the tests are not those of the manifest: {', '.join(odd[:3])}"
                + (f" and {len(odd) - 3} more" if len(odd) > 3 else "")
                + "; give each test one [[test]] in grader_tests/manifest/"
            )

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Instead of running each test once, do the work.

        Visible tests run first: what a student's code prints there is shown, and then
        it cannot have met a hidden input yet.
        """
        if self.problems:
            return True
        self._items = {item_id(item): item for item in session.items}
        known = [test for test in self._tests.values() if test.id in self._items]
        self.ids = [
            test.id for test in sorted(known, key=lambda test: not test.visible)
        ]
        gc.freeze()  # else each search for garbage would go through all of torch
        try:
            self.answer = self._work(self)
        except BaseException as error:  # noqa: BLE001 - raised again behind pytest
            self.error = error
        finally:
            gc.unfreeze()
        return True

    def functions(self) -> dict[str, Callable[..., object]]:
        """Id -> function of each test."""
        return {
            name: item.function
            for name, item in self._items.items()
            if isinstance(item, pytest.Function)
        }

    def run(
        self,
        chosen: Collection[str],
        source: StudentSource,
        pace: Pace | None = None,
    ) -> list[Outcome]:
        """Run tests, each with a fresh student.

        Args:
            chosen: ids of those that are run.
            source: gives the student.
            pace: bounds the time of the tests; by default they have no end.

        Returns:
            An outcome for each of `chosen`, in the order of the manifest; a test of
            which nothing was heard is there too, as NOT_RUN.

        Raises:
            SuiteError: the sandbox broke.
        """
        run = self._run = _Run(source, pace or Pace())
        items = [self._items[name] for name in self.ids if name in chosen]
        try:
            for item, following in zip(items, [*items[1:], None], strict=True):
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                if run.problem:
                    raise SuiteError(run.problem)
        finally:
            self._run = None
        missing = Outcome("", NOT_RUN, "the test did not run")
        return [
            run.outcomes.get(name, replace(missing, id=name))
            for name in self._tests
            if name in chosen
        ]

    @pytest.fixture
    def student(self, request: pytest.FixtureRequest) -> Iterator[Any]:
        """The code under test, fresh for each test."""
        run = self._run
        assert run is not None, "a test runs only inside of Suite.run"
        run.report = None
        run.pace.begin(self._tests[item_id(request.node)])
        try:
            yield run.source.student(self._tests[item_id(request.node)].exercise)
        finally:
            run.report = run.source.end_test()
            gc.collect()  # frames that pytest has looked into form circles

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Any:
        """Keep how a test ended; passed is only what passed in all three phases."""
        report: pytest.TestReport = yield
        run, name = self._run, item_id(item)
        assert run is not None
        error = call.excinfo.value if call.excinfo else None
        if isinstance(error, CourseError | OSError):
            run.problem = str(error)
        if error is not None and _is_out_of_memory(error):
            run.problem = TOO_MUCH_MEMORY
        earlier = run.outcomes.get(name)
        if report.when == "call" or not report.passed:
            now = Outcome(name, None, seconds=call.duration)
            if error is not None and not report.skipped:
                test = self._tests[name]
                may_block = self._registry.may_block(test.exercise) | {*test.needs}
                now = judge(error, test, may_block)
                now = replace(now, seconds=call.duration)
            elif not report.passed or hasattr(report, "wasxfail"):
                now = Outcome(name, NOT_RUN, "the test was skipped")
            if earlier is None or earlier.category is None:
                run.outcomes[name] = now
        if report.when == "teardown" and run.report and name in run.outcomes:
            run.outcomes[name] = replace(
                run.outcomes[name],
                output=run.report.output,
                peak_memory=int(run.report.peak_memory or 0),
                cpu_seconds=run.report.seconds,
            )
            run.pace.end(self._tests[name], run.outcomes[name], run.report.seconds)
        if error is not None:
            _forget_frames(error)
        return report


@dataclass
class _Run:
    """One submission on its way through the tests."""

    source: StudentSource
    pace: Pace
    _: KW_ONLY
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    problem: str = ""
    report: RunReport | None = None


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether the memory of this process, not of the student's, was full."""
    return any(is_out_of_memory(cause, str(cause)) for cause in _chain(error))


def _forget_frames(error: BaseException) -> None:
    """Let go of all that a failed test held: pytest keeps its exception for long."""
    for cause in list(_chain(error)):
        traceback.clear_frames(cause.__traceback__)
        cause.__traceback__ = None
    sys.last_value = sys.last_traceback = None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception, and those from which it came."""
    seen: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        cause = waiting.pop()
        if cause is not None and all(cause is not other for other in seen):
            seen.append(cause)
            waiting += [cause.__cause__, cause.__context__]
            yield cause


def item_id(item: pytest.Item) -> str:
    """The id that the manifest would have for it."""
    return manifest_id(item.path, item.nodeid.partition("::")[2])


def run_suite(
    root: Path,
    tests: Sequence[ManifestTest],
    chosen: Collection[str],
    source: StudentSource,
    budget_s: float = math.inf,
    pace: Pace | None = None,
) -> list[Outcome]:
    """Run tests on one submission; see Suite.run and with_suite.

    Args:
        root, tests: see with_suite.
        chosen, source: see Suite.run.
        budget_s: on the clock, for all tests, where no pace is given.
        pace: see Suite.run.
    """
    pace = pace or Pace(budget_s)
    return with_suite(root, tests, lambda suite: suite.run(chosen, source, pace))


def with_suite(
    root: Path,
    tests: Sequence[ManifestTest],
    work: Callable[[Suite], Answer],
    keyword: str = "",
) -> Answer:
    """Collect the tests, and do something with them.

    Args:
        root: folder of the course.
        tests: the whole manifest; what pytest finds must be just this.
        work: gets the suite; what it returns is returned.
        keyword: pytest's -k expression; the suite has only tests that match.

    Raises:
        SuiteError: the tests are not those of the manifest, or the sandbox broke.
    """
    suite = Suite(tests, work, read_registry(root))
    for name in OUTSIDE_SETTINGS:
        os.environ.pop(name, None)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    files = suite_files(root)
    options = [
        "-c",
        str(root / HIDDEN / "pytest.ini"),
        "--rootdir",
        str(root / HIDDEN),
        "--noconftest",
        "--assert=plain",
        "--import-mode=importlib",
        *(part for name in LEFT_OUT for part in ("-p", f"no:{name}")),
        "-k",
        keyword,
    ]
    try:
        code = pytest.main([*options, *files], plugins=[suite])
    finally:
        _forget_modules(files, root)
    if suite.error is not None:
        raise suite.error
    if suite.problems:
        raise SuiteError("; ".join(suite.problems[:3]))
    if code not in ENDED:
        raise SuiteError(f"pytest could not run ({pytest.ExitCode(code).name})")
    return suite.answer


def suite_files(root: Path) -> list[str]:
    """The files of all suites: hidden tests, then visible checks."""
    return [
        str(path)
        for folder in (HIDDEN, VISIBLE)
        for path in sorted((root / folder).glob("test_*.py"))
    ]


def _forget_modules(files: Sequence[str], root: Path) -> None:
    """A later suite of this process must read its own files, not find these instead.

    Of another course than this one that is all that was imported from its folder.
    """
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or ""
        if file in files or (root != OWN_ROOT and Path(file).is_relative_to(root)):
            del sys.modules[name]
