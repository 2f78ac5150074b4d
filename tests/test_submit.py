"""`submit` packs just what the grader takes, and says what is open."""

import errno
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
from tests.student_course import (
    FILES,
    edit,
    function_text,
    make_course,
    make_whole_course,
)

EXERCISES = read_exercises()
COUNT, OWN_FILES = len(EXERCISES), len(FILES)


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
    assert f" of {COUNT} exercises pass their visible checks." in said
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
    assert f"0 of {COUNT} exercises pass" in answer.stdout
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
        f"<b>1 of {COUNT}</b>" in text
        and "Next: 2.1, <code>make_fpn_layers</code>" in text
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


def test_what_the_grader_would_refuse_is_not_packed(course: Path, tmp_path: Path):
    """Too many, too much together, two names that differ in capitals."""
    folder = course / "assignment"
    out = tmp_path / "a.zip"
    (folder / "Common.py").write_text("x = 1\n")
    with pytest.raises(CourseError, match=r"[cC]ommon\.py .* capitals"):
        pack(out, course)
    (folder / "Common.py").unlink()
    for number in range(intake.MOST_FILES):
        (folder / f"extra_{number}.py").write_text("#" * 40_000)
    with pytest.raises(
        CourseError, match=f"{intake.MOST_FILES + OWN_FILES} Python files"
    ):
        pack(out, course)
    for number in range(20, intake.MOST_FILES):
        (folder / f"extra_{number}.py").unlink()
    for number in range(5):
        (folder / f"extra_{number}.py").write_text("#" * 999_999)
    with pytest.raises(CourseError, match="together"):
        pack(out, course)
    assert not list(tmp_path.glob("*.zip"))
    assert module.MOST_FILES == intake.MOST_FILES
    assert module.MOST_BYTES_TOGETHER == intake.MOST_BYTES_TOGETHER


def test_python_files_that_are_not_in_the_zip_are_named(
    course: Path, tmp_path: Path, capsys
):
    """A file of another name, and those of a folder: the grader looks at neither."""
    folder = course / "assignment"
    (folder / "my-nms.py").write_text("x = 1\n")
    (folder / "parts").mkdir()
    (folder / "parts" / "iou.py").write_text("x = 1\n")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "old.py").write_text("")
    hand_in(tmp_path / "a.zip", root=course)
    said = capsys.readouterr().out
    assert "not in it: assignment/my-nms.py, assignment/parts/iou.py" in said
    assert "old.py" not in said


def test_full_disk_leaves_the_earlier_zip_in_its_place(
    course: Path, tmp_path: Path, monkeypatch
):
    """It is handed in under that name; a copy of it comes first, then the new one."""
    out = tmp_path / "submission.zip"
    pack(out, course)
    first = out.read_bytes()
    edit(course, "common.py", "import torch", "import torch  # later")

    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(module, "write_atomically", full)
    with pytest.raises(CourseError, match="No space left"):
        pack(out, course)
    assert out.read_bytes() == first


def test_zip_is_called_a_zip(course: Path, tmp_path: Path):
    """--out assignment/common.py would put a zip where the code was."""
    with pytest.raises(CourseError, match=r"end in \.zip"):
        pack(course / "assignment" / "common.py", course)
    with pytest.raises(CourseError, match="is a folder"):
        (tmp_path / "folder.zip").mkdir()
        pack(tmp_path / "folder.zip", course)


def test_what_is_not_brought_is_named(tmp_path: Path):
    """Too large, elsewhere, twice: nobody shall think that all of it came."""
    root = make_course(tmp_path / "course", set())
    same = (root / "assignment" / "common.py").read_bytes()
    out = tmp_path / "a.zip"
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("assignment/", "")
        archive.writestr("assignment/common.py", same)
        archive.writestr("assignment/fcos_head.py", b"#" * 1_000_001)
        archive.writestr("assignment/my-nms.py", b"x = 1\n")
        archive.writestr("notebooks/01.ipynb", b"{}")
    (line,) = unpack(out, root)
    assert line == (
        "not brought: assignment/fcos_head.py (larger than 1,000,000 bytes), "
        "assignment/my-nms.py, notebooks/01.ipynb"
    )
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(out, "w") as two:
        two.writestr("assignment/common.py", b"x = 1\n")
        two.writestr("assignment/common.py", b"x = 2\n")
    with pytest.raises(CourseError, match=r"common\.py is in it twice"):
        unpack(out, root)
    assert (root / "assignment" / "common.py").read_bytes() == same


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_damaged_zip_is_a_sentence(method: int, tmp_path: Path):
    """Whatever the packing's library says of it."""
    out = tmp_path / "a.zip"
    content = "".join(f"x = {number}\n" for number in range(4000))
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr("assignment/common.py", content)
    packed = bytearray(out.read_bytes())
    packed[60:90] = bytes(30)
    out.write_bytes(packed)
    with pytest.raises(CourseError, match="cannot be read as a zip"):
        unpack(out, tmp_path)


def test_all_is_kept_before_anything_is_brought(tmp_path: Path, monkeypatch):
    """A disk that is full in the middle: what came, and where the rest is, is said."""
    root = make_course(tmp_path / "course", set())
    names = sorted(path.name for path in (root / "assignment").glob("*.py"))[1:4]
    before = {(root / "assignment" / name).read_bytes() for name in names}
    out = tmp_path / "a.zip"
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(f"assignment/{name}", f"# {name}\n")
    real = module.replace_unchanged
    done: list[Path] = []

    def once(path: Path, before: bytes | None, content: bytes) -> None:
        if done:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        done.append(path)
        real(path, before, content)

    monkeypatch.setattr(module, "replace_unchanged", once)
    with pytest.raises(CourseError, match="No space left") as raised:
        unpack(out, root)
    kept = list((root / "runs" / "kept").iterdir())
    assert {path.read_bytes() for path in kept} == before
    assert f"assignment/{names[0]}: brought" in str(raised.value)
    assert str(done[0].name) == names[0]


def test_what_an_editor_saves_meanwhile_is_not_replaced(tmp_path: Path, monkeypatch):
    """Between keeping all files and bringing this one."""
    root = make_course(tmp_path / "course", set())
    path, out = root / "assignment" / "common.py", tmp_path / "a.zip"
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("assignment/common.py", "# brought\n")
    real = module.keep

    def keep(content: bytes, name: str, place: Path) -> Path:
        path.write_text("# saved in the editor, just now\n")
        return real(content, name, place)

    monkeypatch.setattr(module, "keep", keep)
    with pytest.raises(CourseError, match="saved meanwhile"):
        unpack(out, root)
    assert path.read_text() == "# saved in the editor, just now\n"


def test_zip_is_there_whatever_becomes_of_the_checks(
    course: Path, tmp_path: Path, monkeypatch
):
    """Ctrl-C, a check that ends the process: the work can be handed in already."""

    def stop(run: object, number: str) -> Report:
        raise KeyboardInterrupt

    monkeypatch.setattr("helpers.checks.runner.CheckRun.report", stop)
    (course / "assignment" / "folder.py").mkdir()  # of which nobody asks for anything
    out = tmp_path / "submission.zip"
    with pytest.raises(KeyboardInterrupt):
        hand_in(out, root=course)
    assert "common.py" in intake.take(out).files


def test_brought_file_keeps_what_it_has_not_written(tmp_path: Path):
    """1.1 is written here, 2.1 in the zip, 8.1 in both: all three are there then."""
    here = make_whole_course(tmp_path / "here")
    there = make_course(tmp_path / "there", {*EXERCISES} - {"2.1", "8.1"})
    solved = make_course(tmp_path / "solved", set())
    common = (solved / "assignment" / "common.py").read_text()
    mine, stub = (
        function_text(
            (root / "assignment" / "common.py").read_text().replace("\r\n", "\n"),
            "iou",
        )
        for root in (solved, here)
    )
    edit(here, "common.py", stub, mine)
    stub = function_text((here / "assignment" / "common.py").read_text(), "nms")
    edit(here, "common.py", stub, stub.split("    raise")[0] + "    return 8.1")
    before = (here / "assignment" / "common.py").read_bytes()
    out = tmp_path / "a.zip"
    pack(out, there)
    (line,) = unpack(out, here)
    assert line.startswith("assignment/common.py: brought, with the iou that was here;")
    now = (here / "assignment" / "common.py").read_text()
    for name in ("iou", "make_fpn_layers", "nms"):
        assert function_text(now, name) == function_text(common, name)
    assert [path.read_bytes() for path in (here / "runs" / "kept").iterdir()] == [
        before
    ]
    assert unpack(out, here) == []


def test_zip_that_is_not_there_is_a_sentence(tmp_path: Path):
    with pytest.raises(CourseError, match=r"nothing\.zip: is not there; give the file"):
        unpack(tmp_path / "nothing.zip", tmp_path)
