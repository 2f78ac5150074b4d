"""What the tests of the feature pyramid share."""

from typing import Any

import torch

from grader_tests.tools import expect_keys, give, spread
from helpers.checks.expect import expect_tensor
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


def levels_of(answer: Any, what: str, height: int, width: int) -> dict[str, Any]:
    """The answer for one image of that size in pixels: level -> its map, checked."""
    expect_keys(answer, LEVELS, what)
    return {
        level: expect_tensor(
            answer[level],
            f"{what}: {level}",
            shape=(1, OUT_CHANNELS, -(-height // stride), -(-width // stride)),
        )
        for level, stride in zip(LEVELS, (8, 16, 32), strict=True)
    }


def images_of(student: Student, batch: int, height: int, width: int) -> torch.Tensor:
    """Images that look random."""
    return give(student, spread(batch, 3, height, width, low=-2.0, high=2.0))
