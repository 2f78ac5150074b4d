"""A part with one exercise, 99.1, and a detector, as a new maintainer would add it.

TEXTS are the files of the part; the same files, in a folder of their own, are what an
instructor gives to --course-dir.
"""

import shutil
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from core.course import FILE

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = (
    "core",
    "assignment",
    "data_scripts",
    "grader",
    "grader_tests",
    "helpers",
    "notebooks",
)
FILES = (FILE, "requirements.txt", "environment.yml", "LICENSE", "CHANGELOG.md")
ENTRIES = """
[[part]]
name = "toy"
title = "A toy"
needs = ["one_stage"]

[[module]]
name = "toy_detector"
part = "toy"
visible = true

[[detector]]
name = "toy"
part = "toy"
target = "assignment.toy_detector:ToyDetector"
strides = { whole = 64 }
losses = { loss_colour = "colour" }

[[step]]
number = 99
part = "toy"
title = "A toy"
notebook = "99_toy.ipynb"
minutes = 20
writes = "the best box"

[[exercise]]
id = "99.1"
function = "toy_best_box"
file = "toy_detector.py"
title = "the box that covers the target best"
lines = 2
minutes = 5
needs = ["1.1"]
closed = ["RoIAlign", "models.detection._utils.Matcher"]
"""
SOLUTION_LINE = "overlap_with_each = iou(boxes, target[None])[:, 0]"
NOTEBOOK = "notebooks/99_toy.ipynb"
CHECKS, HINTS = "helpers/checks/test_99_toy.py", "helpers/checks/hints_99.toml"
MANIFEST = "grader_tests/manifest/step99.toml"
TEXTS = {
    "assignment/toy_detector.py": f'''"""A toy."""

import torch
from torch import nn
from torch.nn import functional

from assignment.common import iou


def toy_best_box(boxes: torch.Tensor, target: torch.Tensor) -> int:
    """Exercise 99.1 (about 2 lines): the box that covers the target best.

    Args:
        boxes: (N, 4) XYXY in pixels.
        target: (4,) XYXY in pixels.
    """
    ### BEGIN SOLUTION
    {SOLUTION_LINE}
    return int(overlap_with_each.argmax())
    ### END SOLUTION


class ToyDetector(nn.Module):
    """Says of each image which class its mean colour is, and that it is everywhere."""

    def __init__(self, num_classes: int):
        super().__init__()
        self.classify = nn.Linear(3, num_classes)

    def forward(self, images: torch.Tensor, gt_boxes: torch.Tensor) -> dict:
        """The loss: every class that an image shows."""
        logits = self.classify(images.mean(dim=(2, 3)))
        shown = torch.zeros_like(logits)
        for row, boxes in enumerate(gt_boxes):
            shown[row, boxes[boxes[:, 4] >= 0, 4].long()] = 1
        loss = functional.binary_cross_entropy_with_logits(logits, shown)
        return {{"loss_colour": loss}}

    def detect(
        self, images: torch.Tensor, score_threshold: float, nms_threshold: float
    ) -> list:
        """One box for each class that is likely enough: the whole image."""
        height, width = images.shape[-2:]
        found = []
        for scores in self.classify(images.mean(dim=(2, 3))).sigmoid():
            scores, classes = scores.sort(descending=True)
            count = int((scores > score_threshold).sum())
            box = scores.new_tensor([0, 0, width, height])
            found.append((box.expand(count, 4), classes[:count], scores[:count]))
        return found
''',
    CHECKS: '''"""Visible checks of 99.1."""

import torch

from helpers.checks.exercises import exercise
from helpers.checks.expect import expect_equal


@exercise("99.1")
def test_best_of_two(student):
    """The second box is the target itself."""
    boxes = torch.tensor([[0.0, 0, 2, 2], [4.0, 4, 8, 8]])
    got = student.toy_detector.toy_best_box(boxes, boxes[1])
    expect_equal(got, 1, "toy_best_box")
''',
    HINTS: """["99.1"]
read = "A toy"
unseen = "three boxes"
nudge = "What did exercise 1.1 measure?"
plan = "Measure it for each box, and take the largest."
code = "argmax of the column of iou"
""",
    "grader_tests/test_99_toy.py": '''"""Hidden tests of 99.1."""

import torch

from helpers.checks.expect import expect_equal


def test_best_of_three_boxes(student):
    """The middle one of three boxes covers most of the target."""
    boxes = torch.tensor([[0.0, 0, 2, 2], [4.0, 4, 8, 8], [5.0, 5, 20, 20]])
    target = torch.tensor([4.0, 4, 8, 7])
    got = student.toy_detector.toy_best_box(boxes, target)
    cause = "the last box instead of the best" if got == 2 else None
    expect_equal(got, 1, "toy_best_box", cause)
''',
    "grader_tests/mistakes/toy_last_box.toml": """
description = "the last box, whatever it covers"
exercise = "99.1"
file = "toy_detector.py"
find = "int(overlap_with_each.argmax())"
replace = "len(boxes) - 1"
test = "test_99_toy.py::test_best_of_three_boxes"
cause = "the last box instead of the best"
""",
    MANIFEST: """
[[test]]
id = "test_99_toy.py::test_best_of_three_boxes"
exercise = "99.1"
points = 3
title = "the best of three boxes"
visible = false
hint = "Largest IoU."

[[test]]
id = "checks/test_99_toy.py::test_best_of_two"
exercise = "99.1"
points = 1
title = "the second box is the target itself"
visible = true
hint = "Largest IoU."
""",
}


def write_part(folder: Path) -> None:
    """The files of the part, without its entries in course.toml."""
    for name, text in TEXTS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    cells = [
        new_markdown_cell("# 99 · A toy\n\n### Exercise 99.1 · `toy_best_box`"),
        new_code_cell("from helpers.check import check, hint"),
        new_code_cell('check("99.1")', id="check-99-1"),
    ]
    (folder / NOTEBOOK).parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=cells), folder / NOTEBOOK)


def copy_with_part(folder: Path) -> Path:
    """A copy of this course in which the part was added to course.toml, and written."""
    ignored = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints", "images")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in FILES:
        shutil.copy(ROOT / name, folder / name)
    with (folder / FILE).open("a") as file:
        file.write(ENTRIES)
    write_part(folder)
    return folder


def write_own_course(folder: Path, head: str = "") -> Path:
    """A folder for --course-dir: the same part, with a course.toml of its own."""
    write_part(folder)
    (folder / FILE).write_text(head + ENTRIES)
    return folder
