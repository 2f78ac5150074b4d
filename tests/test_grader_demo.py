"""The small class of `make demo`; `make demo` itself grades it."""

from pathlib import Path

from grader.demo import MISTAKES, make_class
from grader.submissions.find import find_submissions

ROOT = Path(__file__).resolve().parent.parent
EXPECTED = {"all solved", "not begun", "looks for the answers", *MISTAKES}


def test_class_has_one_submission_of_each_kind(tmp_path: Path):
    """Solved, not begun, two mistakes, and one that looks for the answers."""
    release = tmp_path / "student"
    (release / "assignment").mkdir(parents=True)
    (release / "assignment" / "common.py").write_text("raise NotImplementedError\n")
    make_class(ROOT, release, tmp_path / "class")
    found = find_submissions([tmp_path / "class"])
    assert {submission.name for submission in found} == EXPECTED
    solution = (ROOT / "assignment" / "common.py").read_text()
    texts = {
        submission.name: (submission.path / "assignment" / "common.py").read_text()
        for submission in found
    }
    assert texts["all solved"] == texts["no stride"] == solution
    assert texts["x and y swapped"] != solution
    assert texts["looks for the answers"].startswith(solution)
    compile(texts["looks for the answers"], "common.py", "exec")
