"""What the tests of the feature pyramid share."""

from typing import Any

import torch

from grader_tests.tools import expect_keys, give, spread
from helpers.checks.answers import expect_state
from helpers.checks.expect import expect_close, expect_tensor, expect_true
from helpers.checks.student import Student

LEVELS = ["p3", "p4", "p5"]
OUT_CHANNELS = 6
WHAT = "DetectorBackboneWithFPN"
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


def own_state(fpn: Any) -> dict[str, torch.Tensor]:
    """The parameters of the pyramid itself, without those of its backbone."""
    state = expect_state(fpn.state_dict(), WHAT)
    return {
        name: value
        for name, value in state.items()
        if not name.startswith("backbone.") and value.is_floating_point()
    }


def expect_at_work(student: Student, fpn: Any) -> None:
    """The maps come from the images, through the pyramid's own layers.

    Other images have other maps; where all weights are 0, so are the maps.
    """
    answers = [
        levels_of(fpn(images_of(student, 1, 64, 96) * times), WHAT, 64, 96)
        for times in (1, -1)
    ]
    for level in LEVELS:
        first, second = (answer[level].detach() for answer in answers)
        differs = not torch.allclose(first, second, atol=1e-6)
        expect_true(differs, WHAT, f"{level} is the same for other images")
    state = expect_state(fpn.state_dict(), WHAT)
    silent = {name: torch.zeros_like(value) for name, value in own_state(fpn).items()}
    fpn.load_state_dict(state | silent)
    answer = levels_of(fpn(images_of(student, 1, 64, 96)), WHAT, 64, 96)
    fpn.load_state_dict(state)
    for level in LEVELS:
        expect_close(
            answer[level], torch.zeros_like(answer[level]), f"{level}, all weights 0"
        )
