"""The page that a student gets: one HTML file that needs no network."""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from core.files import write_atomically
from grader.manifest import ManifestTest
from grader.results.policy import Told, tell
from grader.results.results import DIGITS, Graded
from grader.submissions.names import shown

FILE = "feedback.html"
TEMPLATES = Path(__file__).resolve().parent / "templates"
SYMBOLS = {"passed": "✓", "failed": "✗", "blocked": "○"}


@dataclass(frozen=True)
class Row:
    """A test on the page; kind is a key of SYMBOLS."""

    test: ManifestTest
    told: Told
    kind: str
    score: float

    @property
    def is_short(self) -> bool:
        """Whether there is nothing to say about it."""
        return self.kind == "passed"

    @property
    def symbol(self) -> str:
        """Says the same without a colour."""
        return SYMBOLS[self.kind]


@dataclass
class Group:
    """The tests of an exercise."""

    exercise: str
    title: str
    rows: list[Row] = field(default_factory=list)

    @property
    def score(self) -> float:
        """Points that were given."""
        return round(sum(row.score for row in self.rows), DIGITS)

    @property
    def most(self) -> float:
        """Points that can be given."""
        return round(sum(row.test.points for row in self.rows), DIGITS)

    @property
    def is_complete(self) -> bool:
        """Whether all tests passed."""
        return all(row.kind == "passed" for row in self.rows)

    @property
    def failed(self) -> list[Row]:
        """The tests that did not pass; none if all say the same, see `one_reason`."""
        return (
            []
            if self.one_reason
            else [row for row in self.rows if row.kind != "passed"]
        )

    @property
    def folded(self) -> list[Row]:
        """The tests that only need a line."""
        return (
            self.rows if self.one_reason else [row for row in self.rows if row.is_short]
        )

    @property
    def one_reason(self) -> str:
        """The sentence of all tests, if nothing of the exercise could be tested."""
        labels = {row.told.label for row in self.rows}
        is_open = labels == {"not implemented"} or {row.kind for row in self.rows} == {
            "blocked"
        }
        return self.rows[0].told.sentence if is_open and len(labels) == 1 else ""


def format_points(value: float) -> str:
    """Without zeros that say nothing.

    Example:
        >>> format_points(2.0), format_points(0.5)
        ('2', '0.5')
    """
    return f"{value:.6g}"


def format_worth(row: Row) -> str:
    """Points of a test; one that can give none says nothing."""
    if not row.test.points:
        return "no points"
    return f"{format_points(row.score)} of {format_points(row.test.points)}"


@cache
def environment() -> Environment:
    """Templates that escape everything and miss nothing."""
    found = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["points"] = format_points
    found.filters["worth"] = format_worth
    return found


def render_feedback(
    graded: Graded, titles: dict[str, str] | None = None, why: str = ""
) -> str:
    """The page of a submission.

    Args:
        graded: what came out.
        titles: exercise -> what it is called.
        why: one sentence if there is no grade.
    """
    groups: dict[str, Group] = {}
    for test, outcome in zip(graded.tests, graded.outcomes, strict=True):
        kind = "passed" if outcome.category is None else "failed"
        kind = "blocked" if outcome.category == "blocked" else kind
        score = test.points if kind == "passed" else 0
        title = (titles or {}).get(test.exercise, "")
        group = groups.setdefault(test.exercise, Group(test.exercise, title))
        group.rows.append(Row(test, tell(test, outcome), kind, score))
    page: dict[str, Any] = {
        "name": shown(graded.submission.name),
        "why": why,
        "score": graded.score,
        "most": round(sum(group.most for group in groups.values()), DIGITS),
        "passed": sum(outcome.category is None for outcome in graded.outcomes),
        "count": len(graded.outcomes),
        "complete": sum(group.is_complete for group in groups.values()),
        "first": next(
            (group.exercise for group in groups.values() if not group.is_complete), ""
        ),
        "groups": list(groups.values()),
        "ignored": graded.ignored,
        "notes": graded.notes,
        "course": graded.course[1],
    }
    return environment().get_template("feedback.html").render(page=page)


def write_feedback(
    folder: Path, graded: Graded, titles: dict[str, str] | None = None, why: str = ""
) -> None:
    """Write feedback.html, whole or not at all."""
    write_atomically(folder / FILE, render_feedback(graded, titles, why))
