"""Code that overwrites its inputs chooses no number that it is measured by."""

from pathlib import Path

import pytest

from grader.manifest import read_manifest
from grader.session.local_session import LocalSession
from grader.suites.suite_run import Suite, with_suite
from helpers.checks.exercises import read_exercises
from tests.in_process import InProcess
from tests.overwriting import NOTHING, RIGHT, ROOT, WRONG, write_submission

TESTS = read_manifest(ROOT)
EXERCISES = read_exercises(ROOT)
# Where the code runs, what it answers, and what it leaves in its inputs.
WAYS = (
    (InProcess, RIGHT, -1.0),  # as checks run at home
    (LocalSession, RIGHT, -1.0),  # what crosses the border crosses as messages
    (LocalSession, NOTHING, -1e4),
    (LocalSession, WRONG, None),
)


@pytest.mark.parametrize("number", EXERCISES)
def test_overwriting_inputs_passes_no_test_that_its_answer_does_not(
    number: str, tmp_path: Path
):
    """Each exercise, each way to write: what passes passes without writing, too."""
    own = {test.id for test in TESTS if test.exercise == number}

    def passed(suite: Suite, names: set[str], way: int, overwrites: bool) -> set[str]:
        source, answer, left = WAYS[way]
        folder = tmp_path / f"{way}-{overwrites}"
        write_submission(folder, EXERCISES[number], answer, left, overwrites)
        told = suite.run(names, source(folder))
        return {outcome.id for outcome in told if outcome.category is None}

    def try_all(suite: Suite) -> None:
        for way in range(len(WAYS)):
            bought = passed(suite, own, way, True)
            if bought:
                bought -= passed(suite, bought, way, False)
            assert not bought, f"{WAYS[way]}: {bought}"

    with_suite(ROOT, TESTS, try_all)
