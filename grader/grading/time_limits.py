"""How long tests may take, measured with the solution on this machine."""

import math
import os
from dataclasses import dataclass, field, fields, replace

from core.command import CourseError
from grader.border.limits import Limits
from grader.course import LIMITS_VARIABLE

CHOICES = tuple(limit.name for limit in fields(Limits))

# A slow solution, beside others on a busy machine, is still well within these.
TEST_FACTOR, BUDGET_FACTOR = 15, 10
LEAST_BUDGET_S = 180.0


@dataclass(frozen=True)
class Calibration:
    """Limits of a run.

    Attributes:
        limits: of each test.
        budget_s: of all tests of a submission together.
        seconds: of the solution, by test.
    """

    limits: Limits = field(default_factory=Limits)
    budget_s: float = 600.0
    seconds: dict[str, float] = field(default_factory=dict)


def calibration_from(seconds: dict[str, float]) -> Calibration:
    """Generous limits; never below those that hold everywhere."""
    limits = Limits()
    slowest = max(seconds.values(), default=0.0) * TEST_FACTOR
    limits = replace(
        limits,
        cpu_seconds=max(limits.cpu_seconds, math.ceil(slowest)),
        call_seconds=max(limits.call_seconds, slowest),
    )
    limits = replace(limits, **chosen_limits())  # type: ignore[arg-type]
    budget = max(LEAST_BUDGET_S, BUDGET_FACTOR * sum(seconds.values()))
    return Calibration(limits, round(budget, 1), seconds)


def chosen_limits() -> dict[str, int | float]:
    """What the environment sets instead of what was measured.

    Raises:
        CourseError: not NAME=NUMBER, or no limit of this name.
    """
    chosen: dict[str, int | float] = {}
    for part in os.environ.get(LIMITS_VARIABLE, "").split():
        name, _, number = part.partition("=")
        if name not in CHOICES or not number.isdecimal() or int(number) < 1:
            raise CourseError(
                f"--limits {part}: write NAME=NUMBER with a whole number from 1 and "
                f"one of the names {', '.join(CHOICES)}"
            )
        chosen[name] = int(number)
    return chosen
