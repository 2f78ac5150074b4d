"""The results of a class, as its pages need them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from grader.pages.feedback import FILE as FEEDBACK
from grader.results.results import FILE as RESULTS
from grader.results.results import FINISHED, REFUSED, make_zero, read_results
from grader.submissions.find import Submission

PAIR = 2
TROUBLES = ("crashed", "timeout", "out of memory", "not allowed")


@dataclass(frozen=True)
class Student:
    """A submission of the class.

    Attributes:
        id: name of its folder.
        content: that of its results.json.
        is_earlier: the last run was not asked about it, or did not come to it.
    """

    id: str
    content: dict[str, Any]
    is_earlier: bool = False

    @property
    def extra(self) -> dict[str, Any]:
        """What Gradescope does not show."""
        found: dict[str, Any] = self.content["extra_data"]
        return found

    @property
    def is_graded(self) -> bool:
        """Whether there is a grade, which may be 0."""
        return bool(self.extra["status"] == FINISHED)

    @property
    def status(self) -> str:
        """As the pages show it."""
        text = str(self.extra["status"])
        text += ", earlier run" if self.is_earlier else ""
        status, _ = self.later
        return f"{text}, later hand-in refused" if status == REFUSED else text

    @property
    def later(self) -> tuple[str, str]:
        """Status, and a sentence, of what came later and has no grade; else empty."""
        found = self.extra.get("later")
        if not isinstance(found, dict):
            return "", ""
        return str(found.get("status", "")), str(found.get("why", ""))

    @property
    def share(self) -> float:
        """Points of those that can be had, in [0, 1]."""
        most = self.extra["max_score"]
        return float(self.content["score"]) / most if most else 0.0

    @property
    def troubles(self) -> list[str]:
        """What a wrong answer alone does not do, sorted, each once."""
        found = {told["category"] for told in self.extra["instructor"]}
        return [trouble for trouble in TROUBLES if trouble in found]

    @property
    def notes(self) -> list[str]:
        """What is wrong with the hand-in as a whole; older results have none."""
        notes = self.extra.get("notes")
        return [str(note) for note in notes] if isinstance(notes, list) else []

    @property
    def course(self) -> list[str]:
        """Name and note of the course it was graded by; older results have none."""
        found = self.extra.get("course")
        if not isinstance(found, list) or len(found) != PAIR:
            return ["", ""]
        return [str(part) for part in found]

    @property
    def link(self) -> str:
        """From the class's page to the student's."""
        return f"{quote(self.id)}/{FEEDBACK}"


def read_class(
    out: Path,
    current: Collection[str] | None = None,
    unwritten: Mapping[str, dict[str, Any]] | None = None,
) -> list[Student]:
    """All results in a folder, in the order of their names.

    Args:
        out: the folder.
        current: ids of those that belong to the last run; None for all.
        unwritten: id -> results that could not be written there.
    """
    found = dict(unwritten or {})
    for folder in out.iterdir():
        if folder.name not in found and (folder / RESULTS).is_file():
            found[folder.name] = read_results(folder) or _damaged(folder.name)
    return [
        Student(name, found[name], current is not None and name not in current)
        for name in sorted(found, key=str.lower)
    ]


def _damaged(name: str) -> dict[str, Any]:
    """In place of results that somebody edited, or that a full disk cut off."""
    why = f"{RESULTS} in its folder cannot be read; grade it again."
    return make_zero(Submission(name, name, Path(name)), [], "damaged", why, {})
