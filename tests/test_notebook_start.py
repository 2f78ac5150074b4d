"""The first cell of the notebooks: it finds or fetches the course, and looks at it."""

import subprocess
import sys
import types
from importlib.machinery import ModuleSpec
from pathlib import Path

import nbformat
import pytest
import torch
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_notebook

from core.course import FILE
from helpers import notebook
from helpers.drive.copies import versions
from tests.small_trees import Picture, Thing, write_tree

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("core", "helpers", "data_scripts", "assignment")
# After pip install -e, Python finds the course from everywhere; a new machine does not.
FORGET_INSTALLED = """import sys
sys.meta_path[:] = [entry for entry in sys.meta_path if "editable" not in str(entry)]"""


def bootstrap() -> str:
    """The cell as it stands in the first notebook."""
    path = ROOT / "notebooks" / "00_start.ipynb"
    cells = nbformat.read(path, as_version=4).cells
    return next(cell.source for cell in cells if cell.id == "bootstrap")


def run_cells(folder: Path, *cells: str) -> list[str]:
    """Run cells in a fresh kernel whose working folder is `folder`; what they print."""
    book = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(book, timeout=120, resources=resources).execute()
    return [
        "".join(output.get("text", "") for output in cell.outputs)
        for cell in book.cells
    ]


def run_cell(folder: Path, cell: str) -> str:
    """The same for one cell, and the working folder after it."""
    printed, where = run_cells(folder, cell, "import os; print(repr(os.getcwd()))")
    return printed + where.strip()


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """A course as it is published: a git repository with a small data set beside."""
    root = tmp_path / "published"
    for name in COPIED:
        for path in (ROOT / name).rglob("*.py"):
            target = root / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    (root / FILE).write_bytes((ROOT / FILE).read_bytes())
    picture = Picture("a", (40, 30), (Thing("cat", (2, 3, 20, 25)),))
    write_tree(root / "data" / "shapes", train=[picture])
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    publish(root)
    return root


def publish(root: Path) -> None:
    """What is in the folder is the course from now on."""
    for command in (
        ["add", "-A"],
        ["-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "a"],
    ):
        subprocess.run(["git", *command], cwd=root, check=True)


def test_bootstrap_fetches_the_course_and_finds_it_again(
    course: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """In an empty folder, as on Colab, the course is cloned once."""
    monkeypatch.setenv("FCOS_COURSE_REPO", str(course))
    empty = tmp_path / "content"
    empty.mkdir()
    first = run_cell(empty, bootstrap())
    assert "[FAIL]" not in first
    assert first.count("[OK]") == 5 and "1 drawn pictures" in first
    assert first.endswith(f"{empty / 'fcos-course'}'")
    (course / "helpers" / "notebook.py").unlink()  # cloning again would miss it
    (empty / "fcos-course" / "notebooks").mkdir()
    second = run_cell(empty / "fcos-course" / "notebooks", bootstrap())
    assert second.count("[OK]") == 5
    assert "already loaded" not in second
    assert second.endswith(f"{empty / 'fcos-course'}'")


# What Colab has and we have not: a package for Drive and files, and perhaps a GPU.
COLAB = {
    "__init__.py": "",
    "drive.py": "import os\n"
    "def mount(path):\n"
    "    os.makedirs(f'{path}/MyDrive', exist_ok=True)\n"
    "    print('Mounted at', path)\n",
    "files.py": "def view(path): print('opened', path)\n",
}
GPU = """
import torch
torch.cuda.is_available = lambda: {}
torch.cuda.get_device_name = lambda: "Tesla T4"
"""
ON_DRIVE = """
from pathlib import Path
from helpers import notebook
notebook.DRIVE = Path({!r})
start(drive=True)
"""
WITHOUT_DRIVE = """
head = Path("assignment/fcos_head.py")
head.write_text(head.read_text() + "# without Drive\\n")
"""
AN_EXERCISE = """
from helpers.lessons import open_exercise
print(open_exercise("1.1").data)
"""


def test_colab_session_keeps_work_for_the_next(
    course: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Two sessions on a stand-in for Colab: a new machine each, Drive is the same.

    In between the course has changed; in the second, work begins before Drive is there.
    """
    package = tmp_path / "colab" / "google" / "colab"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    for name, text in COLAB.items():
        (package / name).write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "colab"))
    monkeypatch.setenv("FCOS_COURSE_REPO", str(course))
    drive = tmp_path / "drive" / notebook.DRIVE_FOLDER
    on_drive = ON_DRIVE.format(str(tmp_path / "drive"))
    for session, has_gpu in (("first", True), ("second", False)):
        machine = tmp_path / session
        machine.mkdir()
        if session == "second":
            changed = course / "assignment" / "fcos_losses.py"
            changed.write_text(changed.read_text() + "# better\n")
            (course / "assignment" / "new.py").write_text("given = 1\n")
            publish(course)
        cells = (
            GPU.format(has_gpu),
            bootstrap().replace("start()", "start(drive=False)"),
            WITHOUT_DRIVE,
            on_drive,
            bootstrap(),
            AN_EXERCISE,
        )
        _, fresh, _, kept, again, exercise = run_cells(machine, *cells)
        assert "[FAIL]" not in fresh + kept + again
        assert ("on Tesla T4" in fresh) == has_gpu
        assert ("on the processor" in fresh) != has_gpu
        assert "Drive: not used" in fresh and "submit()" in fresh
        assert "Drive: assignment/ and runs/ are kept" in again  # asked nobody again
        assert "Mounted at" in kept or session == "second"
        assert "assignment/ and runs/ are kept in MyDrive/fcos-course" in kept
        work = machine / "fcos-course" / "assignment" / "common.py"
        assert exercise.startswith(f"opened {work}\nWrite it in [assignment/common.py]")
        if session == "first":
            work.write_text(work.read_text() + "# my work\n")
        head = work.with_name("fcos_head.py")
        assert head.read_text().endswith("# without Drive\n")
        if session == "first":
            head.write_text(head.read_text() + "# on Drive\n")
    assert work.read_text().endswith("# my work\n")
    assert work.with_name("fcos_losses.py").read_text().endswith("# better\n")
    assert work.with_name("new.py").is_file()
    assert "fcos_losses.py: you had not edited it, so the course's new" in kept
    assert "common.py: Drive's is used; the course's is" not in kept  # in the first
    (other,) = versions(drive / "assignment" / "fcos_head.py")
    assert other.read_text().endswith("# on Drive\n")


def test_mistake_in_a_cell_is_one_sentence_and_ends_the_run():
    """A CourseError has no traceback; other errors, a student's own, keep theirs."""
    wrong = "from helpers.lessons import open_data\nopen_data('nothing')"
    sources = (bootstrap(), wrong, "1 / 0")
    book = new_notebook(cells=[new_code_cell(source) for source in sources])
    client = NotebookClient(
        book, timeout=120, resources={"metadata": {"path": str(ROOT)}}
    )
    _, mistake, error = book.cells
    with client.setup_kernel():
        client.execute_cell(book.cells[0], 0)
        for number, cell in ((1, mistake), (2, error)):
            with pytest.raises(CellExecutionError):  # so no cell below would be run
                client.execute_cell(cell, number)
    assert "error: " in str(mistake.outputs)
    assert "Traceback" not in str(mistake.outputs)
    assert "ZeroDivisionError" in str(error.outputs)
    assert "Traceback" in str(error.outputs)


def test_bootstrap_says_what_is_wrong_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Where nothing can be fetched, one sentence says so, without a traceback."""
    monkeypatch.setenv("FCOS_COURSE_REPO", str(tmp_path / "nothing-here"))
    _, printed = run_cells(tmp_path, FORGET_INSTALLED, bootstrap())
    assert "\n[FAIL] cannot fetch the course from " in printed
    assert "Traceback" not in printed and "helpers" not in printed


def test_need_that_raises_is_a_fail(capsys: pytest.CaptureFixture):
    """One broken need does not hide the others."""

    def _disk() -> notebook.Answer:
        raise OSError("no space left")

    assert not notebook.report(_disk)
    assert capsys.readouterr().out == "[FAIL] disk: no space left\n"
    assert notebook.report(lambda: (True, "fine"))
    assert capsys.readouterr().out == "[OK]   fine\n"


def test_missing_package_is_installed_and_torch_is_not_touched(
    monkeypatch: pytest.MonkeyPatch,
):
    """Only what is missing; the versions of torch and NumPy are held."""
    calls = []

    def fake_run(command: list[str], **_: object) -> subprocess.CompletedProcess:
        fixed = Path(command[command.index("--constraint") + 1]).read_text()
        calls.append((command, fixed))
        return subprocess.CompletedProcess(command, 1, "", "warning\nno network\n")

    monkeypatch.setattr(notebook.subprocess, "run", fake_run)
    monkeypatch.setattr(notebook, "PACKAGES", {"numpy": "numpy", "no_such": "no-such"})
    is_well, text = notebook._packages()
    assert not is_well
    assert text == "packages: could not install no-such (no network)"
    command, fixed = calls[0]
    assert command[-1] == "no-such" and "numpy" not in command
    assert "torch==" in fixed and "torchvision==" in fixed and "numpy==" in fixed


@pytest.mark.parametrize(
    ("version", "is_well"),
    [("2.10.1+cu118", False), ("1.13.0", False), ("2.11.0a0+git1", True)],
)
def test_torch_that_is_too_old_is_a_fail(version, is_well, monkeypatch):
    """Its version is said, and the lowest; pyproject.toml says the same."""
    monkeypatch.setattr(torch, "__version__", version)
    well, said = notebook._torch()
    assert well == is_well and version in said
    assert is_well or "needs 2.11 or newer" in said
    text = (ROOT / "pyproject.toml").read_text()
    assert f'"torch>={".".join(map(str, notebook.OLDEST_TORCH))},' in text


def test_torch_that_is_missing_is_never_installed(monkeypatch: pytest.MonkeyPatch):
    """The reader is sent to the set-up instead."""
    monkeypatch.setattr(notebook.importlib.util, "find_spec", lambda name: None)
    is_well, text = notebook._torch()
    assert not is_well and "torch is missing" in text


def test_torchvision_for_another_torch_is_a_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Its compiled part cannot be used, and importing it says why."""
    spec = ModuleSpec("torchvision", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    (tmp_path / "_C.so").write_bytes(b"built for another torch")
    monkeypatch.setattr(notebook.importlib.util, "find_spec", lambda name: spec)
    assert notebook._torch()[0]  # torchvision itself has the last word
    monkeypatch.setitem(sys.modules, "torchvision", None)
    is_well, text = notebook._torch()
    assert not is_well
    assert text.startswith(f"torchvision does not fit torch {torch.__version__} (")
    assert text.endswith("; install the pair that README.md names")


def test_work_is_kept_on_drive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What is on Drive wins over the fresh copy, and new work lands there."""
    drive = tmp_path / "drive"
    mounted = []
    module = types.ModuleType("google.colab.drive")

    def mount(path: str) -> None:
        mounted.append(path)
        (Path(path) / "MyDrive").mkdir(parents=True)

    module.mount = mount  # type: ignore[attr-defined]
    for name in ("google", "google.colab"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, "google.colab.drive", module)
    monkeypatch.setattr(notebook, "is_colab", lambda: True)
    monkeypatch.setattr(notebook, "DRIVE", drive)
    for session in ("first", "second"):
        root = tmp_path / session
        (root / "assignment").mkdir(parents=True)
        (root / "assignment" / "common.py").write_text("a stub\n")
        (root / "assignment" / f"{session}.py").write_text("new\n")
        monkeypatch.setattr(notebook, "ROOT", root)
        assert notebook.keep_on_drive()[0]
        if session == "first":
            (root / "assignment" / "common.py").write_text("my work\n")
    assert mounted == [str(drive)]
    kept = drive / notebook.DRIVE_FOLDER / "assignment"
    assert (root / "assignment" / "common.py").read_text() == "my work\n"
    assert {path.name for path in kept.iterdir()} == {
        "common.py",
        "first.py",
        "second.py",
    }
    assert (root / "runs").is_symlink()


class Refusing:
    """google.colab.drive of a user who says no, and counts how often they are asked."""

    asked = 0

    def mount(self, path: str) -> None:
        self.asked += 1
        raise ValueError("mount failed")


def test_drive_is_offered_once_a_machine_and_a_no_says_how_to_carry_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    """No [FAIL] for a no; the next notebook of this machine does not ask again."""
    drive = Refusing()
    monkeypatch.setitem(sys.modules, "google.colab.drive", drive)
    monkeypatch.setattr(notebook, "is_colab", lambda: True)
    monkeypatch.setattr(notebook, "ROOT", tmp_path)
    monkeypatch.setattr(notebook, "DRIVE", tmp_path / "drive")
    for name in ("_python", "_course", "_torch", "_packages", "_shapes"):
        monkeypatch.setattr(notebook, name, lambda: (True, "well"))
    # What it adds to Python's search would be there for all later tests, too.
    monkeypatch.setattr(notebook, "add_paths", lambda: None)
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        notebook.start()
        said = capsys.readouterr().out
        assert "[FAIL]" not in said and "Drive: not used" in said
        assert "submit()" in said and "bring()" in said
    assert drive.asked == 1
    notebook.start(drive=False)
    assert drive.asked == 1 and "Drive: not used" in capsys.readouterr().out
    notebook.start(drive=True)  # the user has changed their mind
    assert drive.asked == 2 and "cannot be mounted" in capsys.readouterr().out


def test_drive_outside_of_colab_changes_nothing(monkeypatch: pytest.MonkeyPatch):
    """drive=True on a machine of your own is a mistake without consequences."""
    monkeypatch.setattr(notebook, "is_colab", lambda: False)
    is_well, text = notebook.keep_on_drive()
    assert not is_well and "not Colab" in text


@pytest.mark.parametrize("has_gpu", [True, False])
def test_device_is_named(has_gpu: bool, monkeypatch: pytest.MonkeyPatch):
    """With a GPU its name, without one the processor; both are well."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Some GPU")
    is_well, text = notebook._torch()
    assert is_well
    assert ("Some GPU" in text) == has_gpu
    assert ("the processor" in text) != has_gpu
