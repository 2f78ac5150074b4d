"""How long the tests of one submission may go on, and what ends them early.

Time is the processor's, which other programs on the machine do not stretch; the clock
has a limit, too, for code that only waits.
"""

import math
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from grader.border.limits import Limits
from grader.manifest import ManifestTest
from grader.outcomes import NOT_TRIED, USED_UP, Outcome
from helpers.checks.expect import CheckError

# An exercise whose tests took too long so often has less time for each of the others:
# what the solution takes, many times over.
MOST_LATE = 2
SHORT_CPU_S, SHORT_CALL_S = 3, 12.0
# Nothing but timeouts in so many exercises: the rest would be the same.
LATE_EXERCISES = 3
MOST_LOADING_S = 2.0  # of the processor in each test that nobody is charged for


class Timed(Protocol):
    """What is needed of a Session to bound its tests."""

    load_seconds: float
    next_limits: Limits
    ends_at: float


class Pace:
    """The clock of one submission.

    Args:
        wall_s: on the clock, for all tests.
        cpu_s: of the processor, for all tests; but for what loading the files takes.
        session: whose tests are bounded; None: only all together are.
        short: id of a test -> processor seconds that are many times the solution's.
        stops_at_first: once a test took too long, the others wait for a second run.
        ended: tests of an earlier run that did not take too long.

    Attributes:
        is_first: what takes too long has a second turn.
    """

    def __init__(
        self,
        wall_s: float = math.inf,
        cpu_s: float = math.inf,
        *,
        session: Timed | None = None,
        short: Mapping[str, float] | None = None,
        stops_at_first: bool = False,
        ended: int = 0,
    ):
        self._cpu_s = cpu_s
        self._session = session
        self._short = short or {}
        self.is_first = stops_at_first
        self._used = 0.0
        self._late: Counter[str] = Counter()  # exercise -> tests that took too long
        self._ended = ended
        self._stopped = ""
        load = session.load_seconds if session is not None else 0.0
        # In a short turn it would keep others waiting.
        self._load = 0.0 if stops_at_first else min(load, MOST_LOADING_S)
        self._full = session.next_limits if session is not None else Limits()
        self._ends_at = time.monotonic() + wall_s
        if session is not None:
            session.ends_at = self._ends_at

    def begin(self, test: ManifestTest) -> None:
        """Before a test gets its student.

        Raises:
            CheckError: it is not tried, since the time is used up; "timeout".
        """
        if not self._stopped and (
            time.monotonic() > self._ends_at or self._used > self._cpu_s
        ):
            self._stopped = USED_UP
        if self._stopped:
            raise CheckError("timeout", "all tests together", self._stopped)
        if self._session is not None:
            self._session.next_limits = self._limits_of(test)

    def end(self, test: ManifestTest, outcome: Outcome, cpu_seconds: float) -> None:
        """After a test, which used so much of the processor."""
        self._used += max(0.0, cpu_seconds - self._load)
        if outcome.category != "timeout":
            self._ended += 1
            return
        self._late[test.exercise] += 1
        if self.is_first or (not self._ended and len(self._late) >= LATE_EXERCISES):
            self._stopped = NOT_TRIED

    def _limits_of(self, test: ManifestTest) -> Limits:
        is_late = self._late[test.exercise] >= MOST_LATE
        if not is_late and (self._ended or not self._late):
            return self._full
        cpu = max(SHORT_CPU_S, math.ceil(self._short.get(test.id, 0.0)))
        call = max(SHORT_CALL_S, 2.0 * cpu)
        return replace(
            self._full,
            cpu_seconds=min(self._full.cpu_seconds, cpu),
            call_seconds=min(self._full.call_seconds, call),
        )
