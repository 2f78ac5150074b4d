"""Parts of the way through nbgrader: cells, written answers, points, the folder."""

import json
import logging
import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from core.command import CourseError
from grader.manifest import points_by_exercise, read_manifest
from grader.nbgrader_course.build import build_course, read_assignment
from grader.nbgrader_course.cells import prepare_notebook
from grader.nbgrader_course.export import Export
from grader.nbgrader_course.hand_in import MOST_CELLS, read_hand_in
from grader.nbgrader_course.names import OneSentence
from grader.nbgrader_course.place import EARLIER
from grader.nbgrader_course.safe_text import (
    MOST_LETTERS,
    MOST_SHOWN,
    SafeText,
    safe_markdown,
    short_code,
)
from grader.nbgrader_course.sandbox_grades import make_outputs
from grader.release.notebooks import clear_notebook
from grader.submissions.intake_zip import IntakeError
from tests.html_pages import Tags
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


# Each takes a time that grows with the square, or worse, if its length does.
REPEATED = (
    "\\begin{a}",
    "\\begin{a}\n",
    "|a|b|\n|-|-|\n",
    "<b>",
    "<div>",
    "[",
    "![a](",
    "*a_",
    "`` `",
    "~~a",
    "> - ",
    "- a\n\n  b\n",
    "<!--",
    "$$a",
    "[^a]",
    "&#",
)
PATIENCE_S = 60.0  # a busy machine; before, some took hours


@pytest.mark.parametrize("text", REPEATED)
@pytest.mark.parametrize("begin", ["", "a <"])
def test_long_text_is_shown_as_it_is_in_time(text, begin):
    """1.4 MB in a cell, in many, or in a raw one; code in any amount."""
    long = begin + text * (1_400_000 // len(text))
    part = begin + text * (MOST_LETTERS // 2 // len(text))
    cells = [
        nbformat.v4.new_markdown_cell(long),
        *(nbformat.v4.new_markdown_cell(part) for _ in range(40)),
        nbformat.v4.new_raw_cell(long),
        nbformat.v4.new_code_cell(long),
    ]
    began = time.monotonic()
    notebook, _ = SafeText().preprocess(nbformat.v4.new_notebook(cells=cells), {})
    assert time.monotonic() - began < PATIENCE_S
    sources = [cell.source for cell in notebook.cells]
    assert sources[0].startswith("<pre>") and sources[-3].startswith("<pre>")
    assert "all of it is in submitted/" in sources[0]
    assert max(map(len, sources[:-1])) < 7 * MOST_SHOWN
    assert len(sources[-1]) < 2 * MOST_LETTERS


def test_long_code_is_cut_off_and_short_code_is_not():
    """What colours it would need hours for blanks at the ends of lines."""
    assert short_code("x = 1  \n\n\n\n\ny\n") == "x = 1  \n\n\n\n\ny\n"
    assert len(short_code("  \n" * 100_000)) < 200
    assert short_code("a." * 100_000).endswith("all of it is in submitted/)")
    cells = [nbformat.v4.new_code_cell("a." * 4_000) for _ in range(300)]
    notebook, _ = SafeText().preprocess(nbformat.v4.new_notebook(cells=cells), {})
    assert sum(len(cell.source) for cell in notebook.cells) < 200_000


def test_a_long_cell_leaves_the_others_as_they_are():
    """A pasted log does not take the form of the answers below it."""
    texts = ("x" * 200_000, "**<i>why</i>**", "x <" * 1_000)
    cells = [nbformat.v4.new_markdown_cell(text) for text in texts]
    notebook, _ = SafeText().preprocess(nbformat.v4.new_notebook(cells=cells), {})
    assert "<strong><i>why</i></strong>" in notebook.cells[1].source


LOADED = (
    "![a](https://evil.example/a.png)",
    "![a](http://evil.example/a.png)",
    "![a](//evil.example/a.png)",
    "![a](/formgrader/logout)",
    "![a](../../logout)",
    "![a](logout)",
    "![a](data:image/svg+xml;base64,PHN2Zz4=)",
    "![a][b]\n\n[b]: https://evil.example/a.png",
    '<img src="https://evil.example/a.png" alt="a">',
    '<img src="https:evil.example/a.png">',
    '<img src="\\\\evil.example/a.png">',
    '<img srcset="https://evil.example/a.png 2x" src=a.png>',
    '<IMG SRC=" h&#116;tp://evil.example/a.png">',
    '<p style="background:url(https://evil.example/a)">a</p>',
    "<style>p{background:url(https://evil.example/a)}</style>",
    '<link rel="stylesheet" href="https://evil.example/a.css">',
    '<meta http-equiv="refresh" content="0;url=https://evil.example">',
    '<iframe src="https://evil.example"></iframe>',
    '<video poster="https://evil.example/a.png"></video>',
    '<object data="https://evil.example"></object>',
    '<table background="https://evil.example/a.png"></table>',
    '<input type="image" src="https://evil.example/a.png">',
    '<svg><image href="https://evil.example/a.png"/></svg>',
    '<base href="https://evil.example/">',
    '<audio src="https://evil.example/a"></audio>',
)


@pytest.mark.parametrize("text", LOADED)
def test_nothing_is_loaded_from_elsewhere(text):
    """Who reads an answer tells nobody of it, and asks no address of a server."""
    clean = safe_markdown(text)
    for tag, attributes in Tags(clean).found:
        assert tag in ("div", "p", "em", "a", "img", "table"), clean
        names = set(attributes) - {"alt", "title", "href"}
        assert names <= {"src"} and attributes.get("src", "a.png") == "a.png", clean
        assert tag == "a" or "href" not in attributes, clean


def test_pictures_of_the_assignment_are_shown():
    """The badge at the top of each notebook, and a picture that was pasted."""
    badge = "[![Open In Colab](notebooks/images/open_in_colab.svg)](https://x.org)"
    assert 'src="notebooks/images/open_in_colab.svg"' in safe_markdown(badge)
    assert "(a picture that is not loaded: a)" in safe_markdown(LOADED[0])


def test_notebook_of_thousands_of_cells_is_refused(tmp_path):
    """Nbformat would check each of them, again and again."""
    output = {"output_type": "stream", "name": "stdout", "text": ""}
    for number, outputs in ((MOST_CELLS + 1, 0), (3, 2_000)):
        cell = nbformat.v4.new_code_cell("x", outputs=[output] * outputs)
        cells = [{**cell, "id": f"a{index}"} for index in range(number)]
        text = json.dumps({"cells": cells, "metadata": {}, "nbformat": 4})
        (tmp_path / "a.ipynb").write_text(text)
        with pytest.raises(IntakeError, match=r"a.ipynb has .* outputs, at most"):
            read_hand_in(tmp_path, ["a.ipynb"])


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("Traceback (most recent\n  File x\na.CourseError: why; do", "why; do"),
        (
            "Traceback (most recent\n  File x\nValueError: x is odd",
            "ValueError: x is odd",
        ),
        ("Copying a\x1b[2J\u202e -> b", "Copying a\ufffd[2J\ufffd -> b"),
    ],
)
def test_log_has_one_line_for_a_mistake(said, line):
    """And no name of a file in it steers the terminal."""
    record = logging.makeLogRecord({"msg": "%s", "args": (said,)})
    assert OneSentence().filter(record) and record.getMessage() == line


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


def test_export_keeps_the_table_that_it_replaces(tmp_path):
    """An instructor has written a column into it; the same table is no other one."""
    export = Export()
    export.to = str(tmp_path / "grades.csv")
    nobody = SimpleNamespace(assignments=[], students=[])
    export.export(nobody)
    export.export(nobody)
    assert len(list(tmp_path.iterdir())) == 1
    (tmp_path / "grades.csv").write_text("a day late")
    export.export(nobody)
    (kept,) = tmp_path.glob("grades_*.csv")
    assert kept.read_text() == "a day late"


def test_what_somebody_wrote_into_source_is_kept(tmp_path, capsys):
    """A question of one's own, say; what is as it was built needs no copy."""
    root = write_checkout(tmp_path / "checkout")
    out = tmp_path / "course"
    build_course(root, out)
    own = out / "source" / NAME / "question.md"
    own.write_text("mine")
    build_course(root, out)
    (kept,) = (out / EARLIER / "source").rglob("question.md")
    assert kept.read_text() == "mine" and not own.exists()
    name = kept.parent.relative_to(out).as_posix()
    assert f"what was there is kept in {name}" in capsys.readouterr().err
    build_course(root, out)
    assert capsys.readouterr().err == ""
    assert len(list((out / EARLIER).rglob("question.md"))) == 1
    assert [path.name for path in (out / "source").iterdir()] == [NAME]


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


def test_course_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    """A file stands in the way; read-only and full disks are told likewise."""
    (tmp_path / "file").write_text("mine")
    answer = subprocess.run(
        [
            sys.executable,
            "-m",
            "grader",
            "nbgrader",
            "--out",
            str(tmp_path / "file" / "course"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 2 and answer.stderr.count("\n") == 1
    assert "cannot be written (Not a directory)" in answer.stderr
