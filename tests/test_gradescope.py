"""The zip for Gradescope: complete, pinned, and its scripts do what is needed."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from core.command import CourseError
from grader.gradescope import run as gradescope
from grader.gradescope.build import cpu_requirements, write_autograder
from tests.small_course import write_course

ROOT = Path(__file__).resolve().parent.parent
# Answers like the real one, without a sandbox: what matters here is around it.
FAKE_RUN = """
import json, sys
from pathlib import Path
if not Path(sys.argv[1], "assignment", "common.py").exists():
    raise SystemExit("no submission")
Path(sys.argv[2]).write_text(json.dumps({"score": 4}))
"""
PINS = """
torch==2.15.0             # via torchvision, fcos-notebook-course (pyproject.toml)
torchvision==0.29.2       # via fcos-notebook-course (pyproject.toml)
numpy==2.4.6 ; python_full_version < '3.12'  # via torchvision
numpy==2.5.5 ; python_full_version >= '3.12'  # via torchvision
nvidia-nccl-cu13==2.30.7 ; sys_platform == 'linux'  # via torch
triton==3.9.0             # via torch
sympy==1.14.0             # via torch
mpmath==1.3.0             # via sympy
jupyter==1.1.1            # via fcos-notebook-course (pyproject.toml)
"""


@pytest.fixture
def unpacked(tmp_path):
    root = write_course(tmp_path / "checkout")
    for name in ("LICENSE", "core/command.py", "grader/gradescope/run.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(FAKE_RUN if "run" in name else "")
    shutil.copy(ROOT / "requirements.txt", root)
    write_autograder(root, tmp_path / "autograder.zip")
    home = tmp_path / "autograder"
    # Gradescope unpacks with modes; zipfile does not.
    with zipfile.ZipFile(tmp_path / "autograder.zip") as archive:
        archive.extractall(home / "source")
        for entry in archive.infolist():
            (home / "source" / entry.filename).chmod(entry.external_attr >> 16)
    (home / "submission" / "assignment").mkdir(parents=True)
    venv = tmp_path / "venv" / "bin"
    venv.mkdir(parents=True)
    (venv / "python").symlink_to(sys.executable)
    return home


def start(home: Path) -> subprocess.CompletedProcess:
    environment = {
        "PATH": os.environ["PATH"],
        "AUTOGRADER_HOME": str(home),
        "AUTOGRADER_VENV": str(home.parent / "venv"),
    }
    return subprocess.run(
        [home / "source" / "run_autograder"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_pins_for_the_cpu_leave_out_the_gpu_and_notebooks(monkeypatch):
    """What tests import and what that needs, for each Python; nothing of the GPU."""
    monkeypatch.setattr("grader.gradescope.build.ROOTS", ("torch", "torchvision"))
    names = [line.partition("==")[0] for line in cpu_requirements(PINS).splitlines()]
    assert names == ["mpmath", "numpy", "numpy", "sympy", "torch", "torchvision"]
    with pytest.raises(CourseError, match="no pin of torchvision"):
        cpu_requirements(PINS.replace("torchvision==0.29.2", ""))


def test_pins_of_this_course_are_found():
    """The requirements.txt of the course has a pin of all that grading needs."""
    text = cpu_requirements((ROOT / "requirements.txt").read_text())
    names = {line.partition("==")[0] for line in text.splitlines()}
    assert {"torch", "pytest", "msgpack", "markupsafe", "pluggy", "filelock"} <= names
    others = ("nvidia", "jupyter-", "notebook")
    assert not [name for name in names if name.startswith(others)]


def test_only_an_autograder_is_replaced(tmp_path, monkeypatch):
    """A class's hand-ins, or a thesis, may have the name that was given."""
    monkeypatch.setattr(
        "grader.gradescope.build.autograder_files", lambda *_: {"run_autograder": b""}
    )
    out = tmp_path / "class.zip"
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("ada/assignment/common.py", "x = 1")
    before = out.read_bytes()
    with pytest.raises(CourseError, match="exists already and is no autograder"):
        write_autograder(ROOT, out)
    assert out.read_bytes() == before
    out.unlink()
    for _ in range(2):
        assert write_autograder(ROOT, out) == 1


def test_autograder_holds_scripts_tests_and_solution(tmp_path):
    """The real zip: same bytes each time, scripts may be run, no planted mistakes."""
    first, second = tmp_path / "a.zip", tmp_path / "b.zip"
    write_autograder(ROOT, first)
    write_autograder(ROOT, second)
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        modes = {
            member.filename: member.external_attr >> 16 for member in archive.infolist()
        }
    assert modes["setup.sh"] == modes["run_autograder"] == 0o100755
    for name in (
        "requirements-cpu.txt",
        "course/requirements.txt",
        "course/assignment/common.py",
        "course/grader/gradescope/run.py",
        "course/grader_tests/pytest.ini",
        "course/course.toml",
        "course/helpers/checks/expect.py",
        "course/grader/worker/zygote.py",
        "course/grader/pages/templates/class.html",
    ):
        assert name in modes
    mistakes = "course/grader_tests/mistakes/"
    assert not [name for name in modes if name.startswith(mistakes)]


def test_run_autograder_writes_the_result(unpacked):
    """The script finds the course, the submission and the place of the result."""
    (unpacked / "submission" / "assignment" / "common.py").write_text("")
    answer = start(unpacked)
    assert answer.returncode == 0, answer.stderr
    result = json.loads((unpacked / "results" / "results.json").read_text())
    assert result == {"score": 4}
    assert (unpacked / "source").stat().st_mode & 0o077 == 0


def test_run_autograder_that_fails_leaves_a_result_without_points(unpacked):
    """Whatever goes wrong, Gradescope gets a result, and it is 0."""
    answer = start(unpacked)
    assert answer.returncode != 0
    result = json.loads((unpacked / "results" / "results.json").read_text())
    assert result["score"] == 0 and "did not finish" in result["output"]


def test_scripts_are_valid_bash():
    """Bash reads both scripts without an error."""
    for name in ("setup.sh", "run_autograder"):
        path = ROOT / "grader" / "gradescope" / "files" / name
        read = subprocess.run(["bash", "-n", path], capture_output=True, text=True)
        assert (read.returncode, read.stderr) == (0, ""), name


@pytest.mark.parametrize("error", [ZeroDivisionError(), CourseError("no walls")])
def test_an_error_of_the_grader_gives_a_sentence_and_no_points(
    tmp_path, monkeypatch, error
):
    """Gradescope shows what its student can act on; the log has the cause."""

    def fail(options):
        raise error

    monkeypatch.setattr(gradescope, "grade_one", fail)
    results = tmp_path / "results.json"
    monkeypatch.setattr(sys, "argv", ["run", str(tmp_path), str(results)])
    assert gradescope.main() == 1
    content = json.loads(results.read_text())
    assert content["score"] == 0 and "ask your instructor" in content["output"]
