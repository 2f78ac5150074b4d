"""How long tests may take, measured with the solution on this machine."""

import math
from dataclasses import dataclass, field, replace

from grader.limits import Limits

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
    budget = max(LEAST_BUDGET_S, BUDGET_FACTOR * sum(seconds.values()))
    return Calibration(limits, round(budget, 1), seconds)
