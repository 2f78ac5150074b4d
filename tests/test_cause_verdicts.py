"""The benchmark of causes: what it plants, and what it calls right, false, unnamed."""

import os
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import causes
from benchmarks.causes import (
    FALSE,
    RIGHT,
    UNNAMED,
    Planted,
    format_table,
    format_verdict,
    in_children,
    judge_planted,
    plant_all,
    summary,
)
from grader.manifest import ManifestTest
from grader.outcomes import Outcome
from grader.suites.mistakes import Edit, Mistake
from tests.legitimate import EDITED, REWRITTEN, exercises_of, meets

ROOT = Path(__file__).resolve().parent.parent
SOURCES = {path.name: path.read_text() for path in (ROOT / "assignment").glob("*.py")}
ROOT_LEFT_OUT = Edit("fcos_deltas.py", "ratio.sqrt())", "ratio)")
MISTAKE = Mistake(
    id="no_root",
    description="",
    exercise="5.3",
    edits=(ROOT_LEFT_OUT,),
    test="a",
    cause="root is missing",
    check="checks/b",
    true_causes=("no root",),
)
TESTS = [
    ManifestTest(
        id=name,
        exercise=exercise,
        points=1,
        title="t",
        visible="/" in name,
        hint="h",
    )
    for name, exercise in (
        ("a", "5.3"),
        ("checks/b", "5.3"),
        ("c", "5.3"),
        ("d", "7.2"),
    )
]


def suite_of(told: dict[str, str | None]) -> SimpleNamespace:
    """A suite whose tests fail with these causes; the others pass."""
    seen: list[str] = []

    def run(chosen, session) -> list[Outcome]:
        seen.extend(chosen)
        return [
            Outcome(name, "wrong value" if name in told else None, "", told.get(name))
            for name in chosen
        ]

    return SimpleNamespace(run=run, seen=seen)


@pytest.mark.parametrize(
    ("told", "verdict", "why"),
    [
        ({"a": "the root is missing", "checks/b": "no root"}, RIGHT, []),
        ({"a": "the root is missing", "checks/b": None}, UNNAMED, ["checks/b"]),
        ({"a": None, "checks/b": "no root"}, UNNAMED, ["a"]),
        ({"checks/b": "no root"}, UNNAMED, ["a"]),
        (
            {"a": "the root is missing", "checks/b": "no root", "c": "eps"},
            FALSE,
            ["c: eps"],
        ),
        ({"a": "eps", "checks/b": "no root"}, FALSE, ["a: eps"]),
        (
            {"a": "the root is missing", "checks/b": "no root", "c": None},
            RIGHT,
            [],
        ),
    ],
)
def test_verdict_on_a_wrong_solution(told, verdict, why):
    """One false cause in any test of the exercise makes it false."""
    suite = suite_of(told)
    planted = Planted(MISTAKE, "", {"common.py": ""})
    found = judge_planted(planted, suite, TESTS, downstream=False)
    assert (found.verdict, list(found.why)) == (verdict, why)
    assert found.named == sum(cause is not None for cause in told.values())
    assert set(suite.seen) == {"a", "checks/b", "c"}
    assert ("a" in format_verdict(found)) or verdict == RIGHT
    assert summary([found], [], 1.0)["planted_alone"][verdict] == 1
    assert format_table([found]).count("\n") == 2


def test_downstream_runs_the_tests_that_use_an_exercise():
    """7.2 calls 5.3."""
    suite = suite_of({})
    planted = Planted(MISTAKE, "", {"common.py": ""})
    judge_planted(planted, suite, TESTS, downstream=True)
    assert set(suite.seen) == {"a", "checks/b", "c", "d"}


def test_mistakes_are_planted_into_each_variant_that_they_meet():
    """Another 5.3 has no place for it; variants of other exercises are not met."""
    planted, apart = plant_all([MISTAKE], SOURCES)
    assert [one.variant for one in planted] == [""]
    assert apart == [("no_root", "deltas_by_columns")]
    low = Mistake(
        id="low",
        description="",
        exercise="8.2",
        edits=(Edit("one_stage_detector.py", "best > test_score_thresh", "best > 0"),),
        test="a",
        cause="low",
    )
    planted, apart = plant_all([low], SOURCES)
    names = {one.variant for one in planted}
    assert "clip at the last pixel" in names and "iou_by_columns" in names
    assert "integer_locations" not in names
    assert ("low", "at least the score threshold") in apart
    assert all("best > 0" in one.sources["one_stage_detector.py"] for one in planted)


def test_every_variant_is_met_by_some_exercise():
    """And says which exercises it solves in another way."""
    for name in (*EDITED, *REWRITTEN):
        own = exercises_of(name, SOURCES)
        assert own and all(meets(name, number, SOURCES) for number in own)


def test_work_is_done_in_children(tmp_path):
    """Each part in a process of its own; one that is killed is told."""
    assert in_children([1, 2], lambda part: [part, os.getpid() == MINE]) == [
        [1, False],
        [2, False],
    ]
    with pytest.raises(RuntimeError, match="ended with status"):
        in_children([1], lambda _: os.kill(os.getpid(), signal.SIGKILL))


MINE = os.getpid()


def test_command_fails_unless_all_are_named_right(monkeypatch, capsys):
    """Exit code 1, and nothing is stored of a part."""
    verdict = causes.Verdict("no_root", "5.3", "", FALSE, 1, ["a: eps"])
    monkeypatch.setattr(causes, "with_suite", lambda *_: [verdict])
    monkeypatch.setattr("sys.argv", ["causes", "--only", "5.3"])
    monkeypatch.setattr(causes, "write_result", lambda *_: pytest.fail("stored"))
    assert causes.main() == 1
    assert (
        "0 of 1 wrong solutions are named right, 1 falsely" in capsys.readouterr().out
    )
    monkeypatch.setattr("sys.argv", ["causes", "--only", "99.9"])
    with pytest.raises(causes.CourseError, match=r"--only 99\.9: no planted mistake"):
        causes.main()
