"""What a sandbox lacks of torchvision, and what each test gets back of it."""

from collections.abc import Sequence
from pathlib import Path

from core.course import Registry
from grader.sandbox.closing import Closed, close
from grader.sandbox.opening import Opening, make_opening, open_files, speaks_of_parts


class LibraryParts:
    """What is closed for a submission, and for each of its tests.

    Args:
        submission: its files.
        registry, parts: of the course, whose exercises are asked for.
        allowed: functions of torchvision.ops that are not closed.
        is_hidden: the sandbox does not show what is closed.

    Attributes:
        closed: what no test finds when its process begins.
    """

    def __init__(
        self,
        submission: Path,
        registry: Registry,
        parts: Sequence[str],
        allowed: Sequence[str],
        is_hidden: bool,
    ):
        self._submission = submission
        self._registry = registry
        self._parts = tuple(parts)
        self._allowed = tuple(allowed)
        self._is_hidden = is_hidden
        self._wants_some = speaks_of_parts(submission)
        self._openings: dict[str, Opening | None] = {}
        self.closed = close(registry.closed(parts), allowed)

    def open_files(self, exercise: str) -> list[int]:
        """Open files for a test of this exercise, to be closed by the caller."""
        if not exercise or not self._wants_some:
            return []
        if exercise not in self._openings:
            self._openings[exercise] = make_opening(
                self._submission,
                self.closed,
                self._closed_for(exercise),
                is_hidden=self._is_hidden,
            )
        opening = self._openings[exercise]
        return open_files(opening) if opening is not None else []

    def _closed_for(self, exercise: str) -> Closed:
        return close(self._registry.closed_for(exercise, self._parts), self._allowed)
