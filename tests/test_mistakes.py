"""Every planted mistake is caught by its test, which names the cause."""

import re
from pathlib import Path

import pytest

from core.command import CourseError
from grader.manifest import read_manifest
from grader.outcomes import Outcome
from grader.session.local_session import LocalSession
from grader.suites.mistakes import Edit, Mistake, plant, read_mistakes
from grader.suites.suite_run import Suite, with_suite
from tests.legitimate import accepted

ROOT = Path(__file__).resolve().parent.parent
SOURCES = {path.name: path.read_text() for path in (ROOT / "assignment").glob("*.py")}
MANIFEST = {entry.id: entry for entry in read_manifest(ROOT)}
MISTAKES = read_mistakes(ROOT)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> dict[str, dict[str, Outcome] | CourseError]:
    """Id of a mistake -> how its tests ended, or why it could not be planted."""

    def try_all(suite: Suite) -> dict[str, dict[str, Outcome] | CourseError]:
        found: dict[str, dict[str, Outcome] | CourseError] = {}
        folder = tmp_path_factory.mktemp("mistake")  # one, so that little is compiled
        for mistake in MISTAKES:
            for path in folder.glob("*.py"):
                path.unlink()
            try:
                base = accepted(mistake.variant, SOURCES)
                plant(mistake.edits, base, folder)
            except CourseError as error:
                found[mistake.id] = error
                continue
            chosen = {mistake.test, mistake.check} & set(MANIFEST)
            told = suite.run(chosen, LocalSession(folder))
            found[mistake.id] = {outcome.id: outcome for outcome in told}
        return found

    return with_suite(ROOT, list(MANIFEST.values()), try_all)


@pytest.mark.parametrize("mistake", MISTAKES, ids=[mistake.id for mistake in MISTAKES])
def test_mistake_is_caught_and_named(mistake: Mistake, outcomes):
    """The named test fails, and tells a student why; so does the visible check."""
    found = outcomes[mistake.id]
    assert not isinstance(found, CourseError), found
    for test in filter(None, (mistake.test, mistake.check)):
        assert test in MANIFEST, f"there is no {test}"
        assert MANIFEST[test].exercise == mistake.exercise
        told = found[test]
        assert told.category, f"{test} passes"
        assert mistake.explains(told.cause), f"{told.cause!r}\n{told.message}"
    assert mistake.cause in (found[mistake.test].cause or "")
    assert not mistake.check or MANIFEST[mistake.check].visible


def test_every_exercise_has_a_planted_mistake():
    """An exercise whose tests nobody tried to fool may have none that bite."""
    tried = {mistake.exercise for mistake in MISTAKES}
    assert tried == {entry.exercise for entry in MANIFEST.values()}


def test_mistake_that_does_not_fit_the_solution_is_refused(tmp_path: Path):
    """When the solution changes, a planted mistake must not silently do nothing."""
    with pytest.raises(CourseError, match="is there 0 times"):
        plant((Edit("common.py", "no such text", ""),), SOURCES, tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('cause = "absolute"\n', "", "'cause' is missing"),
        ('find = "a"', "", "'find' is missing"),
        ('find = "a"', "find = 1", "find must be a text"),
        ('cause = "absolute"', "cause = 3", "cause must be a text"),
        ('cause = "absolute"', "reason = 3", "'reason' is unknown"),
        ("[[also]]", "[also]", "write each further edit as a table [[also]]"),
        ('replace = "d"', 'by = "d"', "'by' is unknown"),
        ("[[also]]", "[[also", "cannot read it"),
    ],
)
def test_mistake_that_is_not_complete_is_one_sentence(tmp_path, old, new, said):
    """Which file, and what to write."""
    text = """
description = "abs instead of clamp."
exercise = "5.2"
test = "test_5_boxes.py::test_a"
cause = "absolute"
file = "common.py"
find = "a"
replace = ""
[[also]]
file = "common.py"
find = "c"
replace = "d"
"""
    path = tmp_path / "grader_tests" / "mistakes" / "wrong.toml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    (mistake,) = read_mistakes(tmp_path)
    assert mistake.edits == (Edit("common.py", "a", ""), Edit("common.py", "c", "d"))
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(CourseError, match=re.escape(said)) as caught:
        read_mistakes(tmp_path)
    assert str(path) in str(caught.value)
