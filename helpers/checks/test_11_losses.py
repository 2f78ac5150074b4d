"""Visible checks of step 11: the losses of a batch from those of locations."""

from typing import Any

import torch

from helpers.checks.answers import expect_keys
from helpers.checks.exercises import exercise
from helpers.checks.expect import CheckError, expect_close, expect_tensor
from helpers.checks.inputs import tensor

# Sums 8, 3.5, 2 and 1.5; the weighted sum of the box losses is 1.2.
CLASS_LOSS = [[0.5, 0.25, 1.25], [2.0, 0, 4]]
BOX_LOSS, CENTERNESS_LOSS = [0.5, 2.0, 1.0], [0.7, 0.4, 0.9]
CENTERNESS, DIVISOR = [0.8, 0.1, 0.6], 4.0
LOSSES = ("loss_fcos_cls", "loss_fcos_loc", "loss_fcos_ctr")
PLAIN_CAUSES = {
    "boxes are weighed, although weigh_boxes is False": [2.0, 0.8, 0.5],
    "the sums are not divided": [8.0, 3.5, 2.0],
    "means are taken; sums are divided by the divisor": [1.333333, 1.166667, 0.666667],
    "means are taken, and divided again": [0.333333, 0.291667, 0.166667],
    "divided by the number of box losses, not by the divisor": [
        *[2.666667, 1.166667, 0.666667],
    ],
}
WEIGHED_CAUSES = {
    "weigh_boxes is not looked at": [2.0, 0.875, 0.5],
    "the weighed sum is divided by the divisor, not by the sum of centerness": [
        *[2.0, 0.3, 0.5],
    ],
    "the weighed sum is divided by the number of boxes, not by the sum of centerness": [
        *[2.0, 0.4, 0.5],
    ],
    "the sum of the box losses is divided by the sum of centerness, but not weighed": [
        *[2.0, 2.333333, 0.5],
    ],
    "the weighed mean is divided by the divisor, too": [2.0, 0.2, 0.5],
    "the centerness loss is weighed, too": [2.0, 0.8, 0.76],
    "all sums are divided by the sum of centerness; that is for boxes only": [
        *[5.333333, 0.8, 1.333333],
    ],
}


def _divided(student: Any, what: str, foreground: int, *rest: Any) -> torch.Tensor:
    """The three losses of divide_losses, of the first locations of the foreground."""
    own = [
        tensor(student, values)[:foreground]
        for values in (BOX_LOSS, CENTERNESS_LOSS, CENTERNESS)
    ]
    got = student.fcos_published.divide_losses(tensor(student, CLASS_LOSS), *own, *rest)
    expect_keys(got, LOSSES, f"{what}: keys of the result")
    return torch.stack(
        [
            expect_tensor(got[name], f"{what}: {name}").double().reshape(())
            for name in LOSSES
        ]
    )


@exercise("11.6")
def test_divide_losses_by_hand(student: Any) -> None:
    """Sums by the divisor 4; three foreground locations."""
    what = "divide_losses"
    got = _divided(student, what, 3, tensor(student, DIVISOR), False)
    expect_close(
        got,
        torch.tensor([2.0, 0.875, 0.5]),
        what,
        names="cls,loc,ctr",
        causes={cause: torch.tensor(sums) for cause, sums in PLAIN_CAUSES.items()},
        check_dtype=False,
    )


@exercise("11.6")
def test_divide_losses_that_are_weighed(student: Any) -> None:
    """A mean of the box losses whose weights, the centerness, add up to 1."""
    what = "divide_losses with weigh_boxes"
    got = _divided(student, what, 3, tensor(student, DIVISOR), True)
    expect_close(
        got,
        torch.tensor([2.0, 0.8, 0.5]),
        what,
        names="cls,loc,ctr",
        causes={cause: torch.tensor(sums) for cause, sums in WEIGHED_CAUSES.items()},
        check_dtype=False,
    )


@exercise("11.6")
def test_divide_losses_without_foreground(student: Any) -> None:
    """Nothing in the foreground: the class loss is left, the others are 0."""
    for weigh in (False, True):
        what = f"divide_losses of no foreground, weigh_boxes = {weigh}"
        try:
            got = _divided(student, what, 0, tensor(student, 1.0), weigh)
        except CheckError as error:
            if error.category == "NaN":
                error.cause = "0 is divided by 0, or a mean is taken of nothing"
            raise
        right = torch.tensor([8.0, 0, 0])
        expect_close(got, right, what, names="cls,loc,ctr", check_dtype=False)
