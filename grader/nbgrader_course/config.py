"""Every option of nbgrader that this course depends on, and why."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from grader.nbgrader_course.build import SETTINGS
from grader.nbgrader_course.names import escape_formgrader, guard_gradebook
from grader.release.notebooks import CODE_STUB, TEXT_STUB

HERE = "grader.nbgrader_course"
UNPACKED = "nothing-is-unpacked"  # nbgrader wants a folder that is empty
SANITIZE = (
    f"{HERE}.names.PlainNames",
    f"{HERE}.submitted.DropFiles",
    "nbgrader.preprocessors.ClearOutput",
    "nbgrader.preprocessors.DeduplicateIds",
    "nbgrader.preprocessors.OverwriteKernelspec",
    f"{HERE}.submitted.RestoreCells",
    "nbgrader.preprocessors.OverwriteCells",
    "nbgrader.preprocessors.CheckCellMetadata",
)
AFTER_GRADING = (
    "nbgrader.preprocessors.LimitOutput",
    "nbgrader.preprocessors.SaveAutoGrades",
    "nbgrader.preprocessors.AssignLatePenalties",
    "nbgrader.preprocessors.CheckCellMetadata",
)


def configure(c: Any, folder: Path) -> None:
    """Set the options.

    Args:
        c: the config object of nbgrader.
        folder: the course folder, which holds SETTINGS.
    """
    settings = json.loads((folder / SETTINGS).read_text("utf-8"))
    c.CourseDirectory.root = str(folder)
    # nbgrader starts alembic by its name, and finds it in an activated .venv only.
    commands = str(Path(sys.executable).parent)
    os.environ["PATH"] = os.pathsep.join([commands, os.environ.get("PATH", "")])
    _release(c)
    _autograde(c, settings)
    # Scripts of a written answer would run in the browser of whoever reads it.
    c.GenerateFeedback.exporter_class = f"{HERE}.safe_text.FeedbackExporter"
    # nbgrader's own says 0.0 of whoever was refused.
    c.ExportApp.plugin_class = f"{HERE}.export.Export"
    # nbgrader's own unpacks without a limit, and takes names that a zip supplies.
    c.ZipCollectApp.extractor_plugin = f"{HERE}.zip_collect.Collector"
    c.ZipCollectApp.collector_plugin = f"{HERE}.zip_collect.NoOtherCollector"
    c.ZipCollectApp.extracted_directory = UNPACKED
    c.Application.logging_config = {
        "filters": {"sentence": {"()": f"{HERE}.names.OneSentence"}},
        "handlers": {"console": {"filters": ["sentence"]}},
    }
    guard_gradebook()
    escape_formgrader()


def _release(c: Any) -> None:
    """Cut notebooks exactly as `python -m grader release` does."""
    c.ClearSolutions.code_stub = {"python": CODE_STUB}
    c.ClearSolutions.text_stub = TEXT_STUB
    c.ClearSolutions.begin_solution_delimeter = "### BEGIN SOLUTION"
    c.ClearSolutions.end_solution_delimeter = "### END SOLUTION"
    c.ClearSolutions.enforce_metadata = False
    c.ClearHiddenTests.enforce_metadata = False


def _autograde(c: Any, settings: dict[str, Any]) -> None:
    """No cell is executed: the sandbox grades the .py files.

    Not with pre_convert_hook, whose errors are logged while the grading goes on.
    """
    # By default the files of source/ are graded in place of the student's. A pattern
    # like assignment/*.py would be taken for a name, so each file is named.
    c.Autograde.exclude_overwriting = {
        name: assignment["student_files"]
        for name, assignment in settings["assignments"].items()
    }
    c.Autograde.sanitize_preprocessors = list(SANITIZE)
    c.Autograde.autograde_preprocessors = [
        f"{HERE}.sandbox_grades.SandboxGrades",
        f"{HERE}.safe_text.SafeText",
        *AFTER_GRADING,
    ]
    c.SandboxGrades.root = settings["root"]
