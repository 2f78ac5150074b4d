"""Grading: every submission gets a result, and no accident becomes points."""

import json
import time
from pathlib import Path

import pytest

import grader.grading.job
from core.command import CourseError
from grader.course import read_course
from grader.grading.forks import CONTEXT
from grader.grading.grade import grade
from grader.results.results import is_done, read_results
from grader.sandbox.sandbox import Level
from grader.submissions.find import find_submissions
from tests.small_course import (
    HALF,
    SOLUTION,
    STUB,
    LocalSession,
    grade_small,
    write_course,
    write_submission,
)


@pytest.fixture
def root(tmp_path):
    return write_course(tmp_path / "course")


def results(tmp_path: Path, name: str) -> dict:
    content = read_results(tmp_path / "out" / name)
    assert content is not None
    return content


def categories(content: dict) -> dict[str, str | None]:
    own = content["extra_data"]["instructor"]
    return {test["id"].split("::")[1]: test["category"] for test in own}


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
    assert grade_small(root, tmp_path / "class", jobs=2) == 1
    scores = {name: results(tmp_path, name)["score"] for name in [*sources, "empty"]}
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
    note = "common.py cannot be loaded: SyntaxError, line 1."
    assert results(tmp_path, "broken")["output"] == f"{note}\n0 of 3 tests passed."
    assert note in (tmp_path / "out" / "broken" / "feedback.html").read_text()
    assert note in (tmp_path / "out" / "index.html").read_text()
    assert not (tmp_path / "out" / ".work").exists()


def test_grade_says_what_an_exercise_waits_for(tmp_path, root):
    """Blocked is only what stands on the missing one, as the course says it does."""
    write_submission(tmp_path / "class" / "stub", STUB)
    assert grade_small(root, tmp_path / "class") == 0
    content = results(tmp_path, "stub")
    assert categories(content) == {
        "test_double_of_two": "not implemented",
        "test_add_one_to_a_double": "not implemented",  # 1.2 has no `needs`
        "test_add_one": None,
    }
    manifest = root / "grader_tests" / "manifest" / "step1.toml"
    text = manifest.read_text()
    named = 'title = "one more than a double"\n'
    manifest.write_text(text.replace(named, named + 'needs = ["1.1"]\n'))
    assert grade_small(root, tmp_path / "class", regrade=["stub"]) == 0
    manifest.write_text(text)
    content = results(tmp_path, "stub")
    assert categories(content)["test_add_one_to_a_double"] == "blocked"
    assert content["extra_data"]["instructor"][1]["blocked_by"] == "1.1"
    assert content["tests"][1]["tags"] == ["blocked by 1.1"]


def test_grade_again_skips_what_is_done(tmp_path, root, capsys):
    """A second call grades nothing; a changed submission or test is graded anew."""
    folder = write_submission(tmp_path / "class" / "right")
    write_submission(tmp_path / "class" / "other")
    assert grade_small(root, tmp_path / "class") == 0
    path = tmp_path / "out" / "right" / "results.json"
    first = path.read_text()
    assert grade_small(root, tmp_path / "class") == 0
    assert path.read_text() == first
    assert "2 of 2 submissions are graded already" in capsys.readouterr().out
    (folder / "assignment" / "common.py").write_text(HALF)
    assert grade_small(root, tmp_path / "class") == 0
    assert results(tmp_path, "right")["score"] == 0.5
    assert "1 of 2 submissions" in capsys.readouterr().out
    (root / "requirements.txt").write_text("torch==2\n")
    assert grade_small(root, tmp_path / "class") == 0
    assert "graded already" not in capsys.readouterr().out


def test_regrade_gives_the_same_bytes_but_for_times(tmp_path, root):
    """--regrade runs all tests again, and nothing but times may differ."""
    write_submission(tmp_path / "class" / "half", HALF)
    grade_small(root, tmp_path / "class")
    path = tmp_path / "out" / "half" / "results.json"
    page = tmp_path / "out" / "half" / "feedback.html"
    before, page_before = path.read_text(), page.read_bytes()
    written = path.stat().st_mtime_ns
    grade_small(root, tmp_path / "class", regrade=["half"])
    assert path.stat().st_mtime_ns > written
    assert without_times(path.read_text()) == without_times(before)
    assert page.read_bytes() == page_before
    with pytest.raises(CourseError, match="--regrade nobody"):
        grade_small(root, tmp_path / "class", regrade=["nobody"])


def test_grade_of_some_exercises_counts_only_these(tmp_path, root):
    """--exercises 1.1: two points can be had; the whole is graded anew later."""
    write_submission(tmp_path / "class" / "right")
    grade_small(root, tmp_path / "class", exercises=["1.1"])
    content = results(tmp_path, "right")
    assert content["score"] == content["extra_data"]["max_score"] == 2
    grade_small(root, tmp_path / "class")
    assert results(tmp_path, "right")["score"] == 4


def test_results_that_did_not_finish_are_not_done(tmp_path, root):
    """Before a submission is graded its result says so, and has no points."""
    write_submission(tmp_path / "class" / "right")
    grade_small(root, tmp_path / "class")
    content = results(tmp_path, "right")
    hashes = content["extra_data"]["hashes"]
    assert is_done(content, hashes)
    content["extra_data"]["status"] = "did not finish"
    assert not is_done(content, hashes)
    content["extra_data"]["status"] = "finished"
    assert not is_done(content, {**hashes, "tests": "others"})


def test_grade_that_was_killed_goes_on_where_it_stopped(tmp_path, root, capsys):
    """After kill -9: what was done stays, nothing goes on alone, the rest follows."""
    fast = f"pathlib.Path({str(tmp_path / 'fast')!r})"
    slow = f"import time, pathlib\nif not {fast}.exists():"
    write_submission(tmp_path / "class" / "a", SOLUTION)
    write_submission(
        tmp_path / "class" / "b", f"{slow}\n    time.sleep(60)\n{SOLUTION}"
    )
    write_submission(tmp_path / "class" / "c", SOLUTION)
    process = CONTEXT.Process(target=grade_small, args=(root, tmp_path / "class"))
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
    assert grade_small(root, tmp_path / "class") == 0
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
    assert grade_small(root, tmp_path / "class") == 0
    assert results(tmp_path, "late")["score"] == 4
    mark.unlink()  # where the machine is its own, once is enough
    assert grade_small(root, tmp_path / "class", regrade=["late"], alone=True) == 0
    assert results(tmp_path, "late")["score"] == 2


def test_allowed_ops_reach_the_sandbox_and_make_old_results_stale(
    root, tmp_path, monkeypatch
):
    """What may be called is part of how a submission was graded."""
    seen = tmp_path / "seen.txt"  # each job is a process of its own

    class Noting(LocalSession):
        def __init__(self, *args, allowed_ops, **others):
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
