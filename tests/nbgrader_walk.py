"""A small course, taken the whole way through nbgrader in this process."""

import contextlib
import logging
import os
import shutil
from pathlib import Path

import nbformat
from nbgrader.api import Gradebook  # type: ignore[import-untyped]
from nbgrader.apps.nbgraderapp import NbGraderApp  # type: ignore[import-untyped]

from grader.nbgrader_course.build import build_course
from tests.html_pages import Tags
from tests.nbgrader_archives import HTML_NAME, write_archives
from tests.nbgrader_class import (
    ANSWER,
    NAME,
    SMALL,
    answer,
    attack,
    hand_in,
    solved,
    write_checkout,
)

NOTEBOOK = "01_small"
SECRET = "the instructor's secret file"
MANUAL = 2.5
LOUD = solved(SMALL).replace(
    "    return x + 1",
    "    import sys; print('loud', file=sys.stderr)\n    return x + 1",
)
HALF = solved(SMALL).replace("return 2 * x", "return x // 2")
BAD = ("for_bob", "twice", "encrypted", "text", HTML_NAME)
COLLECTED = "collected.txt"  # what zip_collect prints
CRASH = solved(SMALL).replace("return 2 * x", "import os; os._exit(0)")


def nbgrader(*arguments: str, code: int = 0) -> None:
    """An nbgrader command in this process, as it would run in the working folder.

    Args:
        arguments: of the command.
        code: the exit code that it must have.
    """
    ended: object = 0
    NbGraderApp.clear_instance()
    app = NbGraderApp.instance()
    try:
        app.initialize(list(arguments))
        app.subapp.start()
    except SystemExit as ending:
        ended = ending.code or 0
    finally:
        if app.subapp:
            type(app.subapp).clear_instance()
        NbGraderApp.clear_instance()
    assert ended == code, f"nbgrader {' '.join(arguments)}: {ended}"


def walk(top: Path) -> Path:
    """Release, hand in, grade, and write feedback.

    Args:
        top: an empty folder.

    Returns:
        The course folder after everything.
    """
    folder = top / "course"
    before, level = Path.cwd(), logging.root.level
    build_course(write_checkout(top / "checkout"), folder)
    os.chdir(folder)
    try:
        nbgrader("generate_assignment", NAME)
        write_answer = answer(ANSWER)
        hand_in(folder, "right", {"common.py": LOUD}, write_answer)
        hand_in(folder, "half", {"common.py": HALF}, write_answer)
        hand_in(folder, "crash", {"common.py": CRASH}, attack)
        hand_in(folder, "unchanged", {}, lambda notebook: None)
        _hand_in_badly(folder, top)
        with (
            (folder / COLLECTED).open("w") as file,
            contextlib.redirect_stdout(file),
        ):
            nbgrader("zip_collect", NAME, code=1)
        (top / "secret.txt").write_text(SECRET)
        linked = folder / "submitted" / "crash" / NAME / "data.txt"
        linked.symlink_to(top / "secret.txt")
        linked.with_name("page.html").write_text("<script>1</script>")
        (linked.parent / "assignment" / "a.svg").write_text("<svg/>")
        _add_linked_code(folder, top)
        nbgrader("autograde", NAME)
        _grade_by_hand(folder, "right")
        nbgrader("generate_feedback", NAME)
        nbgrader("export", "--to", "grades.csv")
    finally:
        os.chdir(before)
        logging.root.setLevel(level)
    return folder


def _hand_in_badly(folder: Path, top: Path) -> None:
    """Some of the archives that are a trick; the one for bob is graded, too."""
    (top / "tricks").mkdir()
    notebook = folder / "made" / "right" / f"{NOTEBOOK}.ipynb"
    write_archives(top / "tricks", notebook.read_bytes(), LOUD.encode())
    for name in BAD:
        shutil.copy(top / "tricks" / f"{name}.zip", folder / "downloaded/fcos/archive")


def _add_linked_code(folder: Path, top: Path) -> None:
    """A submission whose common.py is a link to the solution."""
    own = folder / "submitted" / "linked" / NAME
    shutil.copytree(folder / "submitted" / "right" / NAME, own)
    (own / "assignment" / "common.py").unlink()
    solution = top / "checkout" / "assignment" / "common.py"
    (own / "assignment" / "common.py").symlink_to(solution)


def _grade_by_hand(folder: Path, student: str) -> None:
    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}") as gradebook:
        grade = gradebook.find_grade("q1", NOTEBOOK, NAME, student)
        assert grade.auto_score is None and grade.needs_manual_grade
        grade.manual_score, grade.needs_manual_grade = MANUAL, False
        comment = gradebook.find_comment("q1", NOTEBOOK, NAME, student)
        comment.manual_comment = "Well seen."
        gradebook.db.commit()


def points(course: Path, student: str) -> dict[str, float | None]:
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        own = gradebook.find_submission_notebook(NOTEBOOK, NAME, student)
        return {grade.name: grade.auto_score for grade in own.grades}


def feedback(course: Path, student: str) -> str:
    return (course / "feedback" / student / NAME / f"{NOTEBOOK}.html").read_text()


def autograded(course: Path, student: str) -> nbformat.NotebookNode:
    path = course / "autograded" / student / NAME / f"{NOTEBOOK}.ipynb"
    return nbformat.read(path, as_version=4)


def check_is_dead(text: str) -> None:
    """Nothing in a page can run, but for what nbgrader's own template brings."""
    for tag, attributes in Tags(text).found:
        assert tag not in ("svg", "iframe", "object", "embed", "base")
        assert not [name for name in attributes if name.startswith("on")], attributes
        for value in attributes.values():
            assert not (value or "").strip().lower().startswith("javascript:")
