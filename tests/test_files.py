"""Folders that appear complete or not at all."""

import errno
import os
import subprocess
import sys

import pytest

from core.command import CourseError
from core.files import is_free, locked_folder, new_folder

needs_flock = pytest.mark.skipif(sys.platform == "win32", reason="no flock")


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
