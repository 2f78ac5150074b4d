"""An earlier mistake costs its own exercise only.

A test that fails where an exercise that it needs has failed too says little about its
own. It runs once more with the solution's earlier functions in place of the student's.
Does it pass now, it counts; if not, what it said before stays, so that nothing but
"passed" or not is ever heard of a process that held a part of the solution.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from core.course import Registry, id_order
from grader.manifest import ManifestTest
from grader.outcomes import NOT_RUN, Outcome
from grader.suites.given_parts import given_parts
from grader.suites.pace import Pace
from grader.suites.suite_run import StudentSource, Suite


class GivingSource(StudentSource, Protocol):
    """A source that can put parts of the solution in the place of a student's."""

    given: bytes


def run_with_earlier(
    suite: Suite,
    course: tuple[Path, Registry, Sequence[ManifestTest]],
    chosen: Collection[str],
    source: GivingSource,
    pace: Pace,
    failed: Collection[str] = (),
) -> list[Outcome]:
    """Run tests, then those again whose earlier exercises failed.

    Args:
        suite: with all tests.
        course: its folder, what course.toml says, its manifest.
        chosen: ids of those that are run.
        source: gives the student.
        pace: bounds the time of all of it together.
        failed: exercises that are known to have failed, beside those of this run.

    Returns:
        See Suite.run; what passed with a part of the solution says so in `given`.
    """
    outcomes = suite.run(chosen, source, pace)
    root, registry, manifest = course
    tests = {test.id: test for test in manifest}
    found = {outcome.id: outcome for outcome in outcomes}
    open_tests: dict[str, list[ManifestTest]] = {}
    for outcome in outcomes:
        # What took too long may pass in a second turn.
        is_open = outcome.category not in (None, NOT_RUN)
        if is_open and not (pace.is_first and outcome.category == "timeout"):
            test = tests[outcome.id]
            open_tests.setdefault(test.exercise, []).append(test)
    wrong = set(failed) | set(open_tests)
    for exercise in sorted(open_tests, key=id_order):
        again: dict[tuple[str, ...], set[str]] = {}
        for test in open_tests[exercise]:
            again.setdefault(wrong_earlier(test, registry, wrong), set()).add(test.id)
        again.pop((), None)
        for earlier, names in again.items():
            source.given = given_parts(root, registry, earlier, exercise)
            for outcome in suite.run(names, source, pace):
                old = found[outcome.id]
                found[outcome.id] = _merged(old, outcome, exercise, " ".join(earlier))
        if all(found[test.id].category is None for test in open_tests[exercise]):
            wrong -= {exercise} - set(failed)  # it was another's mistake all along
    source.given = b""
    return [found[outcome.id] for outcome in outcomes]


def wrong_earlier(
    test: ManifestTest, registry: Registry, wrong: Collection[str]
) -> tuple[str, ...]:
    """Those of the wrong exercises that a test needs, but for its own."""
    own = [test.exercise, *test.needs]
    needed = registry.all_needs(own) | set(test.needs)
    return tuple(sorted((needed & set(wrong)) - {test.exercise}, key=id_order))


def _merged(old: Outcome, new: Outcome, exercise: str, earlier: str) -> Outcome:
    """What is kept of both runs of a test."""
    seconds = old.seconds + new.seconds
    if new.category is None:
        return Outcome(old.id, None, given=earlier, seconds=seconds)
    if old.category == "blocked" and new.category == "not implemented":
        return Outcome(
            old.id,
            "not implemented",
            f"Exercise {exercise} is not implemented",
            seconds=seconds,
        )
    return replace(old, seconds=seconds)
