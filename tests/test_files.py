"""Files and folders that appear complete or not at all."""

import ast
import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from core.command import CourseError
from core.files import (
    is_free,
    locked_folder,
    new_file,
    new_folder,
    write_atomically,
    write_json,
)
from tests.conftest import LONG_FIRST

ROOT = Path(__file__).resolve().parent.parent
# Who gives a file or a folder another name, and does not write it whole by that: what
# is wrong, or an earlier version, goes aside, and an earlier release makes room.
RENAMING = {
    "core/files.py": 2,
    "data_scripts/download_voc2007.py": 1,
    "helpers/drive/copies.py": 2,
    "helpers/drive/keep.py": 1,
    "helpers/drive/on_drive.py": 3,
    "helpers/lessons/live.py": 1,
    "helpers/models/others_weights.py": 1,
    "grader/grading/earlier.py": 1,
    "grader/nbgrader_course/build.py": 1,
    "grader/nbgrader_course/place.py": 3,
    "grader/release/release_files.py": 5,
}

needs_flock = pytest.mark.skipif(sys.platform == "win32", reason="no flock")


def test_new_file_appears_only_at_the_end(tmp_path: Path):
    """Until then the earlier one is there, and no other name is left."""
    path = tmp_path / "file"
    path.write_text("old")
    with new_file(path) as file:
        file.write(b"new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@needs_flock
def test_two_writers_of_one_file_leave_one_of_them_whole(tmp_path: Path):
    """The second waits for the first; half of each would be under its name."""
    path = tmp_path / "file"
    began, other, errors = threading.Event(), threading.Event(), []

    def second() -> None:
        try:
            began.wait(30)
            other.set()
            write_atomically(path, b"b" * 10)
        except OSError as error:
            errors.append(error)

    thread = threading.Thread(target=second)
    thread.start()
    with new_file(path) as file:
        file.write(b"a" * 100_000)
        file.flush()
        began.set()
        other.wait(30)
        thread.join(0.3)  # it can do nothing now
        file.write(b"a" * 100_000)
    thread.join(30)
    assert not errors and path.read_bytes() == b"b" * 10
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@needs_flock
def test_a_writer_that_gives_up_waiting_leaves_the_other_alone(tmp_path, monkeypatch):
    """Ctrl-C while it waits removes no file of the other."""
    path = tmp_path / "file"
    with new_file(path) as file:
        file.write(b"first")
        with monkeypatch.context() as patches:
            patches.setattr("core.files._wait_for_lock", _interrupted)
            with pytest.raises(KeyboardInterrupt):
                write_atomically(path, b"second")
    assert path.read_bytes() == b"first"


def _interrupted(handle: int) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_file_that_is_not_finished_leaves_nothing(tmp_path: Path, error: type):
    """Neither half of the new file nor a name beside it, and the old one stays."""
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(error), new_file(path) as file:
        file.write(b"half")
        raise error
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_file_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Otherwise a power cut may leave the name with nothing in it."""
    synced = []

    def note(handle: int) -> None:
        synced.append(os.fstat(handle).st_size)
        assert not (tmp_path / "file").exists()

    monkeypatch.setattr(os, "fsync", note)
    write_atomically(tmp_path / "file", "text \udcff")
    assert synced == [6]
    assert (tmp_path / "file").read_bytes() == b"text ?"


def test_json_files_end_with_a_line(tmp_path: Path):
    """And the same content gives the same bytes, in the order that it has."""
    write_json(tmp_path / "file", {"b": [1], "a": "é"})
    text = (tmp_path / "file").read_text("utf-8")
    assert text == '{\n "b": [\n  1\n ],\n "a": "\\u00e9"\n}\n'


def test_nobody_else_writes_files_whole_by_a_way_of_their_own():
    """`path.replace(other)` and `path.rename(other)` stand where the list says."""
    found: dict[str, int] = {}
    for folder in ("core", "data_scripts", "assignment", "helpers", "grader"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                renames = (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and node.func.attr in ("replace", "rename")
                    and len(node.args) == 1
                    and not node.keywords
                )
                if renames:
                    name = path.relative_to(ROOT).as_posix()
                    found[name] = found.get(name, 0) + 1
    assert found == RENAMING


def test_new_folder_appears_only_at_the_end(tmp_path):
    """The name is not there while the folder is being filled; an empty one is taken."""
    for target in (tmp_path / "new" / "deep", tmp_path / "empty"):
        if target.name == "empty":
            target.mkdir()
        with new_folder(target) as partial:
            (partial / "file").write_text("x")
            assert is_free(target)
        assert (target / "file").read_text() == "x"
        assert not partial.exists()


def test_new_folder_never_touches_what_is_there(tmp_path):
    """A folder with content, or a file of that name, is refused."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("precious")
    (tmp_path / "file").write_text("precious")
    for name in ("full", "file"):
        with (
            pytest.raises(CourseError, match="exists already"),
            new_folder(tmp_path / name),
        ):
            pass
    assert (tmp_path / "full" / "mine").read_text() == "precious"
    assert (tmp_path / "file").read_text() == "precious"
    assert len(list(tmp_path.iterdir())) == 2


def test_new_folder_says_why_it_cannot_write(tmp_path):
    """A full disk or a missing right becomes one sentence, and nothing is left."""
    with (
        pytest.raises(CourseError, match=r"cannot write \(No space left"),
        new_folder(tmp_path / "out") as partial,
    ):
        raise OSError(28, "No space left on device", str(partial / "a.jpg"))
    assert list(tmp_path.iterdir()) == []


def test_full_disk_is_not_said_of_the_file_that_is_copied(tmp_path):
    """The system names the source first, which was read without trouble."""
    full = (errno.ENOSPC, os.strerror(errno.ENOSPC), "/source/a", None)
    with (
        pytest.raises(CourseError, match=r"\.partial/b: cannot write \(No space"),
        new_folder(tmp_path / "new") as partial,
    ):
        raise OSError(*full, str(partial / "b"))


@needs_flock
def test_new_folder_refuses_a_second_writer(tmp_path):
    """Two commands never fill the same folder at the same time."""
    with new_folder(tmp_path / "out") as partial:
        (partial / "file").write_text("first")
        with (
            pytest.raises(CourseError, match="another command"),
            new_folder(tmp_path / "out"),
        ):
            pass
    assert (tmp_path / "out" / "file").read_text() == "first"


@needs_flock
def test_locked_folder_is_free_again_when_its_owner_is_killed(tmp_path):
    """The system drops the lock with the process, so no lock file is ever left over."""
    code = (
        "import sys, time; from pathlib import Path\n"
        "from core.files import locked_folder\n"
        "with locked_folder(Path(sys.argv[1])):\n"
        "    print('locked', flush=True); time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"locked\n"
    with pytest.raises(CourseError, match="another command"), locked_folder(tmp_path):
        pass
    process.kill()
    process.wait()
    process.stdout.close()
    with locked_folder(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_begun_first_are_there():
    """A name that is no file's any more would begin nothing."""
    assert {*LONG_FIRST} <= {path.name for path in (ROOT / "tests").glob("test_*.py")}
