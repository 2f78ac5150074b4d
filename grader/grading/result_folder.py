"""The results of a class as they are written: one that fails concerns no other."""

import contextlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tqdm import tqdm

from core.command import CourseError
from grader.course import Course
from grader.grading.later import note_later
from grader.grading.time_limits import Calibration
from grader.outcomes import Outcome
from grader.pages.class_report import CSV, write_class_report
from grader.pages.class_results import read_class
from grader.pages.feedback import write_feedback
from grader.results.results import (
    FAILED,
    FINISHED,
    REFUSED,
    UNFINISHED,
    Graded,
    changed_hashes,
    is_done,
    make_results,
    make_zero,
    read_results,
    write_results,
)
from grader.results.results import FILE as RESULTS
from grader.results.top_notes import top_notes
from grader.submissions.find import Submission
from grader.submissions.names import listed, shown
from helpers.drive.copies import keep_version, last_write

PROBE = ".room"
LEAST_ROOM = 8 * 2**20  # bytes; more than a hand-in and its pages
LATER_REFUSED = "A later hand-in was refused, and does not count"
LATER_FAILED = "This could not be graded again, and the earlier grade stays"
# What hashes stand for, in words.
INPUTS = {"tests": "tests or references", "requirements": "requirements.txt"}


class NoRoomError(CourseError):
    """The folder of results cannot be written; the run stops."""


@dataclass(frozen=True)
class Waiting:
    """A submission that was taken and copied, and is not graded yet."""

    submission: Submission
    code: Path
    hashes: dict[str, str]
    ignored: int


def keep_unreadable(folder: Path) -> None:
    """Copy a result that somebody has edited, and not well, before another comes."""
    path = folder / RESULTS
    if path.is_file() and read_results(folder) is None:
        kept, _ = keep_version(path, path, last_write(path))
        tqdm.write(f"{folder.name}: {RESULTS} cannot be read; kept as {kept.name}")


@dataclass(kw_only=True)
class ResultFolder:
    """The folder of --out during a run.

    Attributes:
        course: the tests.
        path: the folder.
        without_grade: id -> why a submission of this run has no grade.
        current: ids of the results that this run wrote, or found to be up to date.
        unwritten: id -> a result without points that the folder does not take.
        changed: what differs from the results of an earlier run.
    """

    course: Course
    path: Path
    without_grade: dict[str, str] = field(default_factory=dict)
    current: set[str] = field(default_factory=set)
    unwritten: dict[str, dict[str, Any]] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)

    def check_room(self) -> None:
        """See that the folder can be written, so that no fault is taken for another.

        Raises:
            NoRoomError: it cannot; whatever was graded before is as it was.
        """
        probe = self.path / PROBE
        try:
            probe.write_bytes(bytes(LEAST_ROOM))
        except OSError as error:
            raise NoRoomError(
                f"{shown(str(self.path))}: {LEAST_ROOM // 2**20} MB cannot be written "
                f"there ({error.strerror}); make room, or give another --out, and call "
                "it again: it goes on where it stopped"
            ) from error
        finally:
            with contextlib.suppress(OSError):
                probe.unlink(missing_ok=True)

    def is_done(self, submission: Submission, hashes: dict[str, str]) -> bool:
        """Whether there is a result of just these inputs."""
        results = read_results(self.path / submission.id)
        is_own = results and results["extra_data"]["name"] == shown(submission.name)
        if is_own and is_done(results, hashes):
            self.current.add(submission.id)
            note_later(self.path / submission.id, REFUSED, submission.refused)
            return True
        self.changed |= set(changed_hashes(results, hashes)) - {"submission"}
        return False

    def write(
        self, entry: Waiting, outcomes: Sequence[Outcome], calibration: Calibration
    ) -> None:
        """Write what came out of the tests."""
        notes = top_notes(outcomes, entry.code, self.course.registry.visible)
        if entry.submission.earlier:
            notes.append(
                "The latest hand-in that can be read counts, "
                f"{shown(entry.submission.path.name)}, and not "
                f"{listed(list(entry.submission.earlier))}."
            )
        graded = Graded(
            entry.submission,
            self.course.chosen,
            outcomes,
            entry.ignored,
            notes,
            (self.course.registry.name, self.course.registry.note),
        )
        measured = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "limits": asdict(calibration.limits),
        }
        folder = self.path / entry.submission.id
        keep_unreadable(folder)
        write_feedback(folder, graded, self.course.titles)
        write_results(folder, make_results(graded, entry.hashes, measured))
        note_later(folder, REFUSED, entry.submission.refused)
        self.current.add(entry.submission.id)

    def begin(self, entry: Waiting) -> None:
        """Say that a result did not finish; an earlier one stays until the new is."""
        earlier = read_results(self.path / entry.submission.id)
        if earlier is None or earlier["extra_data"]["status"] != FINISHED:
            why = "The grading of this submission did not finish."
            self._write_zero(entry.submission, UNFINISHED, why, entry.hashes)

    def fail(
        self, submission: Submission, error: Exception, hashes: dict[str, str]
    ) -> None:
        """Write that something went wrong that nobody expected."""
        why = getattr(error, "strerror", None) or type(error).__name__
        self.no_grade(submission, FAILED, f"the grader met an error ({why})", hashes)

    def no_grade(
        self, submission: Submission, status: str, why: str, hashes: dict[str, str]
    ) -> None:
        """Write that there is no grade, and why; `why` begins in small letters.

        An earlier grade stays, and this is said beside it.

        Raises:
            NoRoomError: nothing can be written any more.
        """
        why = shown(why)
        self.without_grade[submission.id] = why
        earlier = read_results(self.path / submission.id)
        if earlier and earlier["extra_data"]["status"] == FINISHED:
            tqdm.write(f"{submission.id}: {status}: {why}; the earlier grade stays")
            begin = LATER_REFUSED if status == REFUSED else LATER_FAILED
            with contextlib.suppress(OSError):  # it was said, and the grade is there
                note_later(self.path / submission.id, status, f"{begin}: {why}.")
            return
        tqdm.write(f"{submission.id}: {status}: {why}")
        sentence = why[:1].upper() + why[1:] + "."
        try:
            self._write_zero(submission, status, sentence, hashes)
        except OSError as error:
            self.check_room()
            sentence += f" This cannot be written ({error.strerror})."
            self.unwritten[submission.id] = make_zero(
                submission, self.course.chosen, status, sentence, hashes
            )
        self.current.add(submission.id)

    def _write_zero(
        self, submission: Submission, status: str, why: str, hashes: dict[str, str]
    ) -> None:
        folder = self.path / submission.id
        folder.mkdir(exist_ok=True)
        keep_unreadable(folder)
        write_feedback(folder, Graded(submission, [], []), why=why)
        results = make_zero(submission, self.course.chosen, status, why, hashes)
        write_results(folder, results)

    def say_changes(self) -> None:
        """Say why results of an earlier run are made anew."""
        names = sorted(INPUTS.get(name, name) for name in self.changed)
        if names:
            print(f"graded again, since it is not as before: {', '.join(names)}")

    def say_earlier(self, submissions: Sequence[Submission]) -> None:
        """Name the rows of the class that this run was not asked about."""
        given = {submission.id for submission in submissions}
        others = [
            student.id for student in read_class(self.path) if student.id not in given
        ]
        if others:
            print(
                f"{len(others)} not given this time, with the result of an earlier "
                f"run: {listed(others)}"
            )

    def write_report(self, level: str) -> None:
        """Write the pages of the class."""
        kept = write_class_report(
            self.path, self.course.titles, level, self.current, self.unwritten
        )
        if kept is not None:
            name = kept.relative_to(self.path).as_posix()
            print(f"{CSV} is another now; that of before is {name}")
