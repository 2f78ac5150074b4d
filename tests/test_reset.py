"""`reset` puts an exercise back whatever became of it, and keeps what was there."""

import errno
import os
from pathlib import Path

import pytest

from core.command import CourseError
from helpers.checks import reset as module
from helpers.checks.exercises import read_exercises
from helpers.checks.places import find_function
from helpers.checks.reset import KEPT, STUBS, reset
from tests.student_course import edit, make_course, make_whole_course

EXERCISES = read_exercises()


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """The students' version with nothing written."""
    return make_whole_course(tmp_path / "course")


def solved(course: Path, number: str, file: str) -> str:
    """The text of a file in which one exercise is solved."""
    folder = make_course(course.parent / f"solved {number}", {*EXERCISES} - {number})
    return (folder / "assignment" / file).read_text()


def test_stub_is_put_back_and_the_file_is_kept(course: Path):
    """The file is as it was handed out, and the copy is what was there."""
    path = course / "assignment" / "fcos_head.py"
    before = path.read_bytes()
    kept = []
    for number in ("3.2", "3.1"):
        mine = solved(course, number, path.name)
        path.write_text(mine)
        done = reset(EXERCISES[number], course)
        assert done.path == path and done.note == ""
        assert path.read_bytes() == before
        assert done.kept is not None and done.kept.read_text() == mine
        kept.append(done.kept)
    assert len(set(kept)) == 2 and {saved.parent for saved in kept} == {course / KEPT}


def test_file_that_python_cannot_read_is_repaired(course: Path):
    """Also then only the one function is changed; Windows line ends stay."""
    path = course / "assignment" / "fcos_deltas.py"
    before = path.read_bytes()
    stub = before.decode()
    _, end = find_function(stub, "fcos_apply_deltas_to_locations", path)
    lines = stub.splitlines()
    lines[end - 4 : end] = ["    ltrb = (deltas", "", "    return ltrb"]
    path.write_bytes("\r\n".join(lines).encode() + b"\r\n")
    reset(EXERCISES["5.2"], course)
    assert path.read_bytes() == before.replace(b"\n", b"\r\n")


def test_reset_refuses_where_the_solutions_are():
    """In the source nothing is overwritten."""
    with pytest.raises(CourseError, match="students' version only"):
        reset(EXERCISES["1.1"])


@pytest.mark.parametrize("number", EXERCISES)
def test_function_that_is_gone_comes_back_in_its_place(course: Path, number: str):
    """Renamed: the start stands behind what stood before it; the other name stays."""
    exercise = EXERCISES[number]
    path = course / "assignment" / exercise.file
    name = exercise.name.split(".")[-1]
    begin, _ = find_function(path.read_text(), exercise.name, path)
    lines = path.read_text().splitlines()
    lines[begin - 1] = lines[begin - 1].replace(f"def {name}(", "def my_own_name(")
    assert "my_own_name" in lines[begin - 1]
    mine = "\n".join(lines) + "\n"
    path.write_text(mine)
    done = reset(exercise, course)
    text = path.read_text()
    assert done.kept is not None and done.kept.read_text() == mine
    assert "my_own_name" in text or "as a whole" in done.note
    place = find_function(text, exercise.name, path)
    for other in EXERCISES.values():  # none was lost, none is there twice
        if other.file == exercise.file:
            find_function(text, other.name, path)
            last = other.name.split(".")[-1]
            owner = "class " + other.name.split(".")[0] if "." in other.name else "def "
            assert owner in text and text.count(f"def {last}(") >= 1
    assert place


def test_function_with_an_empty_rest_comes_back(course: Path):
    """`def iou(...)` deleted altogether."""
    path = course / "assignment" / "common.py"
    before = path.read_text()
    begin, end = find_function(before, "iou", path)
    lines = before.splitlines()
    del lines[begin - 1 : end]
    path.write_text("\n".join(lines) + "\n")
    reset(EXERCISES["1.1"], course)
    assert find_function(path.read_text(), "iou", path)
    assert find_function(path.read_text(), "nms", path)


def test_file_that_was_deleted_comes_back(course: Path):
    """All of it, and the sentence says so; there is nothing to keep."""
    path = course / "assignment" / "common.py"
    before = path.read_bytes()
    path.unlink()
    done = reset(EXERCISES["8.1"], course)
    assert path.read_bytes() == before
    assert done.kept is None
    assert done.note == "assignment/common.py as a whole is as it was at the start"


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00no text", b"print('all gone')\n", b"def iou(:\n"]
)
def test_file_with_something_else_in_it_comes_back(course: Path, content: bytes):
    """Empty, no text, other code: what was there is kept to the byte."""
    path = course / "assignment" / "fcos_losses.py"
    before = path.read_bytes()
    path.write_bytes(content)
    done = reset(EXERCISES["6.2"], course)
    assert done.kept is not None and done.kept.read_bytes() == content
    assert "as a whole" in done.note
    assert path.read_bytes() == before


def test_rest_of_a_broken_file_is_left_as_it_is(course: Path):
    """Only the function that is gone is put in; the line that is no Python stays."""
    file = "fcos_losses.py"
    path = course / "assignment" / file
    mine = solved(course, "6.1", file)
    lines = mine.splitlines()
    begin, end = find_function(mine, "fcos_box_loss", path)
    del lines[begin - 1 : end]
    path.write_text("this is (no Python\n" + "\n".join(lines) + "\n")
    done = reset(EXERCISES["6.2"], course)
    text = path.read_text()
    assert done.note == "" and text.startswith("this is (no Python\n")
    assert find_function(text, "fcos_box_loss", path)
    assert set(lines) <= set(text.splitlines())


def test_functions_of_other_exercises_are_put_in_a_file_made_anew(course: Path):
    """The line of the class is gone, and with it the place for its methods."""
    file = "common.py"
    path = course / "assignment" / file
    mine = solved(course, "1.1", file)
    assert "class DetectorBackboneWithFPN" in mine
    broken = mine.replace("class DetectorBackboneWithFPN", "class Other")
    path.write_text(broken)
    done = reset(EXERCISES["2.2"], course)
    text = path.read_text()
    assert done.kept is not None and done.kept.read_text() == broken
    assert done.note.endswith("is as it was at the start, with your iou in it")
    begin, end = find_function(mine, "iou", path)
    assert "\n".join(mine.splitlines()[begin - 1 : end]) in text
    compile(text, file, "exec")


def test_old_stubs_are_said(course: Path):
    """A release from before has no whole files."""
    (course / STUBS).write_text("{}")
    with pytest.raises(CourseError, match=r"does not hold 1\.1; fetch"):
        reset(EXERCISES["1.1"], course)


def test_check_after_a_file_was_deleted_says_how_to_get_it_back(course: Path):
    """And after the reset the exercise is open."""
    from helpers.checks.report import report_text
    from helpers.checks.runner import CheckRun

    path = course / "assignment" / "fcos_losses.py"
    path.unlink()
    with CheckRun(root=course) as run:
        text = report_text(run.report("6.1"))
    assert "assignment/fcos_losses.py is not there; " in text
    assert "python -m helpers.check reset 6.1 puts its start back" in " ".join(
        text.split()
    )
    reset(EXERCISES["6.1"], course)
    edit(course, "fcos_losses.py", "import torch", "import torch  # mine")
    with CheckRun(root=course) as run:
        text = report_text(run.report("6.1"))
    assert "not written yet" in text and "was saved at " in text


def test_file_that_another_one_needs_says_how_it_comes_back(course: Path):
    """fcos_deltas.py imports common.py, which was deleted."""
    from helpers.checks.report import report_text
    from helpers.checks.runner import CheckRun

    (course / "assignment" / "common.py").unlink()
    with CheckRun(root=course) as run:
        text = " ".join(report_text(run.report("5.1")).split())
    assert "Likely: that file is not there; put it back with" in text


def test_function_in_the_notebook_instead_of_the_file_is_named(
    course: Path, monkeypatch
):
    """Of all reasons for "not written yet" the one that nobody finds."""
    from helpers.checks import runner
    from helpers.checks.report import report_text

    monkeypatch.setattr(runner, "own_function", lambda name: name == "iou")
    with runner.CheckRun(root=course) as run:
        text = report_text(run.report("1.1"))
        other = report_text(run.report("2.1"))
    assert "This notebook defines iou itself; put that code into the file." in text
    assert "itself" not in other


@pytest.mark.parametrize("gap", ["\x0c\n", "\x0b\n", "# \u2028 \x85 \x1c\n"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_are_those_of_python(course: Path, gap: str, end: str):
    """A page break, as editors leave it, ends no line: the same lines are replaced."""
    path = course / "assignment" / "common.py"
    begin = "def make_fpn_layers"
    before = path.read_text().replace(begin, 3 * gap + begin, 1)
    mine = solved(course, "2.1", path.name).replace(begin, 3 * gap + begin, 1)
    path.write_bytes(mine.replace("\n", end).encode())
    done = reset(EXERCISES["2.1"], course)
    assert done.note == ""
    assert path.read_bytes() == before.replace("\n", end).encode()
    broken = mine + "def (\n"  # then the indentation alone says where functions end
    path.write_bytes(broken.replace("\n", end).encode())
    reset(EXERCISES["2.1"], course)
    assert path.read_bytes() == (before + "def (\n").replace("\n", end).encode()


def test_what_an_editor_saves_meanwhile_stays(course: Path, monkeypatch):
    """Reset has read the file; what is saved after that is nobody's to replace."""
    path = course / "assignment" / "common.py"
    real = module.keep

    def keep(content: bytes, file: str, root: Path) -> Path:
        path.write_text("# saved in the editor, just now\n")
        return real(content, file, root)

    monkeypatch.setattr(module, "keep", keep)
    with pytest.raises(CourseError, match="saved meanwhile"):
        reset(EXERCISES["1.1"], course)
    assert path.read_text() == "# saved in the editor, just now\n"


def test_copy_is_on_the_disk_before_the_file_changes(course: Path, monkeypatch):
    """Otherwise a power cut may leave the stub, and a copy with nothing in it."""
    synced = []

    def note(handle: int) -> None:
        synced.append(os.fstat(handle).st_size)

    monkeypatch.setattr(os, "fsync", note)
    size = (course / "assignment" / "common.py").stat().st_size
    reset(EXERCISES["1.1"], course)
    assert synced[0] == size and len(synced) == 2


def test_full_disk_leaves_no_half_of_a_copy(course: Path, monkeypatch):
    """Whoever looks for the work in runs/kept finds all of it, or no file."""

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    before = (course / "assignment" / "common.py").read_bytes()
    with pytest.raises(CourseError, match="No space left on device"):
        reset(EXERCISES["1.1"], course)
    assert (course / "assignment" / "common.py").read_bytes() == before
    assert not list((course / KEPT).iterdir())


@pytest.mark.parametrize("what", ["file", "dangling link"])
def test_no_folder_for_the_copy_is_a_sentence(course: Path, what: str):
    """Before, the name was taken for one that is taken, and tried without end."""
    kept = course / KEPT
    kept.parent.mkdir()
    kept.symlink_to("nowhere") if what == "dangling link" else kept.touch()
    path = course / "assignment" / "common.py"
    before = path.read_bytes()
    with pytest.raises(CourseError, match=r"cannot be written .*; nothing was changed"):
        reset(EXERCISES["1.1"], course)
    assert path.read_bytes() == before
