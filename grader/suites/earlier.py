"""An earlier mistake costs its own exercise only.

A test that fails where an exercise that it needs has failed too says little about its
own. It runs once more with the solution's earlier functions in place of the student's.
Does it pass now, it counts; if not, what it said before stays, so that nothing but
"passed" or not is ever heard of a process that held a part of the solution.
"""

import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from core.course import Registry, id_order
from grader.manifest import ManifestTest
from grader.outcomes import NOT_RUN, Outcome
from grader.suites.given_parts import given_parts
from grader.suites.suite_run import StudentSource, Suite


def run_with_earlier(
    suite: Suite,
    course: tuple[Path, Registry, Sequence[ManifestTest]],
    chosen: Collection[str],
    source: StudentSource,
    budget_s: float,
    failed: Collection[str] = (),
) -> list[Outcome]:
    """Run tests, then those again whose earlier exercises failed.

    Args:
        suite: with all tests.
        course: its folder, what course.toml says, its manifest.
        chosen: ids of those that are run.
        source: gives the student.
        budget_s: of all of it together.
        failed: exercises that are known to have failed, beside those of this run.

    Returns:
        See Suite.run; what passed with a part of the solution says so in `given`.
    """
    began = time.perf_counter()
    outcomes = suite.run(chosen, source, budget_s)
    root, registry, manifest = course
    tests = {test.id: test for test in manifest}
    wrong = {tests[outcome.id].exercise for outcome in outcomes if outcome.category}
    wrong |= set(failed)
    again: dict[tuple[str, tuple[str, ...]], set[str]] = {}
    for outcome in outcomes:
        test = tests[outcome.id]
        earlier = wrong_earlier(test, registry, wrong)
        if outcome.category not in (None, NOT_RUN) and earlier:
            again.setdefault((test.exercise, earlier), set()).add(test.id)
    found = {outcome.id: outcome for outcome in outcomes}
    for exercise, earlier in sorted(again, key=lambda group: id_order(group[0])):
        source.given = given_parts(root, registry, earlier, exercise)
        left_s = budget_s - (time.perf_counter() - began)
        for outcome in suite.run(again[exercise, earlier], source, left_s):
            old = found[outcome.id]
            found[outcome.id] = _merged(old, outcome, exercise, " ".join(earlier))
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
