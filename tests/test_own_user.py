"""Level "own user" where the kernel has no Landlock: refused, or files are root's."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.command import EXIT_PARTLY_FAILED, EXIT_USAGE
from grader.doctor.examine import PROBES
from grader.sandbox.levels import Level, missing_walls
from grader.sandbox.slots import may_become_others
from grader.worker.lockdown import has_seccomp
from tests.attack_grading import open_folder

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.skipif(
    not (may_become_others() and has_seccomp()),
    reason="the level is for root, and the missing Landlock is made by a filter",
)
OTHERS = (
    "source/references/losses.safetensors",
    "source/assignment/fcos_losses.py",
    "class/bob/assignment/common.py",
    "out/bob/results.json",
)
SESSIONS = """
import json, os, sys
from pathlib import Path
from grader.doctor.attacks import start_victim
from grader.sandbox.levels import Level
from grader.session.session import Session
place = Path(sys.argv[1])
with Session(place / "mine", Level.OWN_USER) as mine:
    with Session(place / "bobs", Level.OWN_USER) as bobs:
        files = [str(place / name) for name in sys.argv[2:]]
        files += [str(bobs._sandbox.folder), f"{bobs._sandbox.folder}/lock"]
        files += [f"{bobs._sandbox.folder}/submission/common.py"]
        processes = [os.getpid(), bobs._sandbox.process.pid]
        for pid in processes:
            for name in ("environ", "mem", "maps", "fd", "cwd", "root"):
                files.append(f"/proc/{pid}/{name}")
        said = {"missing": mine.missing, "read": {}}
        call = mine.student().common
        for file in files:
            said["read"][file] = call.read_files([file])
        said["memory"] = call.read_memory(processes)
        said["environment"] = call.read_environment(os.environ["SECRET"])
        said["signals"] = call.send_signals(processes)
        said["open"] = call.read_files([str(place / "open")])
print(json.dumps(said))
"""


FILTERED = [sys.executable, str(ROOT / "tests" / "without_landlock.py")]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}


def without_landlock(*command: str, **environment: str) -> subprocess.CompletedProcess:
    """A command of this project, on such a kernel."""
    return subprocess.run(
        [*FILTERED, sys.executable, *command],
        cwd=ROOT,
        env=ENVIRONMENT | environment,
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.fixture
def place() -> Iterator[Path]:
    """Two submissions, and what they must not read; only root may enter its folders."""
    with open_folder() as folder:
        for other in OTHERS:
            (folder / other).parent.mkdir(parents=True, exist_ok=True)
            (folder / other).write_text("secret")
        for top in {Path(other).parts[0] for other in OTHERS}:
            (folder / top).chmod(0o700)
        (folder / "open").mkdir(mode=0o755)
        (folder / "open" / "readable.txt").write_text("everybody")
        for name in ("mine", "bobs"):
            (folder / name).mkdir()
            shutil.copyfile(PROBES, folder / name / "common.py")
        yield folder


def test_grade_refuses_other_peoples_work_without_landlock(place: Path):
    """As where there are no walls: exit code 2, why, and what to do."""
    command = ("-m", "grader", "grade", str(place / "class"), "--level", "own user")
    run = without_landlock(*command, "--out", str(place / "out" / "new"))
    assert run.returncode == EXIT_USAGE, run.stdout + run.stderr
    assert "Landlock" in run.stderr and "--unsafe" in run.stderr
    assert "Traceback" not in run.stderr
    assert not (place / "out" / "new").exists()


@pytest.mark.parametrize("level", ["own user", "none"])
def test_unsafe_says_its_danger_first(place: Path, level: str):
    """Before anything else, the first line says what submissions can do then."""
    missing, new = str(place / "no such class"), str(place / "out" / "new")
    command = ("-m", "grader", "grade", missing, "--level", level, "--unsafe")
    with subprocess.Popen(
        [*FILTERED, sys.executable, *command, "--out", new],
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as run:
        assert run.stdout is not None
        first = run.stdout.readline()
        run.kill()
    assert first.startswith("--unsafe: ")
    assert "other students" in first and "hidden tests" in first


def test_without_landlock_what_is_roots_alone_stays_closed(place: Path):
    """References, solution, other submissions, results, other sandboxes, the grader."""
    run = without_landlock("-c", SESSIONS, str(place), *OTHERS, SECRET="of the grader")
    assert run.returncode == 0, run.stderr
    said = json.loads(run.stdout)
    assert any("Landlock" in feature for feature in said["missing"])
    assert said["open"] == "read readable.txt"  # the probe reads what it can
    assert {path: how for path, how in said["read"].items() if how} == {}
    assert said["memory"] == said["environment"] == said["signals"] == ""


CHOOSE = """
import sys
from pathlib import Path
from grader.grading.level import choose_level
choose_level("own user", False, alone_with=[Path(name) for name in sys.argv[1:]])
"""


def test_a_service_goes_on_where_its_files_are_roots_alone(place: Path):
    """Gradescope's scripts close them; no Landlock is needed then, and it is said."""
    closed = [str(place / name) for name in ("source", "class", "out")]
    run = without_landlock("-c", CHOOSE, *closed)
    assert run.returncode == 0, run.stderr
    assert "no Landlock" in run.stderr


def test_a_service_stops_where_one_file_is_open(place: Path):
    """Names do not protect it: a folder that can be entered is as bad as one listed."""
    (place / "source").chmod(0o711)
    (place / "source" / "references").chmod(0o711)
    (place / "source" / "assignment").chmod(0o700)
    run = without_landlock("-c", CHOOSE, str(place / "class"), str(place / "source"))
    assert run.returncode != 0
    assert "losses.safetensors" in run.stderr and "chmod" in run.stderr


def test_gradescope_gives_no_points_where_its_files_are_open(place: Path):
    """The run of a checkout that all may read: a result, and why for the instructor."""
    submission, results = place / "class" / "bob", place / "results.json"
    run = without_landlock(
        "-m",
        "grader.gradescope.run",
        str(submission),
        str(results),
        "--level",
        "own user",
    )
    if (ROOT.stat().st_mode & 0o055) == 0o055:
        assert run.returncode == EXIT_PARTLY_FAILED, run.stderr
        assert "chmod" in run.stdout
        assert json.loads(results.read_text())["score"] == 0


def test_what_a_level_misses_is_tried_out(monkeypatch: pytest.MonkeyPatch):
    """Seccomp is needed behind bubblewrap, too; Landlock only without it."""
    assert missing_walls(Level.NONE) != ()
    monkeypatch.setattr("grader.sandbox.levels.has_landlock", lambda: False)
    assert missing_walls(Level.BUBBLEWRAP) == ()
    assert missing_walls(Level.OWN_USER) == ("Landlock",)
    monkeypatch.setattr("grader.sandbox.levels.has_seccomp", lambda: False)
    assert missing_walls(Level.BUBBLEWRAP) == ("seccomp",)
    assert missing_walls(Level.OWN_USER) == ("Landlock", "seccomp")
