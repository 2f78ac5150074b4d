"""What students install can be imported behind the walls of each level, too."""

import importlib.util
import os
import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from grader.gradescope.build import ROOTS
from grader.release.packages import INSTRUCTORS, student_requirements
from grader.sandbox.levels import Level, probe_level
from grader.sandbox.slots import may_become_others
from grader.session.session import Session
from helpers.checks.expect import CheckError

ROOT = Path(__file__).resolve().parent.parent
PIN = re.compile(r"^([\w.-]+)==", re.MULTILINE)
# Parts of packages, and of Python, that files import at their top.
PARTS = (
    "matplotlib.pyplot",
    "matplotlib.patches",
    "mpl_toolkits.mplot3d",
    "pylab",
    "IPython.display",
    "IPython.core.interactiveshell",
    "tqdm.auto",
    "tqdm.notebook",
    "PIL.Image",
    "PIL.ImageDraw",
    "numpy.testing",
    "torch.utils.data",
    "torch.nn.functional",
    "torch.multiprocessing",
    "torch.distributed",
    "torch.optim.lr_scheduler",
    "torch.amp",
    "torch._dynamo",
    "torch.fx",
    "torchvision.transforms.v2",
    "torchvision.datasets",
    "torchvision.io",
    "torchvision.models.detection",
    "torchvision.ops",
    "torchvision.utils",
    "multiprocessing",
    "concurrent.futures",
    "asyncio",
    "urllib.request",
    "logging.handlers",
    "sqlite3",
    "tempfile",
    "subprocess",
    "webbrowser",
)
HABITS = """
import sys

WAS_LOADED = "matplotlib.pyplot" in sys.modules
import getpass, importlib, io, logging, os, random, tempfile, time, warnings
from pathlib import Path

import matplotlib

matplotlib.use("TkAgg")
import matplotlib.pyplot as plt
import numpy as np
import requests
import torch
import torchvision
from IPython.display import clear_output, display
from PIL import Image
from torchvision import ops, transforms
from torchvision.ops import box_iou, nms
from tqdm.auto import tqdm

plt.switch_backend("QtAgg")
plt.rcParams["figure.figsize"] = (10, 8)
plt.style.use("ggplot")
plt.ion()
plt.figure()
plt.plot([1, 2], [3, 4])
plt.title("loss")
plt.show()
display(plt.gcf())
plt.gcf().savefig(io.BytesIO())
plt.close("all")
clear_output()
warnings.filterwarnings("ignore")
logging.basicConfig(level=logging.INFO)
logging.info("loaded by %s in %s", getpass.getuser(), Path.home())
os.environ["KMP_DUPLICATE_LIB_OK"] = "TRUE"
os.environ["CUDA_VISIBLE_DEVICES"] = "0"
random.seed(0), np.random.seed(0), torch.manual_seed(0)
torch.backends.cudnn.benchmark = True
device = "cuda" if torch.cuda.is_available() else "cpu"
for _ in tqdm(range(3), desc="warm up"):
    pass


def load(names):
    problems = {}
    for name in names:
        try:
            importlib.import_module(name)
        except BaseException as error:
            problems[name] = f"{type(error).__name__}: {error}"
    return problems


def answer():
    return 42
"""
LEVELS = [
    pytest.param(level, marks=pytest.mark.skipif(not has, reason="not on this machine"))
    for level, has in (
        (Level.BUBBLEWRAP, probe_level().level is Level.BUBBLEWRAP),
        (Level.OWN_USER, may_become_others()),
        (Level.NONE, True),
    )
]


@pytest.fixture(scope="module", params=LEVELS, ids=lambda level: level.value)
def session(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Session]:
    """A submission that begins as students' files do, and one that needs OpenCV."""
    folder = tmp_path_factory.mktemp("submission")
    (folder / "common.py").write_text(HABITS)
    (folder / "one_stage_detector.py").write_text("import cv2\n\nFCOS = cv2\n")
    mask = os.umask(0o077)  # an instructor's own; the sandbox opens what it must
    try:
        running = Session(folder, request.param).__enter__()
    finally:
        os.umask(mask)
    yield running
    running.__exit__(None, None, None)


def student_packages() -> list[str]:
    """Names of what the students' requirements.txt lists and is installed here."""
    listed = PIN.findall(student_requirements((ROOT / "requirements.txt").read_text()))
    installed = {
        re.sub("[-_.]+", "-", package.metadata["Name"]).lower()
        for package in metadata.distributions()
    }
    return [name for name in listed if name in installed]


def modules_of(packages: list[str]) -> list[str]:
    """The modules at the top of these packages."""
    found = [
        module
        for module, names in metadata.packages_distributions().items()
        if {re.sub("[-_.]+", "-", name).lower() for name in names} & set(packages)
    ]
    return sorted(name for name in found if name.isidentifier())


def test_each_listed_package_can_be_imported(session):
    """Whatever it wants to write, read or ask for when it is imported."""
    modules = modules_of(student_packages())
    assert {"torch", "matplotlib", "IPython", "PIL", "tqdm", "nbconvert"} <= {*modules}
    assert session.student().common.load([*modules, *PARTS]) == {}


def test_habits_at_the_top_of_a_file_cost_nothing(session):
    """A figure is drawn on no screen, and what is logged is no answer."""
    assert session.student().common.answer() == 42
    assert "loaded by student" in session.end_test().output


def test_a_slow_import_is_paid_once(session):
    """It takes a second, and so does not happen in each test's process."""
    assert session.student().common.WAS_LOADED is True


def test_a_package_that_is_not_listed_is_called_so(session):
    """The student reads its name, and not that something was forbidden."""
    if importlib.util.find_spec("cv2"):
        pytest.skip("OpenCV is installed here")
    with pytest.raises(CheckError, match="No module named 'cv2'") as caught:
        session.student().one_stage_detector.FCOS  # noqa: B018
    assert caught.value.category == "exception"


def test_gradescope_has_what_students_import():
    """What the students' list names itself, or Jupyter brings, is installed there."""
    text = (ROOT / "requirements.txt").read_text()
    named = {
        line.partition("==")[0]
        for line in text.splitlines()
        if re.search(r"via .*fcos-notebook-course", line)
    }
    assert named - INSTRUCTORS - {"jupyter"} <= set(ROOTS)
    assert {"ipython", "ipywidgets", "requests"} <= set(ROOTS)
