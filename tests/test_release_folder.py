"""The student release on disk: what is read, what is replaced, and the proof."""

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from core.command import CourseError
from grader.release.build import make_release, write_release
from grader.release.release_files import (
    check_is_unchanged_release,
    check_zip_is_free,
    collect_files,
    replace_release,
)
from tests.adder_course import make_course

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small course outside of git."""
    return make_course(tmp_path / "course")


@pytest.mark.parametrize("what", ["file", "folder"])
def test_release_follows_no_link(tree: Path, tmp_path: Path, what: str):
    """A link could bring in anything."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "private.py").write_text("GRADES = 1\n")
    target = outside / "private.py" if what == "file" else outside
    (tree / "helpers" / "linked.py").symlink_to(target)
    with pytest.raises(CourseError, match=r"linked.py: is a link"):
        collect_files(tree)


def test_release_takes_no_caches_and_nothing_untracked(tree: Path):
    """In a checkout only what git tracks; never caches or hidden files."""
    for name in ("__pycache__/a.py", ".ipynb_checkpoints/b.py", ".env", "new.py"):
        path = tree / "helpers" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("VALUE = 2\n")
    assert "helpers/new.py" in collect_files(tree)
    git = ["git", "-C", str(tree), "-c", "core.excludesFile=/dev/null"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "assignment", "helpers/given.py"], check=True)
    in_helpers = [name for name in collect_files(tree) if name.startswith("helpers")]
    assert in_helpers == ["helpers/given.py"]


def test_release_lacks_no_file_of_an_exercise(tree: Path):
    """A new file that git does not know yet is said, not left out."""
    git = ["git", "-C", str(tree)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "helpers"], check=True)
    with pytest.raises(CourseError, match=r"assignment/\w+.py: git does not track it"):
        make_release(tree)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def make_old_release(tree: Path, out: Path) -> None:
    for name, content in make_release(tree).files.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(content)


def test_release_replaces_only_an_unchanged_release(tree: Path, tmp_path: Path):
    """A folder in which somebody has worked is never overwritten."""
    out = tmp_path / "student"
    make_old_release(tree, out)
    (out / ".git").mkdir()
    (out / ".git" / "HEAD").write_text("ref")
    check_is_unchanged_release(out)
    (out / "assignment" / "mine.py").write_text("x = 1\n")
    with pytest.raises(CourseError, match=r"mine.py: is not as the release wrote it"):
        check_is_unchanged_release(out)
    (out / "assignment" / "mine.py").unlink()
    (out / "LICENSE").write_text("changed")
    with pytest.raises(CourseError, match=r"LICENSE: is not as the release wrote it"):
        check_is_unchanged_release(out)


def test_replaced_release_keeps_its_history(tree: Path, tmp_path: Path):
    """The folder that is pushed to a public repository stays a repository."""
    old, new = tmp_path / "student", tmp_path / "new"
    make_old_release(tree, old)
    make_old_release(tree, new)
    (old / ".git").mkdir()
    (old / ".git" / "HEAD").write_text("ref")
    (new / "LICENSE").write_text("newer")
    replace_release(old, new)
    assert (old / ".git" / "HEAD").read_text() == "ref"
    assert (old / "LICENSE").read_text() == "newer"
    assert names_in(tmp_path) == ["course", "student"]


@pytest.mark.parametrize("done", range(3))
def test_killed_replacement_loses_no_history(
    tree: Path, tmp_path: Path, monkeypatch, done: int
):
    """However many of its steps were done, the next release finds `.git` again."""
    old, new = tmp_path / "student", tmp_path / ".student.new"
    make_old_release(tree, old)
    make_old_release(tree, new)
    (old / ".git").mkdir()
    (old / ".git" / "HEAD").write_text("ref")
    left, real = [None] * done, Path.rename

    def rename(path: Path, target: Path) -> Path:
        if not left:
            raise KeyboardInterrupt  # kill -9: nothing is done after it
        left.pop()
        return real(path, target)

    with monkeypatch.context() as patches:
        patches.setattr(Path, "rename", rename)
        with pytest.raises(KeyboardInterrupt):
            replace_release(old, new)
    monkeypatch.setattr("grader.release.build.prove_release", lambda *_: None)
    for _ in range(2):  # the first may ask to look
        with contextlib.suppress(CourseError):
            write_release(tree, old)
    assert (old / ".git" / "HEAD").read_text() == "ref"
    check_is_unchanged_release(old)


def test_release_refuses_other_folders_and_files(tree: Path, tmp_path: Path):
    """What is not a release is never overwritten."""
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "thesis.txt").write_text("years of work")
    with pytest.raises(CourseError, match="is no student release"):
        write_release(tree, taken)
    with pytest.raises(CourseError, match="is no student release"):
        check_zip_is_free(taken / "thesis.txt")
    with pytest.raises(CourseError, match="lies inside of"):
        write_release(tree, tmp_path / "out", tmp_path / "out" / "a.zip")
    assert (taken / "thesis.txt").read_text() == "years of work"
    assert not (tmp_path / "out").exists()


def test_unproven_release_does_not_appear(tree: Path, tmp_path: Path):
    """The small course cannot be imported as the real one; nothing is left of it.

    Where the real one is installed (pip install -e), that is what would be imported.
    """
    is_installed = any("editable" in str(finder) for finder in sys.meta_path)
    reason = "was imported from elsewhere" if is_installed else "cannot be imported"
    with pytest.raises(CourseError, match=f"helpers.train {reason}"):
        write_release(tree, tmp_path / "out")
    assert names_in(tmp_path) == ["course"]


def prove_child_problems(folder: Path, exercises: list[tuple[str, str, str]]) -> str:
    child = ROOT / "grader" / "release" / "prove_child.py"
    code = (
        f"import sys; sys.path[:0] = [{str(child.parent)!r}, {str(folder)!r}]\n"
        "import prove_child\n"
        f"for each in {exercises!r}: print(prove_child.check_exercise(*each))"
    )
    answer = subprocess.run(
        [sys.executable, "-I", "-B", "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )
    return answer.stdout


def test_proof_sees_solved_and_mislabelled_exercises(tmp_path: Path):
    """A stub that answers, raises something else or has another number is found."""
    (tmp_path / "answers.py").write_text(
        "def solved(a, b=2):\n    return a\n\n"
        "def other(a):\n    raise NotImplementedError('Exercise 9.9 other: x')\n\n"
        "def uses(a):\n    a.shape\n    raise NotImplementedError('Exercise 1.3')\n\n"
        "class Good:\n    def __init__(self, a):\n        super().__init__()\n"
        "        raise NotImplementedError('Exercise 1.4 Good.__init__: x')\n"
    )
    names = ["solved", "other", "uses", "Good.__init__", "Lost.name"]
    asked = [("answers", f"1.{i + 1}", name) for i, name in enumerate(names)]
    lines = prove_child_problems(tmp_path, asked).splitlines()
    assert "1.1 solved does not raise" in lines[0]
    assert "1.2 other raises with another text" in lines[1]
    assert "1.3 uses raises AttributeError" in lines[2]
    assert lines[3] == "[]"
    assert "1.5 Lost.name is missing" in lines[4]


def test_release_command_ends_with_one_sentence(tmp_path: Path):
    """A wrong call: exit code 2, one line, no traceback."""
    (tmp_path / "mine.txt").write_text("mine")
    answer = subprocess.run(
        [sys.executable, "-m", "grader", "release", "--out", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert len(answer.stderr.splitlines()) == 1
    assert answer.stderr.startswith("error: ")


def test_manifest_lists_every_file_of_the_release(tree: Path):
    """By it a later release knows what nobody has changed."""
    files = make_release(tree).files
    listed = json.loads(files["release.json"])["student_release"]
    assert set(listed) == set(files) - {"release.json"}
