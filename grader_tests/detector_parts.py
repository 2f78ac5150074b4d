"""What the tests of the whole detector share: a small FCOS, a batch, its losses."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from grader_tests.head_parts import fill_parts
from grader_tests.oracles.plain_losses import box_loss, centerness_loss, class_loss
from grader_tests.oracles.plain_targets import (
    STRIDES,
    Targets,
    level_shapes,
    plain_locations,
    plain_targets,
    stack_targets,
)
from grader_tests.tools import give, spread
from helpers.checks import answers
from helpers.checks.expect import CheckError, expect_equal, expect_tensor, expect_true
from helpers.checks.student import Student

NUM_CLASSES = 3
HEIGHT, WIDTH = 64, 96
NORMALIZER_START = 150.0
LOSSES = ("loss_cls", "loss_box", "loss_ctr")
LOCATIONS_OF_THREE = 126  # of an image of 64 x 96 on three levels
PADDING = [-1.0] * 5
# One image without boxes; one with boxes of all levels, classes 0, 1, 2 and padding.
GT_BOXES = torch.tensor(
    [
        [PADDING] * 4,
        [[10, 6, 50, 30, 2], [30, 20, 90, 60, 0], PADDING, [1, 2, 95, 62, 1]],
    ]
)
Predictions = list[dict[str, torch.Tensor]]


def make_images(student: Student, height: int = HEIGHT, width: int = WIDTH) -> Any:
    """Two images, (2, 3, height, width), on the student's device."""
    return give(student, spread(2, 3, height, width, low=-2, high=2))


def make_fcos(student: Student) -> Any:
    """A small FCOS whose head has known weights, so that its answers differ."""
    student.seed(0)
    fcos = student.make_detector(NUM_CLASSES, 8, [8, 8])

    def value(_: str, old: torch.Tensor) -> torch.Tensor:
        return spread(*old.shape, low=-0.3, high=0.3).to(old.dtype)

    fill_head(student, fcos, value)
    return fcos


def fill_head(
    student: Student, fcos: Any, value: Callable[[str, torch.Tensor], torch.Tensor]
) -> None:
    """Give the head new weights: value(name, old weights)."""
    state = answers.expect_state(fcos.pred_net.state_dict(), "FCOS.pred_net")
    new = {
        name: value(name, old.detach().cpu()).to(student.device, copy=True)
        for name, old in state.items()
    }
    fcos.pred_net.load_state_dict(new)
    fill_parts(fcos.pred_net, new)


def constant_head(
    student: Student, fcos: Any, biases: Mapping[str, Sequence[float]]
) -> None:
    """Let the head answer the same at all locations: "pred_cls" -> its K numbers."""

    def value(name: str, old: torch.Tensor) -> torch.Tensor:
        predictor, _, kind = name.rpartition(".")
        if predictor not in biases:
            return old
        if kind == "bias":
            return torch.tensor(biases[predictor], dtype=old.dtype)
        return torch.zeros_like(old)

    fill_head(student, fcos, value)


def predict(fcos: Any, images: torch.Tensor) -> Predictions:
    """What the head answers for these images, three dicts on the CPU."""
    answer = fcos.pred_net(fcos.backbone(images))
    if answer is None:
        raise CheckError("not implemented", "FCOS.pred_net", "returned None")
    if not isinstance(answer, list | tuple) or len(answer) != 3:
        raise CheckError("wrong type", "FCOS.pred_net", "expected three dicts")
    sizes = level_shapes(*images.shape[2:])
    found = []
    for output, channels in zip(answer, (NUM_CLASSES, 4, 1), strict=True):
        levels = answers.expect_keys(output, STRIDES, "levels of FCOS.pred_net")
        found.append(
            {
                level: expect_tensor(
                    levels[level],
                    f"head at {level}",
                    shape=(len(images), math.prod(sizes[level]), channels),
                )
                for level in STRIDES
            }
        )
    return found


def batch_targets(
    gt_boxes: torch.Tensor, height: int = HEIGHT, width: int = WIDTH, **mistake: Any
) -> Targets:
    """The targets of a batch, worked out location by location."""
    locations = plain_locations(height, width, **mistake)
    return stack_targets([plain_targets(locations, rows) for rows in gt_boxes])


def join(levels: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """(B, N, C) float64 with the locations of all levels that there are."""
    return torch.cat(
        [levels[level].double() for level in STRIDES if level in levels], dim=1
    )


def batch_losses(
    predictions: Predictions,
    targets: Targets,
    *,
    normalizer: float | None = None,
    lowest_class: int = 0,
    cls: Mapping[str, Any] | None = None,
    box: Mapping[str, Any] | None = None,
    ctr: Mapping[str, Any] | None = None,
    most: float = math.inf,
) -> dict[str, torch.Tensor]:
    """The three losses of a batch in float64.

    Args:
        predictions: of the head.
        targets: of the same batch.
        normalizer: what divides, besides B; by default the updated one.
        lowest_class: 1 is the known mistake that loses class 0.
        cls, box, ctr: mistakes in single losses, see oracles/plain_losses.py.
        most: what the loss of a location is cut off at.
    """
    classes, deltas, centerness = targets
    lost = (classes >= 0) & (classes < lowest_class)
    deltas = torch.where(lost[..., None], -1.0, deltas)
    centerness = torch.where(lost, -1.0, centerness)
    if normalizer is None:
        normalizer = updated_normalizer(classes, lowest_class=lowest_class)
    divisor = normalizer * len(classes)
    logits, pred_deltas, ctr_logits = (join(output) for output in predictions)
    sums = (
        class_loss(logits, classes, **{"lowest_class": lowest_class, **(cls or {})}),
        box_loss(pred_deltas, deltas, **(box or {})),
        centerness_loss(ctr_logits[..., 0], centerness, **(ctr or {})),
    )
    return {
        name: values.clamp(max=most).sum() / divisor
        for name, values in zip(LOSSES, sums, strict=True)
    }


def updated_normalizer(
    classes: torch.Tensor, old: float = NORMALIZER_START, lowest_class: int = 0
) -> float:
    """The normalizer after a batch with these targets, (B, N)."""
    foreground = int((classes >= lowest_class).sum())
    return 0.9 * old + 0.1 * foreground / len(classes)


def normalizer_of(fcos: Any) -> float:
    """The value of FCOS._normalizer: a tensor of one number, or a plain number."""
    value = fcos._normalizer
    if isinstance(value, torch.Tensor):
        expect_equal(value.numel(), 1, "numbers in FCOS._normalizer")
    elif not isinstance(value, int | float):
        kind = type(value).__name__
        raise CheckError("wrong type", "FCOS._normalizer", f"is no number but a {kind}")
    return float(value)


def method(fcos: Any, name: str) -> Callable[..., Any]:
    """A method of FCOS that not every solution has.

    Raises:
        CheckError: of category "not implemented".
    """
    try:
        return getattr(fcos, name)
    except AttributeError:
        raise CheckError(
            "not implemented", f"FCOS.{name}", f"the class FCOS has no {name}"
        ) from None


def losses_of(fcos: Any, images: torch.Tensor, gt_boxes: torch.Tensor) -> Any:
    """What FCOS returns while it trains; three scalars, checked."""
    answer = fcos(images, gt_boxes.to(images.device, copy=True))
    return check_losses(answer)


def check_losses(answer: Any) -> dict[str, torch.Tensor]:
    """Three scalars by name, on the CPU."""
    what = "the losses of FCOS"
    if answer is None:
        raise CheckError("not implemented", what, "returned None")
    if not isinstance(answer, dict):
        kind = type(answer).__name__
        raise CheckError("wrong type", what, f"expected a dict, got a {kind}")
    answers.expect_keys(answer, LOSSES, f"names of {what}")
    losses = {}
    for name in LOSSES:
        loss = expect_tensor(answer[name], name)
        is_of_each = loss.numel() >= LOCATIONS_OF_THREE
        expect_true(
            loss.numel() == 1,
            name,
            f"expected one number, got shape {tuple(loss.shape)}",
            "not summed over the locations" if is_of_each else None,
        )
        losses[name] = loss.reshape(())
    return losses
