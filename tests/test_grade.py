"""Grading: every submission gets a result, and no accident becomes points."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import grader.grading.job
from data_scripts.command import CourseError
from grader.course import read_course
from grader.grading.command import check_allowed
from grader.grading.grade import grade
from grader.grading.jobs import CONTEXT, Job, run_jobs
from grader.results.results import is_done, read_results
from grader.sandbox.sandbox import Level
from grader.submissions.find import find_submissions
from grader.suites.suite_run import SuiteError, run_suite
from tests.small_course import (
    HALF,
    HIDDEN,
    SOLUTION,
    STUB,
    LocalSession,
    write_course,
    write_submission,
)

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def local_session(monkeypatch):
    """The sandbox has tests of its own; here each job is its own sandbox."""
    monkeypatch.setattr(grader.grading.job, "Session", LocalSession)


@pytest.fixture
def root(tmp_path):
    return write_course(tmp_path / "course")


def run(root: Path, folder: Path, exercises=(), jobs=1, regrade=(), alone=False) -> int:
    course = read_course(root, exercises, "bubblewrap")
    return grade(
        course,
        Level.BUBBLEWRAP,
        find_submissions([folder]),
        folder.parent / "out",
        jobs,
        regrade,
        alone,
    )


def results(tmp_path: Path, name: str) -> dict:
    content = read_results(tmp_path / "out" / name)
    assert content is not None
    return content


def categories(content: dict) -> dict[str, str | None]:
    own = content["extra_data"]["instructor"]
    return {each["id"].split("::")[1]: each["category"] for each in own}


def without_times(text: str) -> dict:
    content = json.loads(text)
    del content["execution_time"]
    del content["extra_data"]["measured"]
    return content


def test_grade_gives_each_submission_its_points(tmp_path, root):
    """Right, half, unwritten, not Python, crashed and absent: one result each."""
    sources = {
        "right": SOLUTION,
        "half": HALF,
        "stub": STUB,
        "broken": "def (",
        "crash": "import os\nos._exit(0)\n",
    }
    for name, source in sources.items():
        write_submission(tmp_path / "class" / name, source)
    (tmp_path / "class" / "empty").mkdir()
    assert run(root, tmp_path / "class", jobs=2) == 1
    scores = {n: results(tmp_path, n)["score"] for n in [*sources, "empty"]}
    assert scores == {
        "right": 4,
        "half": 0.5,
        "stub": 0.5,
        "broken": 0,
        "crash": 0,
        "empty": 0,
    }
    for name in [*sources, "empty"]:
        content = results(tmp_path, name)
        assert len(content["tests"]) == 3
        assert content["extra_data"]["max_score"] == 4
        assert sum(test["score"] for test in content["tests"]) == content["score"]
        assert (tmp_path / "out" / name / "feedback.html").exists()
    assert results(tmp_path, "empty")["extra_data"]["status"] == "refused"
    assert not (tmp_path / "out" / ".work").exists()


def test_grade_says_what_an_exercise_waits_for(tmp_path, root):
    """A test that fails since another exercise is missing is blocked by that one."""
    write_submission(tmp_path / "class" / "stub", STUB)
    assert run(root, tmp_path / "class") == 0
    content = results(tmp_path, "stub")
    assert categories(content) == {
        "test_double_of_two": "not implemented",
        "test_add_one_to_a_double": "blocked",
        "test_add_one": None,
    }
    assert content["extra_data"]["instructor"][1]["blocked_by"] == "1.1"
    assert content["tests"][1]["tags"] == ["blocked by 1.1"]


def test_grade_again_skips_what_is_done(tmp_path, root, capsys):
    """A second call grades nothing; a changed submission or test is graded anew."""
    folder = write_submission(tmp_path / "class" / "right")
    write_submission(tmp_path / "class" / "other")
    assert run(root, tmp_path / "class") == 0
    path = tmp_path / "out" / "right" / "results.json"
    first = path.read_text()
    assert run(root, tmp_path / "class") == 0
    assert path.read_text() == first
    assert "2 of 2 submissions are graded already" in capsys.readouterr().out
    (folder / "assignment" / "common.py").write_text(HALF)
    assert run(root, tmp_path / "class") == 0
    assert results(tmp_path, "right")["score"] == 0.5
    assert "1 of 2 submissions" in capsys.readouterr().out
    (root / "requirements.txt").write_text("torch==2\n")
    assert run(root, tmp_path / "class") == 0
    assert "graded already" not in capsys.readouterr().out


def test_regrade_gives_the_same_bytes_but_for_times(tmp_path, root):
    """--regrade runs all tests again, and nothing but times may differ."""
    write_submission(tmp_path / "class" / "half", HALF)
    run(root, tmp_path / "class")
    path = tmp_path / "out" / "half" / "results.json"
    page = tmp_path / "out" / "half" / "feedback.html"
    before, page_before = path.read_text(), page.read_bytes()
    written = path.stat().st_mtime_ns
    run(root, tmp_path / "class", regrade=["half"])
    assert path.stat().st_mtime_ns > written
    assert without_times(path.read_text()) == without_times(before)
    assert page.read_bytes() == page_before
    with pytest.raises(CourseError, match="--regrade nobody"):
        run(root, tmp_path / "class", regrade=["nobody"])


def test_grade_of_some_exercises_counts_only_these(tmp_path, root):
    """--exercises 1.1: two points can be had; the whole is graded anew later."""
    write_submission(tmp_path / "class" / "right")
    run(root, tmp_path / "class", exercises=["1.1"])
    content = results(tmp_path, "right")
    assert content["score"] == content["extra_data"]["max_score"] == 2
    run(root, tmp_path / "class")
    assert results(tmp_path, "right")["score"] == 4


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("def test_double_of_two", "def test_double_of_three"),
        ("def test_double_of_two", "def double_of_two"),
        ("from helpers", "import no_such_module\nfrom helpers"),
        (
            "def test_double",
            "import pytest\npytest.skip('', allow_module_level=True)\n",
        ),
        ("got =", "import pytest; pytest.exit('no')\n    got ="),
        ("    got =", "def test_more(student):\n    pass\n\ndef later():\n    got ="),
    ],
)
def test_grade_is_refused_when_the_tests_are_not_the_manifest(tmp_path, root, old, new):
    """A test that is missing, new or unreadable: an error, and a grade for nobody."""
    write_submission(tmp_path / "class" / "right")
    path = root / "grader_tests" / "test_1_small.py"
    path.write_text(HIDDEN.replace(old, new, 1))
    with pytest.raises(CourseError, match="cannot be run on the solution"):
        run(root, tmp_path / "class")
    assert read_results(tmp_path / "out" / "right") is None


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
    assert [each.id for each in outcomes] == [each.id for each in course.tests]
    return {each.id: each.category for each in outcomes}


def test_grade_is_refused_when_the_solution_fails(tmp_path, root):
    """A test that the solution fails would cost everybody points."""
    write_submission(tmp_path / "class" / "right")
    (root / "assignment" / "common.py").write_text(HALF)
    with pytest.raises(CourseError, match="fails 2 of 3 tests"):
        run(root, tmp_path / "class")


def test_grade_does_not_write_into_a_foreign_folder(tmp_path, root):
    """--out with somebody's files in it is refused."""
    write_submission(tmp_path / "class" / "right")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(CourseError, match="no folder of results"):
        run(root, tmp_path / "class")


def test_results_that_did_not_finish_are_not_done(tmp_path, root):
    """Before a submission is graded its result says so, and has no points."""
    write_submission(tmp_path / "class" / "right")
    run(root, tmp_path / "class")
    content = results(tmp_path, "right")
    hashes = content["extra_data"]["hashes"]
    assert is_done(content, hashes)
    content["extra_data"]["status"] = "did not finish"
    assert not is_done(content, hashes)
    content["extra_data"]["status"] = "finished"
    assert not is_done(content, {**hashes, "tests": "others"})


def test_budget_ends_tests_that_take_for_ever(root, tmp_path):
    """Once the time of a submission is used up, the other tests are timeouts."""
    course = read_course(root, [], "bubblewrap")
    code = write_submission(tmp_path / "a") / "assignment"
    session = LocalSession(code, None, None)
    outcomes = run_suite(root, course.tests, course.chosen_ids, session, 0.0)
    assert [each.category for each in outcomes] == ["timeout"] * 3


def test_visible_tests_run_before_any_hidden_one(root, tmp_path):
    """What is printed in a visible test is shown, so nothing hidden may come first."""
    course = read_course(root, [], "bubblewrap")
    source = SOLUTION + "calls = []\n"
    code = write_submission(tmp_path / "a", source) / "assignment"
    seen = []

    class Watched(LocalSession):
        def student(self):
            seen.append(os.environ["PYTEST_CURRENT_TEST"])
            return super().student()

    run_suite(root, course.tests, course.chosen_ids, Watched(code, None, None), 60)
    assert "test_add_one " in seen[0] and len(seen) == 3


def test_suite_with_a_broken_sandbox_is_an_error(root, tmp_path):
    """What goes wrong on the grader's side costs no student points."""
    course = read_course(root, [], "bubblewrap")

    class Broken(LocalSession):
        def student(self):
            raise CourseError("the sandbox does not start")

    with pytest.raises(SuiteError, match="does not start"):
        run_suite(root, course.tests, course.chosen_ids, Broken(tmp_path, 0, 0), 60)


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
    answers = {each.job.id: each for each in run_jobs(jobs, 2)}
    assert answers["fine"].value == [1, 2] and answers["fine"].problem == ""
    assert "did not end within 3 s" in answers["hangs"].problem
    assert "signal 9" in answers["killed"].problem
    assert "ZeroDivisionError" in answers["raises"].problem


def test_grade_that_was_killed_goes_on_where_it_stopped(tmp_path, root, capsys):
    """After kill -9: what was done stays, nothing goes on alone, the rest follows."""
    fast = f"pathlib.Path({str(tmp_path / 'fast')!r})"
    slow = f"import time, pathlib\nif not {fast}.exists():"
    write_submission(tmp_path / "class" / "a", SOLUTION)
    write_submission(
        tmp_path / "class" / "b", f"{slow}\n    time.sleep(60)\n{SOLUTION}"
    )
    write_submission(tmp_path / "class" / "c", SOLUTION)
    process = CONTEXT.Process(target=run, args=(root, tmp_path / "class"))
    process.start()
    while not (tmp_path / "out" / ".work" / "job-b").exists():
        assert process.is_alive()
        time.sleep(0.05)
    process.kill()
    process.join()
    first = (tmp_path / "out" / "a" / "results.json").read_text()
    assert results(tmp_path, "b")["extra_data"]["status"] == "did not finish"
    assert results(tmp_path, "b")["score"] == 0
    assert read_results(tmp_path / "out" / "c") is None
    (tmp_path / "fast").touch()
    time.sleep(0.2)  # until the job has gone with its parent, and its lock with it
    assert run(root, tmp_path / "class") == 0
    assert "1 of 3 submissions are graded already" in capsys.readouterr().out
    assert (tmp_path / "out" / "a" / "results.json").read_text() == first
    assert [results(tmp_path, name)["score"] for name in "abc"] == [4, 4, 4]


def test_timeouts_are_repeated_alone_at_the_end(tmp_path, root):
    """What was late on a busy machine and is in time alone has its points."""
    mark = tmp_path / "was here"
    late = (
        "import pathlib\nfrom helpers.checks.expect import CheckError\n"
        "def double(x):\n"
        f"    mark = pathlib.Path({str(mark)!r})\n"
        "    if not mark.exists():\n"
        "        mark.touch()\n"
        "        raise CheckError('timeout', 'double', 'late')\n"
        "    return 2 * x\n"
        "def add_one(x):\n    return x + 1\n"
    )
    write_submission(tmp_path / "class" / "late", late)
    assert run(root, tmp_path / "class") == 0
    assert results(tmp_path, "late")["score"] == 4
    mark.unlink()  # where the machine is its own, once is enough
    assert run(root, tmp_path / "class", regrade=["late"], alone=True) == 0
    assert results(tmp_path, "late")["score"] == 2


def test_allowed_ops_reach_the_sandbox_and_make_old_results_stale(
    root, tmp_path, monkeypatch
):
    """What may be called is part of how a submission was graded."""
    seen = tmp_path / "seen.txt"  # each job is a process of its own

    class Noting(LocalSession):
        def __init__(self, *args, allowed_ops):
            super().__init__(*args)
            with seen.open("a") as file:
                file.write(f"{allowed_ops}\n")

    monkeypatch.setattr(grader.grading.job, "Session", Noting)
    write_submission(tmp_path / "class" / "anna", SOLUTION)
    submissions = find_submissions([tmp_path / "class"])
    for allowed in ((), ("nms",), ("nms",)):
        course = read_course(root, (), "bubblewrap", allowed)
        grade(course, Level.BUBBLEWRAP, submissions, tmp_path / "out")
    # Two each, for the solution and for anna; the third call finds all done.
    assert seen.read_text().split() == ["()", "()", "('nms',)", "('nms',)"]


def test_allowed_op_that_no_exercise_asks_for_is_refused():
    """The sentence lists the functions that can be allowed."""
    check_allowed(["nms", "sigmoid_focal_loss"])
    with pytest.raises(CourseError, match=r"--allow-ops roi_align: .*batched_nms, "):
        check_allowed(["nms", "roi_align"])


def test_grade_command_that_is_called_wrongly_exits_with_2(tmp_path):
    """A missing submission is one sentence, without a traceback."""
    answer = subprocess.run(
        [
            *(sys.executable, "-m", "grader", "grade", str(tmp_path / "nobody")),
            *("--out", str(tmp_path / "out")),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 2
    assert "no such folder or zip" in answer.stderr
    assert "Traceback" not in answer.stderr
