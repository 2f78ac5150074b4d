"""Who takes long is bounded, comes last, and keeps nobody waiting."""

import json
import types
from dataclasses import replace
from pathlib import Path

import pytest

from grader.border.limits import Limits
from grader.course import read_course
from grader.grading import grade as grading
from grader.grading.job import Work, _wall
from grader.grading.time_limits import calibration_from, first_turn
from grader.grading.turns import Progress, is_late
from grader.manifest import ManifestTest
from grader.outcomes import NOT_TRIED, USED_UP, Outcome
from grader.results.policy import tell
from grader.sandbox.level import Level
from grader.session.connection import COMPUTED
from grader.suites.pace import SHORT_CPU_S, Pace
from helpers.checks.expect import CheckError
from tests.small_course import SOLUTION, grade_small, write_course, write_submission

FULL = Limits(cpu_seconds=30, call_seconds=60.0)
LATE = Outcome("", "timeout", "late")
WRONG = Outcome("", "wrong value", "wrong")


def a_test(exercise: str, visible: bool = False) -> ManifestTest:
    return ManifestTest(
        id=f"test_{exercise}",
        exercise=exercise,
        points=1,
        title="a title",
        visible=visible,
        hint="a hint",
    )


def session(load_seconds: float = 0.0) -> types.SimpleNamespace:
    return types.SimpleNamespace(
        load_seconds=load_seconds, next_limits=FULL, ends_at=0.0
    )


def limit_of(pace: Pace, own: types.SimpleNamespace, exercise: str) -> int:
    pace.begin(a_test(exercise))
    return own.next_limits.cpu_seconds


def why_not(pace: Pace, exercise: str) -> str:
    with pytest.raises(CheckError) as caught:
        pace.begin(a_test(exercise))
    assert caught.value.category == "timeout"
    return caught.value.message


def test_nothing_but_timeouts_in_three_exercises_ends_a_submission():
    """The tests that are left say why; what ended in time would have gone on."""
    pace = Pace()
    for exercise in ("1.1", "1.1", "2.1", "2.2"):
        pace.begin(a_test(exercise))
        pace.end(a_test(exercise), LATE, 1.0)
    assert why_not(pace, "3.1") == NOT_TRIED
    for ended in ({"ended": 1}, {}):
        pace = Pace(**ended)
        if not ended:
            pace.end(a_test("1.1"), WRONG, 1.0)
        for exercise in ("2.1", "2.2", "3.1", "3.2"):
            pace.end(a_test(exercise), LATE, 1.0)
        pace.begin(a_test("4.1"))


def test_one_endless_function_leaves_the_others_their_time():
    """Its own tests get less from the third on, but more than the solution needs."""
    own = session()
    pace = Pace(session=own, short={"test_1.2": 7.5})
    pace.end(a_test("1.1"), WRONG, 1.0)
    for limit in (30, 30, 8, 8):
        assert limit_of(pace, own, "1.2") == limit
        pace.end(a_test("1.2"), LATE, limit)
    assert limit_of(pace, own, "1.3") == 30
    pace = Pace(session=own)
    own.next_limits = FULL
    pace.end(a_test("1.1"), LATE, 30.0)  # nothing has ended in time yet
    assert limit_of(pace, own, "1.1") == SHORT_CPU_S


def test_time_of_the_processor_is_used_up_and_loading_counts_little():
    """1 s to load in each test is not charged; what comes on top is."""
    own = session(load_seconds=1.0)
    pace = Pace(cpu_s=5.0, session=own)
    for _ in range(50):
        pace.begin(a_test("1.1"))
        pace.end(a_test("1.1"), WRONG, 1.05)
    for _ in range(2):
        pace.begin(a_test("1.1"))
        pace.end(a_test("1.1"), WRONG, 2.5)
    assert why_not(pace, "1.1") == USED_UP
    own = session(load_seconds=20.0)  # this is not loading any more
    pace = Pace(cpu_s=30.0, session=own)
    for _ in range(2):
        pace.end(a_test("1.1"), WRONG, 20.0)
    assert why_not(pace, "1.1") == USED_UP


def test_slow_loading_waits_for_the_second_turn_and_for_no_service(tmp_path):
    """Else who claims to load slowly would keep a class waiting, or lose all points."""
    course = read_course(write_course(tmp_path), [], "bubblewrap")
    whole = calibration_from({})
    walls = [
        _wall(Work(course, course.chosen_ids, Level.BUBBLEWRAP, calibration), 20.0, 9.0)
        for calibration in (
            whole,
            first_turn(whole),
            replace(whole, wall_s=500.0, is_service=True),
        )
    ]
    assert walls == [540 + 2 * 3, 120, 480]
    own = session(load_seconds=1.0)
    pace = Pace(cpu_s=5.0, session=own, stops_at_first=True)
    for _ in range(6):
        pace.begin(a_test("1.1"))
        pace.end(a_test("1.1"), WRONG, 1.0)
    assert why_not(pace, "1.1") == USED_UP


@pytest.mark.parametrize("reason", [NOT_TRIED, USED_UP])
@pytest.mark.parametrize("visible", [True, False])
def test_a_student_reads_why_a_test_was_not_tried(reason, visible):
    """In the results of hidden tests, too."""
    outcome = Outcome("", "timeout", f"all tests together: {reason}")
    assert reason in tell(a_test("1.1", visible), outcome).sentence


@pytest.mark.parametrize(
    ("message", "alone", "in_second_turn"),
    [
        ("nms: no answer within 60 s", True, True),
        (f"nms: {COMPUTED} 30 s", False, True),
        (f"all tests together: {USED_UP}", True, True),
        ("common.py takes too long while it is loaded", False, True),
    ],
)
def test_only_the_clock_depends_on_how_busy_a_machine_is(
    message, alone, in_second_turn
):
    """Processor time is not repeated, unless the first turn was a short one."""
    outcome = Outcome("", "timeout", message)
    assert is_late(outcome, has_more_time=False) is alone
    assert is_late(outcome, has_more_time=True) is in_second_turn
    assert not is_late(WRONG, has_more_time=True)


SLOW = SOLUTION.replace(
    "return 2 * x",
    "from helpers.checks.expect import CheckError\n"
    "    raise CheckError('timeout', 'double', 'computed for more than 30 s')",
)


def test_honest_work_comes_before_a_second_turn(tmp_path, monkeypatch, capsys):
    """Slow ones first in the alphabet wait until everybody had a turn."""
    root = write_course(tmp_path / "course")
    for name in ("a-slow", "b-slow", "c-slow", "x", "y"):
        source = SLOW if "slow" in name else SOLUTION
        write_submission(tmp_path / "class" / name, source)
    begun: list[str] = []
    real = grading.run_jobs

    def run_jobs(jobs, slots, watch):
        def noted():
            for job in jobs:
                begun.append(job.folder.name)
                yield job

        yield from real(noted(), slots, watch)

    monkeypatch.setattr(grading, "run_jobs", run_jobs)
    assert grade_small(root, tmp_path / "class", jobs=2) == 0
    slow = [name for name in begun if "slow" in name]
    assert begun[:5] == ["job-a-slow", "job-b-slow", "job-c-slow", "job-x", "job-y"]
    assert slow[3:] == ["again-a-slow", "again-b-slow", "again-c-slow"]
    said = capsys.readouterr().err
    assert "3 took too long and come last: a-slow, b-slow, c-slow" in said
    scores = {}
    for name in ("a-slow", "x"):
        path = tmp_path / "out" / name / "results.json"
        scores[name] = json.loads(path.read_text())["score"]
    assert scores == {"a-slow": 0.5, "x": 4}


def test_the_limits_of_the_first_turn_are_no_ones_last(tmp_path, monkeypatch):
    """A second turn has the whole time, and all tests that the first left out."""
    root = write_course(tmp_path / "course")
    for name in ("a", "b"):
        write_submission(tmp_path / "class" / name, SLOW)
    seen = []
    real = grading.job_for

    def job_for(name: str, code: Path, work, folder: Path, kind: str = "job"):
        seen.append((kind, work.calibration.limits.cpu_seconds, len(work.chosen)))
        return real(name, code, work, folder, kind)

    monkeypatch.setattr(grading, "job_for", job_for)
    grade_small(root, tmp_path / "class", jobs=1)
    assert sorted(set(seen)) == [("again", 30, 2), ("job", 10, 3)]


def test_the_bar_names_who_is_slow(capsys):
    """After half a minute, and without what a terminal would obey."""
    with Progress(3) as bar:
        bar.watch({"anna": 3.0})
        assert "anna" not in capsys.readouterr().err
        bar.watch({"an\x1b[2Jna": 64.0, "bert": 31.0, "carl": 2.0})
        said = capsys.readouterr().err
    assert "for 60 s, bert for 30 s" in said and "carl" not in said
    assert "\x1b[2J" not in said
