"""In place of executing the notebooks: the points of the sandboxed grader."""

import glob
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_output
from nbgrader.preprocessors import NbGraderPreprocessor  # type: ignore[import-untyped]
from traitlets import Bool, Integer, Unicode

from core.command import CourseError
from grader.course import read_course
from grader.nbgrader_course.build import read_assignment
from grader.nbgrader_course.cells import exercise_of
from grader.nbgrader_course.submitted import Answer, folder_of
from grader.results.results import FINISHED, REFUSED, is_done, make_zero, read_results
from grader.submissions.find import Submission
from grader.submissions.ids import exact_id
from grader.submissions.intake import take
from grader.submissions.intake_zip import IntakeError

CHECKOUT = Path(__file__).resolve().parents[2]
RESULTS = "grading"  # folder of the course folder, beside submitted/ and autograded/
REPORT = "grading_report.html"
SAME = 1e-6  # points that differ by rounding only


class SandboxGrades(NbGraderPreprocessor):
    """Grade the submitted .py files, and write the points into the graded cells.

    A run of the grader grades all submissions that this nbgrader command converts and
    that have no result of just these files; nbgrader asks once for each notebook.
    """

    root = Unicode(help="the checkout of the course").tag(config=True)
    jobs = Integer(1, help="submissions that are graded at once").tag(config=True)
    level = Unicode("", help="weaker walls than this machine has").tag(config=True)
    unsafe = Bool(False, help="grade even without walls").tag(config=True)

    def preprocess(
        self, notebook: nbformat.NotebookNode, resources: dict[str, Any]
    ) -> Answer:
        """Give each graded code cell an output that nbgrader reads its points from.

        Raises:
            CourseError: there is no result, or a cell that nobody grades.
        """
        results = self.result_of(resources)
        for cell in notebook.cells:
            marks = cell.metadata.get("nbgrader", {})
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
            if marks.get("grade") and not marks["solution"]:
                # Without an output, nbgrader would give all points of the cell.
                cell.outputs = make_outputs(marks, results)
        return notebook, resources

    def result_of(self, resources: dict[str, Any]) -> dict[str, Any]:
        """The content of results.json of the submission at hand, graded if need be."""
        own = resources["nbgrader"]
        coursedir = self.parent.parent.coursedir
        folder = Path(coursedir.root)
        assignment = read_assignment(folder, own["assignment"])
        exercises, root = assignment.exercises, assignment.root or self.root
        submitted = folder_of(self, "submitted", resources)
        out = folder / RESULTS / own["assignment"]
        course = read_course(Path(root), exercises, "")
        report = folder_of(self, "autograded", resources) / REPORT
        report.unlink(missing_ok=True)  # a file of that name in the submission
        me = Submission(own["student"], "", submitted)
        try:
            taken = take(submitted)
        except IntakeError as error:
            why = f"Not graded: {error}."
            return make_zero(me, course.chosen, REFUSED, why, {})
        matched = coursedir.format_path(
            coursedir.submitted_directory, coursedir.student_id, own["assignment"]
        )
        everyone = sorted({*map(Path, glob.glob(matched)), submitted})  # noqa: PTH207
        # Whoever is another student in the gradebook is another one here.
        named = [
            Submission(path.parent.name, exact_id(path.parent.name), path)
            for path in everyone
        ]
        mine = next(submission for submission in named if submission.path == submitted)
        wanted = {**course.hashes, "submission": taken.digest}
        results = _finished(out / mine.id, wanted)
        if results is None:
            self._run(named, out, exercises, root)
            results = _finished(out / mine.id, wanted)
        if results is None:
            why = (read_results(out / mine.id) or {}).get("output", "no result")
            raise CourseError(f"{own['student']}: could not be graded ({why})")
        report.write_bytes((out / mine.id / "feedback.html").read_bytes())
        return results

    def _run(
        self,
        submissions: list[Submission],
        out: Path,
        exercises: tuple[str, ...],
        root: str,
    ) -> None:
        """In a process of its own: the grader forks, and a server has threads."""
        task = {
            "root": root,
            "out": str(out),
            "exercises": exercises,
            "jobs": self.jobs,
            "level": self.level or None,
            "unsafe": self.unsafe,
            "submissions": [
                [submission.name, submission.id, str(submission.path)]
                for submission in submissions
            ],
        }
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(task, file)
            file.flush()
            answer = subprocess.run(
                [sys.executable, "-m", "grader.nbgrader_course.run", file.name],
                cwd=CHECKOUT,
                capture_output=True,
                text=True,
                check=False,
            )
        for line in (answer.stdout + answer.stderr).splitlines():
            self.log.info("grader: %s", line)
        if answer.returncode > 1:  # 1: some submissions have no grade, this one may
            last = (answer.stderr.strip().splitlines() or ["no message"])[-1]
            raise CourseError(f"the grader did not run: {last}")


def _finished(folder: Path, wanted: dict[str, str]) -> dict[str, Any] | None:
    """The result in a folder, if it is of these inputs; the level may be any."""
    results = read_results(folder)
    if results is None or results["extra_data"].get("status") != FINISHED:
        return None
    level = results["extra_data"]["hashes"].get("level", "")
    return results if is_done(results, {**wanted, "level": level}) else None


def make_outputs(
    marks: dict[str, Any], results: dict[str, Any]
) -> list[nbformat.NotebookNode]:
    """What stands below a graded cell: what the tests say, then the points.

    Args:
        marks: nbgrader's metadata of the cell.
        results: content of results.json.

    Raises:
        CourseError: the tests do not give the points that the cell promises.
    """
    name = marks["grade_id"]
    number = exercise_of(name)
    own = results["extra_data"]["exercises"].get(number)
    if own is None:
        raise CourseError(f"cell {name}: nobody grades it; build the course again")
    if abs(own["max_score"] - marks["points"]) > SAME:
        raise CourseError(
            f"cell {name}: promises {marks['points']:g} points, and the tests give "
            f"{own['max_score']:g}; build the course again and generate the assignment"
        )
    notes = results["extra_data"].get("notes", [])
    lines = list(notes) if _was_graded(results) else [results["output"]]
    for test in results["tests"]:
        if test["number"] == number and _was_graded(results):
            worth = f"{test['score']:g} of {test['max_score']:g}"
            lines.append(f"[{test['status']}] {worth}  {test['name']}")
            if test["status"] != "passed":
                lines += [f"    {line}" for line in test["output"].splitlines() if line]
    score = min(own["score"], marks["points"])
    return [
        new_output("stream", name="stdout", text="\n".join(lines) + "\n"),
        # nbgrader takes a number that a cell answers for its points.
        new_output("execute_result", data={"text/plain": f"{score:.6g}"}),
    ]


def _was_graded(results: dict[str, Any]) -> bool:
    return bool(results["extra_data"]["status"] == FINISHED)
