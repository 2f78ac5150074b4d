"""A submission as checks see it at home: in this process, behind no border."""

from pathlib import Path
from typing import Any

from core.course import read_registry
from grader.session.session import TestRun
from grader.worker.modules import Submission, SubmissionNames
from helpers.checks.student import Student


class InProcess:
    """Gives a Suite the plain Student of a folder with files that one trusts."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.submission: Submission | None = None

    def student(self, exercise: str = "") -> Any:
        """Its files loaded anew."""
        self.submission = Submission(self.folder, read_registry().visible)
        self.submission.install()
        names = {
            name: SubmissionNames(self.submission, name)
            for name in self.submission.visible
        }
        return Student(names)

    def end_test(self) -> TestRun:
        """Forget its modules."""
        if self.submission is not None:
            self.submission.remove()
        return TestRun("", 0.0, 0)
