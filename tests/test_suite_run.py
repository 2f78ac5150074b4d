"""Suites and jobs: whatever a test or a process does, it is told apart from a pass."""

import gc
import os
import signal
import time
import types
import weakref
from pathlib import Path

import pytest
import torch

from core.command import CourseError
from grader.course import read_course
from grader.grading import forks as jobs
from grader.grading.forks import Job, run_jobs
from grader.grading.job import read_outcomes
from grader.suites.suite_run import SuiteError, run_suite
from helpers.checks.expect import CheckError, expect_runs
from tests.small_course import (
    HIDDEN,
    SOLUTION,
    LocalSession,
    write_course,
    write_submission,
)

# 8 GB: more than what earlier tests of this process may have left in its heap.
TOO_MUCH = 2**33


@pytest.fixture
def root(tmp_path):
    return write_course(tmp_path / "course")


@pytest.mark.parametrize(
    "line",
    [
        "import pytest; pytest.skip('no')",
        "import pytest; pytest.xfail('no')",
        "import pytest; pytest.fail('no')",
        "raise SystemExit(0)",
        "raise ValueError('odd')",
        "assert False",
    ],
)
def test_a_test_that_does_not_pass_gives_no_points(root, tmp_path, line):
    """Skipped, left, failed: all of it is no pass, and has a reason."""
    path = root / "grader_tests" / "test_1_small.py"
    path.write_text(HIDDEN.replace("got = student.common.double(2)", line))
    course = read_course(root, [], "bubblewrap")
    code = write_submission(tmp_path / "a") / "assignment"
    # In a process of its own, as always: pytest.exit is meant to end it.
    job = Job("a", lambda: _categories(course, code), tmp_path / "job", 60)
    (answer,) = run_jobs([job], 1)
    assert answer.problem == ""
    assert answer.value["test_1_small.py::test_double_of_two"] is not None


def _categories(course, code: Path) -> dict[str, str | None]:
    session = LocalSession(code, None, None)
    outcomes = run_suite(course.root, course.tests, course.chosen_ids, session, 60)
    assert [outcome.id for outcome in outcomes] == [test.id for test in course.tests]
    return {outcome.id: outcome.category for outcome in outcomes}


def test_suite_reads_its_own_files_though_another_ran_before(root, tmp_path):
    """Two checkouts in one process: the second has other tests than its manifest."""
    other = write_course(tmp_path / "other")
    path = other / "grader_tests" / "test_1_small.py"
    path.write_text(HIDDEN.replace("def test_double_of_two", "def test_of_two"))
    session = LocalSession(root / "assignment", None, None)
    course = read_course(root, [], "bubblewrap")
    run_suite(root, course.tests, course.chosen_ids, session, 60)
    with pytest.raises(
        SuiteError, match=r"not those of the manifest.*give each test one \[\[test\]\]"
    ):
        run_suite(other, course.tests, course.chosen_ids, session, 60)


def test_budget_ends_tests_that_take_for_ever(root, tmp_path):
    """Once the time of a submission is used up, the other tests are timeouts."""
    course = read_course(root, [], "bubblewrap")
    code = write_submission(tmp_path / "a") / "assignment"
    session = LocalSession(code, None, None)
    outcomes = run_suite(root, course.tests, course.chosen_ids, session, 0.0)
    assert [outcome.category for outcome in outcomes] == ["timeout"] * 3


def test_visible_tests_run_before_any_hidden_one(root, tmp_path):
    """What is printed in a visible test is shown, so nothing hidden may come first."""
    course = read_course(root, [], "bubblewrap")
    source = SOLUTION + "calls = []\n"
    code = write_submission(tmp_path / "a", source) / "assignment"
    seen = []

    class Watched(LocalSession):
        def student(self, exercise=""):
            seen.append(os.environ["PYTEST_CURRENT_TEST"])
            return super().student()

    run_suite(root, course.tests, course.chosen_ids, Watched(code, None, None), 60)
    assert "test_add_one " in seen[0] and len(seen) == 3


def test_suite_with_a_broken_sandbox_is_an_error(root, tmp_path):
    """What goes wrong on the grader's side costs no student points."""
    course = read_course(root, [], "bubblewrap")

    class Broken(LocalSession):
        def student(self, exercise=""):
            raise CourseError("the sandbox does not start")

    with pytest.raises(SuiteError, match="does not start"):
        run_suite(root, course.tests, course.chosen_ids, Broken(tmp_path, 0, 0), 60)


@pytest.mark.parametrize("ending", ["wrong answer", "exception"])
def test_nothing_of_a_test_is_kept_when_the_next_one_begins(root, tmp_path, ending):
    """Answers may be large: neither an exception nor a report holds them."""
    course = read_course(root, [], "bubblewrap")
    code = write_submission(tmp_path / "a") / "assignment"
    answers, kept = [], []

    def answer(*_):
        tensor = torch.zeros(1000)
        answers.append(weakref.ref(tensor))
        if ending == "wrong answer":
            return tensor
        error = CheckError("exception", "double", "ValueError")  # it holds its frame
        raise error from ValueError(ending)

    class Answering(LocalSession):
        def student(self, exercise=""):
            kept.append([reference for reference in answers if reference() is not None])
            functions = types.SimpleNamespace(double=answer, add_one=answer)
            return types.SimpleNamespace(common=functions)

    gc.disable()  # nothing may have to wait for it
    try:
        run_suite(root, course.tests, course.chosen_ids, Answering(code, 0, 0), 60)
    finally:
        gc.enable()
    assert kept == [[], [], []] and len(answers) >= 3


@pytest.mark.parametrize("how", ["alone", "in a check"])
def test_full_memory_of_the_grader_is_a_submission_without_a_grade(
    root, tmp_path, monkeypatch, how
):
    """It ends this job in a sentence; the next one has its own memory."""
    monkeypatch.setattr(jobs, "MEMORY_MB", 200)
    course = read_course(root, [], "bubblewrap")
    code = write_submission(tmp_path / "a") / "assignment"

    def fill(*_):
        if how == "alone":
            return torch.zeros(TOO_MUCH // 4)
        with expect_runs("double"):
            return bytes(TOO_MUCH)

    class Filling(LocalSession):
        def student(self, exercise=""):
            functions = types.SimpleNamespace(double=fill, add_one=fill)
            return types.SimpleNamespace(common=functions)

    def work():
        source = Filling(code, 0, 0)
        try:
            run_suite(root, course.tests, course.chosen_ids, source, 60)
        except SuiteError as error:
            return {"problem": str(error)}

    both = [
        Job("full", work, tmp_path / "full", 60),
        Job("raises", lambda: bytes(TOO_MUCH), tmp_path / "raises", 60),
        Job("fine", lambda: len(bytes(2**20)), tmp_path / "fine", 60),
    ]
    answers = {answer.job.id: answer for answer in run_jobs(both, 1)}
    for name in ("full", "raises"):
        problem, outcomes = read_outcomes(answers[name])
        assert outcomes is None and "took more memory" in problem
    assert answers["fine"].value == 2**20


def test_job_that_hangs_or_dies_leaves_the_others_alone(tmp_path):
    """One sleeps for ever, one is killed, one raises: the fourth has its answer."""
    works = {
        "hangs": lambda: time.sleep(60),
        "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
        "raises": lambda: 1 / 0,
        "fine": lambda: [1, 2],
    }
    jobs = [
        Job(name, work, tmp_path / name, 3 if name == "hangs" else 30)
        for name, work in works.items()
    ]
    answers = {answer.job.id: answer for answer in run_jobs(jobs, 2)}
    assert answers["fine"].value == [1, 2] and answers["fine"].problem == ""
    assert "did not end within 3 s" in answers["hangs"].problem
    assert "signal 9" in answers["killed"].problem
    assert "ZeroDivisionError" in answers["raises"].problem
