"""The walls of each level that this machine can build, and what they are built of."""

import ast
import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.command import CourseError
from grader.border.limits import Limits
from grader.doctor.attacks import ATTACKS
from grader.doctor.examine import examine
from grader.sandbox import bubblewrap
from grader.sandbox import folder as sandbox_folder
from grader.sandbox.bubblewrap import (
    bubblewrap_arguments,
    interpreter_folders,
    why_no_bubblewrap,
)
from grader.sandbox.levels import Level, Probe, require_walls
from grader.sandbox.sandbox import (
    Sandbox,
    clean_environment,
    copy_code,
    copy_submission,
)
from grader.sandbox.slots import Slot, may_become_others, processes_of
from grader.worker.landlock import landlock_version
from grader.worker.lockdown import has_seccomp

ROOT = Path(__file__).resolve().parent.parent
# Those that end by themselves at once; test_doctor.py tries the others.
QUICK = tuple(
    attack
    for attack in ATTACKS
    if attack.name not in ("compute_for_ever", "print_for_ever", "take_memory")
)


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run code of the grader in a process that may lock itself up."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_own_user_stops_the_attacks():
    """Without namespaces: a user of its own, Landlock and a filter of calls."""
    if not (may_become_others() and landlock_version() and has_seccomp()):
        with pytest.raises(CourseError):
            Sandbox(ROOT / "assignment", Level.OWN_USER, Limits())
        return
    through = [
        finding for finding in examine(Level.OWN_USER, QUICK) if not finding.is_stopped
    ]
    assert through == []


def test_no_walls_are_refused_unless_asked_for():
    """Other people's code needs walls, or --unsafe."""
    none = Probe(Level.NONE, "bubblewrap is not installed")
    with pytest.raises(CourseError, match="--unsafe"):
        require_walls(none, unsafe=False)
    require_walls(none, unsafe=True)
    require_walls(Probe(Level.OWN_USER, ""), unsafe=False)


def test_a_missing_bubblewrap_is_told_how_to_install(monkeypatch: pytest.MonkeyPatch):
    """Where bwrap is not there the reason says how to get it."""
    monkeypatch.setattr(bubblewrap.shutil, "which", lambda name: None)
    assert "apt-get install bubblewrap" in str(why_no_bubblewrap())


@pytest.mark.parametrize("as_root", [True, False])
def test_bubblewrap_shows_nothing_of_the_project(tmp_path: Path, as_root: bool):
    """Mounted are the system, Python, the sandbox's folder, and no other."""
    arguments = bubblewrap_arguments(tmp_path, 64, as_root)
    shown = [
        source
        for option, source in itertools.pairwise(arguments)
        if option.startswith(("--ro-bind", "--bind", "--dev-bind"))
    ]
    # An empty folder stands in its place where Python's packages are in it, in .venv.
    assert not [path for path in shown if ROOT.is_relative_to(path)]
    inside = [Path(path) for path in shown if Path(path).is_relative_to(ROOT)]
    assert {path.name for path in inside} <= {".venv"}
    writable = [a for a in arguments if a in ("--bind", "--dev-bind")]
    assert writable == []
    assert "--die-with-parent" in arguments
    assert "--new-session" in arguments
    assert arguments[arguments.index("--cap-drop") + 1] == "ALL"
    assert ("--disable-userns" in arguments) is not as_root


def test_the_environment_is_made_from_nothing(monkeypatch: pytest.MonkeyPatch):
    """No variable of the grader is seen; the order of sets can be chosen."""
    monkeypatch.setenv("SECRET", "x")
    assert "SECRET" not in clean_environment()
    assert clean_environment(5)["PYTHONHASHSEED"] == "5"


def test_the_code_inside_holds_no_tests_and_no_solution(tmp_path: Path):
    """What is copied into a sandbox is the worker and the helpers."""
    copy_code(tmp_path / "code")
    names = {path.name for path in (tmp_path / "code").iterdir()}
    assert names == {"core", "grader", "helpers"}
    names = {path.name for path in (tmp_path / "code/grader").iterdir()}
    assert names == {"__init__.py", "border", "worker"}
    for path in (tmp_path / "code/grader").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and str(node.module)[:7] == "grader.":
                needed = tmp_path / "code" / str(node.module).replace(".", "/")
                is_there = needed.is_dir() or needed.with_suffix(".py").exists()
                assert is_there, f"{path.name} needs {needed.name}"


def test_links_and_folders_of_a_submission_are_not_copied(tmp_path: Path):
    """Only plain *.py files at the top go in."""
    given = tmp_path / "given"
    (given / "folder.py").mkdir(parents=True)
    (given / "common.py").write_text("")
    (given / "conftest.ini").write_text("")
    (given / "link.py").symlink_to("/etc/passwd")
    copy_submission(given, tmp_path / "copy")
    assert [path.name for path in (tmp_path / "copy").iterdir()] == ["common.py"]


def test_two_graders_may_sweep_at_once(tmp_path: Path, monkeypatch):
    """A leftover that the other one has removed meanwhile is no error."""
    monkeypatch.setattr(sandbox_folder.tempfile, "tempdir", str(tmp_path))
    gone = tmp_path / f"{sandbox_folder.PREFIX}gone"
    monkeypatch.setattr(Path, "glob", lambda *_: iter([gone]))
    folder, lock = sandbox_folder.new_folder()
    assert (folder / sandbox_folder.LOCK).is_file()
    sandbox_folder.remove_folder(folder, lock)


def test_folder_that_another_grader_swept_is_made_anew(tmp_path: Path, monkeypatch):
    """Between its making and its lock it looks like a leftover."""
    monkeypatch.setattr(sandbox_folder.tempfile, "tempdir", str(tmp_path))
    lock_file, made = sandbox_folder.fcntl.flock, []

    def swept_once(lock: int, how: int) -> None:
        lock_file(lock, how)
        made.append(max(tmp_path.iterdir(), key=lambda path: path.stat().st_mtime_ns))
        if len(made) == 1:
            sandbox_folder.shutil.rmtree(made[0])

    monkeypatch.setattr(sandbox_folder.fcntl, "flock", swept_once)
    folder, lock = sandbox_folder.new_folder()
    assert len(made) == 2 and folder == made[1]
    assert (folder / sandbox_folder.LOCK).is_file()
    sandbox_folder.remove_folder(folder, lock)


def test_folders_of_killed_graders_are_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A folder whose lock nobody holds goes; one in use stays."""
    monkeypatch.setattr(sandbox_folder.tempfile, "tempdir", str(tmp_path))
    used, lock = sandbox_folder.new_folder()
    left, left_lock = sandbox_folder.new_folder()
    os.close(left_lock)
    other, other_lock = sandbox_folder.new_folder()
    assert used.exists()
    assert not left.exists()
    sandbox_folder.remove_folder(used, lock)
    sandbox_folder.remove_folder(other, other_lock)
    assert list(tmp_path.iterdir()) == []


def test_each_sandbox_has_a_user_of_its_own():
    """Two at once never share a number, and a number leaves no process behind."""
    if not may_become_others():
        return
    first, second = Slot.take(), Slot.take()
    assert first.uid != second.uid
    left = subprocess.Popen(["sleep", "60"], user=first.uid, start_new_session=True)
    assert processes_of(first.uid) == [left.pid]
    first.free()
    second.free()
    assert left.wait(10) == -9


FILTER = """
import os, signal, socket, threading
from grader.worker.seccomp import forbid_calls
forbid_calls()
def refused(call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        return isinstance(error, PermissionError)
    return False
assert refused(os.fork), "fork"
assert refused(os.execv, "/bin/true", ["true"]), "exec"
assert refused(socket.socket), "socket"
assert refused(os.kill, os.getppid(), 0), "kill"
assert refused(os.mkdir, "/tmp/fcos-never"), "mkdir"
assert refused(open, "/tmp/fcos-never", "w"), "create"
assert refused(os.memfd_create, "x"), "memfd"
os.kill(os.getpid(), 0)
thread = threading.Thread(target=print, args=("threads work",))
thread.start()
thread.join()
print(open("/etc/hostname").read() and "reading works")
"""


def test_the_filter_stops_processes_sockets_and_new_files():
    """Forbidden calls raise PermissionError; threads and reading still work."""
    if not has_seccomp():
        return
    run = python(FILTER)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split("\n")[:2] == ["threads work", "reading works"]


LOCK = """
import sys
from pathlib import Path
from grader.worker.landlock import allow_only
allow_only([Path(sys.argv[1]), Path("/nowhere")])
assert (Path(sys.argv[1]) / "in").read_text() == "in"
for path in (Path(sys.argv[2]), Path(sys.argv[1]) / "new"):
    try:
        path.open("r" if path.exists() else "w")
    except PermissionError:
        continue
    raise SystemExit(f"opened {path}")
"""


def test_landlock_leaves_only_the_given_folders(tmp_path: Path):
    """Files elsewhere cannot be read, and nothing can be made."""
    if not landlock_version():
        return
    (tmp_path / "allowed").mkdir()
    (tmp_path / "allowed" / "in").write_text("in")
    (tmp_path / "out").write_text("out")
    run = python(LOCK, str(tmp_path / "allowed"), str(tmp_path / "out"))
    assert run.returncode == 0, run.stderr


def test_walls_leave_an_interpreter_below_tmp_where_it_is():
    """A checkout may lie in /tmp: what is mounted there comes before its packages."""
    arguments = bubblewrap_arguments(Path("/somewhere"), 1, as_root=True)
    temporary = arguments.index("/tmp")
    for folder in interpreter_folders():
        assert arguments.index(folder) > temporary
