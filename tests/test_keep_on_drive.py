"""start(drive=True) loses no version of a file, whatever happens in between."""

import hashlib
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers import notebook
from helpers.drive.copies import COPYING, versions
from tests.drive_sessions import Sessions

STUB = "def iou():\n    raise NotImplementedError\n"
OLD, NEW = 1_700_000_000.0, 1_700_009_000.0  # times of files, in seconds
SEEDS = range(12)
STEPS = 25
ON_DRIVE = Path(notebook.DRIVE_FOLDER)


@pytest.fixture(scope="module")
def sessions() -> Iterator[Sessions]:
    """One process for all tests."""
    with Sessions() as started:
        yield started


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    """A mounted Drive with nothing on it."""
    (tmp_path / "drive" / "MyDrive").mkdir(parents=True)
    return tmp_path / "drive"


def write(path: Path, text: str, seconds: float = NEW) -> Path:
    """Write a file that is as old as you like."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (seconds, seconds))
    return path


def make_course(root: Path, files: dict[str, str], seconds: float = NEW) -> Path:
    """A course as it is fetched: files of assignment/, and the list of a release."""
    for name, text in files.items():
        write(root / "assignment" / name, text, seconds)
    sums = {
        f"assignment/{name}": hashlib.sha256(text.encode()).hexdigest()
        for name, text in files.items()
    }
    write(root / "release.json", json.dumps({"student_release": sums}), seconds)
    return root


def contents(*folders: Path) -> set[bytes]:
    """What all files below hold; links to folders are not followed."""
    return {
        path.read_bytes()
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and path.name != "release.json"
    }


def names(folder: Path) -> set[str]:
    """Of the files below a folder, without copies that are not complete."""
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith(COPYING)
    }


def test_edited_file_beats_the_stub_on_drive(
    sessions: Sessions, tmp_path: Path, drive: Path
):
    """A session with Drive, one without in which work is done, and one with it."""
    assert sessions.start(
        make_course(tmp_path / "a", {"common.py": STUB}), drive
    ).is_well
    root = make_course(tmp_path / "b", {"common.py": STUB})
    write(
        root / "assignment" / "common.py", "my work\n", OLD
    )  # whatever the clock says
    answer = sessions.start(root, drive)
    assert answer.is_well
    assert (root / "assignment" / "common.py").read_text() == "my work\n"
    assert (root / "assignment").is_symlink()
    assert (
        "assignment/common.py: this machine's is used; the course's stays in"
        in answer.text
    )
    assert STUB.encode() in contents(drive)


def test_work_on_drive_beats_a_fresh_stub(
    sessions: Sessions, tmp_path: Path, drive: Path
):
    """Though the stub is younger, and though nobody knows what Drive had before."""
    on_it = drive / ON_DRIVE / "assignment" / "common.py"
    write(on_it, "my work\n", OLD)
    for machine in "abc":
        root = make_course(tmp_path / machine, {"common.py": STUB})
        answer = sessions.start(root, drive)
        assert answer.is_well and on_it.read_text() == "my work\n"
        assert ("released/" in answer.text) == (machine == "a")  # said once
    assert STUB.encode() in contents(drive)
    assert names(drive / ON_DRIVE / "assignment") == {"common.py"}


@pytest.mark.parametrize("here_is_newer", [True, False])
def test_of_two_edited_files_the_newer_is_used(
    here_is_newer: bool, sessions: Sessions, tmp_path: Path, drive: Path
):
    """The other lies beside it, under its date, and a line says so."""
    kept = drive / ON_DRIVE / "assignment"
    write(kept / "common.py", "on drive\n", OLD if here_is_newer else NEW)
    root = make_course(tmp_path / "a", {"common.py": STUB})
    here = root / "assignment" / "common.py"
    write(here, "here\n", NEW if here_is_newer else OLD)
    answer = sessions.start(root, drive)
    (other,) = versions(kept / "common.py")
    texts = [here.read_text(), other.read_text()]
    assert texts == (
        ["here\n", "on drive\n"] if here_is_newer else ["on drive\n", "here\n"]
    )
    assert f"is now {other.name}" in answer.text
    write(tmp_path / "b" / "assignment" / "common.py", other.read_text(), OLD)
    assert sessions.start(tmp_path / "b", drive).is_well
    assert len(versions(kept / "common.py")) == 1  # the same version once


def test_checkpoint_and_log_stay_together(
    sessions: Sessions, tmp_path: Path, drive: Path
):
    """The newer run is used as a whole; a late picture makes no run newer."""
    root = make_course(tmp_path / "a", {"common.py": STUB})
    for folder, run, seconds in (
        (drive / ON_DRIVE / "runs" / "mine", "old", OLD),
        (root / "runs" / "mine", "new", OLD + 9),
    ):
        write(folder / "checkpoint.pt", f"{run} weights", seconds)
        write(folder / "log.jsonl", f"{run} log", seconds)
    write(drive / ON_DRIVE / "runs" / "mine" / "losses.png", "old picture", NEW)
    write(drive / ON_DRIVE / "runs" / "kept" / "common_1.py", "one")
    write(root / "runs" / "kept" / "common_2.py", "two")
    answer = sessions.start(root, drive)
    used = root / "runs" / "mine"
    assert names(used) == {"checkpoint.pt", "log.jsonl"}
    assert (used / "checkpoint.pt").read_text() == "new weights"
    (other,) = versions(used)
    assert (other / "checkpoint.pt").read_text() == "old weights"
    assert names(other) == {"checkpoint.pt", "log.jsonl", "losses.png"}
    assert (
        f"runs/mine: this machine's is newer and used; Drive's is now {other.name}"
        in (answer.text)
    )
    assert names(root / "runs" / "kept") == {"common_1.py", "common_2.py"}


def test_run_in_runs_itself_stays_together(sessions: Sessions, tmp_path: Path):
    """With --out runs; whichever of its files is young, and stopped anywhere."""
    for number in itertools.count():
        place = tmp_path / str(number)
        root, there = place / "a", place / "drive" / ON_DRIVE
        make_course(root, {"common.py": STUB})
        for folder, run, seconds in (
            (there / "runs", "Drive's", (OLD, OLD + 5)),
            (root / "runs", "this", (OLD + 9, OLD + 3)),
        ):
            write(folder / "checkpoint.pt", f"weights of {run}", seconds[0])
            write(folder / "log.jsonl", f"log of {run}", seconds[1])
        before = contents(place)
        answer = sessions.start(root, place / "drive", kill_at=number)
        assert sessions.start(root, place / "drive").is_well
        used = {(root / "runs" / name).read_text() for name in names(there / "runs")}
        assert (root / "runs" / "log.jsonl").read_text() == "log of this"
        assert (root / "runs" / "checkpoint.pt").read_text() == "weights of this"
        assert before <= contents(place) and len(used) == 4
        if number and not answer.killed:
            break
    assert number > 10


def test_new_release_reaches_drive(sessions: Sessions, tmp_path: Path, drive: Path):
    """New files appear, untouched stubs are replaced, work and old files stay."""
    first = {"common.py": STUB, "head.py": STUB, "gone.py": STUB}
    root = make_course(tmp_path / "a", first, OLD)
    assert sessions.start(root, drive).is_well
    write(root / "assignment" / "head.py", "my head\n", OLD + 5)
    stub = STUB + "# better explained\n"
    second = {"common.py": stub, "head.py": stub, "new.py": STUB}
    answer = sessions.start(make_course(tmp_path / "b", second), drive)
    folder = tmp_path / "b" / "assignment"
    texts = {name: (folder / name).read_text() for name in names(folder)}
    assert texts == {
        **{"common.py": stub, "head.py": "my head\n"},
        **{"gone.py": STUB, "new.py": STUB},
    }
    assert "assignment/common.py: you had not edited it" in answer.text
    assert "assignment/head.py: Drive's is used; the course's is in" in answer.text
    assert {STUB.encode(), stub.encode()} <= contents(drive)


def test_second_start_changes_nothing(sessions: Sessions, tmp_path: Path, drive: Path):
    """The links are there already."""
    root = make_course(tmp_path / "a", {"common.py": STUB})
    write(root / "runs" / "mine" / "checkpoint.pt", "weights")
    assert sessions.start(root, drive).is_well
    before = names(tmp_path)
    answer = sessions.start(root, drive)
    assert answer.is_well and answer.operations == 0
    assert names(tmp_path) == before


def put_two_versions(root: Path, drive: Path) -> None:
    """Each kind of difference between a course and Drive."""
    stub = STUB + "# of the second release\n"
    given = {"common.py": stub, "head.py": stub, "fpn.py": stub, "nms.py": stub}
    make_course(root, given)
    for name, text, seconds in (
        ("head.py", "head here", NEW),
        ("fpn.py", "fpn here", OLD),
        ("more/own.py", "own", NEW),
    ):
        write(root / "assignment" / name, text, seconds)
    there = drive / ON_DRIVE
    for name, text, seconds in (
        ("released/assignment/common_2023-01-01_10-00-00.py", STUB, OLD),
        ("assignment/common.py", STUB, OLD),
        ("assignment/head.py", "head on drive", OLD),
        ("assignment/fpn.py", "fpn on drive", NEW),
        ("assignment/nms.py", "nms on drive", OLD),
    ):
        write(there / name, text, seconds)
    for folder, run, seconds in (
        (root / "runs" / "one", "1 here", NEW),
        (there / "runs" / "one", "1 on drive", OLD),
        (root / "runs" / "two", "2 here", OLD),
        (there / "runs" / "two", "2 on drive", NEW),
        (root / "runs" / "new", "3 here", NEW),
    ):
        write(folder / "checkpoint.pt", f"weights {run}", seconds)
        write(folder / "log.jsonl", f"log {run}", seconds)


EXPECTED = {
    "assignment/head.py": "head here",
    "assignment/fpn.py": "fpn on drive",
    "assignment/nms.py": "nms on drive",
    "assignment/common.py": STUB + "# of the second release\n",
    "assignment/more/own.py": "own",
    "runs/one/checkpoint.pt": "weights 1 here",
    "runs/one/log.jsonl": "log 1 here",
    "runs/two/checkpoint.pt": "weights 2 on drive",
    "runs/two/log.jsonl": "log 2 on drive",
    "runs/new/log.jsonl": "log 3 here",
}


@pytest.mark.parametrize(
    ("ending", "new_machine"),
    [("kill_at", False), ("kill_at", True), ("fail_at", False)],
)
def test_stop_at_every_operation_loses_nothing(
    ending: str, new_machine: bool, sessions: Sessions, tmp_path: Path
):
    """Killed, or Drive full from then on; the next start finishes the job.

    On a new machine the files of the old one are gone, but none that Drive had.
    """
    for number in itertools.count(1):
        place = tmp_path / str(number)
        root, drive = place / "course", place / "drive"
        (drive / "MyDrive").mkdir(parents=True)
        put_two_versions(root, drive)
        before = contents(place)
        answer = sessions.start(root, drive, **{ending: number})
        assert before <= contents(place), f"lost at operation {number}"
        run = drive / ON_DRIVE / "runs" / "one"
        if not run.exists():  # between two names, when its copy is complete
            copy = run.with_name(f".one{COPYING}")
            assert names(copy) == names(root / "runs" / "one")
        is_complete = not answer.killed and answer.operations < number
        if ending == "fail_at" and not is_complete and not answer.is_well:
            assert "No space left on device" in answer.text
            assert "nothing is lost" in answer.text
        if new_machine:
            shutil.rmtree(root)
            before &= contents(drive)  # half a copy is no version
            make_course(root, {"common.py": STUB, "head.py": STUB})
            assert sessions.start(root, drive).is_well
            assert before <= contents(drive), f"lost after operation {number}"
            assert (root / "assignment" / "head.py").read_text() != STUB
        else:
            assert sessions.start(root, drive).is_well
            assert before <= contents(place), f"lost after operation {number}"
            found = {name: (root / name).read_text() for name in EXPECTED}
            assert found == EXPECTED, f"not finished after operation {number}"
            assert not list(drive.rglob(f".*{COPYING}"))
        shutil.rmtree(place)
        if is_complete:
            break
    assert number > 50  # so many operations it has


def test_what_is_in_the_way_is_named_and_left(
    sessions: Sessions, tmp_path: Path, drive: Path
):
    """A file where a folder should be, on either side, and a link to elsewhere."""
    root = make_course(tmp_path / "a", {"common.py": STUB})
    write(drive / ON_DRIVE / "assignment", "a file")
    write(root / "runs" / "mine" / "checkpoint.pt", "weights")
    answer = sessions.start(root, drive)
    assert answer.text.startswith("[FAIL] Drive: runs/ is kept in MyDrive/fcos-course")
    assert "assignment/ cannot be brought there: " in answer.text
    assert "MyDrive/fcos-course/assignment is a file; give it another" in answer.text
    assert (root / "assignment" / "common.py").read_text() == STUB

    (drive / ON_DRIVE / "assignment").unlink()
    elsewhere = tmp_path / "elsewhere"
    (root / "assignment").rename(elsewhere)
    (root / "assignment").symlink_to(elsewhere)
    answer = sessions.start(root, drive)
    assert not answer.is_well and f"it is a link to {elsewhere}, where" in answer.text
    assert (root / "assignment").readlink() == elsewhere

    other = tmp_path / "other" / "MyDrive"
    write(other / "fcos-course", "a file")
    answer = sessions.start(root, other.parent)
    assert answer.text.startswith("[FAIL] Drive: nothing is kept in MyDrive")
    assert (other / "fcos-course").read_text() == "a file"


def test_file_and_folder_of_one_name_both_stay(
    sessions: Sessions, tmp_path: Path, drive: Path
):
    """Also where one side has only folders in it."""
    there = drive / ON_DRIVE
    write(there / "assignment" / "a" / "b" / "x.py", "folder a", OLD)
    write(there / "assignment" / "c", "file c", OLD)
    write(there / "runs" / "exp", "file exp", OLD)
    root = make_course(tmp_path / "a", {"a": "file a", "c/d/x.py": "folder c"})
    write(root / "runs" / "exp" / "y" / "log.jsonl", "folder exp")
    before = contents(tmp_path)
    assert sessions.start(root, drive).is_well
    assert before <= contents(drive)


def test_link_to_what_is_gone_is_replaced(
    sessions: Sessions, tmp_path: Path, drive: Path
):
    """The folder on Drive was deleted: the last one that was here is used."""
    root = make_course(tmp_path / "a", {"common.py": STUB})
    write(root / "assignment" / "common.py", "my work")
    assert sessions.start(root, drive).is_well
    shutil.rmtree(drive / ON_DRIVE)
    answer = sessions.start(root, drive)
    assert answer.is_well
    assert (root / "assignment" / "common.py").read_text() == "my work"
    folders = (root / "before_drive").glob("*/assignment")
    (before,) = (path for path in folders if not path.is_symlink())
    assert (
        "assignment/: not on Drive any more (moved, renamed or deleted?), so it begins "
        f"again from {before.relative_to(root)}\n" in answer.text
    )
    shutil.rmtree(drive / ON_DRIVE)
    shutil.rmtree(root / "before_drive")
    answer = sessions.start(root, drive)
    assert not answer.is_well and "neither here nor there; fetch the" in answer.text


def test_links_and_caches_stay_behind(sessions: Sessions, tmp_path: Path, drive: Path):
    """Drive holds no links; what Python makes again is not brought; a copy has none."""
    root = make_course(tmp_path / "a", {"common.py": STUB})
    cache = write(root / "assignment" / "__pycache__" / "common.pyc", "cache")
    write(root / "runs" / "mine" / "log.jsonl", "log")
    (root / "runs" / "latest").symlink_to("mine")
    (root / "runs" / "mine" / "up").symlink_to("..")
    (root / "runs" / "gone").symlink_to("nowhere")
    answer = sessions.start(root, drive)
    for name in ("latest", "gone", "mine/up"):
        assert f"runs/{name}: is no file or folder (a link?)" in answer.text
    assert names(drive / ON_DRIVE) == {
        "assignment/common.py",
        "runs/mine/log.jsonl",
        *(f"released/assignment/{path.name}" for path in released(drive, "common.py")),
    }
    assert list(root.glob(f"before_drive/*/assignment/*/{cache.name}"))


def released(drive: Path, name: str) -> list[Path]:
    """The versions of a file that were published."""
    return versions(drive / ON_DRIVE / "released" / "assignment" / name)


def in_this_process(
    root: Path, drive: Path, monkeypatch: pytest.MonkeyPatch
) -> notebook.Answer:
    """What Drive is asked for, where a test looks at this process."""
    monkeypatch.setattr(notebook, "is_colab", lambda: True)
    monkeypatch.setattr(notebook, "ROOT", root)
    monkeypatch.setattr(notebook, "DRIVE", drive)
    return notebook.keep_on_drive()


def test_imported_code_that_changed_needs_a_restart(
    tmp_path: Path, drive: Path, monkeypatch: pytest.MonkeyPatch
):
    """Drive's file is older than the one that Python read, so nothing reloads it."""
    for machine, edited in (("a", "head.py"), ("b", "common.py")):
        on_it = drive / ON_DRIVE / "assignment" / edited
        write(on_it, f"work {machine}", OLD)
        root = make_course(tmp_path / machine, {"common.py": STUB, "head.py": STUB})
        module = types.ModuleType("assignment.common")
        module.__file__ = str(root / "assignment" / "common.py")
        monkeypatch.setitem(sys.modules, "assignment.common", module)
        is_well, text = in_this_process(root, drive, monkeypatch)
        assert is_well and ("restart the kernel" in text) == (machine == "b")


def test_drive_that_cannot_be_mounted_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """It says no, or does nothing: no folder is made where Drive should be."""
    root = make_course(tmp_path / "a", {"common.py": STUB})
    drive = types.ModuleType("google.colab.drive")
    monkeypatch.setitem(sys.modules, "google.colab.drive", drive)

    def refuse(path: str) -> None:
        raise ValueError("mount failed")

    for mount, reason in ((refuse, "(mount failed)"), (str, "has no MyDrive")):
        drive.mount = mount  # type: ignore[attr-defined]
        is_well, text = in_this_process(root, tmp_path / "drive", monkeypatch)
        assert not is_well and reason in text
    assert not (tmp_path / "drive").exists()
    assert not (root / "assignment").is_symlink()


def test_course_on_drive_is_left_as_it_is(drive: Path, monkeypatch: pytest.MonkeyPatch):
    """Whoever cloned it there has all of it on Drive; links would not work."""
    root = make_course(drive / "MyDrive" / "mine", {"common.py": STUB})
    is_well, text = in_this_process(root, drive, monkeypatch)
    assert is_well and "the course itself is there" in text
    assert not (root / "assignment").is_symlink()
    assert not (drive / ON_DRIVE).exists()


def test_stub_that_a_teacher_changed_is_as_old_as_its_commit(
    tmp_path: Path, drive: Path, monkeypatch: pytest.MonkeyPatch
):
    """It is not in the release's list, and the clone is younger than any work."""
    root = make_course(tmp_path / "a", {"common.py": STUB})
    file = write(root / "assignment" / "common.py", STUB + "# see page 3\n")
    monkeypatch.setenv("GIT_COMMITTER_DATE", f"{OLD:.0f} +0000")
    for command in (
        ["init", "-q"],
        ["add", "-A"],
        ["-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "a"],
        ["update-ref", "refs/remotes/origin/HEAD", "HEAD"],
    ):
        subprocess.run(["git", *command], cwd=root, check=True)
    write(drive / ON_DRIVE / "assignment" / "common.py", "my work", OLD + 60)
    is_well, text = in_this_process(root, drive, monkeypatch)
    assert is_well and file.read_text() == "my work"
    assert "Drive's is newer and used; this machine's is now common_20" in text
    assert (STUB + "# see page 3\n").encode() in contents(drive)


def test_link_without_drive_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A session without Drive on a machine that had it: what is missing is Drive."""
    monkeypatch.setattr(notebook, "ROOT", tmp_path)
    (tmp_path / "assignment").symlink_to(tmp_path / "drive" / "assignment")
    is_well, text = notebook._course()
    assert not is_well
    assert (
        "drive/assignment, which is not there; on Colab run start(drive=True)" in text
    )


class World:
    """A student, machines that come and go, a course with releases, and one Drive."""

    def __init__(self, folder: Path, seed: int, sessions: Sessions):
        self.folder, self.sessions = folder, sessions
        self.random = random.Random(seed)
        self.drive = folder / "drive"
        (self.drive / "MyDrive").mkdir(parents=True)
        self.clock, self.machines, self.written = OLD, 0, 0
        self.root = folder / "machine"
        self.release = {f"{name}.py": f"stub of {name}\n" for name in "abc"}
        self.stubs = set(self.release.values())
        self.versions: set[bytes] = set()  # all that was ever written as a whole
        self.new_machine()

    def now(self) -> float:
        """A time after all others."""
        self.clock += 60
        return self.clock

    def new_machine(self) -> None:
        """A fresh copy of the course; what only the old machine had is gone."""
        if self.machines:
            shutil.rmtree(self.root)
        self.machines += 1
        self.root = self.folder / f"machine{self.machines}"
        make_course(self.root, self.release, self.now())

    def new_release(self) -> None:
        """One stub changes, one file comes, one may go."""
        self.written += 1
        changed = self.random.choice(sorted(self.release))
        self.release[changed] = f"stub {self.written} of {changed}\n"
        self.release[f"more{self.written}.py"] = f"stub of more {self.written}\n"
        if self.random.random() < 0.3:
            del self.release[self.random.choice(sorted(self.release))]
        self.stubs |= set(self.release.values())

    def write(self, path: Path, text: str) -> None:
        """A version that must not be lost."""
        write(path, text, self.now())
        self.versions.add(text.encode())

    def edit(self) -> None:
        """Change a file of assignment/, or write a new one."""
        folder = self.root / "assignment"
        if folder.is_dir():
            self.written += 1
            there = [*sorted(names(folder)), f"own{self.written}.py"]
            path = folder / self.random.choice(there)
            self.write(path, f"work {self.written}\n")

    def train(self) -> None:
        """Write one of two runs anew."""
        if (self.root / "runs").is_symlink() and not (self.root / "runs").exists():
            return
        self.written += 1
        folder = self.root / "runs" / self.random.choice(("x", "exp/y"))
        for name in ("checkpoint.pt", "log.jsonl"):
            self.write(folder / name, f"{name} {self.written}")

    def start(self, kill: bool) -> None:
        """Drive on, killed in the middle or not, loses nothing.

        Of the files with a stub on one side and work on the other, work is used.
        """
        stubs = {stub.encode() for stub in self.stubs}
        before = contents(self.root, self.drive) & (self.versions | stubs)
        there = self.drive / ON_DRIVE / "assignment"
        worked = {
            name
            for folder in (self.root / "assignment", there)
            for name in (names(folder) if folder.is_dir() else ())
            if (folder / name).read_text() not in self.stubs
        }
        kill_at = self.random.randint(1, 60) if kill else 0
        answer = self.sessions.start(self.root, self.drive, kill_at)
        assert before <= contents(self.root, self.drive)
        if answer.killed:
            return
        assert answer.is_well, answer.text
        for name in worked:
            used = (self.root / "assignment" / name).read_text()
            assert used not in self.stubs, f"a stub is used as {name}"
        for log in (self.root / "runs").rglob("log.jsonl"):
            weights = log.with_name("checkpoint.pt").read_text()
            if "interrupted" not in str(log.resolve()):
                assert weights.split()[1] == log.read_text().split()[1]
        again = self.sessions.start(self.root, self.drive)
        assert again.is_well and again.operations == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_no_version_is_lost_in_any_order(seed: int, sessions: Sessions, tmp_path: Path):
    """Machines, releases, edits, runs, Drive on and off, kills, in a random order."""
    world = World(tmp_path, seed, sessions)
    steps = {
        "edit": world.edit,
        "train": world.train,
        "start": lambda: world.start(kill=False),
        "kill": lambda: world.start(kill=True),
        "machine": world.new_machine,
        "release": world.new_release,
    }
    for _ in range(STEPS):
        steps[world.random.choice(sorted(steps))]()
    world.start(kill=False)
