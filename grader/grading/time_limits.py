"""How long tests may take, measured with the solution on this machine.

In seconds of the processor, which a busy machine stretches little, and with an upper
bound; the limits on the clock are for code that waits, and follow from them.
"""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace

from core.command import CourseError
from grader.border.limits import Limits
from grader.course import LIMITS_VARIABLE

CHOICES = tuple(limit.name for limit in fields(Limits))

# A slow solution, on a slow machine, is still well within these.
TEST_FACTOR, BUDGET_FACTOR = 15, 10
MOST_TEST_S = 150
LEAST_BUDGET_S, MOST_BUDGET_S = 180.0, 600.0
LEAST_BUDGET_FACTOR = 3  # of the solution's own time, whatever the most is
CLOCK_FACTOR = 2.0  # a call on a machine where another program runs beside it
WALL_FACTOR = 3.0  # all tests together
# The first time that a submission has its turn: those that need more come last.
FIRST_TEST_S, FIRST_TEST_FACTOR, FIRST_CALL_S = 10, 5, 20.0
FIRST_BUDGET_S, FIRST_BUDGET_FACTOR = 60.0, 4


@dataclass(frozen=True)
class Calibration:
    """Limits of a run.

    Attributes:
        limits: of each test.
        budget_s: of all tests of a submission together, of the processor.
        wall_s: the same on the clock.
        seconds: that the solution took of the processor, by test.
        is_first: a test that takes too long ends this turn of its submission.
        is_service: nobody waits longer than `wall_s`, whatever the reason.
    """

    limits: Limits = field(default_factory=Limits)
    budget_s: float = 600.0
    wall_s: float = 3600.0
    seconds: dict[str, float] = field(default_factory=dict)
    is_first: bool = False
    is_service: bool = False

    @property
    def short(self) -> dict[str, float]:
        """By test: so much is many times what the solution took."""
        return {name: own * TEST_FACTOR for name, own in self.seconds.items()}


def calibration_from(seconds: dict[str, float]) -> Calibration:
    """Generous limits, never below those that hold everywhere, nor without a bound.

    Args:
        seconds: that the solution took of the processor, by test.
    """
    limits, total = Limits(), sum(seconds.values())
    slowest = math.ceil(max(seconds.values(), default=0.0) * TEST_FACTOR)
    cpu = max(limits.cpu_seconds, min(slowest, MOST_TEST_S))
    chosen = chosen_limits()
    call = max(limits.call_seconds, CLOCK_FACTOR * chosen.get("cpu_seconds", cpu))
    limits = replace(limits, cpu_seconds=cpu, call_seconds=call)
    limits = replace(limits, **chosen)  # type: ignore[arg-type]
    budget = min(max(LEAST_BUDGET_S, BUDGET_FACTOR * total), MOST_BUDGET_S)
    budget = round(max(budget, LEAST_BUDGET_FACTOR * total), 1)
    return Calibration(limits, budget, WALL_FACTOR * budget, seconds)


def first_turn(calibration: Calibration) -> Calibration:
    """Enough for usual work, and little for what would keep others waiting."""
    limits = calibration.limits
    slowest = max(calibration.seconds.values(), default=0.0)
    cpu = max(FIRST_TEST_S, math.ceil(FIRST_TEST_FACTOR * slowest))
    call = max(FIRST_CALL_S, CLOCK_FACTOR * cpu)
    total = sum(calibration.seconds.values())
    budget = max(FIRST_BUDGET_S, FIRST_BUDGET_FACTOR * total)
    return replace(
        calibration,
        limits=replace(
            limits,
            cpu_seconds=min(limits.cpu_seconds, cpu),
            call_seconds=min(limits.call_seconds, call),
        ),
        budget_s=min(calibration.budget_s, budget),
        wall_s=min(calibration.wall_s, CLOCK_FACTOR * budget),
        is_first=True,
    )


def out_of_line(seconds: Mapping[str, float]) -> set[str]:
    """Tests of which a busy machine may have made the limits: they are tried again."""
    limits = calibration_from({}).limits
    odd = {
        name for name, own in seconds.items() if own * TEST_FACTOR > limits.cpu_seconds
    }
    if not odd and sum(seconds.values()) * BUDGET_FACTOR > LEAST_BUDGET_S:
        return set(seconds)
    return odd


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
