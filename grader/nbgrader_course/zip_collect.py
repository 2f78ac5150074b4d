"""`nbgrader zip_collect` with the course's own collector."""

import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from nbgrader.api import Gradebook  # type: ignore[import-untyped]
from nbgrader.plugins import (  # type: ignore[import-untyped]
    ExtractorPlugin,
    FileNameCollectorPlugin,
)

from core.command import (
    EXIT_OK,
    EXIT_PARTLY_FAILED,
    EXIT_USAGE,
    CourseError,
)
from grader.nbgrader_course.build import read_assignment
from grader.nbgrader_course.collect import REFUSED, Class, collect, report


class Collector(ExtractorPlugin):
    """Collects in place of nbgrader, which unpacks first and then trusts every name."""

    def __init__(self, **options: Any):
        """End the command if there is nothing to collect from."""
        super().__init__(**options)
        app = self.parent
        archive = Path(app._format_collect_path(app.archive_directory))
        if not archive.is_dir():
            self._refuse(f"{archive}: there is no such folder; put the zips there")

    def _refuse(self, why: str) -> None:
        print(f"error: {why}", file=sys.stderr)
        self.parent.exit(EXIT_USAGE)

    def extract(self, archive_path: str, extracted_path: str) -> None:
        """Collect everybody, print a line for each, and end the command."""
        with suppress(OSError):
            Path(extracted_path).rmdir()  # nbgrader made it; nothing is unpacked
        try:
            rows = collect(_class_of(self.parent, Path(archive_path)))
        except CourseError as error:
            self._refuse(str(error))
            return
        for line in report(rows):
            print(line)
        refused = any(row.what == REFUSED for row in rows)
        self.parent.exit(EXIT_PARTLY_FAILED if refused else EXIT_OK)


class NoOtherCollector(FileNameCollectorPlugin):
    """Refuses what an extractor other than Collector has unpacked."""

    def collect(self, submitted_file: str) -> None:
        """End the command."""
        self.parent.fail(
            "files that nbgrader has unpacked are not collected here, since a name in "
            "a zip can be anybody's; run nbgrader zip_collect without --extractor"
        )


def _class_of(app: Any, archive: Path) -> Class:
    """All that the collection must know, from nbgrader's settings."""
    courses = app.coursedir
    name = courses.assignment_id
    folder = Path(courses.root)
    read_assignment(folder, name)  # refuses a name that was not built
    source = Path(courses.format_path(courses.source_directory, ".", name))
    submitted = folder / courses.submitted_directory
    with Gradebook(courses.db_url, courses.course_id) as gradebook:
        known = {student.id for student in gradebook.students}
    only_known = app.config.Autograde.get("create_student", True) is False
    if not only_known and submitted.is_dir():
        known |= {path.name for path in submitted.iterdir()}
    return Class(
        archive=archive,
        course=folder,
        submitted=submitted,
        assignment=name,
        notebooks=tuple(path.name for path in source.glob("*.ipynb")),
        known=known,
        only_known=only_known,
    )
