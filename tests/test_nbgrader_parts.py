"""Parts of the way through nbgrader: cells, written answers, points, the folder."""

import re
from pathlib import Path

import nbformat
import pytest

from core.command import CourseError
from grader.manifest import points_by_exercise, read_manifest
from grader.nbgrader_course.build import build_course, read_assignment
from grader.nbgrader_course.cells import prepare_notebook
from grader.nbgrader_course.safe_text import safe_markdown
from grader.nbgrader_course.sandbox_grades import make_outputs
from grader.release.notebooks import clear_notebook
from tests.nbgrader_class import (
    ANSWER,
    ATTACKS,
    NAME,
    write_checkout,
)
from tests.nbgrader_walk import check_is_dead

ROOT = Path(__file__).resolve().parent.parent


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
    build_course(root, out, "week1", notebooks=["01"])
    assert (out / "gradebook.db").read_text() == "grades"
    assert not (out / "source" / NAME / "old.txt").exists()
    assert read_assignment(out, "week1").exercises == ("1.1", "1.2")
    assert read_assignment(out, NAME) == read_assignment(out, "week1")
    with pytest.raises(CourseError, match="no course folder of ours"):
        build_course(root, tmp_path)
    with pytest.raises(CourseError, match="no notebook that begins with 7"):
        build_course(root, out, "week2", notebooks=["7"])
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


def test_links_of_the_course_folder_lead_somewhere(tmp_path):
    """README, map and notebooks lie in other folders than in the repository."""
    build_course(ROOT, tmp_path / "course")
    source = tmp_path / "course" / "source" / "fcos"
    texts = [(path, path.read_text("utf-8")) for path in source.rglob("*.md")]
    for path in source.glob("*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        marked = (cell.source for cell in cells if cell.cell_type == "markdown")
        texts.append((path, "\n".join(marked)))
    links = [
        (path, target)
        for path, text in texts
        for target in re.findall(r"\]\(([^)\s]+)\)", text)
        if not target.startswith(("https://", "#"))
    ]
    assert len(links) > len(texts)
    dead = [(path.name, to) for path, to in links if not (path.parent / to).exists()]
    assert not dead
