"""`python -m grader grade`: every submission gets a result, whatever it does."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tqdm import tqdm

from data_scripts.command import (
    EXIT_OK,
    EXIT_PARTLY_FAILED,
    CourseError,
    make_out_folder,
)
from data_scripts.safe_folder import is_free, locked_folder
from grader.course import Course
from grader.files import read_json, write_json
from grader.grading.calibrate import calibrate
from grader.grading.job import Work, job_for, read_outcomes
from grader.grading.jobs import Answer, Job, end_forks, prepare_forks, run_jobs
from grader.grading.time_limits import Calibration
from grader.outcomes import Outcome
from grader.pages.class_report import write_class_report
from grader.pages.feedback import write_feedback
from grader.results.results import (
    FAILED,
    REFUSED,
    UNFINISHED,
    Graded,
    is_done,
    make_results,
    make_zero,
    read_results,
    write_results,
)
from grader.sandbox.sandbox import Level
from grader.submissions.find import Submission
from grader.submissions.intake import copy_files, take
from grader.submissions.intake_zip import IntakeError

RUN_FILE = "run.json"  # by which a folder of results is known
WORK = ".work"
MOST_ALONE_S = 300.0  # Gradescope ends a run after 10 minutes unless told otherwise
PRIVATE = 0o700  # nobody but the instructor reads results


@dataclass(frozen=True)
class Waiting:
    """A submission that was taken and copied, and is not graded yet."""

    submission: Submission
    code: Path
    hashes: dict[str, str]
    ignored: int


@dataclass
class Run:
    """One call of the command, on a folder of results that it has locked."""

    course: Course
    level: Level
    out: Path
    jobs: int
    is_alone: bool = False
    without_grade: dict[str, str] = field(default_factory=dict)  # id -> why

    def grade(self, submissions: Sequence[Submission], regrade: Sequence[str]) -> None:
        """Grade what is not done yet, and write the pages of the class.

        Raises:
            CourseError: the solution itself does not pass, so nobody can be graded.
            KeyboardInterrupt: Ctrl-C; what is done stays, the rest can follow.
        """
        work = self.out / WORK
        shutil.rmtree(work, ignore_errors=True)  # of a run that was killed
        work.mkdir(mode=PRIVATE)
        try:
            waiting = self._take_all(submissions, regrade)
            done = len(submissions) - len(waiting) - len(self.without_grade)
            if done:
                print(f"{done} of {len(submissions)} submissions are graded already")
            if waiting:
                prepare_forks()
                calibration = calibrate(self.course, self.level, work)
                if self.is_alone:
                    budget = min(calibration.budget_s, MOST_ALONE_S)
                    calibration = replace(calibration, budget_s=budget)
                self._note(calibration)
                self._grade_all(waiting, calibration)
        finally:
            end_forks()
            shutil.rmtree(work, ignore_errors=True)
            write_class_report(self.out, self.course.titles, self.level.value)

    def _take_all(
        self, submissions: Sequence[Submission], regrade: Sequence[str]
    ) -> list[Waiting]:
        """Copy what has to be graded; refuse what cannot be."""
        waiting = []
        for number, each in enumerate(submissions):
            folder = self.out / each.id
            folder.mkdir(exist_ok=True)
            try:
                taken = take(each.path)
            except IntakeError as error:
                self._no_grade(each, REFUSED, str(error), self.course.hashes)
                continue
            hashes = {**self.course.hashes, "submission": taken.digest}
            again = each.id in regrade or each.name in regrade
            if again or not is_done(read_results(folder), hashes):
                code = self.out / WORK / f"code-{number}"
                copy_files(taken.files, code)
                waiting.append(Waiting(each, code, hashes, taken.ignored))
        return waiting

    def _grade_all(self, waiting: list[Waiting], calibration: Calibration) -> None:
        by_id = {each.submission.id: each for each in waiting}
        late: dict[str, list[Outcome]] = {}
        with tqdm(total=len(waiting), unit="submission", desc="grading") as bar:
            for answer in run_jobs(self._jobs(waiting, calibration), self.jobs):
                each = by_id[answer.job.id]
                outcomes = self._outcomes(each, answer)
                is_late = any(o.category == "timeout" for o in outcomes or ())
                if outcomes and is_late and not self.is_alone:
                    late[each.submission.id] = outcomes
                    continue
                if outcomes:
                    self._write(each, outcomes, calibration)
                bar.update()
            # A busy machine makes honest code late, so these have it for themselves.
            again = [by_id[name] for name in late]
            for answer in run_jobs(self._repeats(again, late, calibration), 1):
                each = by_id[answer.job.id]
                repeated = self._outcomes(each, answer)
                if repeated:
                    new = {outcome.id: outcome for outcome in repeated}
                    merged = [new.get(o.id, o) for o in late[answer.job.id]]
                    self._write(each, merged, calibration)
                bar.update()

    def _jobs(self, waiting: list[Waiting], calibration: Calibration) -> Iterator[Job]:
        work = Work(self.course, self.course.chosen_ids, self.level, calibration)
        for each in waiting:
            self._unfinished(each)
            yield job_for(each.submission.id, each.code, work, self.out / WORK)

    def _repeats(
        self,
        again: list[Waiting],
        late: dict[str, list[Outcome]],
        calibration: Calibration,
    ) -> Iterator[Job]:
        work = Work(self.course, frozenset(), self.level, calibration)
        for each in again:
            name = each.submission.id
            ids = frozenset(o.id for o in late[name] if o.category == "timeout")
            own = replace(work, chosen=ids)
            yield job_for(name, each.code, own, self.out / WORK, "again")

    def _outcomes(self, each: Waiting, answer: Answer) -> list[Outcome] | None:
        """What came back; None, and a result without points, if there is nothing."""
        problem, outcomes = read_outcomes(answer)
        if problem:
            self._no_grade(each.submission, FAILED, problem, each.hashes)
        return outcomes

    def _write(
        self, each: Waiting, outcomes: list[Outcome], calibration: Calibration
    ) -> None:
        graded = Graded(each.submission, self.course.chosen, outcomes, each.ignored)
        measured = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "limits": asdict(calibration.limits),
        }
        folder = self.out / each.submission.id
        write_feedback(folder, graded, self.course.titles)
        write_results(folder, make_results(graded, each.hashes, measured))

    def _unfinished(self, each: Waiting) -> None:
        why = "The grading of this submission did not finish."
        self._write_zero(each.submission, UNFINISHED, why, each.hashes)

    def _no_grade(
        self, submission: Submission, status: str, why: str, hashes: dict[str, str]
    ) -> None:
        self.without_grade[submission.id] = why
        tqdm.write(f"{submission.id}: {status}: {why}")
        sentence = why[:1].upper() + why[1:] + "."
        self._write_zero(submission, status, sentence, hashes)

    def _write_zero(
        self, submission: Submission, status: str, why: str, hashes: dict[str, str]
    ) -> None:
        folder = self.out / submission.id
        results = make_zero(submission, self.course.chosen, status, why, hashes)
        write_feedback(folder, Graded(submission, [], []), why=why)
        write_results(folder, results)

    def _note(self, calibration: Calibration) -> None:
        """Keep how the run was set up."""
        note: dict[str, Any] = {
            "level": self.level.value,
            "jobs": self.jobs,
            "hashes": self.course.hashes,
            "limits": asdict(calibration.limits),
            "budget_s": calibration.budget_s,
            "reference_seconds": calibration.seconds,
        }
        write_json(self.out / RUN_FILE, note)


def grade(
    course: Course,
    level: Level,
    submissions: Sequence[Submission],
    out: Path,
    jobs: int = 1,
    regrade: Sequence[str] = (),
    is_alone: bool = False,
) -> int:
    """Grade submissions into a folder; a second call does what is left.

    Args:
        course: the tests.
        level: of the sandbox.
        submissions: all that are to have a result.
        out: folder of results, new or of an earlier call.
        jobs: submissions at once.
        regrade: names of those that are graded again.
        is_alone: a service like Gradescope ends the whole run after some minutes, on
            a machine that does nothing else: less time, and no timeout is repeated.

    Returns:
        EXIT_OK, or EXIT_PARTLY_FAILED if one has no grade.

    Raises:
        CourseError: nothing can be graded; the text says why.
    """
    out = out.resolve()
    known = {name for each in submissions for name in (each.id, each.name)}
    for name in regrade:
        if name not in known:
            raise CourseError(
                f"--regrade {name}: there is no such submission; write its name"
            )
    if not is_free(out) and read_json(out / RUN_FILE) is None:
        raise CourseError(f"{out}: is no folder of results; give another --out")
    make_out_folder(out)
    with locked_folder(out):
        if read_json(out / RUN_FILE) is None:
            out.chmod(PRIVATE)
            write_json(out / RUN_FILE, {})
        run = Run(course, level, out, jobs, is_alone)
        run.grade(submissions, regrade)
    return EXIT_PARTLY_FAILED if run.without_grade else EXIT_OK
