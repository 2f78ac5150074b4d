"""The whole way through nbgrader, and each of its traps."""

import csv
import logging
import os
import shutil
import subprocess
import types
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook  # type: ignore[import-untyped]
from nbgrader.apps.nbgraderapp import NbGraderApp  # type: ignore[import-untyped]

from data_scripts.command import CourseError
from grader.manifest import points_by_exercise, read_manifest
from grader.nbgrader_course.build import build_course, read_assignment
from grader.nbgrader_course.cells import prepare_notebook
from grader.nbgrader_course.config import configure
from grader.nbgrader_course.safe_text import safe_markdown
from grader.nbgrader_course.sandbox_grades import make_outputs
from grader.release.leak_check import check_no_leaks
from grader.release.notebooks import clear_notebook
from tests.nbgrader_class import (
    ANSWER,
    ATTACKS,
    MODEL_ANSWER,
    NAME,
    RUNS_IF_EXECUTED,
    SMALL,
    answer,
    attack,
    hand_in,
    solved,
    write_checkout,
)

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = "01_small"
SECRET = "the instructor's secret file"
MANUAL = 2.5
LOUD = solved(SMALL).replace(
    "    return x + 1",
    "    import sys; print('loud', file=sys.stderr)\n    return x + 1",
)
HALF = solved(SMALL).replace("return 2 * x", "return x // 2")
CRASH = solved(SMALL).replace("return 2 * x", "import os; os._exit(0)")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or ""
BROWSER_SECONDS = 120
# nbgrader's own way with its database
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")


def nbgrader(*arguments: str) -> None:
    """An nbgrader command in this process, as it would run in the working folder."""
    NbGraderApp.clear_instance()
    app = NbGraderApp.instance()
    try:
        app.initialize(list(arguments))
        app.subapp.start()
    except SystemExit as ending:
        assert not ending.code, f"nbgrader {' '.join(arguments)}: {ending.code}"
    finally:
        if app.subapp:
            type(app.subapp).clear_instance()
        NbGraderApp.clear_instance()


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """The course folder after everything: released, handed in, graded, fed back."""
    top = tmp_path_factory.mktemp("nbgrader")
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
        nbgrader("zip_collect", NAME)
        (top / "secret.txt").write_text(SECRET)
        linked = folder / "submitted" / "crash" / NAME / "data.txt"
        linked.symlink_to(top / "secret.txt")
        add_linked_code(folder, top)
        nbgrader("autograde", NAME)
        grade_by_hand(folder, "right")
        nbgrader("generate_feedback", NAME)
        nbgrader("export", "--to", "grades.csv")
    finally:
        os.chdir(before)
        logging.root.setLevel(level)
    return folder


def add_linked_code(folder: Path, top: Path) -> None:
    """A submission whose common.py is a link to the solution."""
    own = folder / "submitted" / "linked" / NAME
    shutil.copytree(folder / "submitted" / "right" / NAME, own)
    (own / "assignment" / "common.py").unlink()
    solution = top / "checkout" / "assignment" / "common.py"
    (own / "assignment" / "common.py").symlink_to(solution)


def grade_by_hand(folder: Path, student: str) -> None:
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
        *(None, given, None, test),
        *(None, test, given, (True, True, False, 3)),
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
        *("CourseDirectory", "GenerateFeedback", "ZipCollectApp", "ClearSolutions"),
        *("FileNameCollectorPlugin", "ExtractorPlugin", "ClearHiddenTests"),
        *("Autograde", "SandboxGrades"),
    ):
        setattr(c, name, Section())
    configure(c, course)
    files = c.Autograde.exclude_overwriting[NAME]
    folder = course / "source" / NAME
    written = {p.relative_to(folder).as_posix() for p in folder.glob("assignment/*.py")}
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
        *("exercise-1-1", "exercise-1-2", "q1")
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


class Scripts(HTMLParser):
    """Whatever could run, outside of what nbgrader's own template brings."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


def check_is_dead(text: str) -> None:
    for tag, attributes in Scripts(text).tags:
        assert tag not in ("svg", "iframe", "object", "embed", "base")
        assert not [name for name in attributes if name.startswith("on")], attributes
        for value in attributes.values():
            assert not (value or "").strip().lower().startswith("javascript:")


def test_script_tags_are_dead(course):
    """Texts of a student stay texts, and a policy forbids all scripts."""
    text = feedback(course, "crash")
    check_is_dead(text)
    assert "<script>document" not in text and "&lt;script&gt;document" in text
    # The scripts of nbgrader's own template are the same for everybody.
    scripts = [
        sum(tag == "script" for tag, _ in Scripts(feedback(course, name)).tags)
        for name in ("crash", "right")
    ]
    assert scripts[0] == scripts[1]
    first = next(attributes for tag, attributes in Scripts(text).tags if tag == "meta")
    assert first["http-equiv"] == "Content-Security-Policy"
    assert "script" not in (first["content"] or "")
    assert "default-src 'none'" in (first["content"] or "")


@pytest.mark.parametrize("text", ATTACKS)
def test_written_answer_is_safe_in_formgrader_too(text):
    """What formgrader shows has no script either; there is no policy to help."""
    clean = safe_markdown(text)
    assert "\n" not in clean
    check_is_dead(clean)


def test_written_answer_keeps_its_form():
    """Emphasis, code, formulas and pasted pictures stay; a plain text is untouched."""
    assert safe_markdown(ANSWER) == ANSWER
    clean = safe_markdown("`a < b`, $x < y$ and **[me](https://x.org)**")
    assert "<code>a &lt; b</code>" in clean and "$x &lt; y$" in clean
    assert '<strong><a href="https://x.org">me</a></strong>' in clean
    picture = {"p.png": {"image/png": "QUJD"}, "q.svg": {"image/svg+xml": "PHN2Zz4="}}
    clean = safe_markdown("![p](attachment:p.png) ![q](attachment:q.svg)", picture)
    assert 'src="data:image/png;base64,QUJD"' in clean and "svg+xml" not in clean


def test_written_answer_that_cannot_be_shown_is_shown_as_it_is():
    """A picture that is missing, or endless nesting, does not stop the grading."""
    for text in (
        "![](attachment:gone.png)",
        "![](&#97;ttachment:x)",
        "> " * 5000 + "<",
    ):
        assert safe_markdown(text).startswith(("<div>", "<pre>"))


def test_feedback_runs_nothing_in_a_browser(course, tmp_path):
    """A real browser shows the hostile feedback; its title is not taken over."""
    # In CI, which installs one, a missing browser is a failure.
    if not CHROMIUM and not os.environ.get("CI"):
        pytest.skip("needs Chromium; what the page holds is tested above")
    page = course / "feedback" / "crash" / NAME / f"{NOTEBOOK}.html"
    found = subprocess.run(
        [
            *(CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu"),
            f"--user-data-dir={tmp_path / 'profile'}",
            *("--dump-dom", page.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=BROWSER_SECONDS,
        check=False,
    )
    assert "<title>01_small</title>" in found.stdout


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


def test_linked_notebook_is_refused(course, monkeypatch):
    """A link to the instructor's notebook would bring model answers to a student."""
    own = course / "submitted" / "thief" / NAME
    own.mkdir(parents=True)
    notebook = course / "source" / NAME / f"{NOTEBOOK}.ipynb"
    (own / f"{NOTEBOOK}.ipynb").symlink_to(notebook)
    monkeypatch.chdir(course)
    with pytest.raises(AssertionError, match="autograde"):
        nbgrader("autograde", NAME, "--student", "thief")
    assert not (course / "autograded" / "thief").joinpath(NAME).exists()


def test_feedback_and_export_have_the_grade_of_both(course):
    """Points of the sandbox and of the instructor, together, with the comment."""
    text = feedback(course, "right")
    assert "Score: 6.5 / 7.0" in text and "Well seen." in text
    with (course / "grades.csv").open() as file:
        rows = {row["student_id"]: row for row in csv.DictReader(file)}
    scores = {name: float(row["score"]) for name, row in rows.items()}
    assert scores == {
        **{"right": 4 + MANUAL, "half": 0.5, "crash": 0.5},
        **{"unchanged": 0, "linked": 0},
    }
    assert {float(row["max_score"]) for row in rows.values()} == {7}


def test_report_of_the_grader_goes_with_the_feedback(course):
    """The grader's own page lies beside nbgrader's."""
    report = course / "feedback" / "half" / NAME / "grading_report.html"
    assert "double of two" in report.read_text()


def test_graded_cell_without_tests_is_no_gift():
    """A cell without output has all points in nbgrader; here that is an error."""
    results = {"extra_data": {"exercises": {"1.1": {"score": 2, "max_score": 2}}}}
    with pytest.raises(CourseError, match="nobody grades it"):
        make_outputs({"grade_id": "own", "points": 5}, results)
    with pytest.raises(CourseError, match="promises 5 points, and the tests give 2"):
        make_outputs({"grade_id": "exercise-1-1", "points": 5}, results)


def test_course_is_built_again_around_the_gradebook(tmp_path):
    """A second build renews source/, and touches nothing else; nor another's folder."""
    root = write_checkout(tmp_path / "checkout")
    out = tmp_path / "course"
    build_course(root, out)
    (out / "gradebook.db").write_text("grades")
    (out / "source" / NAME / "old.txt").write_text("")
    build_course(root, out)
    build_course(root, out, "week1", ["01"])
    assert (out / "gradebook.db").read_text() == "grades"
    assert not (out / "source" / NAME / "old.txt").exists()
    assert read_assignment(out, "week1").exercises == ("1.1", "1.2")
    assert read_assignment(out, NAME) == read_assignment(out, "week1")
    with pytest.raises(CourseError, match="no course folder of ours"):
        build_course(root, tmp_path)
    with pytest.raises(CourseError, match="no notebook that begins with 7"):
        build_course(root, out, "week2", ["7"])
    with pytest.raises(CourseError, match="has no assignment week3"):
        read_assignment(out, "week3")


def test_notebooks_of_this_course_fit_the_manifest():
    """Each exercise once, with its points; only roles, links and points change."""
    points_of = points_by_exercise(read_manifest(ROOT))
    found: list[str] = []
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        text = path.read_text("utf-8")
        prepared = prepare_notebook(text, path.name, points_of)
        found += prepared.exercises
        released, _ = clear_notebook(prepared.text, path.name)
        assert "Model answer" not in released
        assert '"](../' not in released
        before = nbformat.reads(text, as_version=4).cells
        after = nbformat.reads(prepared.text, as_version=4).cells
        assert [cell.id for cell in before] == [cell.id for cell in after]
    assert found == list(points_of)
