"""The table of `nbgrader export`: whoever was refused has no points, and not zero."""

import csv
import io
from pathlib import Path
from typing import Any

from nbgrader.api import Gradebook, MissingEntry  # type: ignore[import-untyped]
from nbgrader.plugins import ExportPlugin  # type: ignore[import-untyped]

from core.command import harmless
from core.files import write_atomically
from grader.nbgrader_course.sandbox_grades import REPORT
from grader.results.cells import text_cell
from grader.submissions.intake import NoCodeError, take
from grader.submissions.intake_zip import IntakeError
from helpers.drive.copies import keep_other

FILE = "grades.csv"
COLUMNS = (
    "assignment",
    "duedate",
    "timestamp",
    "student_id",
    "last_name",
    "first_name",
    "email",
    "raw_score",
    "late_submission_penalty",
    "score",
    "max_score",
    "status",
)
POINTS = ("raw_score", "late_submission_penalty", "score")
GRADED, NOTHING = "graded", "nothing handed in"


class Export(ExportPlugin):
    """nbgrader's columns and a status; no cell is a formula."""

    def export(self, gradebook: Gradebook) -> None:
        """Write the table, whole or not at all.

        Raises:
            OSError: it cannot be written.
        """
        lines = io.StringIO()
        table = csv.DictWriter(lines, COLUMNS, lineterminator="\n")
        table.writeheader()
        asked, wanted = [str(name) for name in self.student], self.assignment
        for assignment in gradebook.assignments:
            if wanted and assignment.name not in [str(name) for name in wanted]:
                continue
            for student in gradebook.students:
                if not asked or student.id in asked:
                    table.writerow(self._row(gradebook, assignment, student))
        path, content = (
            Path(self.to or FILE),
            lines.getvalue().encode("utf-8", "replace"),
        )
        kept = keep_other(path, content)
        if kept is not None:
            self.log.warning("%s is another now; that of before is %s", path, kept.name)
        write_atomically(path, content)

    def _row(self, gradebook: Gradebook, assignment: Any, student: Any) -> dict:
        """A cell for each column; no points where nobody gave any."""
        row = {
            "assignment": assignment.name,
            "duedate": assignment.duedate,
            "student_id": student.id,
            "last_name": student.last_name,
            "first_name": student.first_name,
            "email": student.email,
            "max_score": assignment.max_score,
        }
        try:
            own = gradebook.find_submission(assignment.name, student.id)
            penalty = own.late_submission_penalty
            row |= {"timestamp": own.timestamp, "raw_score": own.score}
            row |= {"late_submission_penalty": penalty}
            row |= {"score": max(0.0, own.score - (penalty or 0.0))}
            row["status"] = self._status(assignment.name, student.id)
        except MissingEntry:
            row |= dict.fromkeys(POINTS, 0.0)
            row["status"] = self._status_of_nobody(assignment.name, student.id)
        if row["status"] not in (GRADED, NOTHING):
            row |= dict.fromkeys(POINTS, "")
            self.log.warning(
                "%s has no points in %s: %s",
                harmless(student.id),
                assignment.name,
                row["status"],
            )
        return {key: _cell(value) for key, value in row.items()}

    def _status(self, assignment: str, student: str) -> str:
        """Why somebody has no points who handed in; GRADED if there are some."""
        courses = self.parent.coursedir
        root = Path(courses.root)
        done, given = (
            root / courses.format_path(folder, student, assignment)
            for folder in (courses.autograded_directory, courses.submitted_directory)
        )
        if not done.is_dir():
            return "refused or not graded yet; nbgrader autograde says why"
        if (done / REPORT).is_file():
            return GRADED
        try:
            take(given)
        except NoCodeError:  # the zero of somebody who wrote no code
            return GRADED
        except IntakeError as error:
            return f"refused: {error}"
        return "not graded; call nbgrader autograde --force"

    def _status_of_nobody(self, assignment: str, student: str) -> str:
        """Whether something was handed in that the collection refused."""
        archive = Path(self.parent.coursedir.root) / "downloaded" / assignment
        names = [path.name for path in (archive / "archive").glob("*")]
        owners = {name.removesuffix(".zip").casefold() for name in names}
        if student.casefold() in owners:
            return "refused; nbgrader zip_collect says why"
        return NOTHING


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int | float) else text_cell(str(value))
