"""The pages of students and instructors: what they say, and what they never do."""

import csv
import html
import io
import json
import re
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest

from grader.manifest import ManifestTest
from grader.outcomes import Outcome, judge
from grader.pages.class_report import (
    histogram,
    render_csv,
    safe_cell,
    write_class_report,
)
from grader.pages.class_results import read_class
from grader.pages.feedback import render_feedback, write_feedback
from grader.results.policy import MOST_OUTPUT, tell
from grader.results.results import (
    REFUSED,
    Graded,
    make_results,
    make_zero,
    write_results,
)
from grader.submissions.find import Submission
from helpers.checks.expect import CheckError
from tests.html_pages import Tags, needs_browser, shown_in_browser

NASTY = "<script>document.title=7777</script>"
SECRET = "98765.4321"
EXERCISES = ("1.1", "1.2")
HIDDEN = ManifestTest(
    id="test_1_a.py::test_x",
    exercise="1.1",
    points=2,
    title="title of x",
    visible=False,
    hint="The hint.",
)
VISIBLE = ManifestTest(
    id="checks/test_1_a.py::test_y",
    exercise="1.1",
    points=1,
    title="title of y",
    visible=True,
    hint="Y.",
)


def make_graded(name: str = "alice", *outcomes: Outcome) -> Graded:
    passed = (Outcome(HIDDEN.id, None), Outcome(VISIBLE.id, None))
    submission = Submission(name, "alice", Path("alice"))
    return Graded(submission, (HIDDEN, VISIBLE), outcomes or passed)


def nasty_outcomes() -> tuple[Outcome, Outcome]:
    base = Outcome("", "wrong value", f"expected {SECRET} {NASTY}", "x and y swapped")
    both = replace(base, traceback=f"line 1 {NASTY}", output=f"=1+1 {SECRET} {NASTY}")
    return replace(both, id=HIDDEN.id), replace(both, id=VISIBLE.id)


@pytest.mark.parametrize(
    "error",
    [
        CheckError("wrong value", "iou", SECRET, "x and y swapped", [f"got {SECRET}"]),
        CheckError("wrong shape", "iou", f"expected shape ({SECRET},)"),
        CheckError("exception", "iou", f"Leak{SECRET[:5]} at line 3 of common.py"),
        CheckError("crashed", "iou", f"ended by {SECRET}"),
        AssertionError(SECRET),
        KeyError(SECRET),
        NotImplementedError(SECRET),
        CheckError("not implemented", "iou", f"Exercise {SECRET} is not written"),
    ],
)
def test_hidden_test_tells_neither_inputs_nor_numbers(error):
    """Whatever a hidden test raises: title, points, category and hint, no more."""
    outcome = replace(judge(error, HIDDEN, EXERCISES), output=SECRET, traceback=SECRET)
    graded = make_graded("alice", outcome, Outcome(VISIBLE.id, None))
    text = json.dumps(make_results(graded, {}, {})) + render_feedback(graded)
    for secret in (SECRET, SECRET[:5]):
        assert secret not in text
    assert "The hint." in text and "title of x" in text


def test_hidden_test_names_exception_and_line():
    """The kind of exception and the line of the student's file may be told."""
    error = CheckError("exception", "iou", "TypeError at line 12 of common.py")
    told = tell(HIDDEN, judge(error, HIDDEN, EXERCISES))
    assert told.sentence == "Your code raised TypeError at line 12 of common.py."
    error = CheckError("exception", "iou", "Evil1234 at line 12 of common.py")
    told = tell(HIDDEN, judge(error, HIDDEN, EXERCISES))
    assert told.sentence == "Your code raised an exception at line 12 of common.py."


def test_visible_test_tells_everything():
    """Message, own lines and the end of the output, without addresses."""
    outcome = Outcome(
        VISIBLE.id,
        "wrong value",
        f"expected {SECRET}",
        traceback="line 3",
        output="a" * 9000 + "\x1b[31m <Tensor at 0x7f0011223344>",
    )
    told = tell(VISIBLE, outcome)
    assert SECRET in told.message and told.traceback == "line 3"
    assert len(told.output) <= MOST_OUTPUT and told.output.endswith("at 0x…>")
    assert "\x1b" not in told.output


def test_cause_is_for_instructors_only():
    """The likely mistake stands in extra_data, not in what a hidden test tells."""
    graded = make_graded("alice", *nasty_outcomes())
    content = make_results(graded, {}, {})
    assert content["extra_data"]["instructor"][0]["cause"] == "x and y swapped"
    assert "swapped" not in content["tests"][0]["output"]


def test_feedback_escapes_all_and_needs_no_network():
    """Names and outputs with tags stay text; there is no script and no link outside."""
    graded = make_graded(NASTY, *nasty_outcomes())
    text = render_feedback(graded, {"1.1": NASTY})
    assert html.escape(NASTY) in text
    check_page(text)


def check_page(text: str) -> None:
    found = Tags(text).found
    tags = {tag for tag, _ in found}
    assert not tags & {"script", "img", "iframe", "object", "link", "form", "base"}
    policy = next(a["content"] for _, a in found if a.get("http-equiv"))
    assert policy is not None and policy.startswith("default-src 'none'")
    assert "script" not in policy
    for _, attributes in found:
        assert not any(name.startswith("on") for name in attributes)
        address = attributes.get("href") or attributes.get("src") or ""
        assert ":" not in address and not address.startswith("/")


def write_class(out: Path) -> None:
    names = {"alice": "alice", "bob": NASTY, "carol": "=cmd|' /C calc'!A0"}
    for ident, name in names.items():
        graded = make_graded(name, *(nasty_outcomes() if ident == "bob" else ()))
        graded = replace(graded, submission=Submission(name, ident, Path(ident)))
        (out / ident).mkdir(parents=True)
        write_feedback(out / ident, graded)
        write_results(out / ident, make_results(graded, {}, {}))
    late = Outcome(HIDDEN.id, "timeout"), Outcome(VISIBLE.id, "crashed")
    slow = replace(make_graded("dave", *late), submission=Submission("d", "d", out))
    (out / "d").mkdir()
    write_results(out / "d", make_results(slow, {}, {}))
    own = Submission("eve", "eve", out)
    (out / "eve").mkdir()
    write_results(out / "eve", make_zero(own, [HIDDEN], REFUSED, "It is a link.", {}))
    (out / "notes").mkdir()
    write_class_report(out, {"1.1": "iou"}, "bubblewrap")


def test_class_report_shows_the_class(tmp_path):
    """Who has what, the causes, who crashed, and who has no grade and why."""
    write_class(tmp_path)
    text = (tmp_path / "index.html").read_text()
    check_page(text)
    assert "Grades of 5 submissions" in text
    assert "x and y swapped" in text
    assert "crashed, timeout" in text and "It is a link." in text
    assert 'href="bob/feedback.html"' in text
    assert html.escape(NASTY) in text


def test_what_is_wrong_with_the_whole_stands_at_the_top_of_all_pages(tmp_path):
    """A file that cannot be loaded: once for its author, and for the instructor."""
    note = f"common.py cannot be loaded: {NASTY}, line 18."
    late = Outcome(HIDDEN.id, "exception"), Outcome(VISIBLE.id, "crashed")
    graded = replace(make_graded("alice", *late), notes=[note])
    content = make_results(graded, {}, {})
    assert content["output"].startswith(f"{note}\n")
    (tmp_path / "alice").mkdir()
    write_feedback(tmp_path / "alice", graded)
    write_results(tmp_path / "alice", content)
    write_class_report(tmp_path, {}, "bubblewrap")
    page = (tmp_path / "alice" / "feedback.html").read_text()
    check_page(page)
    assert page.count(html.escape(note)) == 1
    assert page.index(html.escape(note)) < page.index("<section>")
    text = (tmp_path / "index.html").read_text()
    assert f"{html.escape(note)} crashed" in text


def test_grades_csv_has_no_formula(tmp_path):
    """No cell begins as a spreadsheet's formula does."""
    write_class(tmp_path)
    lines = list(csv.reader(io.StringIO((tmp_path / "grades.csv").read_text())))
    assert lines[0] == ["submission", "score", "max_score", "status", "1.1", "folder"]
    assert len(lines) == 6
    assert ["alice", "3", "3", "finished", "3", "alice"] in lines
    assert not [
        cell for line in lines for cell in line if cell.startswith(("=", "+", "-", "@"))
    ]
    assert render_csv(read_class(tmp_path)) == (tmp_path / "grades.csv").read_text()


FORMULAS = [
    "=1",
    "+1",
    "-1",
    "@x",
    "\t=1",
    "\r=1",
    "\n=1",
    " =1",
    "\x1b=1",
    "\N{ZERO WIDTH SPACE}=1",
    "\N{RIGHT-TO-LEFT OVERRIDE}=1",
    "\N{NO-BREAK SPACE}=1",
    '"=1"',
    "'=1",
    "\N{FULLWIDTH EQUALS SIGN}1",
    "\N{FULLWIDTH PLUS SIGN}1",
    "\N{FULLWIDTH HYPHEN-MINUS}1",
    "\N{FULLWIDTH COMMERCIAL AT}x",
    "\N{SMALL EQUALS SIGN}1",
    "\N{SMALL PLUS SIGN}1",
    "\N{SMALL HYPHEN-MINUS}1",
    "\N{SMALL COMMERCIAL AT}x",
    "\N{SUPERSCRIPT EQUALS SIGN}1",
    "\N{MINUS SIGN}1",
    "\N{EN DASH}1",
]
BEFORE = ["", "ada;", "ada,", "ada|", "ada\t", "ada; ", 'ada";', "ada; '"]


@pytest.mark.parametrize("text", FORMULAS, ids=ascii)
@pytest.mark.parametrize("before", BEFORE)
def test_safe_cell_is_text(text, before):
    """A quote in front makes a formula a text, in a table of any country."""
    cell = safe_cell(before + text)
    assert cell.isprintable()
    for part in re.split("[;,|\t]", cell):
        begin = unicodedata.normalize("NFKC", part.lstrip('" \ufffd'))[:1]
        assert begin not in ("=", "+", "-", "@", "\N{MINUS SIGN}", "\N{EN DASH}")
    line = io.StringIO()
    csv.writer(line).writerow(["x", cell, 3])
    for part in line.getvalue().split(";")[1:]:
        assert part.lstrip('" ')[:1] not in ("=", "+", "-", "@")


def test_plain_names_and_numbers_are_not_changed():
    """Whoever reads the table with a program finds what was there."""
    for text in ("Lovelace, Ada", "ada-2", "a=b", "3.5", "Zo\u00eb; late", ""):
        assert safe_cell(text) == text
    assert safe_cell(3.50) == "3.5"


def test_histogram_counts_everybody_once():
    """All shares from 0 to 1 are in a bar, the full one in the last."""
    bars = histogram([0.0, 0.05, 0.1, 0.999, 1.0])["bars"]
    assert [bar["count"] for bar in bars] == [2, 1, 0, 0, 0, 0, 0, 0, 0, 2]
    assert histogram([])["bars"][0]["height"] == 0


@needs_browser
def test_pages_open_in_a_browser_and_run_nothing(tmp_path):
    """A real browser shows the names as text; no script of a submission runs."""
    write_class(tmp_path)
    for name in ("index.html", "bob/feedback.html"):
        shown = shown_in_browser(tmp_path / name, tmp_path / "profile")
        assert "<title>7777" not in shown
        check_page(shown)
        assert html.escape(NASTY, quote=False) in shown
