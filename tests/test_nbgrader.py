"""The whole way through nbgrader, and each of its traps."""

import csv
import shutil
import types
from urllib.parse import quote

import nbformat
import pytest
from nbgrader.api import Gradebook  # type: ignore[import-untyped]

from core.command import CourseError
from grader.nbgrader_course.config import configure
from grader.nbgrader_course.names import show
from grader.release.leak_check import check_no_leaks
from tests.formgrader import read_json, rename_student, served
from tests.html_pages import Tags, needs_browser, shown_in_browser
from tests.nbgrader_archives import HTML_NAME, REASONS, SCRIPT
from tests.nbgrader_class import (
    MODEL_ANSWER,
    NAME,
    RUNS_IF_EXECUTED,
    SMALL,
    solved,
)
from tests.nbgrader_walk import (
    BAD,
    COLLECTED,
    CRASH,
    HALF,
    LOUD,
    MANUAL,
    NOTEBOOK,
    SECRET,
    autograded,
    check_is_dead,
    feedback,
    nbgrader,
    points,
    walk,
)

# nbgrader's own way with its database
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """The course folder after everything: released, handed in, graded, fed back."""
    return walk(tmp_path_factory.mktemp("nbgrader"))


def test_release_has_no_solution(course):
    """Python files are stubs, model answers are cut, and no line of them is left."""
    folder = course / "release" / NAME
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    secrets = {"secret of doubling": "", "secret of counting": "", MODEL_ANSWER: ""}
    check_no_leaks(files, secrets)
    assert b"raise NotImplementedError" in files["assignment/common.py"]
    check_no_leaks({"a": SMALL.replace("#", "").encode()}, {"no such line": ""})
    with pytest.raises(CourseError, match="secret of doubling"):
        check_no_leaks({"a.py": solved(SMALL).encode()}, secrets)


def test_cells_of_the_release_have_their_roles(course):
    """Bootstrap and question are read-only, tests are locked, answers are open."""
    path = course / "release" / NAME / f"{NOTEBOOK}.ipynb"
    cells = nbformat.read(path, as_version=4).cells
    roles = [
        (own["grade"], own["solution"], own["locked"], own.get("points"))
        if (own := cell.metadata.get("nbgrader"))
        else None
        for cell in cells
    ]
    given, test = (False, False, True, None), (True, False, True, 2)
    assert roles == [
        None,
        given,
        None,
        test,
        None,
        test,
        given,
        (True, True, False, 3),
    ]
    assert cells[2].source == "See [the file](assignment/common.py)."
    assert cells[5].metadata["nbgrader"]["grade_id"] == "exercise-1-2"


def test_points_are_those_of_the_sandbox(course):
    """All, a part, and none: each exercise has its own, with partial credit."""
    assert points(course, "right") == {
        "exercise-1-1": 2,
        "exercise-1-2": 2,
        "q1": None,
    }
    half = points(course, "half")
    assert (half["exercise-1-1"], half["exercise-1-2"]) == (0, 0.5)
    assert points(course, "unchanged") == {
        "exercise-1-1": 0,
        "exercise-1-2": 0,
        "q1": 0,
    }


def test_edited_python_file_is_the_one_graded(course):
    """The student's file stays beside the graded notebook; source/ has a stub there."""
    for student, source in (("right", LOUD), ("half", HALF), ("crash", CRASH)):
        path = course / "autograded" / student / NAME / "assignment" / "common.py"
        assert path.read_text() == source
    assert (
        "NotImplementedError"
        in (course / "source" / NAME / "assignment" / "common.py").read_text()
    )


def test_every_student_file_is_named(course):
    """exclude_overwriting takes names; a pattern would be ignored in silence."""
    seen = types.SimpleNamespace
    c = types.SimpleNamespace()

    class Section(seen):
        pass

    for name in (
        "CourseDirectory",
        "GenerateFeedback",
        "ZipCollectApp",
        "ClearSolutions",
        "Autograde",
        "SandboxGrades",
        "ClearHiddenTests",
        "Application",
        "ExportApp",
    ):
        setattr(c, name, Section())
    configure(c, course)
    files = c.Autograde.exclude_overwriting[NAME]
    folder = course / "source" / NAME
    written = {
        path.relative_to(folder).as_posix() for path in folder.glob("assignment/*.py")
    }
    assert set(files) == written and not any("*" in name for name in files)


def test_stderr_costs_no_points(course):
    """A file that prints to stderr has all its points; nbgrader alone would give 0."""
    assert "sys.stderr" in LOUD
    assert points(course, "right")["exercise-1-2"] == 2


def test_crash_leaves_the_points_of_other_exercises(course):
    """os._exit in 1.1 takes what needs 1.1, and no more."""
    crash = points(course, "crash")
    assert (crash["exercise-1-1"], crash["exercise-1-2"]) == (0, 0.5)


def test_no_cell_of_a_submission_is_executed(course):
    """An AST transformer that drops every assert never runs."""
    assert not list(course.rglob(RUNS_IF_EXECUTED))


def test_removed_and_changed_cells_are_as_released(course):
    """A cell that was deleted is back, and points are those of the gradebook."""
    marks = {
        own["grade_id"]: own
        for cell in autograded(course, "crash").cells
        if (own := cell.metadata.get("nbgrader"))
    }
    assert {name for name, own in marks.items() if own["grade"]} == {
        "exercise-1-1",
        "exercise-1-2",
        "q1",
    }
    assert [marks[f"exercise-1-{n}"]["points"] for n in (1, 2)] == [2, 2]
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        assert gradebook.find_submission(NAME, "crash").max_score == 7


def test_hidden_tests_are_not_in_the_feedback(course):
    """Title, points, category and hint of a hidden test; never its numbers or code."""
    text = feedback(course, "half")
    assert "double of two" in text and "Twice the number." in text
    for secret in ("98765", "test_double_of_two", "halved instead of"):
        for path in (course / "feedback").rglob("*"):
            assert not path.is_file() or secret.encode() not in path.read_bytes()
    assert "one more than three" in text


def test_script_tags_are_dead(course):
    """Texts of a student stay texts, and a policy forbids all scripts."""
    text = feedback(course, "crash")
    check_is_dead(text)
    assert "<script>document" not in text and "&lt;script&gt;document" in text
    # The scripts of nbgrader's own template are the same for everybody.
    scripts = [
        sum(tag == "script" for tag, _ in Tags(feedback(course, name)).found)
        for name in ("crash", "right")
    ]
    assert scripts[0] == scripts[1]
    first = next(attributes for tag, attributes in Tags(text).found if tag == "meta")
    assert first["http-equiv"] == "Content-Security-Policy"
    assert "script" not in (first["content"] or "")
    assert "default-src 'none'" in (first["content"] or "")


@needs_browser
def test_feedback_runs_nothing_in_a_browser(course, tmp_path):
    """A real browser shows the hostile feedback; its title is not taken over."""
    page = course / "feedback" / "crash" / NAME / f"{NOTEBOOK}.html"
    assert "<title>01_small</title>" in shown_in_browser(page, tmp_path / "profile")


@needs_browser
def test_formgrader_runs_no_name_in_a_browser(course, tmp_path):
    """A name with a script, as an older gradebook may have it, leaves no mark."""
    copy = tmp_path / "course"
    shutil.copytree(course, copy, symlinks=True)
    rename_student(copy, "unchanged", SCRIPT)
    (tmp_path / "server").mkdir()
    with served(copy, tmp_path / "server") as address:
        listed = read_json(f"{address}/api/submitted_notebooks/{NAME}/{NOTEBOOK}")
        (number,) = [entry["id"] for entry in listed if entry["student"] == SCRIPT]
        linked = quote("</script><img src=x onerror=document.title='taken over'>", "")
        for page in (
            f"submissions/{number}/",
            f"manage_submissions/{NAME}",
            f"manage_students/{linked}",
        ):
            text = shown_in_browser(
                f"{address}/{page}", tmp_path / "profile", "--virtual-time-budget=5000"
            )
            assert "<title>" in text, page
            assert "<title>taken over" not in text, page
            assert not (copy / "marked.txt").exists(), page


def test_link_in_a_submission_is_not_followed(course):
    """A linked file is not copied; linked code has no points, and a reason."""
    for path in course.rglob("data.txt"):
        assert path.is_symlink()
    for folder in ("autograded", "feedback"):
        for path in (course / folder).rglob("*"):
            assert not path.is_file() or SECRET.encode() not in path.read_bytes()
            assert "linked" not in path.parts or path.name != "common.py"
    linked = points(course, "linked")
    assert (linked["exercise-1-1"], linked["exercise-1-2"]) == (0, 0)
    assert "common.py is a link" in feedback(course, "linked")


def test_each_hand_in_has_a_line_and_the_honest_ones_are_collected(course):
    """Nobody vanishes, and nobody comes in by a name that a zip supplies."""
    lines = (course / COLLECTED).read_text().splitlines()
    taken = ["crash", "for_bob", "half", "right", "unchanged"]
    assert lines[-1] == "9 hand-ins: 4 REFUSED, 5 taken"
    assert [line.split()[0] for line in lines if " taken " in line] == taken
    for name in set(BAD) - {"for_bob"}:
        (line,) = [line for line in lines if line.startswith(show(name))]
        assert " REFUSED " in line and REASONS[name] in line
    assert not (course / "submitted" / "bob").exists()
    assert points(course, "for_bob")["exercise-1-1"] == 2


def test_files_that_nobody_needs_stay_out(course):
    """A page of a submission would run with the rights of who opens it."""
    assert (course / "submitted" / "crash" / NAME / "page.html").exists()
    for folder in ("autograded", "feedback"):
        assert not list((course / folder).rglob("*.svg"))
        assert not list((course / folder).rglob("page.html"))


def test_name_that_is_not_plain_is_refused_at_autograde_too(course, monkeypatch, capfd):
    """However a folder came into submitted/, the gradebook does not have its name."""
    own = course / "submitted" / HTML_NAME
    shutil.copytree(course / "submitted" / "right", own)
    monkeypatch.chdir(course)
    try:
        nbgrader("autograde", NAME, "--student", HTML_NAME, code=1)
    finally:
        shutil.rmtree(own)
    said = capfd.readouterr().err
    assert "is no name of a student" in said and "Traceback" not in said
    assert not (course / "autograded" / HTML_NAME / NAME).exists()
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        assert HTML_NAME not in {student.id for student in gradebook.students}
        with pytest.raises(CourseError, match="is no name of a student"):
            gradebook.add_student("<b>")
        gradebook.db.rollback()


def test_what_nbgrader_unpacked_is_refused(course, monkeypatch, capsys):
    """Its own extractor is no way around; the course says what to do."""
    kept = course / "submitted" / "right" / NAME / f"{NOTEBOOK}.ipynb"
    before = kept.read_bytes()
    monkeypatch.chdir(course)
    archive = course / "downloaded" / "other" / "archive"
    archive.mkdir(parents=True)
    shutil.copy(course / "downloaded" / NAME / "archive" / "right.zip", archive)
    own = "nbgrader.plugins.ExtractorPlugin"
    nbgrader("zip_collect", "other", "--extractor", own, code=1)
    assert "run nbgrader zip_collect without --extractor" in capsys.readouterr().err
    nbgrader("zip_collect", "week9", code=2)
    assert "there is no such folder" in capsys.readouterr().err
    assert kept.read_bytes() == before


def test_linked_notebook_is_refused(course, monkeypatch):
    """A link to the instructor's notebook would bring model answers to a student."""
    own = course / "submitted" / "thief" / NAME
    own.mkdir(parents=True)
    notebook = course / "source" / NAME / f"{NOTEBOOK}.ipynb"
    (own / f"{NOTEBOOK}.ipynb").symlink_to(notebook)
    monkeypatch.chdir(course)
    nbgrader("autograde", NAME, "--student", "thief", code=1)
    assert not (course / "autograded" / "thief").joinpath(NAME).exists()


def test_feedback_and_export_have_the_grade_of_both(course):
    """Points of the sandbox and of the instructor, together, with the comment."""
    text = feedback(course, "right")
    assert "Score: 6.5 / 7.0" in text and "Well seen." in text
    with (course / "grades.csv").open() as file:
        rows = {row["student_id"]: row for row in csv.DictReader(file)}
    linked = rows.pop("linked")
    scores = {name: float(row["score"]) for name, row in rows.items()}
    assert scores == {
        **{"right": 4 + MANUAL, "half": 0.5, "crash": 0.5},
        **{"unchanged": 0, "for_bob": 4},
    }
    assert {row["status"] for row in rows.values()} == {"graded"}
    assert (linked["score"], linked["raw_score"]) == ("", "")
    assert linked["status"].startswith("refused: common.py is a link")
    assert {float(row["max_score"]) for row in rows.values()} == {7}


def test_export_knows_refused_missing_and_zero(course, monkeypatch, capfd):
    """A hand-in that was refused on the way has an empty cell, and a line."""
    people = {
        "late": {"first_name": "=1+1", "last_name": "a;=1"},
        "encrypted": {},
        "robber": {},
    }
    own = course / "submitted" / "robber" / NAME
    own.mkdir(parents=True)
    notebook = course / "source" / NAME / f"{NOTEBOOK}.ipynb"
    (own / f"{NOTEBOOK}.ipynb").symlink_to(notebook)
    monkeypatch.chdir(course)
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        for name, about in people.items():
            gradebook.update_or_create_student(name, **about)
    try:
        nbgrader("autograde", NAME, "--student", "robber", code=1)
        said = capfd.readouterr().err
        assert said.count("is a link; have it handed in again") == 1
        assert "Traceback" not in said and 'File "' not in said
        nbgrader("export", "--to", "again.csv")
        with (course / "again.csv").open() as file:
            rows = {row["student_id"]: row for row in csv.DictReader(file)}
    finally:
        shutil.rmtree(own.parent)
        with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
            for name in people:
                gradebook.remove_student(name)
    assert (rows["late"]["score"], rows["late"]["status"]) == (
        "0.0",
        "nothing handed in",
    )
    assert (rows["late"]["first_name"], rows["late"]["last_name"]) == ("'=1+1", "a;'=1")
    assert rows["encrypted"]["score"] == rows["robber"]["score"] == ""
    assert rows["encrypted"]["status"].startswith("refused; nbgrader zip_collect")
    assert rows["robber"]["status"].startswith("refused or not graded yet")
    assert "robber has no points in fcos: refused" in capfd.readouterr().err


def test_report_of_the_grader_goes_with_the_feedback(course):
    """The grader's own page lies beside nbgrader's."""
    report = course / "feedback" / "half" / NAME / "grading_report.html"
    assert "double of two" in report.read_text()
