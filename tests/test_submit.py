"""`submit` packs just what the grader takes, and says what is open."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from core.command import CourseError
from grader.submissions import intake
from helpers import submit as module
from helpers.checks.exercises import read_exercises
from helpers.checks.progress import map_html
from helpers.checks.results import OPEN, PASS, WRONG, Report, Result
from helpers.submit import hand_in, pack, unpack
from tests.student_course import edit, make_course, make_whole_course

EXERCISES = read_exercises()


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """All solved but 8.2; 6.2 is wrong."""
    root = make_course(tmp_path / "course", {"8.2"})
    edit(root, "fcos_losses.py", "0.25 * difference", "0.5 * difference")
    return root


def test_zip_is_what_the_grader_takes(course: Path, tmp_path: Path, capsys):
    """The same names and bytes come out at the other end."""
    out = tmp_path / "submission.zip"
    (course / "assignment" / "notes.txt").write_text("mine")
    (course / "assignment" / "two words.py").write_text("x = 1")
    assert hand_in(out, root=course) is False
    taken = intake.take(out)
    sent = {
        path.name: path.read_bytes()
        for path in (course / "assignment").glob("*.py")
        if " " not in path.name
    }
    assert dict(taken.files) == sent and taken.ignored == 0
    said = capsys.readouterr().out
    assert " of 22 exercises pass their visible checks." in said
    assert "Not right yet: 6.2" in said and "Open: 8.2" in said
    assert f"Hand in this file: {out}" in said and "common.py" in said


def test_earlier_zip_is_kept(course: Path, tmp_path: Path, capsys):
    """Other work under the same name; the same work is no other version."""
    out = tmp_path / "submission.zip"
    _, kept = pack(out, course)
    first = out.read_bytes()
    assert kept is None and pack(out, course)[1] is None
    assert out.read_bytes() == first
    edit(course, "common.py", "import torch", "import torch  # later")
    _, kept = pack(out, course)
    assert kept is not None and kept != out and kept.read_bytes() == first
    assert out.read_bytes() != first


def test_what_cannot_be_packed_is_one_sentence(course: Path, tmp_path: Path):
    """Nothing there, too large, no place to write: and no half a zip."""
    with pytest.raises(CourseError, match="no Python file to hand in"):
        pack(tmp_path / "a.zip", tmp_path)
    (course / "assignment" / "large.py").write_text("#" * 1_000_001)
    with pytest.raises(CourseError, match=r"large\.py: has 1,000,001 bytes"):
        pack(tmp_path / "a.zip", course)
    (course / "assignment" / "large.py").unlink()
    (tmp_path / "file").write_text("")
    with pytest.raises(CourseError, match="cannot be written"):
        pack(tmp_path / "file" / "a.zip", course)
    assert not list(tmp_path.glob("*.zip"))


def test_command_and_limits_are_those_of_the_grader(tmp_path: Path):
    """As a student runs it: nothing written yet, packed all the same, exit code 1."""
    assert module.MOST_BYTES == intake.MOST_BYTES
    assert module.MODULE.pattern == intake.MODULE.pattern
    root = make_whole_course(tmp_path / "course")
    answer = subprocess.run(
        [sys.executable, "-m", "helpers.submit"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert (answer.returncode, answer.stderr) == (1, "")
    assert "0 of 22 exercises pass" in answer.stdout
    with zipfile.ZipFile(root / "submission.zip") as archive:
        assert "assignment/common.py" in archive.namelist()


def test_map_as_a_picture_says_what_the_text_says():
    """A tile for each exercise, in words too, and what comes next."""
    looks = {"1.1": PASS, "2.1": WRONG}
    reports = [
        Report(each, (Result(looks.get(each.id, OPEN), each.title),), 0.0)
        for each in EXERCISES.values()
    ]
    text = map_html(reports)
    assert (
        "<b>1 of 22</b>" in text and "Next: 2.1, <code>make_fpn_layers</code>" in text
    )
    assert 'title="iou: done"' in text and 'title="nms: open"' in text
    assert text.count("<tr") == len({each.notebook for each in EXERCISES.values()})


def test_work_is_brought_to_another_machine(course: Path, tmp_path: Path):
    """What is replaced is kept; what is the same is left alone."""
    out = tmp_path / "submission.zip"
    pack(out, course)
    other = make_course(tmp_path / "other")
    edit(other, "common.py", "import torch", "import torch  # here")
    here = (other / "assignment" / "common.py").read_bytes()
    lines = unpack(out, other)
    assert any(line.startswith("assignment/common.py: brought; ") for line in lines)
    for path in (course / "assignment").glob("*.py"):
        assert (other / "assignment" / path.name).read_bytes() == path.read_bytes()
    kept = {path.read_bytes() for path in (other / "runs" / "kept").iterdir()}
    assert here in kept
    assert unpack(out, other) == []


@pytest.mark.parametrize(
    "name",
    ["../evil.py", "assignment/../evil.py", "/assignment/evil.py", "a/a.py"],
)
def test_names_that_leave_the_folder_are_not_taken(name: str, tmp_path: Path):
    """An archive is never unpacked blindly."""
    out = tmp_path / "in" / "a.zip"
    out.parent.mkdir()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, "x = 1")
    with pytest.raises(CourseError, match="has no file of assignment/"):
        unpack(out, tmp_path / "in")
    out.write_text("no zip")
    with pytest.raises(CourseError, match="cannot be read as a zip"):
        unpack(out, tmp_path / "in")
    assert list(tmp_path.rglob("*.py")) == []
