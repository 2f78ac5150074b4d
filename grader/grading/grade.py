"""`python -m grader grade`: every submission gets a result, whatever it does."""

import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from core.command import (
    EXIT_OK,
    EXIT_PARTLY_FAILED,
    CourseError,
    make_out_folder,
)
from core.files import is_free, locked_folder, write_json
from grader.course import Course
from grader.files import read_json
from grader.grading.calibrate import calibrate
from grader.grading.earlier import RUN_FILE
from grader.grading.forks import Answer, Job, end_forks, prepare_forks, run_jobs
from grader.grading.job import Work, job_for, read_outcomes
from grader.grading.result_folder import NoRoomError, ResultFolder, Waiting
from grader.grading.time_limits import Calibration, first_turn
from grader.grading.turns import Progress, is_late
from grader.outcomes import Outcome
from grader.results.results import FAILED, REFUSED
from grader.sandbox.sandbox import Level
from grader.submissions.find import Submission
from grader.submissions.intake import copy_files, take
from grader.submissions.intake_zip import IntakeError

WORK = ".work"
# Gradescope ends a run after 10 minutes unless told otherwise: calibration and tests.
MOST_ALONE_S, LEAST_ALONE_S = 520.0, 60.0
PRIVATE = 0o700  # nobody but the instructor reads results


@dataclass
class Run:
    """One call of the command, on a folder of results that it has locked."""

    course: Course
    level: Level
    results: ResultFolder
    jobs: int
    is_alone: bool = False
    puts_off: bool = False  # who takes too long has a second turn

    def grade(self, submissions: Sequence[Submission], regrade: Sequence[str]) -> None:
        """Grade what is not done yet, and write the pages of the class.

        Raises:
            CourseError: the solution itself does not pass, so nobody can be graded.
            KeyboardInterrupt: Ctrl-C; what is done stays, the rest can follow.
        """
        began = time.monotonic()
        work = self.results.path / WORK
        shutil.rmtree(work, ignore_errors=True)  # of a run that was killed
        work.mkdir(mode=PRIVATE)
        try:
            self.results.check_room()
            waiting = self._take_all(submissions, regrade)
            self._grade_waiting(waiting, len(submissions), began)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            with suppress(OSError):  # what stopped the run is said, not this
                self.results.write_report(self.level.value)
            raise
        finally:
            end_forks()
            shutil.rmtree(work, ignore_errors=True)
        self.results.write_report(self.level.value)
        self.results.say_earlier(submissions)

    def _grade_waiting(self, waiting: list[Waiting], number: int, began: float) -> None:
        """Measure the limits, and grade those that have no result of their files."""
        done = number - len(waiting) - len(self.results.without_grade)
        if done:
            print(f"{done} of {number} submissions are graded already")
        self.results.say_changes()
        if not waiting:
            return
        prepare_forks()
        try:
            calibration = calibrate(self.course, self.level, self.results.path / WORK)
        except CourseError:
            self.results.check_room()  # on a full disk nothing passes
            raise
        if self.is_alone:
            left = MOST_ALONE_S - (time.monotonic() - began)
            wall = max(LEAST_ALONE_S, min(calibration.wall_s, left))
            calibration = replace(calibration, wall_s=wall, is_service=True)
        self._note(calibration)
        self._grade_all(waiting, calibration)

    def _take_all(
        self, submissions: Sequence[Submission], regrade: Sequence[str]
    ) -> list[Waiting]:
        """Copy what has to be graded; refuse what cannot be."""
        waiting = []
        for number, submission in enumerate(submissions):
            again = submission.id in regrade or submission.name in regrade
            with self._alone(submission, self.course.hashes):
                try:
                    taken = take(submission.path, self.course.files)
                except IntakeError as error:
                    hashes = self.course.hashes
                    self.results.no_grade(submission, REFUSED, str(error), hashes)
                    continue
                hashes = {**self.course.hashes, "submission": taken.digest}
                if not self.results.is_done(submission, hashes) or again:
                    code = self.results.path / WORK / f"code-{number}"
                    copy_files(taken.files, code)
                    waiting.append(Waiting(submission, code, hashes, taken.ignored))
        return waiting

    @contextmanager
    def _alone(self, submission: Submission, hashes: dict[str, str]) -> Iterator[None]:
        """Whatever goes wrong with a submission leaves the others their grades.

        Raises:
            NoRoomError: the folder of results cannot be written any more.
        """
        try:
            yield
        except (BrokenPipeError, NoRoomError):  # nobody reads what is printed
            raise
        except Exception as error:  # noqa: BLE001
            if isinstance(error, OSError):
                self.results.check_room()
            self.results.fail(submission, error, hashes)

    def _grade_all(self, waiting: list[Waiting], calibration: Calibration) -> None:
        """Each has a turn; those that took too long in it have another one, at last."""
        late: dict[str, list[Outcome]] = {}
        # Where nobody waits for another there is nothing to put off.
        self.puts_off = len(waiting) > self.jobs and not self.is_alone
        first = first_turn(calibration) if self.puts_off else calibration
        with Progress(len(waiting)) as bar:
            for answer, entry in self._answers(waiting, first, bar):
                with self._alone(entry.submission, entry.hashes):
                    outcomes = self._outcomes(entry, answer)
                    if outcomes and self._is_late(outcomes):
                        late[entry.submission.id] = outcomes
                        continue
                    if outcomes:
                        self.results.write(entry, outcomes, calibration)
                bar.update()
            again = [entry for entry in waiting if entry.submission.id in late]
            bar.put_off(list(late))
            for answer, entry in self._answers(again, calibration, bar, late):
                with self._alone(entry.submission, entry.hashes):
                    repeated = self._outcomes(entry, answer)
                    if repeated:
                        new = {outcome.id: outcome for outcome in repeated}
                        merged = [
                            new.get(outcome.id, outcome)
                            for outcome in late[answer.job.id]
                        ]
                        self.results.write(entry, merged, calibration)
                bar.update()

    def _is_late(self, outcomes: Sequence[Outcome]) -> bool:
        """Whether tests of a submission are run again, when all others had a turn."""
        return not self.is_alone and any(
            is_late(outcome, self.puts_off) for outcome in outcomes
        )

    def _answers(
        self,
        waiting: Sequence[Waiting],
        calibration: Calibration,
        bar: Progress,
        late: Mapping[str, Sequence[Outcome]] | None = None,
    ) -> Iterator[tuple[Answer, Waiting]]:
        """What came of the jobs; of repeats, which a busy machine may not make late."""
        by_id = {entry.submission.id: entry for entry in waiting}
        jobs = self._jobs(waiting, calibration)
        slots = self.jobs
        if late is not None:
            jobs = self._repeats(waiting, late, calibration)
            slots = min(slots, len(os.sched_getaffinity(0)))
        for answer in run_jobs(jobs, slots, bar.watch):
            yield answer, by_id[answer.job.id]

    def _jobs(
        self, waiting: Sequence[Waiting], calibration: Calibration
    ) -> Iterator[Job]:
        work = Work(self.course, self.course.chosen_ids, self.level, calibration)
        folder = self.results.path / WORK
        for entry in waiting:
            with self._alone(entry.submission, entry.hashes):
                self.results.begin(entry)
                yield job_for(entry.submission.id, entry.code, work, folder)

    def _repeats(
        self,
        again: Sequence[Waiting],
        late: Mapping[str, Sequence[Outcome]],
        calibration: Calibration,
    ) -> Iterator[Job]:
        work = Work(self.course, frozenset(), self.level, calibration)
        folder = self.results.path / WORK
        for entry in again:
            name = entry.submission.id
            ids = frozenset(
                outcome.id for outcome in late[name] if is_late(outcome, self.puts_off)
            )
            own = replace(
                work,
                chosen=ids,
                ended=len(late[name]) - len(ids),
                failed=self._failed(late[name]),
            )
            yield job_for(name, entry.code, own, folder, "again")

    def _failed(self, outcomes: Sequence[Outcome]) -> frozenset[str]:
        """Exercises of which a test failed for another reason than time."""
        exercises = {test.id: test.exercise for test in self.course.tests}
        return frozenset(
            exercises[outcome.id]
            for outcome in outcomes
            if outcome.category not in (None, "timeout")
        )

    def _outcomes(self, entry: Waiting, answer: Answer) -> list[Outcome] | None:
        """What came back; None, and a result without points, if there is nothing."""
        problem, outcomes = read_outcomes(answer)
        if problem:
            self.results.check_room()
            self.results.no_grade(entry.submission, FAILED, problem, entry.hashes)
        return outcomes

    def _note(self, calibration: Calibration) -> None:
        """Keep how the run was set up."""
        note: dict[str, Any] = {
            "level": self.level.value,
            "jobs": self.jobs,
            "hashes": self.course.hashes,
            "limits": asdict(calibration.limits),
            "budget_s": calibration.budget_s,
            "wall_s": calibration.wall_s,
            "reference_seconds": calibration.seconds,
        }
        write_json(self.results.path / RUN_FILE, note)


def grade(
    course: Course,
    level: Level,
    submissions: Sequence[Submission],
    out: Path,
    *,
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
    known = {
        name for submission in submissions for name in (submission.id, submission.name)
    }
    for name in regrade:
        if name not in known:
            raise CourseError(
                f"--regrade {name}: there is no such submission; write its name"
            )
    if not is_free(out) and read_json(out / RUN_FILE) is None:
        raise CourseError(f"{out}: is no folder of results; give another --out")
    make_out_folder(out)
    results = ResultFolder(course=course, path=out)
    try:
        with locked_folder(out):
            if read_json(out / RUN_FILE) is None:
                out.chmod(PRIVATE)
                write_json(out / RUN_FILE, {})
            Run(course, level, results, jobs, is_alone).grade(submissions, regrade)
    except BrokenPipeError:  # nobody reads what is printed
        raise
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise CourseError(
            f"{error.filename or 'the output'}: the run stopped here ({why}); mend "
            "this and call it again, it goes on where it stopped"
        ) from error
    return EXIT_PARTLY_FAILED if results.without_grade else EXIT_OK
