"""Visible checks of step 11: the three losses of a batch, as published."""

import math
from functools import partial
from typing import Any

import torch

from helpers.checks.answers import expect_keys
from helpers.checks.exercises import exercise
from helpers.checks.expect import (
    CheckError,
    expect_as_usual,
    expect_close,
    expect_tensor,
)
from helpers.checks.inputs import (
    LOCATIONS,
    NUM_CLASSES,
    TARGET_CENTERNESS,
    TARGET_CLASSES,
    TARGET_DELTAS,
    levels,
    two_images,
)

LOSSES = ("loss_fcos_cls", "loss_fcos_loc", "loss_fcos_ctr")
NUM_LOCATIONS, NUM_FOREGROUND = 9, 14  # of an image; of three, the second without a box
START = 150.0
# At a logit of 0 each cross-entropy is ln 2, and each probability .5.
YES, NO = (alpha * 0.25 * math.log(2) for alpha in (0.25, 0.75))
QUESTIONS = 3 * NUM_LOCATIONS * NUM_CLASSES
STRIDE = torch.tensor([8.0] * 4 + [16.0] * 3 + [32.0] * 2)[:, None]
DELTAS = torch.tensor(TARGET_DELTAS)
IS_BOX = torch.tensor(TARGET_CLASSES) >= 0


def _detector(student: Any, **choices: Any) -> Any:
    """A small detector that matches as part one does, with these other choices."""
    given = {"centre_radius": 0.0, "range_ends": "high", "box_loss": "l1"} | choices
    module = student.fcos_published
    version = module.FCOSConfig(num_levels=3, norm_groups=0, **given)
    detector = module.PublishedFCOS(
        NUM_CLASSES, 8, [8, 8], backbone="tiny", version=version
    )
    if student.device.type != "cpu":
        detector.to(str(student.device))
    return detector


def _split(student: Any, rows: torch.Tensor, order: tuple[str, ...]) -> dict:
    """(B, N, C) of all levels in a row -> a dict of the levels, in this order."""
    sizes = [len(points) for points in LOCATIONS.values()]
    parts = dict(zip(LOCATIONS, rows.to(student.device).split(sizes, 1), strict=True))
    return {level: parts[level].clone() for level in order}


def _losses(
    student: Any,
    detector: Any,
    rows: list[torch.Tensor],
    what: str,
    gt_boxes: torch.Tensor,
    order: tuple[str, ...] = tuple(LOCATIONS),
) -> torch.Tensor:
    """The three losses that training_losses gives."""
    outputs = [_split(student, part, order) for part in rows]
    got = detector.training_losses(levels(student, LOCATIONS), outputs, gt_boxes)
    expect_keys(got, LOSSES, f"{what}: keys of the result")
    found = [expect_tensor(got[name], f"{what}: {name}") for name in LOSSES]
    return torch.stack([value.double().reshape(()) for value in found])


def _all(value: float, images: int = 3) -> list[torch.Tensor]:
    """Logits of 0, and distances of one value."""
    return [
        torch.full((images, NUM_LOCATIONS, channels), of)
        for channels, of in ((NUM_CLASSES, 0.0), (4, value), (1, 0.0))
    ]


def _sums() -> torch.Tensor:
    """The sums of the three losses where all predictions are 0."""
    no = (QUESTIONS - NUM_FOREGROUND) * NO
    box = 0.25 * 2 * float(DELTAS[IS_BOX].sum())
    ctr = NUM_FOREGROUND * math.log(2)
    return torch.tensor([NUM_FOREGROUND * YES + no, box, ctr])


def _sums_without_class_0() -> torch.Tensor:
    """The same, divided, where class 0 is no foreground for box and centerness."""
    is_box = torch.tensor(TARGET_CLASSES) > 0
    number = 2 * int(is_box.sum())
    box = 0.25 * 2 * float(DELTAS[is_box].sum())
    return torch.tensor([float(_sums()[0]), box, number * math.log(2)]) / number


@exercise("11.7")
def test_training_losses_by_hand(student: Any) -> None:
    """Three images, all predictions 0, each way to divide."""
    expect = partial(expect_close, names="cls,loc,ctr", check_dtype=False)
    boxes = two_images(student)[[0, 1, 0]]
    sums = _sums()
    by_foreground = sums / NUM_FOREGROUND
    what = "training_losses: three images, 14 foreground locations, predictions 0"
    only = NUM_FOREGROUND * (YES + (NUM_CLASSES - 1) * NO)
    in_pixels = 0.25 * 2 * float((DELTAS * STRIDE)[IS_BOX].sum())
    weights = torch.tensor(TARGET_CENTERNESS)[IS_BOX]
    each = 0.25 * DELTAS[IS_BOX].sum(dim=1)
    weighed = torch.tensor([float(sums[0]), 0, float(sums[2])]) / NUM_FOREGROUND
    weighed[1] = (each * weights).sum() / weights.sum()
    expect(
        _losses(student, _detector(student), _all(0.0), what, boxes),
        by_foreground,
        what,
        causes={
            "class 0 is taken for background": _sums_without_class_0,
            "the class loss is that of the foreground only": torch.tensor(
                [only, float(sums[1]), float(sums[2])]
            )
            / NUM_FOREGROUND,
            "boxes are compared in pixels; loss_unit is stride": torch.tensor(
                [float(sums[0]), in_pixels, float(sums[2])]
            )
            / NUM_FOREGROUND,
            "every level takes the stride of p3": torch.tensor(
                [float(sums[0]), in_pixels / 8, float(sums[2])]
            )
            / NUM_FOREGROUND,
            "divided by the number of images": sums / 3,
            "divided by all locations": sums / (3 * NUM_LOCATIONS),
            "not divided": sums,
            "boxes are weighed, although weigh_boxes is False": weighed,
        },
    )
    given = f"{what}, weigh_boxes"
    expect(
        _losses(student, _detector(student, weigh_boxes=True), _all(0.0), given, boxes),
        weighed,
        given,
        causes={"boxes are not weighed, although weigh_boxes is True": by_foreground},
    )
    running = 0.9 * START + 0.1 * NUM_FOREGROUND / 3
    given = f"{what}, divided by the running mean of an image"
    detector = _detector(student, divide_by="per_image")
    expect(
        _losses(student, detector, _all(0.0), given, boxes),
        sums / (running * 3),
        given,
        causes={
            "divided by the foreground of this batch, not by self.divisor": sums
            / NUM_FOREGROUND,
            "self.divisor is asked twice": sums
            / ((0.9 * running + 0.1 * NUM_FOREGROUND / 3) * 3),
            "self.divisor gets another number of images": sums
            / (0.9 * START + 0.1 * NUM_FOREGROUND),
        },
    )


@exercise("11.7")
def test_training_losses_in_each_unit(student: Any) -> None:
    """Predicted in strides or in pixels, compared in strides or in pixels."""
    units = [(unit, other) for unit in UNITS for other in UNITS]
    got = []
    for unit, loss_unit in units:
        detector = _detector(student, unit=unit, loss_unit=loss_unit)
        what = f"training_losses, unit {unit}, loss_unit {loss_unit}"
        boxes = two_images(student)[:1]
        got.append(_losses(student, detector, _all(1.0, 1), what, boxes)[1])
    expect_close(
        torch.stack(got),
        torch.stack([_box_loss(*pair) for pair in units]),
        "training_losses: box loss (L1), all predicted distances 1, of unit and "
        "loss_unit in turn",
        names=",".join(" and ".join(pair) for pair in units),
        causes={
            **{
                f"`unit` is not looked at, it is always {only}": torch.stack(
                    [_box_loss(only, other) for _, other in units]
                )
                for only in UNITS
            },
            **{
                f"`loss_unit` is not looked at, it is always {only}": torch.stack(
                    [_box_loss(unit, only) for unit, _ in units]
                )
                for only in UNITS
            },
            "`unit` and `loss_unit` are exchanged": torch.stack(
                [_box_loss(other, unit) for unit, other in units]
            ),
            "every level takes the stride of p3": torch.stack(
                [_box_loss(*pair, torch.tensor(8.0)) for pair in units]
            ),
        },
        check_dtype=False,
    )


UNITS = ("stride", "pixel")


def _box_loss(unit: str, loss_unit: str, stride: torch.Tensor = STRIDE) -> torch.Tensor:
    """The mean L1 loss of the foreground, where 1 is predicted everywhere."""
    true_px = DELTAS * STRIDE
    pred_px = stride if unit == "stride" else torch.tensor(1.0)
    divided = stride if loss_unit == "stride" else torch.tensor(1.0)
    difference = ((pred_px - true_px) / divided).abs()[IS_BOX]
    return 0.25 * difference.sum(dim=1).mean().double()


@exercise("11.7")
def test_training_losses_of_right_answers(student: Any) -> None:
    """Right answers at all locations: only the entropy of the centerness is left."""
    classes = torch.tensor(TARGET_CLASSES)
    logits = torch.full((1, NUM_LOCATIONS, NUM_CLASSES), -20.0)
    logits[0, IS_BOX, classes[IS_BOX].long()] = 20.0
    centers = torch.tensor(TARGET_CENTERNESS)
    ctr_logits = torch.logit(centers.clamp(min=0.01))
    one = [logits, DELTAS.clamp(min=0)[None], ctr_logits[None, :, None]]
    # Of two images, the first without any box.
    nothing = [torch.full_like(logits, -20.0), torch.zeros_like(one[1]), one[2]]
    rows = [torch.cat(pair) for pair in zip(nothing, one, strict=True)]
    floor = torch.nn.functional.binary_cross_entropy(centers[IS_BOX], centers[IS_BOX])
    right = torch.tensor([0.0, 0.0, float(floor)])
    boxes = two_images(student).flip(0)

    def check(order: tuple[str, ...]) -> None:
        what = f"training_losses of right answers, levels {', '.join(order)}"
        detector = _detector(student, box_loss="giou")
        got = _losses(student, detector, rows, what, boxes, order)
        expect_close(
            got,
            right,
            what,
            names="cls,loc,ctr",
            atol=1e-4,  # the centerness of the inputs has six digits
            check_dtype=False,
        )

    usual = tuple(LOCATIONS)
    check(usual)
    other = "levels are joined in the order of the outputs; locations have another"
    with expect_as_usual(other, partial(check, usual)):
        check(usual[::-1])


@exercise("11.7")
def test_training_losses_without_any_box(student: Any) -> None:
    """Only background: the class loss is left, the others are 0."""
    boxes = torch.full((2, 3, 5), -1.0, device=student.device)
    no = 2 * NUM_LOCATIONS * NUM_CLASSES * NO
    for weigh in (False, True):
        detector = _detector(student, box_loss="giou", weigh_boxes=weigh)
        what = f"training_losses without any box, weigh_boxes = {weigh}"
        try:
            got = _losses(student, detector, _all(1.0, 2), what, boxes)
        except CheckError as error:
            if error.category == "NaN":
                error.cause = "0 is divided by 0, or a mean is taken of nothing"
            raise
        right = torch.tensor([no, 0.0, 0.0])
        expect_close(got, right, what, names="cls,loc,ctr", check_dtype=False)
