"""The file of results of a submission, in the format that Gradescope reads."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.files import write_json
from grader.files import read_json
from grader.manifest import ManifestTest, points_by_exercise
from grader.outcomes import Outcome
from grader.results.policy import tell
from grader.submissions.find import Submission
from grader.submissions.names import shown

FILE = "results.json"
FORMAT = "fcos-course-1"  # by which a later run knows that it wrote the file
FINISHED, UNFINISHED = "finished", "did not finish"
REFUSED, FAILED = "refused", "could not be graded"
DIGITS = 6  # of points; sums of decimal fractions are rounded to so many
DIGITS_S = 2
NUMBER, TEXT = int | float, str | None  # of what an earlier run wrote
# When Gradescope shows a test to its student.
VISIBILITY = {True: "visible", False: "after_published"}


@dataclass(frozen=True)
class Graded:
    """A submission with an outcome for each of the tests.

    Attributes:
        ignored: number of files that were not looked at.
        notes: sentences about the whole, see grader/results/top_notes.py.
        course: how it is graded, if in another way than this course's: name and note.
    """

    submission: Submission
    tests: Sequence[ManifestTest]
    outcomes: Sequence[Outcome]
    ignored: int = 0
    notes: Sequence[str] = ()
    course: tuple[str, str] = ("", "")

    @property
    def score(self) -> float:
        """The points of all tests that passed."""
        return round(
            sum(
                test.points
                for test, outcome in zip(self.tests, self.outcomes, strict=True)
                if outcome.category is None
            ),
            DIGITS,
        )


def make_results(
    graded: Graded, hashes: Mapping[str, str], measured: Mapping[str, Any]
) -> dict[str, Any]:
    """The content of results.json of a submission that was graded.

    Args:
        graded: what came out.
        hashes: of all that the result depends on.
        measured: date and times, which differ from run to run.
    """
    tests = graded.tests
    for test, outcome in zip(tests, graded.outcomes, strict=True):
        if test.id != outcome.id:
            raise ValueError(f"the outcome of {outcome.id} is at {test.id}")
    most = round(sum(test.points for test in tests), DIGITS)
    passed = sum(outcome.category is None for outcome in graded.outcomes)
    seconds = sum(outcome.seconds for outcome in graded.outcomes)
    return {
        "score": graded.score,
        "execution_time": round(seconds, DIGITS_S),
        "output": "\n".join(_top_lines(graded, passed)),
        "output_format": "text",
        "stdout_visibility": "hidden",
        "tests": [
            _entry(test, outcome)
            for test, outcome in zip(tests, graded.outcomes, strict=True)
        ],
        "extra_data": {
            **_extra(graded.submission, FINISHED, "", hashes),
            "max_score": most,
            "exercises": _by_exercise(graded),
            "ignored_files": graded.ignored,
            "notes": list(graded.notes),
            "course": list(graded.course),
            "instructor": [_for_instructor(outcome) for outcome in graded.outcomes],
            "measured": {
                **measured,
                "seconds": {
                    outcome.id: round(outcome.seconds, DIGITS_S)
                    for outcome in graded.outcomes
                },
                "peak_memory_mb": round(
                    max((outcome.peak_memory for outcome in graded.outcomes), default=0)
                    / 2**20
                ),
            },
        },
    }


def _top_lines(graded: Graded, passed: int) -> list[str]:
    note = [graded.course[1]] if graded.course[1] else []
    count = f"{passed} of {len(graded.tests)} tests passed."
    return [*note, *graded.notes, count]


def make_zero(
    submission: Submission,
    tests: Sequence[ManifestTest],
    status: str,
    why: str,
    hashes: Mapping[str, str],
) -> dict[str, Any]:
    """The content of results.json where there is no grade (yet): no points.

    Args:
        tests: each is there, with no points.
        status: UNFINISHED, REFUSED or FAILED.
        why: one sentence for the author.
    """
    return {
        "score": 0,
        "output": why,
        "output_format": "text",
        "stdout_visibility": "hidden",
        "tests": [
            {**_head(test), "score": 0, "status": "failed", "output": why}
            for test in tests
        ],
        "extra_data": {
            **_extra(submission, status, why, hashes),
            "max_score": round(sum(test.points for test in tests), DIGITS),
            "exercises": {
                exercise: {"score": 0, "max_score": round(most, DIGITS)}
                for exercise, most in points_by_exercise(tests).items()
            },
            "instructor": [],
        },
    }


def _extra(
    submission: Submission, status: str, why: str, hashes: Mapping[str, str]
) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "status": status,
        "why": why,
        "name": shown(submission.name),
        "hashes": dict(hashes),
    }


def _head(test: ManifestTest) -> dict[str, Any]:
    return {
        "name": f"{test.exercise} {test.title}",
        "number": test.exercise,
        "max_score": test.points,
        "visibility": VISIBILITY[test.visible],
        "output_format": "text",
    }


def _entry(test: ManifestTest, outcome: Outcome) -> dict[str, Any]:
    passed = outcome.category is None
    told = tell(test, outcome)
    return {
        **_head(test),
        "score": test.points if passed else 0,
        "status": "passed" if passed else "failed",
        "output": told.as_text(),
        "tags": [told.label],
        "extra_data": {"id": test.id},
    }


def _by_exercise(graded: Graded) -> dict[str, dict[str, float]]:
    found = {
        exercise: {"score": 0.0, "max_score": round(most, DIGITS)}
        for exercise, most in points_by_exercise(graded.tests).items()
    }
    for test, outcome in zip(graded.tests, graded.outcomes, strict=True):
        if outcome.category is None:
            own = found[test.exercise]
            own["score"] = round(own["score"] + test.points, DIGITS)
    return found


def _for_instructor(outcome: Outcome) -> dict[str, Any]:
    """Category and cause; the message is not there, since it may hold hidden inputs."""
    found = asdict(outcome)
    names = ("id", "category", "cause", "blocked_by", "given")
    return {name: found[name] for name in names}


def write_results(folder: Path, results: Mapping[str, Any]) -> None:
    """Write results.json, whole or not at all."""
    write_json(folder / FILE, results)


def read_results(folder: Path) -> dict[str, Any] | None:
    """What an earlier run wrote here; None if there is nothing of ours, or damaged."""
    content = read_json(folder / FILE)
    return content if _is_ours(content) else None


def _is_ours(content: Any) -> bool:
    """Whether a page of the class can be made of it, even if somebody edited it."""
    extra = content.get("extra_data") if isinstance(content, dict) else None
    if not isinstance(extra, dict) or extra.get("format") != FORMAT:
        return False
    kinds = {"status": str, "why": str, "name": str, "hashes": dict, "exercises": dict}
    if not (_has_kinds(extra, kinds) and _has_kinds(content, {"tests": list})):
        return False
    tests, own = content["tests"], extra.get("instructor")
    points = {"score": NUMBER, "max_score": NUMBER}
    return (
        all(_has_kinds(exercise, points) for exercise in extra["exercises"].values())
        and _has_kinds({**extra, "score": content.get("score")}, points)
        and all(_has_kinds(test, {"number": str}) for test in tests)
        and isinstance(own, list)
        and all(
            _has_kinds(outcome, {"category": TEXT, "cause": TEXT}) for outcome in own
        )
        and (extra["status"] != FINISHED or len(own) == len(tests))
    )


def _has_kinds(content: Any, kinds: Mapping[str, Any]) -> bool:
    """Whether it is a dict with values of these types; no number is NaN or infinite."""
    if not isinstance(content, dict) or not content.keys() >= kinds.keys():
        return False
    values = [content[name] for name in kinds]
    numbers = [value for value in values if isinstance(value, float)]
    return all(map(isinstance, values, kinds.values())) and all(
        map(math.isfinite, numbers)
    )


def is_done(results: Mapping[str, Any] | None, hashes: Mapping[str, str]) -> bool:
    """Whether a result is finished, and of just these inputs."""
    if results is None:
        return False
    extra = results["extra_data"]
    return extra.get("status") == FINISHED and extra.get("hashes") == dict(hashes)


def changed_hashes(
    results: Mapping[str, Any] | None, hashes: Mapping[str, str]
) -> list[str]:
    """Names of the inputs that differ from those of a result; none if there is none."""
    if results is None:
        return []
    old = results["extra_data"]["hashes"]
    return sorted(name for name in {*old, *hashes} if old.get(name) != hashes.get(name))
