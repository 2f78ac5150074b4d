"""Visible checks of step 11: losses of the overlap; numbers by hand and from a loop."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch

from helpers.checks.again import expect_own_answers
from helpers.checks.answers import expect_parts
from helpers.checks.exercises import exercise
from helpers.checks.expect import (
    CheckError,
    expect_close,
    expect_tensor,
    expect_true,
)
from helpers.checks.inputs import tensor

# Distances l, t, r, b from one location; the last box has no area.
PREDICTED = [
    [2.0, 3, 4, 1],
    [1.0, 1, 1, 1],
    [5.0, 1, 1, 2],
    [1.0, 3, 1, 3],
    [0.0, 0, 0, 0],
]
TRUE = [[3.0, 2, 2, 2], [1.0, 1, 3, 1], [1.0, 6, 2, 3], [3.0, 1, 3, 1], [1.0, 2, 3, 4]]
OVERLAP = [[12.0, 32], [4, 8], [6, 39], [4, 20], [0, 24]]
OVERLAP_CAUSES = {
    "the larger of two distances is taken; it is the smaller": [
        *[[35.0, 9], [8, 4], [63, -18], [36, -12], [24, 0]],
    ],
    "the intersection is not subtracted from the sum of the areas": [
        *[[12.0, 44], [4, 12], [6, 45], [4, 24], [0, 24]],
    ],
    "union and intersection are exchanged": [
        *[[32.0, 12], [8, 4], [39, 6], [20, 4], [24, 0]],
    ],
    "the pairs are (l, r) and (t, b), not (l, t) and (r, b)": [
        *[[12.0, 33], [4, 8], [6, 47], [4, 28], [0, 21]],
    ],
}
GIVEN = {"predicted": torch.tensor(PREDICTED), "true": torch.tensor(TRUE)}
SIX_DIGITS = 2e-5  # the expected numbers have six
PULLED_INPUTS = "the predictions are detached, or turned into numbers, on the way"


def _tables(causes: Mapping[str, list[Any]]) -> dict[str, torch.Tensor]:
    return {cause: torch.tensor(values) for cause, values in causes.items()}


def _expect_pull(
    student: Any, call: Any, what: str, predicted: list[float], true: list[float]
) -> torch.Tensor:
    """The gradient of one location's loss with respect to its four distances."""
    _, (pull,), _ = student.gradients(
        call, tensor(student, [predicted]), tensor(student, [true]), inputs=(0,)
    )
    named = f"{what}: gradient of the predicted distances"
    expect_true(pull is not None, named, "nothing arrives there", PULLED_INPUTS)
    return expect_tensor(pull, named, shape=(1, 4))[0]


@exercise("11.3")
def test_overlap_by_hand(student: Any) -> None:
    """Five pairs of boxes, one of them without area."""
    what = "overlap_of_distances"
    got = student.fcos_published.overlap_of_distances(
        tensor(student, PREDICTED), tensor(student, TRUE)
    )
    parts = expect_parts(got, ("intersection", "union"), what)
    columns = [
        expect_tensor(part, f"{what}: {name}", shape=(5,), dtype=torch.float32)
        for part, name in zip(parts, ("intersection", "union"), strict=True)
    ]
    expect_close(
        torch.stack(columns, dim=1),
        torch.tensor(OVERLAP),
        what,
        inputs=GIVEN,
        names="intersection,union",
        place="location",
        causes=_tables(OVERLAP_CAUSES),
    )


@exercise("11.3")
def test_overlap_of_each_call(student: Any) -> None:
    """Small boxes, large ones, and no location at all."""

    def case(scale: float, dtype: torch.dtype) -> Any:
        def check(got: Any) -> None:
            what = f"overlap_of_distances of boxes {scale:g} times as large"
            parts = expect_parts(got, ("intersection", "union"), what)
            right = torch.tensor(OVERLAP, dtype=dtype) * scale**2
            for part, expected in zip(parts, right.unbind(dim=1), strict=True):
                expect_close(part, expected, what)

        pair = [tensor(student, rows, dtype) * scale for rows in (PREDICTED, TRUE)]
        return pair, check

    call = student.fcos_published.overlap_of_distances
    usual, wide = torch.float32, torch.float64
    expect_own_answers(call, case(0.25, usual), case(100.0, usual), case(3.0, wide))
    none = torch.zeros(0, 4, device=student.device)
    what = "overlap_of_distances of no location"
    for part in expect_parts(call(none, none), ("intersection", "union"), what):
        expect_tensor(part, what, shape=(0,))


LN_LOSS = [0.980829, 0.693147, 1.871802, 1.609438]
LINEAR_LOSS = [0.625, 0.5, 0.846154, 0.8]


@exercise("11.4")
def test_iou_loss_by_hand(student: Any) -> None:
    """-ln of the IoU, and 1 minus the IoU where `linear` asks for it."""
    call = student.fcos_published.iou_loss
    pair = tensor(student, PREDICTED[:4]), tensor(student, TRUE[:4])
    expect = partial(expect_close, inputs=GIVEN, names="loss", place="location")
    expect(
        call(*pair),
        torch.tensor(LN_LOSS),
        "iou_loss",
        causes={
            "this is 1 - IoU; -ln IoU is asked for": torch.tensor(LINEAR_LOSS),
            "the minus is missing": -torch.tensor(LN_LOSS),
            "1 is added to both sides, although `plus` is 0": torch.tensor(
                [0.931558, 0.587787, 1.742969, 1.435085]
            ),
            "this is the IoU itself": 1 - torch.tensor(LINEAR_LOSS),
            "the logarithm is that of base 2": torch.tensor(
                [1.415037, 1.0, 2.70044, 2.321928]
            ),
            "the logarithm is that of base 10": torch.tensor(
                [0.425969, 0.30103, 0.812913, 0.69897]
            ),
        },
        atol=SIX_DIGITS,
    )
    expect(
        call(*pair, True),
        torch.tensor(LINEAR_LOSS),
        "iou_loss with linear = True",
        causes={
            "`linear` is not looked at": torch.tensor(LN_LOSS),
            "this is the IoU itself; 1 minus it is asked for": 1
            - torch.tensor(LINEAR_LOSS),
        },
        atol=SIX_DIGITS,
    )


@exercise("11.4")
def test_iou_loss_with_plus(student: Any) -> None:
    """Both sides of the ratio get `plus`, also where nothing overlaps."""
    call = student.fcos_published.iou_loss
    pair = tensor(student, PREDICTED), tensor(student, TRUE)
    infinite = torch.tensor([*LN_LOSS, torch.inf])
    expect = partial(expect_close, inputs=GIVEN, names="loss", place="location")
    expect(
        call(*pair, False, 1.0),
        torch.tensor([0.931558, 0.587787, 1.742969, 1.435085, 3.218876]),
        "iou_loss with plus = 1",
        causes={
            "`plus` is not looked at": infinite,
            "`plus` is added to the intersection only": torch.tensor(
                [0.900787, 0.470004, 1.717651, 1.386294, 3.178054]
            ),
            "`plus` is added to the union only": torch.tensor(
                [1.011601, 0.81093, 1.89712, 1.658228, torch.inf]
            ),
            "`plus` is added to the ratio, not to both of its sides": torch.tensor(
                [-0.318454, -0.405465, -0.143101, -0.182322, 0.0]
            ),
        },
        atol=SIX_DIGITS,
    )
    expect(
        call(*pair, True, 3.0),
        torch.tensor([0.571429, 0.363636, 0.785714, 0.695652, 0.888889]),
        "iou_loss with linear = True and plus = 3",
        causes={
            "`plus` is not looked at where linear is True": torch.tensor(
                [*LINEAR_LOSS, 1.0]
            ),
            "1 is added instead of `plus`": torch.tensor(
                [0.606061, 0.444444, 0.825, 0.761905, 0.96]
            ),
        },
        atol=SIX_DIGITS,
    )


@exercise("11.4")
def test_iou_loss_pulls(student: Any) -> None:
    """Its gradient makes a box grow that lies in the true one."""
    small, large = [1.0, 1, 1, 1], [2.0, 3, 4, 5]
    call = student.fcos_published.iou_loss
    pull = _expect_pull(student, call, "iou_loss", small, large)
    # The loss is -ln((l + r) (t + b) / 48), and each bracket is 2.
    right = torch.full((4,), -0.5)
    what = f"iou_loss of {small} in {large}: gradient"
    expect_close(pull, right, what, names="l,t,r,b", check_dtype=False)


GIOU_LOSS = [0.710714, 0.5, 1.227106, 1.244444, 1.0]
GIOU_CAUSES = {
    "this is 1 - IoU; the part of the hull that is empty is missing": [
        *LINEAR_LOSS,
        1.0,
    ],
    "the empty part is added to the IoU; it is subtracted": [
        *[0.539286, 0.5, 0.465201, 0.355556, 1.0],
    ],
    "the empty part is divided by the union; by the hull is asked for": [
        *[0.71875, 0.5, 1.461538, 1.6, 1.0],
    ],
    "the intersection is subtracted from the hull; it is the union": [
        *[1.282143, 1.0, 1.750916, 1.688889, 2.0],
    ],
    "this is GIoU itself; 1 minus it is asked for": [
        *[0.289286, 0.5, -0.227106, -0.244444, 0.0],
    ],
}


@exercise("11.5")
def test_giou_loss_by_hand(student: Any) -> None:
    """1 - GIoU of five pairs; `plus` changes the IoU only."""
    call = student.fcos_published.giou_loss
    pair = tensor(student, PREDICTED), tensor(student, TRUE)
    expect = partial(expect_close, inputs=GIVEN, names="loss", place="location")
    expect(
        call(*pair),
        torch.tensor(GIOU_LOSS),
        "giou_loss",
        causes=_tables(GIOU_CAUSES),
        atol=SIX_DIGITS,
    )
    expect(
        call(*pair, 1.0),
        torch.tensor([0.691775, 0.444444, 1.205952, 1.206349, 0.96]),
        "giou_loss with plus = 1",
        causes={
            "`plus` is not looked at": torch.tensor(GIOU_LOSS),
            "`plus` is added to the hull, too": torch.tensor(
                [0.689394, 0.444444, 1.2, 1.194337, 0.96]
            ),
            "`plus` is added to the union only": torch.tensor(
                [0.722078, 0.555556, 1.230952, 1.253968, 1.0]
            ),
        },
        atol=SIX_DIGITS,
    )


@exercise("11.5")
def test_giou_loss_of_empty_boxes(student: Any) -> None:
    """Two boxes without area give 1, not NaN; `eps` sees to it. None gives none."""
    call = student.fcos_published.giou_loss
    zero = torch.zeros(1, 4, device=student.device)
    what = "giou_loss of two boxes without area"
    try:
        expect_close(call(zero, zero), torch.tensor([1.0]), what)
    except CheckError as error:
        if error.category == "NaN":
            error.cause = "0 is divided by 0; add eps to what is divided by"
        raise
    none = torch.zeros(0, 4, device=student.device)
    expect_tensor(call(none, none), "giou_loss of no location", shape=(0,))


@exercise("11.5")
def test_giou_loss_pulls(student: Any) -> None:
    """Where two boxes cross, its gradient is far larger than that of the IoU."""
    high, wide = PREDICTED[3], TRUE[3]
    call = student.fcos_published.giou_loss
    pull = _expect_pull(student, call, "giou_loss", high, wide)
    expect_close(
        pull,
        torch.tensor([-0.171111, 0.057037, -0.171111, 0.057037]),
        f"giou_loss of {high} and {wide}: gradient",
        names="l,t,r,b",
        causes={
            "only the IoU pulls; the hull is detached, or not there": torch.tensor(
                [-0.06, 0.02, -0.06, 0.02]
            )
        },
        atol=SIX_DIGITS,
        check_dtype=False,
    )
