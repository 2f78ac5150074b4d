"""Cells of the assignment that this course grew from run here, by their own names."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from data_scripts import download_voc2007
from grader.release.build import make_release
from grader.release.release_files import write_files
from grader.sandbox.levels import probe_level
from grader.session.local_session import LocalSession
from grader.session.session import Session
from helpers.a4 import a4_helper
from helpers.checks.expect import CheckError
from tests.small_trees import Picture, Thing, write_tree

ROOT = Path(__file__).resolve().parent.parent
CELLS = ROOT / "tests" / "original_notebook.py"
# No test has a network: the backbone of those cells has random weights here.
UNTRAINED = """
import runpy, sys
import core.backbones.from_torchvision as backbones
build = backbones.build_torchvision_backbone
backbones.build_torchvision_backbone = lambda name, pretrained: build(name, False)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
# What a student of the release can call before anything is written.
RELEASED = """
import torch
from helpers.notebook import add_paths
add_paths()
from a4_helper import *
from a4_helper import hello_helper
from common import hello_common, nms
from eecs598 import reset_seed
from eecs598.grad import rel_error
from eecs598.utils import detection_visualizer, reset_seed
from one_stage_detector import FCOS, FCOSPredictionNetwork, hello_one_stage_detector

hello_common()
hello_one_stage_detector()
hello_helper()
try:
    nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
except NotImplementedError as error:
    print(error)
"""


def run_python(
    script: str, folder: Path, *arguments: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_all_cells_of_the_old_notebook_run(tmp_path: Path):
    """In a release with the solution written in: every cell, in its order."""
    course, data = tmp_path / "course", tmp_path / "data"
    write_files(make_release(ROOT).files, course)
    for path in (ROOT / "assignment").glob("*.py"):
        (course / "assignment" / path.name).write_bytes(path.read_bytes())
    # The cat is 187 pixels wide after resizing, so that p4 has locations of it.
    train = [
        Picture(name, (120, 90), (Thing("cat", (20, 10, 95, 80)),)) for name in "abcd"
    ]
    val = [
        Picture("e", (90, 120), (Thing("dog", (4, 6, 50, 40)),)),
        Picture("f", (90, 70)),
    ]
    write_tree(data, train=train, val=val)
    done = run_python(UNTRAINED, course, str(CELLS), str(data))
    assert done.returncode == 0, done.stderr
    for file in ("common", "one_stage_detector", "a4_helper"):
        assert f"Hello from {file}.py!" in done.stdout
    assert done.stdout.endswith("all cells ran\n")
    truth = data / "mAP" / "input" / "ground-truth"
    assert (truth / "e.txt").read_text().startswith("dog ")
    assert (truth / "f.txt").read_text() == ""
    assert len(list((data / "mAP" / "input" / "detection-results").iterdir())) == 2


def test_old_names_can_be_imported_in_a_release(tmp_path: Path):
    """Every name is there before anything is written; an exercise says its number."""
    write_files(make_release(ROOT).files, tmp_path)
    done = run_python(RELEASED, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Hello from a4_helper.py!" in done.stdout
    assert "Exercise 8.1 nms" in done.stdout


# The original's backbone would be fetched; this one has its names and random weights.
OLD_SOLUTION = f"""
import runpy, sys
sys.path.append({str(ROOT)!r})
from torchvision import models
from grader.worker.regnet import small_regnet
models.regnet_x_400mf = small_regnet
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__")
"""


def test_solution_of_the_original_assignment_trains_and_is_evaluated(tmp_path: Path):
    """Its two files, that import each other by bare names, instead of ours."""
    course, data = tmp_path / "course", tmp_path / "data"
    write_files(make_release(ROOT).files, course)
    for path in (ROOT / "tests" / "original_form").glob("*.py"):
        (course / "assignment" / path.name).write_bytes(path.read_bytes())
    pictures = [Picture(n, (96, 64), (Thing("cat", (8, 6, 70, 50)),)) for n in "ab"]
    write_tree(data, train=pictures, val=pictures[:1])
    where = ["--data", "voc2007", "--data-dir", str(data), "--device", "cpu"]
    small = ("iterations=2", "image_size=64", "batch_size=2")
    choices = [word for choice in small for word in ("--set", choice)]
    run = str(tmp_path / "run")
    for command in (
        ["helpers.train", "--recipe", "a4", *choices, *where, "--out", run],
        ["helpers.evaluate", "--checkpoint", run, *where],
    ):
        done = run_python(OLD_SOLUTION, course, *command)
        assert done.returncode == 0, done.stderr
    assert "mAP" in done.stdout


def test_the_data_set_is_fetched_where_a_cell_asks_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """`download` stays the third argument and image_size the fourth."""

    def download(out: Path) -> None:
        write_tree(out, train=[Picture("a", (90, 120))])

    monkeypatch.setattr(download_voc2007, "download", download)
    dataset = a4_helper.VOC2007DetectionTiny(tmp_path, "train", True, 64)
    assert dataset[0][1].shape == (3, 64, 64)


# As files of that assignment begin, with what they use of it: (B, N) zeros of a seed.
GRADED = """
from a4_helper import *
import eecs598
from eecs598 import *
from eecs598.grad import compute_numeric_gradient, rel_error
from eecs598.utils import detection_visualizer, reset_seed

class Tiny(VOC2007DetectionTiny):
    pass

def iou(boxes1: torch.Tensor, boxes2: Optional[List] = None):
    eecs598.reset_seed(0)
    reset_seed(0)
    began = time.time()
    assert rel_error(boxes1, boxes1) == 0 and os.path and shutil and transforms
    return optim.SGD([torch.ones(1)], lr=len(boxes1)).defaults["lr"]

def nms(boxes, scores, iou_threshold):
    return train_detector(None, None)

def class_spec_nms(*arguments):
    import eecs598.solver
"""
# Words that begin the loading of matplotlib, which takes a second.
SLOW = """
import sys
import torchvision
before = set(sys.modules)
import grader.worker.original.a4_helper
print({name.partition(".")[0] for name in set(sys.modules) - before})
"""


def test_files_that_begin_as_the_original_are_graded(tmp_path: Path):
    """The sandbox has the names; what makes no sense in it is refused in the call."""
    (tmp_path / "common.py").write_text(GRADED)
    with Session(tmp_path, probe_level().level) as session:
        common = session.student().common
        assert common.iou(torch.zeros(3, 4)) == 3
        with pytest.raises(CheckError) as refused:
            common.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
        assert refused.value.category == "not allowed"
        with pytest.raises(CheckError, match=r"No module named 'eecs598\.solver'"):
            common.class_spec_nms()


def test_a_helper_file_that_was_handed_in_is_the_one_that_is_read(tmp_path: Path):
    """Its own names are there, and the next submission has none of them."""
    (tmp_path / "common.py").write_text("from a4_helper import *\niou = own\n")
    (tmp_path / "a4_helper.py").write_text(
        "import eecs598\ndef own(number):\n    return 2 * number\n"
    )
    with Session(tmp_path, probe_level().level) as session:
        assert session.student().common.iou(4) == 8
    with LocalSession(tmp_path) as session:
        assert session.student().common.iou(4) == 8
    (tmp_path / "a4_helper.py").unlink()
    with (
        LocalSession(tmp_path) as session,
        pytest.raises(CheckError, match=r"NameError at line 2 of common\.py"),
    ):
        session.student().common.iou(4)


def test_a_helper_file_of_one_submission_is_not_that_of_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Also where Python itself finds one: detectors are loaded with old names."""
    for name, own in (("first", "iou = len\n"), ("second", "iou = own\n")):
        (tmp_path / name).mkdir()
        text = f"from a4_helper import *\n{own}"
        (tmp_path / name / "common.py").write_text(text)
    helper = "def own(number):\n    return 2 * number\n"
    (tmp_path / "second" / "a4_helper.py").write_text(helper)
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT / "helpers" / "a4")])
    with LocalSession(tmp_path / "first") as session:
        assert session.student().common.iou([1, 2]) == 2
    with LocalSession(tmp_path / "second") as session:
        assert session.student().common.iou(4) == 8


def test_stand_ins_load_nothing_but_themselves():
    """They are imported before every submission, most of which do not ask for them."""
    done = run_python(SLOW, ROOT)
    assert done.returncode == 0, done.stderr
    loaded = ast.literal_eval(done.stdout)
    assert not loaded & {"matplotlib", "IPython", "safetensors"}
    assert loaded <= {"grader", "helpers", "core", "random"}, loaded
