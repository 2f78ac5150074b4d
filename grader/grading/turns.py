"""Who comes first in a class, who comes last, and the bar that says so."""

import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from tqdm import tqdm

from grader.outcomes import Outcome
from grader.session.connection import COMPUTED
from grader.session.replies import SLOW_TO_LOAD
from grader.submissions.names import listed, shown

SLOW_S = 30  # from then on the bar names who is being graded
STEP_S = 10  # between two words of it
MOST_NAMED = 3


def is_late(outcome: Outcome, has_more_time: bool) -> bool:
    """Whether a test is run again, when all others of the class had their turn.

    Args:
        outcome: of its first run.
        has_more_time: in the second turn. Else only what the clock ended is repeated: a
            busy machine does not make the processor's time longer.
    """
    if outcome.category != "timeout":
        return False
    final = (COMPUTED, SLOW_TO_LOAD)
    return has_more_time or not any(words in outcome.message for words in final)


class Progress:
    """The bar of a run, with the names of those that keep others waiting.

    Args:
        total: submissions.
    """

    def __init__(self, total: int):
        self._bar = tqdm(total=total, unit="submission", desc="grading")
        self._said = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()

    def update(self) -> None:
        """One more has its result."""
        self._bar.update()

    def watch(self, running: Mapping[str, float]) -> None:
        """Name those that run for long, with their seconds."""
        slow = sorted(running.items(), key=lambda item: -item[1])[:MOST_NAMED]
        text = ", ".join(
            f"{shown(name)} for {seconds // STEP_S * STEP_S:.0f} s"
            for name, seconds in slow
            if seconds >= SLOW_S
        )
        if text != self._said:
            self._said = text
            self._bar.set_postfix_str(text)

    def put_off(self, names: Sequence[str]) -> None:
        """Say who has a second turn, and why."""
        if names:
            text = f"{len(names)} took too long and come last: {listed(list(names))}"
            tqdm.write(text, file=sys.stderr)
