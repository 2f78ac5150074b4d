"""A disk without room, or a terminal without a reader, costs nobody a grade."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

import core.files
from core.command import CourseError
from grader.results.results import read_results
from tests.small_course import SOLUTION, grade_small, write_course, write_submission

ROOT = Path(__file__).resolve().parent.parent
TRIGGERS = {
    "intake": "code-1",
    "calibration": "solution",
    "a job's answer": "answer.json",
    "a student's page": "feedback.html",
    "a student's results": "results.json",
    "the table of the class": "grades.csv",
    "the page of the class": "index.html",
}


class Disk:
    """Nothing can be written any more once a file of a certain name was begun."""

    def __init__(
        self, monkeypatch, out: Path, trigger: str, kind: int, little: bool = False
    ):
        """Patch what writes; with a little room, what is small is still written."""
        self.out, self.trigger, self.kind = out, trigger, kind
        self.flag = out.parent / "full"  # a job is a process of its own
        real_file, real_bytes, real_mkdir = (
            core.files.new_file,
            Path.write_bytes,
            Path.mkdir,
        )

        def new_file(path):
            self.check(path, str(path))
            return real_file(path)

        def write_bytes(path, content):
            self.check(path)
            return real_bytes(path, content)

        def mkdir(path, *args, **others):
            self.check(path, str(path))
            return real_mkdir(path, *args, **others)

        monkeypatch.setattr(Path, "write_bytes", write_bytes)
        if little:
            return
        monkeypatch.setattr(core.files, "new_file", new_file)
        monkeypatch.setattr(Path, "mkdir", mkdir)

    def check(self, path: Path, name: str | None = None) -> None:
        """Fill up at the trigger."""
        if self.out not in path.parents:
            return
        if path.name == self.trigger:
            self.flag.touch()
        if self.flag.exists():
            raise OSError(self.kind, os.strerror(self.kind), name)


def make_class(tmp_path: Path) -> Path:
    for name in ("anna", "bert"):
        write_submission(tmp_path / "class" / name, SOLUTION)
    return tmp_path / "class"


def change(folder: Path) -> None:
    """Another hand-in, as right as the one before."""
    (folder / "assignment" / "common.py").write_text(f"{SOLUTION}\n# again\n")


@pytest.mark.parametrize(
    ("when", "kind", "little"),
    [
        *((when, errno.ENOSPC, False) for when in TRIGGERS),
        ("intake", errno.EROFS, False),
        ("a file of the hand-in", errno.ENOSPC, True),
    ],
)
def test_full_disk_ends_the_run_with_a_sentence_and_loses_nothing(
    tmp_path, monkeypatch, when, kind, little
):
    """Who was graded before stays so, and the same command goes on afterwards."""
    root = write_course(tmp_path / "course")
    given = make_class(tmp_path)
    assert grade_small(root, given) == 0
    change(given / "bert")
    out = tmp_path / "out"
    before = (out / "anna" / "results.json").read_bytes()
    with monkeypatch.context() as patches:
        Disk(patches, out, TRIGGERS.get(when, "common.py"), kind, little)
        with pytest.raises(CourseError) as caught:
            grade_small(root, given)
    said = str(caught.value)
    assert os.strerror(kind) in said and "call it again" in said
    assert "\n" not in said and str(out) in said
    for name in ("anna", "bert"):
        found = read_results(out / name)
        assert found and (found["score"], found["extra_data"]["status"]) == (
            4,
            "finished",
        )
    assert (out / "anna" / "results.json").read_bytes() == before
    assert grade_small(root, given) == 0
    table = (out / "grades.csv").read_text().splitlines()
    assert len(table) == 3 and all(",4,4,finished," in line for line in table[1:])


def test_an_error_of_the_grader_leaves_an_earlier_grade(tmp_path, monkeypatch, capsys):
    """What is no fault of the hand-in takes nobody's points."""
    root = write_course(tmp_path / "course")
    given = make_class(tmp_path)
    assert grade_small(root, given) == 0
    change(given / "anna")
    monkeypatch.setattr(
        "grader.grading.grade.read_outcomes", lambda answer: ("it broke", None)
    )
    assert grade_small(root, given) == 1
    assert "it broke; the earlier grade stays" in capsys.readouterr().out
    table = (tmp_path / "out" / "grades.csv").read_text()
    assert 'anna,4,4,"finished, earlier run"' in table


SCRIPT = """
from core.command import CourseError, run_command
import sys
def main():
    print("said")
    print("warned", file=sys.stderr)
    open({path!r}, "w").write("ours")
    if {fails}:
        raise CourseError("no")
    return 0
run_command(main)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a shell is needed")
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("fails", [False, True])
def test_closed_streams_end_no_command(tmp_path, closed: str, fails: bool):
    """No traceback, and nothing that is printed reaches a file of ours."""
    path = tmp_path / "file"
    script = SCRIPT.format(path=str(path), fails=fails)
    answer = subprocess.run(
        ["sh", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == (2 if fails else 0)
    assert "Traceback" not in answer.stderr and path.read_text() == "ours"
    assert answer.stdout == ("" if ">&-" in closed.split() else "said\n")
