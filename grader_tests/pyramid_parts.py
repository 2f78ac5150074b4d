"""What the tests of the feature pyramid share."""

from typing import Any

import torch

from grader_tests.tools import give, spread
from helpers.checks.student import Student

LEVELS = ["p3", "p4", "p5"]
OUT_CHANNELS = 6
NO_PADDING = "a convolution makes maps smaller; 3x3 needs padding 1"


def make_pyramid(student: Student) -> Any:
    """A pyramid whose batch normalisation does not learn."""
    student.seed(5)
    fpn = student.make_pyramid(OUT_CHANNELS)
    fpn.eval()
    return fpn


def images_of(student: Student, batch: int, height: int, width: int) -> torch.Tensor:
    """Images that look random."""
    return give(student, spread(batch, 3, height, width, low=-2.0, high=2.0))
