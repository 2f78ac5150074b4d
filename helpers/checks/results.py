"""How checks ended."""

from dataclasses import dataclass

from helpers.checks.exercises import Exercise

PASS, WRONG, OPEN, BLOCKED = "pass", "wrong", "not written yet", "blocked"


@dataclass(frozen=True)
class Result:
    """How one check, or the way to it, ended.

    Attributes:
        status: PASS, WRONG, OPEN or BLOCKED.
        title: what was checked, a sentence.
        headline: what is wrong; empty if it passed.
        lines: more of it, for below the headline.
        likely: the mistake that it probably is; empty if unknown.
        is_last: whether the other checks of the exercise are not even tried.
    """

    status: str
    title: str
    headline: str = ""
    lines: tuple[str, ...] = ()
    likely: str = ""
    is_last: bool = False


@dataclass(frozen=True)
class Report:
    """How all checks of an exercise ended.

    Attributes:
        exercise: which.
        results: one for each check; a single one if none could be run.
        seconds: for all of them.
    """

    exercise: Exercise
    results: tuple[Result, ...]
    seconds: float

    @property
    def passed(self) -> int:
        """How many checks passed."""
        return sum(result.status == PASS for result in self.results)

    @property
    def problem(self) -> Result | None:
        """The first check that did not pass."""
        return next((result for result in self.results if result.status != PASS), None)

    @property
    def status(self) -> str:
        """Of the whole exercise."""
        return self.problem.status if self.problem else PASS
