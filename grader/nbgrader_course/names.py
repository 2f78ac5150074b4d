"""Only plain names reach the gradebook, and every name is escaped where it is shown."""

import html
import logging
import re
import sys
from typing import Any

import nbformat
from nbgrader.preprocessors import NbGraderPreprocessor  # type: ignore[import-untyped]

from core.command import CourseError, harmless
from grader.nbgrader_course.submitted import Answer

STUDENT_ID = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.@-]{0,98}[A-Za-z0-9_@-])?")
ALLOWED = "letters a-z, digits and _ . @ -, at most 100, with no - or . at the start"
MOST_SHOWN = 80  # characters of a name in a message
FORMGRADER = "nbgrader.server_extensions.formgrader.base"


def show(name: str) -> str:
    r"""A name for a terminal: itself if it is plain, else in ASCII and quotes.

    Example:
        >>> show("ada"), show("\x1b[2J")
        ('ada', "'\\x1b[2J'")
    """
    if STUDENT_ID.fullmatch(name):
        return name
    text = ascii(name)
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 3]}..."


def check_name(name: str) -> None:
    """Refuse what could be HTML, a path, an option or a pattern.

    Raises:
        CourseError: the name is not plain.
    """
    if not STUDENT_ID.fullmatch(name):
        raise CourseError(
            f"{show(name)} is no name of a student here ({ALLOWED}); rename the hand-in"
        )


class PlainNames(NbGraderPreprocessor):
    """Stop at a folder in submitted/ whose name is not plain, however it came there."""

    def preprocess(
        self, notebook: nbformat.NotebookNode, resources: dict[str, Any]
    ) -> Answer:
        """Change nothing.

        Raises:
            CourseError: nbgrader then removes its copies and gives no grade.
        """
        check_name(resources["nbgrader"]["student"])
        return notebook, resources


class OneSentence(logging.Filter):
    """One line for each mistake, in which no name of a file steers the terminal."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Shorten the record: of a traceback the last line says what happened."""
        said = record.getMessage()
        if said.startswith("Traceback"):
            said = said.rpartition("CourseError: ")[2].strip().splitlines()[-1]
        record.msg, record.args = harmless(said), ()
        return True


def guard_gradebook() -> None:
    """Let no name that is not plain into the database, whichever command brings it."""
    from nbgrader.api import Student  # type: ignore[import-untyped]
    from sqlalchemy import event

    for moment in ("before_insert", "before_update"):
        if not event.contains(Student, moment, _check_student):
            event.listen(Student, moment, _check_student)


def _check_student(mapper: Any, connection: Any, student: Any) -> None:
    check_name(student.id)


def escape_formgrader() -> None:
    """Let formgrader escape what it prints; its own templates do not.

    Names that an older course folder has in its database, first and last names, and
    what stands in an address that somebody follows.

    Raises:
        CourseError: formgrader is there, and draws its pages in another way.
    """
    base = sys.modules.get(FORMGRADER)
    if base is None:  # another command of nbgrader
        return
    handler = base.BaseHandler
    if not {"render", "exporter"} <= vars(handler).keys():
        raise CourseError(
            "this version of nbgrader draws formgrader's pages in an unknown way; "
            'install "nbgrader<0.11"'
        )
    handler.render = _render
    handler.exporter = property(_EscapingExporter)


def _render(handler: Any, name: str, **values: Any) -> str:
    environment = handler.settings["nbgrader_jinja2_env"].overlay(autoescape=True)
    text: str = environment.get_template(name).render(**values)
    return text


class _EscapingExporter:
    """The exporter of formgrader's page of a submission, whose names it escapes."""

    def __init__(self, handler: Any):
        self._exporter = handler.settings["nbgrader_exporter"]

    def from_filename(self, filename: str, resources: dict[str, Any]) -> Any:
        """The page; `resources` holds names of people, files and the assignment."""
        escaped = {
            key: html.escape(value) if isinstance(value, str) else value
            for key, value in resources.items()
        }
        return self._exporter.from_filename(filename, resources=escaped)
