"""What the tests of the head share."""

from typing import Any

import torch

from helpers.checks.answers import expect_state
from helpers.checks.expect import expect_runs
from helpers.checks.student import Student

PARTS = ("stem_cls", "stem_box", "pred_cls", "pred_box", "pred_ctr")
BEGIN = tuple(f"{part}." for part in PARTS)
ONE_WIDTH = "the stem works only when all its widths are equal"
NO_PADDING = "a convolution makes maps smaller; 3x3 needs padding 1"


def make_head(
    student: Student, num_classes: int, in_channels: int, widths: list[int]
) -> Any:
    """A head where the student's code runs.

    Unequal widths make no head crash while it is made, so no cause is known here.
    """
    make = student.one_stage_detector.FCOSPredictionNetwork
    with expect_runs("FCOSPredictionNetwork"):
        head = make(num_classes, in_channels, widths)
    if student.device.type != "cpu":
        head.to(str(student.device))
    return head


def fill_parts(head: Any, state: dict[str, torch.Tensor]) -> None:
    """Write new weights into the stems and predictors.

    A weight may have a second name, such as layers.0.weight, under which the old
    numbers would come back: only what begins with the name of a part is written.
    """
    own = {name: value for name, value in state.items() if name.startswith(BEGIN)}
    head.load_state_dict(own, strict=False)


def parameters_of(head: Any) -> dict[str, list[str]]:
    """Part -> the names of its weights in order, as state_dict has them."""
    state = expect_state(head.state_dict(), "FCOSPredictionNetwork")
    return {
        part: [
            name
            for name, value in state.items()
            if name.startswith(f"{part}.") and value.dim() == 4
        ]
        for part in PARTS
    }
